//! The live line on stderr. Not a terminal: no line; remarks still appear.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::out;

/// One line that shows what is going on, and remarks above it. Clones draw the same line.
#[derive(Debug, Clone)]
pub struct Progress(ProgressBar);

impl Progress {
    /// On stderr, if that is a terminal.
    pub fn new() -> Progress {
        let target =
            if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(1), target);
        // The template is a constant; were it wrong, a bare line would do.
        bar.set_style(
            ProgressStyle::with_template("{prefix:<12} {bar:28} {msg}")
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("━━╌"),
        );
        Progress(bar)
    }

    /// Begins a phase, such as "connecting".
    pub fn phase(&self, name: &str, length: u64) {
        self.0.reset();
        self.0.set_length(length.max(1));
        self.0.set_prefix(name.to_owned());
        self.0.set_message("");
    }

    /// How far it is, and in words.
    pub fn at(&self, position: u64, words: String) {
        self.0.set_position(position);
        self.0.set_message(words);
    }

    /// A remark that stays.
    pub fn say(&self, line: &str) {
        self.0.suspend(|| out::stderr(line));
    }

    /// Takes the line away.
    pub fn clear(&self) {
        self.0.finish_and_clear();
    }
}

/// How often the line moves and the world is looked at.
pub const TICK: Duration = Duration::from_millis(50);

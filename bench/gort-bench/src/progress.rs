//! The live line on stderr. Where that is no terminal: a line after each round.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// One line that shows how far it is, and remarks above it.
#[derive(Debug)]
pub struct Progress(ProgressBar);

impl Progress {
    /// On stderr.
    pub fn new() -> Progress {
        let terminal = std::io::stderr().is_terminal();
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(1), target);
        // The template is a constant; were it wrong, a bare line would do.
        let style = ProgressStyle::with_template("{bar:28} {msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style.progress_chars("━━╌"));
        Progress(bar)
    }

    /// How long it has taken and will take, and what is going on.
    pub fn show(&self, done: Duration, left: Duration, words: &str) {
        self.0.set_length((done + left).as_millis() as u64);
        self.0.set_position(done.as_millis() as u64);
        self.0.set_message(format!("{words} · {} left", about(left)));
    }

    /// A remark that stays.
    pub fn say(&self, line: &str) {
        self.0.suspend(|| eprintln!("{line}"));
    }

    /// For those who see no line.
    pub fn round_done(&self, round: usize, left: &Duration) {
        if self.0.is_hidden() {
            eprintln!("round {round} done · {} left", about(*left));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn about(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..=90 => format!("{seconds} s"),
        seconds => format!("{} min", seconds.div_ceil(60)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_times_are_told_in_minutes() {
        assert_eq!(about(Duration::from_secs(90)), "90 s");
        assert_eq!(about(Duration::from_secs(91)), "2 min");
    }
}

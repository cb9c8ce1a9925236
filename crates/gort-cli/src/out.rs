//! Writing to people and programs: the report to stdout, everything said on the way to stderr.

use std::fmt;
use std::io::{self, IsTerminal, Write as _};

use anyhow::{Context as _, Error, Result};

/// The reader of our stdout has left (`gort fanout | head -1`): no error, but nothing more to say either.
#[derive(Debug)]
pub struct ReaderGone;

impl fmt::Display for ReaderGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the reader of stdout is gone")
    }
}

impl std::error::Error for ReaderGone {}

/// Writes to stdout and makes sure it got there.
pub fn stdout(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Err(Error::new(ReaderGone)),
        other => other.context("cannot write to stdout"),
    }
}

/// Writes a line to stderr; if that is gone too, nobody is left to be told.
pub fn stderr(line: impl fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// How a report may look on this stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Looks {
    /// Escape sequences for colour and weight.
    pub colour: bool,
    /// Block characters; otherwise ASCII.
    pub blocks: bool,
}

impl Looks {
    /// No escapes, no blocks: for files, pipes and tests.
    pub const PLAIN: Looks = Looks { colour: false, blocks: false };

    /// Colour only on a terminal that wants it (<https://no-color.org>), blocks only on a terminal that says UTF-8.
    pub fn of_stdout() -> Looks {
        if !io::stdout().is_terminal() {
            return Looks::PLAIN;
        }
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let dumb = set("TERM").is_none_or(|term| term == "dumb");
        let locale =
            set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG")).unwrap_or_default().to_lowercase();
        Looks {
            colour: !dumb && set("NO_COLOR").is_none(),
            blocks: locale.contains("utf-8") || locale.contains("utf8"),
        }
    }

    /// Heading weight.
    pub fn bold(self, text: &str) -> String {
        self.escape("1", text)
    }

    /// For remarks.
    pub fn dim(self, text: &str) -> String {
        self.escape("2", text)
    }

    /// For bars.
    pub fn bar(self, text: &str) -> String {
        self.escape("36", text)
    }

    /// For what went wrong.
    pub fn bad(self, text: &str) -> String {
        self.escape("31", text)
    }

    fn escape(self, code: &str, text: &str) -> String {
        if self.colour && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

//! What can go wrong on a connection, by kind.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use crate::report::number::counted;

/// A kind of error; each ends its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Nobody listens.
    Refused,
    /// Connecting failed in another way.
    Connect,
    /// The peer reset the connection, or it broke under a write.
    Reset,
    /// The peer ended the stream before a reply or in the middle of one.
    Closed,
    /// No reply came.
    TimedOut,
    /// What came back is not what was sent.
    Mismatch,
    /// Reading or writing failed in another way.
    Other,
}

impl Fault {
    /// For JSON keys.
    pub fn key(self) -> &'static str {
        match self {
            Fault::Refused => "refused",
            Fault::Connect => "connect",
            Fault::Reset => "reset",
            Fault::Closed => "closed",
            Fault::TimedOut => "timed_out",
            Fault::Mismatch => "mismatch",
            Fault::Other => "other",
        }
    }

    /// The kind of an error of `connect`.
    pub fn of_connect(e: &io::Error) -> Fault {
        match e.kind() {
            ErrorKind::ConnectionRefused => Fault::Refused,
            ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => Fault::Reset,
            ErrorKind::TimedOut => Fault::TimedOut,
            _ => Fault::Connect,
        }
    }

    /// The kind of an error in an exchange.
    pub fn of_exchange(e: &io::Error) -> Fault {
        match e.kind() {
            ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => Fault::Reset,
            ErrorKind::UnexpectedEof | ErrorKind::WriteZero => Fault::Closed,
            ErrorKind::TimedOut | ErrorKind::WouldBlock => Fault::TimedOut,
            ErrorKind::InvalidData => Fault::Mismatch,
            _ => Fault::Other,
        }
    }
}

/// What happened to how many connections, as a sentence with an example: `2 connections were refused (..)`.
pub fn sentence(fault: Fault, n: u64, example: &str) -> String {
    let were = if n == 1 { "was" } else { "were" };
    let what = match fault {
        Fault::Refused => format!("{were} refused"),
        Fault::Connect => "could not be opened".into(),
        Fault::Reset => format!("{were} reset by the server"),
        Fault::Closed => format!("{were} closed by the server"),
        Fault::TimedOut => "timed out".into(),
        Fault::Mismatch => "got wrong bytes back".into(),
        Fault::Other => "failed".into(),
    };
    format!("{} {what} ({example})", counted(n, "connection"))
}

/// All of them, one sentence after the other.
pub fn sentences(faults: &[(Fault, u64, String)]) -> String {
    faults.iter().map(|(fault, n, example)| sentence(*fault, *n, example)).collect::<Vec<_>>().join("; ")
}

/// Counts by kind, and the first example of each.
#[derive(Debug, Default)]
pub struct Faults {
    total: AtomicU64,
    kinds: Mutex<BTreeMap<Fault, (u64, String)>>,
}

impl Faults {
    /// Counts one; the words are only asked for the first time.
    pub fn count(&self, fault: Fault, words: impl FnOnce() -> String) {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        kinds.entry(fault).or_insert_with(|| (0, words())).0 += 1;
        // Relaxed: shown to people; the counts by kind are read under the lock.
        self.total.fetch_add(1, Relaxed);
    }

    /// All together.
    pub fn total(&self) -> u64 {
        self.total.load(Relaxed)
    }

    /// By kind, with an example each.
    pub fn by_kind(&self) -> Vec<(Fault, u64, String)> {
        let kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        kinds.iter().map(|(&fault, (count, example))| (fault, *count, example.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_connection_and_several_make_sentences() {
        let mut said = Vec::new();
        for n in [1, 20] {
            for fault in [Fault::Refused, Fault::Connect, Fault::Closed, Fault::TimedOut, Fault::Mismatch] {
                said.push(sentence(fault, n, "why"));
            }
        }
        let expected = [
            "1 connection was refused (why)",
            "1 connection could not be opened (why)",
            "1 connection was closed by the server (why)",
            "1 connection timed out (why)",
            "1 connection got wrong bytes back (why)",
            "20 connections were refused (why)",
            "20 connections could not be opened (why)",
            "20 connections were closed by the server (why)",
            "20 connections timed out (why)",
            "20 connections got wrong bytes back (why)",
        ];
        assert_eq!(said, expected);
    }
}

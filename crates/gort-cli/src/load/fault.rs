//! What can go wrong on a connection, by kind.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// A kind of error; each ends its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Nobody listens.
    Refused,
    /// Connecting failed in another way.
    Connect,
    /// The peer reset the connection, or it broke under a write.
    Reset,
    /// The peer ended the stream in the middle of a reply.
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

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Fault::Refused => "refused",
            Fault::Connect => "could not connect",
            Fault::Reset => "reset by the server",
            Fault::Closed => "closed by the server",
            Fault::TimedOut => "timed out",
            Fault::Mismatch => "wrong bytes came back",
            Fault::Other => "failed otherwise",
        })
    }
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

//! Lines on standard error from threads that must not wait for whoever reads it: the monitor, and Ms inside of the runtime.

use super::fault::write_stderr;
use super::{clock, socket};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

/// What a pipe that takes anything takes at once, and in one piece.
const PIECE_BYTES: usize = 4096;
/// Between two pieces of a longer text a reader may take so long.
const PATIENCE_NS: u64 = 10_000_000;

/// Writes to standard error as long as that takes it. False if it does not take all of it now: a pipe that is full, a terminal that was stopped.
///
/// Not with std's lock of standard error, which a goroutine may hold that is parked. Should another thread fill the pipe in the very moment between look and
/// write, this waits.
pub(crate) fn offer(text: &[u8]) -> bool {
    let mut until_ns = clock::now_ns();
    for piece in text.chunks(PIECE_BYTES) {
        // Where nobody will ever read, the write says so, and all is done.
        if socket::poll(2, libc::POLLOUT, Some(until_ns)).is_ok_and(|events| events == 0) {
            return false;
        }
        write_stderr(piece);
        until_ns = clock::now_ns() + PATIENCE_NS;
    }
    true
}

/// Something that is said once.
#[derive(Debug)]
pub(crate) struct Once {
    is_said: AtomicBool,
}

impl Once {
    pub(crate) const fn new() -> Self {
        Self { is_said: AtomicBool::new(false) }
    }

    /// Offers the line, unless somebody has said it or is at it. Who comes next says it if this one could not.
    pub(crate) fn say(&self, line: impl FnOnce() -> String) {
        // Relaxed, both: the flag stands for nothing else.
        if !self.is_said.swap(true, Relaxed) {
            self.is_said.store(offer(line().as_bytes()), Relaxed);
        }
    }
}

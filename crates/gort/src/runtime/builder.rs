//! Settings that a program makes before the runtime starts.

use super::Mode;
use crate::config;
use crate::sched::{MAX_MS, MAX_PROCS, start};
use std::io;
use std::time::Duration;

/// Settings for the runtime, before it starts.
///
/// # Examples
/// ```
/// gort::runtime::Builder::new().max_procs(2).start()?;
/// assert_eq!(gort::runtime::max_procs(), 2);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "a builder does nothing until it starts the runtime"]
pub struct Builder {
    pub(super) wishes: start::Wishes,
}

impl Builder {
    /// Default settings.
    pub fn new() -> Self {
        Self::default()
    }

    /// Processors: goroutines that run at the same time, 1 to 1024. Without it the number follows the CPU quota.
    pub fn max_procs(mut self, procs: usize) -> Self {
        self.wishes.max_procs = Some(procs);
        self
    }

    /// The most threads that may run goroutines, those stuck in system calls included: 4 to 16384.
    ///
    /// There is one exception. When all of them have been blocked for 100 ms while goroutines that have begun wait for a thread, one of those may
    /// hold the lock that the others wait for. Then more are started, one by one, for one such goroutine each, at most 16 or
    /// a quarter of this number, whichever is more. They end with the turn of that goroutine. It is said on standard error, once.
    pub fn max_threads(mut self, threads: usize) -> Self {
        self.wishes.max_threads = Some(threads);
        self
    }

    /// How long a thread is kept that has nothing to do, of those that blocking calls have made necessary; 10 s without it. A few more than
    /// there are processors are kept for ever. [`Duration::MAX`] keeps all. `GORT_THREAD_KEEP_ALIVE` wins.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// gort::runtime::Builder::new().thread_keep_alive(Duration::from_secs(60)).start()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn thread_keep_alive(mut self, keep: Duration) -> Self {
        self.wishes.thread_keep_alive = Some(keep);
        self
    }

    /// Address space of each goroutine's stack in bytes; see [`crate::Builder::stack_size`].
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.wishes.stack_size = Some(bytes);
        self
    }

    /// Whether a panic in a goroutine ends the process, where its own builder does not say; `GORT_PANIC` wins.
    pub fn abort_on_panic(mut self, abort: bool) -> Self {
        self.wishes.abort_on_panic = Some(abort);
        self
    }

    /// How goroutines are tied to threads, as by `GORT_MODE`, which wins over this. Only the first start of a process decides.
    ///
    /// # Examples
    /// ```
    /// use gort::runtime::{Builder, Mode, bound_because};
    /// Builder::new().mode(Mode::Bound).start()?;
    /// assert!(bound_because().is_some());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn mode(mut self, mode: Mode) -> Self {
        self.wishes.mode = Some(match mode {
            Mode::Migrating => config::Mode::Migrating,
            Mode::Bound => config::Mode::Bound,
        });
        self
    }

    /// Goroutines that move between threads, or no program: where they cannot be had the program ends when the runtime starts, with the reason and
    /// status 2, instead of going on in [`Mode::Bound`].
    pub fn require_migrating(mut self) -> Self {
        self.wishes.require_migrating = true;
        self
    }

    /// Starts the runtime, the first time or after a [`shutdown`](super::shutdown).
    ///
    /// # Errors
    /// `InvalidInput` for a value out of range, `AlreadyExists` if the runtime runs already: it starts by itself when it is first used. One with
    /// [`ShuttingDown`](super::ShuttingDown) inside while it is being shut down.
    pub fn start(self) -> io::Result<()> {
        if let Some(procs) = self.wishes.max_procs.filter(|procs| !(1..=MAX_PROCS).contains(procs)) {
            return Err(invalid(format!("max_procs: {procs} is not between 1 and {MAX_PROCS}")));
        }
        if let Some(threads) = self.wishes.max_threads.filter(|threads| !(4..=MAX_MS).contains(threads)) {
            return Err(invalid(format!("max_threads: {threads} is not between 4 and {MAX_MS}")));
        }
        if let Some(bytes) = self.wishes.stack_size.filter(|bytes| !(1..=1 << 30).contains(bytes)) {
            return Err(invalid(format!("stack_size: {bytes} is not between 1 and {}", 1 << 30)));
        }
        super::watchdog::check(&self.wishes)?;
        if !start::start_with(self.wishes)? {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "the gort runtime runs already: start it before anything else uses it",
            ));
        }
        Ok(())
    }
}

pub(super) fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

//! What the monitor says of those that keep threads, as settings and values.

use super::builder::invalid;
use super::{Builder, Deadlock, RetakeSite};
use crate::config::WatchdogPolicy;
use crate::sched::start::Wishes;
use std::io;
use std::panic::Location;
use std::time::Duration;

/// What the monitor does about a goroutine that keeps a thread for long: a loop without a call of gort's, a C library, a lock of std's, a system
/// call without [`blocking`](crate::blocking).
///
/// Such a goroutine holds up nobody (in [bound mode](super::Mode), those that have begun on its thread): its processor was taken from it, and others go on.
/// But it keeps a thread, and should it wait for something that
/// never comes, nobody else will say so. The report names the goroutine, where it last waited in gort, where it was started, what it does (the
/// system call's name, or that it computes) and for how long, and what can be done; once for each call site. Marked sections are as they should be,
/// and never reported. [`metrics`](super::metrics) counts all of them (`stuck`).
///
/// By `GORT_WATCHDOG`, or [`Builder::watchdog`]; the time by `GORT_WATCHDOG_AFTER`, or [`Builder::watchdog_after`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Watchdog {
    /// Nobody looks.
    Off,
    /// It is reported on standard error.
    #[default]
    Log,
    /// It is reported, and the process ends with SIGABRT: for tests.
    Abort,
}

/// What the builder was told is refused here.
pub(super) fn check(wishes: &Wishes) -> io::Result<()> {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    match wishes.watchdog_after.filter(|after| after.is_zero() || *after > DAY) {
        Some(after) => Err(invalid(format!("watchdog_after: {after:?} is not above 0 and up to a day"))),
        None => Ok(()),
    }
}

impl Builder {
    /// What is done about goroutines that keep a thread for long; `GORT_WATCHDOG` wins.
    ///
    /// # Examples
    /// ```
    /// use gort::runtime::{Builder, Watchdog};
    /// use std::time::Duration;
    /// Builder::new().watchdog(Watchdog::Abort).watchdog_after(Duration::from_secs(60)).start()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn watchdog(mut self, watchdog: Watchdog) -> Self {
        self.wishes.watchdog = Some(match watchdog {
            Watchdog::Off => WatchdogPolicy::Off,
            Watchdog::Log => WatchdogPolicy::Log,
            Watchdog::Abort => WatchdogPolicy::Abort,
        });
        self
    }

    /// After what time they are reported, up to a day; 5 s if nobody says so. `GORT_WATCHDOG_AFTER` wins.
    pub fn watchdog_after(mut self, after: Duration) -> Self {
        self.wishes.watchdog_after = Some(after);
        self
    }
}

/// Where processors were taken from goroutines that did not come to gort, and why: the call sites with the most retakes first.
///
/// A site is where the goroutine had called gort last and could have waited (so what it did *after* that is what kept its thread), or its marked
/// section; for one that has never waited, where it was started. 256 sites are told apart, the others are counted together.
///
/// # Examples
/// ```
/// use std::time::{Duration, Instant};
/// let loops = || {
///     let start = Instant::now();
///     while start.elapsed() < Duration::from_millis(50) {}
/// };
/// // As many as there are processors, so that somebody waits for one.
/// let loops: Vec<_> = (0..2 * gort::runtime::max_procs()).map(|_| gort::go(loops)).collect();
/// loops.into_iter().for_each(|handle| handle.join().unwrap());
/// for site in gort::runtime::retake_sites() {
///     println!("{site}");
/// }
/// ```
#[must_use]
pub fn retake_sites() -> Vec<RetakeSite> {
    RetakeSite::all()
}

/// Goroutines that wait for one another for ever, those that have done so for `age` at least.
///
/// **Certain** are circles of waits for a [`Mutex`](crate::sync::Mutex), for the writer of a [`RwLock`](crate::sync::RwLock), for the end of a goroutine
/// ([`JoinHandle::join`](crate::JoinHandle::join)) and of a [`scope`](crate::scope): whoever is waited for is exactly known. (Of waits younger than
/// some milliseconds a lock that just changes hands may be told wrongly.)
///
/// **Suspected** are goroutines that send to or receive from channels, one by one or in a [`select!`](crate::select), to which, in all the memory of the process, nobody refers but goroutines that
/// are asleep for ever, too. A leftover of an end that has moved on counts as one, so much is not found. And it is only looked for in moments in
/// which no goroutine computes, which a busy process may not have.
///
/// Waits with a limit or a context end by themselves and are no part of a deadlock; nor are those for other things: a condition variable, a semaphore,
/// a [`park`](crate::park), a `select!` with an arm for anything but a channel.
///
/// The watchdog looks by itself, and reports each circle once, unless it is [off](Watchdog::Off). Parks the goroutine, blocks a plain thread: a thread of
/// its own looks, which takes about 100 ns for each goroutine, and, if any waits for a channel for so long, a second for each GiB of memory in use.
///
/// # Examples
/// ```
/// use gort::runtime::deadlocks;
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// let mutex = Arc::new(gort::sync::Mutex::new(0));
/// let theirs = mutex.clone();
/// let twice = gort::go(move || {
///     let _held = theirs.lock();
///     let _again = theirs.lock();
/// });
/// while deadlocks(Duration::from_millis(1)).is_empty() {
///     gort::yield_now();
/// }
/// let found = deadlocks(Duration::from_millis(1));
/// assert_eq!(found[0].goroutines()[0].id(), twice.goroutine().id());
/// println!("{}", found[0]);
/// ```
#[must_use]
#[track_caller]
pub fn deadlocks(age: Duration) -> Vec<Deadlock> {
    let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    crate::blocking::on_thread(move || Deadlock::all(age_ms), Location::caller()).unwrap_or_default()
}

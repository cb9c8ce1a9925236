//! The goroutine as a value, and what a goroutine does to itself: yield, sleep, park, lock its thread.

use crate::g::record::THREAD;
use crate::g::{Alarm, Finish, G, Status, registry};
use crate::sched::{self, locked, park as sched_park, perturb};
use crate::sys::clock;
use std::cell::Cell;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

/// The id of a goroutine: unique for the life of the process, never reused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GoroutineId(u64);

impl GoroutineId {
    pub(crate) fn new(id: u64) -> Self {
        Self(id)
    }

    /// The number that dumps and panic messages show.
    ///
    /// # Examples
    /// ```
    /// let id = gort::go(|| gort::current().id()).join().unwrap();
    /// assert!(id.as_u64() > 0);
    /// ```
    #[must_use]
    pub fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Debug for GoroutineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GoroutineId({})", self.0)
    }
}

impl fmt::Display for GoroutineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A goroutine, as [`std::thread::Thread`] is a thread: something to unpark, and a name.
#[derive(Clone)]
pub struct Goroutine {
    g: &'static G,
    id: u64,
    name: Option<Arc<str>>,
}

impl Goroutine {
    pub(crate) fn new(g: &'static G, id: u64, name: Option<Arc<str>>) -> Self {
        Self { g, id, name }
    }

    /// The goroutine's id.
    #[must_use]
    pub fn id(&self) -> GoroutineId {
        GoroutineId(self.id)
    }

    /// The name given to [`Builder::name`](crate::Builder::name).
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Makes the token of this goroutine available: its next [`park`] returns at once, or the one it is in ends.
    ///
    /// One token, not a count. Does nothing if the goroutine has ended. Never blocks.
    ///
    /// # Examples
    /// ```
    /// let parked = gort::go(gort::park);
    /// parked.goroutine().unpark();
    /// parked.join().unwrap();
    /// ```
    pub fn unpark(&self) {
        if perturb::is_on() {
            perturb::delay_wake();
        }
        sched_park::unpark(self.g, self.id);
    }
}

impl fmt::Debug for Goroutine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Goroutine").field("id", &self.id).field("name", &self.name).finish()
    }
}

/// The record that a plain thread waits with. Given back when the thread ends.
struct ThreadRecord(Cell<Option<&'static G>>);

thread_local! {
    static THREAD_RECORD: ThreadRecord = const { ThreadRecord(Cell::new(None)) };
}

impl Drop for ThreadRecord {
    fn drop(&mut self) {
        if let Some(g) = self.0.take() {
            sched::set_current(None);
            g.set_status(Status::Free);
            registry::give_free(&[g]);
        }
    }
}

/// The calling goroutine, or `None` on a plain thread.
#[inline]
pub(crate) fn me() -> Option<&'static G> {
    sched::current().filter(|g| !g.has(THREAD))
}

/// The record with which the caller waits: its own, or one made for this thread.
#[inline]
pub(crate) fn wait_record() -> &'static G {
    match sched::current() {
        Some(g) => g,
        None => thread_record(),
    }
}

#[cold]
fn thread_record() -> &'static G {
    unsafe fn never(_: &'static G) -> Finish {
        unreachable!("a thread's record is not a goroutine to run")
    }
    crate::sys::fork::refuse_child();
    let mut list = Vec::with_capacity(1);
    registry::take_free(&mut list, 1, sched::global::reserve);
    let g = list.pop().expect("take_free gives one at least");
    g.start(registry::take_ids(1), Location::caller(), THREAD, None, never);
    g.set_alarm(Alarm::NONE);
    g.set_status(Status::Running);
    sched::set_current(Some(g));
    // On a thread that is ending the slot is gone; the record then stays with nobody, which is a leak of 192 bytes and no more.
    let _ = THREAD_RECORD.try_with(|slot| slot.0.set(Some(g)));
    g
}

/// The calling goroutine. On a plain thread: a value that stands for the thread, which can be unparked as well.
///
/// # Examples
/// ```
/// let me = gort::current();
/// me.unpark();
/// gort::park(); // returns at once: the token was there
/// ```
#[must_use]
pub fn current() -> Goroutine {
    let g = wait_record();
    let name = registry::with_extra(g, |extra| extra.and_then(|extra| extra.name.clone()));
    Goroutine::new(g, g.id(), name)
}

/// Lets other goroutines run: the caller goes to the end of its queue.
///
/// On a plain thread, [`std::thread::yield_now`].
///
/// # Examples
/// ```
/// gort::go(|| gort::yield_now()).join().unwrap();
/// ```
#[inline]
pub fn yield_now() {
    match sched::current() {
        Some(g) => sched::yield_now(g),
        None => std::thread::yield_now(),
    }
}

/// Sleeps for at least `duration`.
///
/// Parks the goroutine; blocks a plain thread. Never early, whatever signals arrive, and an [`Goroutine::unpark`] does not end it.
///
/// # Examples
/// ```
/// let start = std::time::Instant::now();
/// let pause = std::time::Duration::from_millis(5);
/// gort::go(move || gort::sleep(pause)).join().unwrap();
/// assert!(start.elapsed() >= pause);
/// ```
#[track_caller]
pub fn sleep(duration: Duration) {
    let site = Location::caller();
    match me() {
        Some(g) => {
            if duration.is_zero() {
                return sched::yield_now(g);
            }
            sched::sleep_until(g, clock::after(duration), site);
        }
        None => std::thread::sleep(duration),
    }
}

/// Parks the caller until its token is available, and takes it, as [`std::thread::park`] but never spuriously.
///
/// # Examples
/// ```
/// let waiter = gort::go(gort::park);
/// waiter.goroutine().unpark();
/// waiter.join().unwrap();
/// ```
#[track_caller]
pub fn park() {
    sched_park::park_until(wait_record(), crate::timer::NEVER, Location::caller());
}

/// As [`park`], for `duration` at most: at least that long if no token comes.
///
/// # Examples
/// ```
/// let start = std::time::Instant::now();
/// let limit = std::time::Duration::from_millis(5);
/// gort::go(move || gort::park_timeout(limit)).join().unwrap();
/// assert!(start.elapsed() >= limit);
/// ```
#[track_caller]
pub fn park_timeout(duration: Duration) {
    sched_park::park_until(wait_record(), clock::after(duration), Location::caller());
}

/// Undoes a [`lock_os_thread`] when dropped.
#[derive(Debug)]
#[must_use = "the lock ends when the guard is dropped"]
pub struct OsThreadGuard {
    /// Not `Send`: it belongs to the goroutine that took it.
    here: std::marker::PhantomData<*const ()>,
}

impl Drop for OsThreadGuard {
    fn drop(&mut self) {
        unlock_os_thread();
    }
}

/// Ties the calling goroutine to its OS thread, and the thread to it: it runs on no other, and no other runs on it, until the guard is dropped
/// or the goroutine ends. Calls nest.
///
/// A goroutine that ends with the lock held (a guard that was forgotten) takes its thread with it, as in Go: what it has done to the thread cannot be
/// undone by anybody else. New threads are started by a thread of the runtime's own, so they inherit nothing of it. In
/// [bound mode](crate::runtime::Mode) the thread stays.
///
/// For whatever the kernel keeps by thread: namespaces, affinity, credentials, graphics contexts. Parking then costs two thread switches. Does
/// nothing on a plain thread.
///
/// # Examples
/// ```
/// gort::go(|| {
///     let _same_thread = gort::lock_os_thread();
///     gort::yield_now();
/// })
/// .join()
/// .unwrap();
/// ```
pub fn lock_os_thread() -> OsThreadGuard {
    if let Some(g) = me() {
        locked::lock(g);
    }
    OsThreadGuard { here: std::marker::PhantomData }
}

/// Undoes one [`lock_os_thread`] whose guard was forgotten (`std::mem::forget`), as Go's `UnlockOSThread`. Does nothing if the goroutine is not
/// locked.
pub fn unlock_os_thread() {
    if let Some(g) = me() {
        locked::unlock(g);
    }
}

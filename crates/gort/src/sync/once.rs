//! Once, with std's interface: something that is to be done one time.
//!
//! | state | meaning | left by |
//! |---|---|---|
//! | INCOMPLETE | nobody has begun | the first caller |
//! | RUNNING | somebody is at it; others wait | its return, or its panic |
//! | POISONED | it panicked | `call_once_force` |
//! | COMPLETE | it is done | nothing |
//!
//! Changed under a lock, in which those who wait stand, too. COMPLETE can be seen without it: stored with Release after the function has
//! returned, and read with Acquire, so whoever sees it sees what the function did. All who wait are told at once and look again.

use super::crowd;
use crate::context::{Bound, Context, Ended};
use crate::g::{GList, WaitList, WaitReason};
use crate::prim::lock::Lock;
use crate::sched;
use crate::wait::Caller;
use std::fmt;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::{Duration, Instant};

const INCOMPLETE: u8 = 0;
const RUNNING: u8 = 1;
const POISONED: u8 = 2;
const COMPLETE: u8 = 3;

/// Runs something once, however many ask for it, as [`std::sync::Once`].
///
/// All callers return after it has been done; those who come while it is being done wait, parked or blocked. If it panics the panic reaches its
/// caller and the `Once` is *poisoned*: every later `call_once` panics. A function that calls `call_once` of its own `Once` waits for ever.
///
/// A deadline or a context can bound a [`wait`](Self::wait), but no `call_once`, which lasts as long as the function that runs: give the context
/// to that.
///
/// # Examples
/// ```
/// static START: gort::sync::Once = gort::sync::Once::new();
///
/// let mut count = 0;
/// START.call_once(|| count += 1);
/// START.call_once(|| count += 1);
/// assert_eq!(count, 1);
/// ```
pub struct Once {
    state: AtomicU8,
    queue: Lock<WaitList>,
}

/// What [`Once::call_once_force`] tells its function, as [`std::sync::OnceState`].
#[derive(Debug)]
pub struct OnceState {
    is_poisoned: bool,
}

impl OnceState {
    /// True if an earlier function panicked.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.is_poisoned
    }
}

/// Ends RUNNING, also if the function unwinds.
struct Running<'a> {
    once: &'a Once,
    next: u8,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut ready = GList::new();
        let mut queue = self.once.queue.lock();
        // Release: pairs with `is_completed`; whoever sees COMPLETE sees what the function did.
        self.once.state.store(self.next, Release);
        crowd::tell_all(&mut queue, &mut ready);
        drop(queue);
        sched::ready_list(&mut ready);
    }
}

impl Once {
    /// One that has not run.
    #[must_use]
    pub const fn new() -> Self {
        Self { state: AtomicU8::new(INCOMPLETE), queue: Lock::new(WaitList::new()) }
    }

    /// Runs `f` unless one has been run; waits if one is running.
    ///
    /// # Panics
    /// If `f` panics, or an earlier one has.
    ///
    /// # Examples
    /// See [`Once`].
    #[track_caller]
    #[inline]
    pub fn call_once<F: FnOnce()>(&self, f: F) {
        if !self.is_completed() {
            self.run(false, |_| f(), "Once::call_once: an earlier call has panicked");
        }
    }

    /// As [`call_once`](Self::call_once), also if an earlier function has panicked; `f` is told.
    ///
    /// # Examples
    /// ```
    /// let once = gort::sync::Once::new();
    /// assert!(std::panic::catch_unwind(|| once.call_once(|| panic!("on purpose"))).is_err());
    /// once.call_once_force(|state| assert!(state.is_poisoned()));
    /// assert!(once.is_completed());
    /// ```
    #[track_caller]
    #[inline]
    pub fn call_once_force<F: FnOnce(&OnceState)>(&self, f: F) {
        if !self.is_completed() {
            self.run(true, f, "");
        }
    }

    /// True if a function has been run to its end: what it did can be seen.
    ///
    /// # Examples
    /// ```
    /// assert!(!gort::sync::Once::new().is_completed());
    /// ```
    #[inline(always)]
    pub fn is_completed(&self) -> bool {
        // Acquire: pairs with the Release in `Running::drop`.
        self.state.load(Acquire) == COMPLETE
    }

    /// Waits until a function has been run, by whomever.
    ///
    /// # Panics
    /// If it panics, or has panicked.
    ///
    /// # Examples
    /// ```
    /// static READY: gort::sync::Once = gort::sync::Once::new();
    /// gort::go(|| READY.call_once(|| ()));
    /// READY.wait();
    /// ```
    #[track_caller]
    pub fn wait(&self) {
        self.wait_within(Bound::NONE, false, Caller::begin());
    }

    /// As [`wait`](Self::wait), for `timeout` at most. True: a function has been run.
    ///
    /// # Panics
    /// As [`wait`](Self::wait).
    ///
    /// # Examples
    /// ```
    /// let once = gort::sync::Once::new();
    /// assert!(!once.wait_timeout(std::time::Duration::from_millis(1)));
    /// once.call_once(|| ());
    /// assert!(once.wait_timeout(std::time::Duration::ZERO));
    /// ```
    #[track_caller]
    #[must_use = "the time may be over"]
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.wait_within(Bound::timeout(timeout), false, Caller::begin())
    }

    /// As [`wait`](Self::wait), until `deadline` at most. True: a function has been run.
    ///
    /// # Panics
    /// As [`wait`](Self::wait).
    ///
    /// # Examples
    /// ```
    /// assert!(!gort::sync::Once::new().wait_deadline(std::time::Instant::now()));
    /// ```
    #[track_caller]
    #[must_use = "the time may be over"]
    pub fn wait_deadline(&self, deadline: Instant) -> bool {
        self.wait_within(Bound::deadline(deadline), false, Caller::begin())
    }

    /// As [`wait`](Self::wait), until `ctx` ends at most. What has been run wins over a context that has ended.
    ///
    /// # Errors
    /// The context has ended first.
    ///
    /// # Panics
    /// As [`wait`](Self::wait).
    ///
    /// # Examples
    /// ```
    /// let (ctx, cancel) = gort::context::background().with_cancel();
    /// gort::go(move || cancel.cancel());
    /// assert!(gort::sync::Once::new().wait_ctx(&ctx).unwrap_err().is_cancelled());
    /// ```
    #[track_caller]
    pub fn wait_ctx(&self, ctx: &Context) -> Result<(), Ended> {
        if self.wait_within(Bound::ctx(ctx), false, Caller::begin()) { Ok(()) } else { Err(ctx.ended()) }
    }

    /// Waits until a function has been run to its end, whatever became of earlier ones.
    ///
    /// # Examples
    /// ```
    /// static READY: gort::sync::Once = gort::sync::Once::new();
    /// gort::go(|| READY.call_once(|| ()));
    /// READY.wait_force();
    /// ```
    #[track_caller]
    pub fn wait_force(&self) {
        self.wait_within(Bound::NONE, true, Caller::begin());
    }

    #[cold]
    #[track_caller]
    fn run<F: FnOnce(&OnceState)>(&self, force: bool, f: F, poisoned: &str) {
        self.run_with(force, f, poisoned, Caller::begin());
    }

    /// Runs `f` in its turn; panics with `poisoned` if an earlier one has panicked, and not `force`.
    #[track_caller]
    pub(super) fn run_with<F: FnOnce(&OnceState)>(&self, force: bool, f: F, poisoned: &str, caller: Caller) {
        loop {
            let queue = self.queue.lock();
            // Relaxed: changed under the lock.
            let state = self.state.load(Relaxed);
            match state {
                COMPLETE => return,
                RUNNING => {
                    let told = crowd::wait(&self.queue, queue, |queue| queue, Bound::NONE, WaitReason::Once, caller);
                    debug_assert!(told.is_ok(), "nothing else ends the wait");
                }
                POISONED if !force => {
                    drop(queue);
                    panic!("{poisoned}");
                }
                _ => {
                    // Relaxed: under the lock.
                    self.state.store(RUNNING, Relaxed);
                    drop(queue);
                    let mut running = Running { once: self, next: POISONED };
                    f(&OnceState { is_poisoned: state == POISONED });
                    running.next = COMPLETE;
                    return;
                }
            }
        }
    }

    /// Waits for the end. False: too late. Panics if it is poisoned, unless `force`.
    #[track_caller]
    pub(super) fn wait_within(&self, bound: Bound<'_>, force: bool, caller: Caller) -> bool {
        while !self.is_completed() {
            let queue = self.queue.lock();
            // Relaxed: changed under the lock.
            match self.state.load(Relaxed) {
                COMPLETE => {}
                POISONED if !force => {
                    drop(queue);
                    panic!("Once::wait: the function has panicked");
                }
                _ => {
                    let told = crowd::wait(&self.queue, queue, |queue| queue, bound, WaitReason::Once, caller);
                    if told.is_err() {
                        return self.is_completed();
                    }
                }
            }
        }
        true
    }
}

impl Default for Once {
    fn default() -> Self {
        Self::new()
    }
}

impl std::panic::UnwindSafe for Once {}
impl std::panic::RefUnwindSafe for Once {}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Relaxed: a picture for people.
        let state = match self.state.load(Relaxed) {
            INCOMPLETE => "incomplete",
            RUNNING => "running",
            POISONED => "poisoned",
            _ => "complete",
        };
        f.debug_struct("Once").field("state", &format_args!("{state}")).finish_non_exhaustive()
    }
}

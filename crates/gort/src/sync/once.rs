//! Once, with std's interface: something that is to be done one time.
//!
//! Where it stands is a word that is changed under a lock, in which those who wait stand, too (`gort_lockfree::once_word`). That it is done can
//! be seen without the lock.

use crate::context::{Bound, Context, Ended};
use crate::g::{GList, WaitList, WaitReason};
use crate::prim::lock::Lock;
use crate::sched;
use crate::wait::Caller;
use gort_lockfree::crowd;
use gort_lockfree::once_word::{OnceWord, Stage};
use std::fmt;
use std::ptr;
use std::time::{Duration, Instant};

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
    word: OnceWord,
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
    is_complete: bool,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut ready = GList::new();
        let mut queue = self.once.queue.lock();
        self.once.word.end(self.is_complete, &mut *queue, &mut ready);
        drop(queue);
        sched::ready_list(&mut ready);
    }
}

impl Once {
    /// One that has not run.
    #[must_use]
    pub const fn new() -> Self {
        Self { word: OnceWord::new(), queue: Lock::new(WaitList::new()) }
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
        self.word.is_complete()
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
            let stage = self.word.stage();
            match stage {
                Stage::Complete => return,
                Stage::Running => {
                    let waiting = caller.until(Bound::NONE, WaitReason::Once, ptr::from_ref(self) as usize);
                    let told = crowd::wait(&self.queue, queue, |queue| queue, &waiting, || ());
                    debug_assert!(told.is_ok(), "nothing else ends the wait");
                }
                Stage::Poisoned if !force => {
                    drop(queue);
                    panic!("{poisoned}");
                }
                _ => {
                    self.word.begin();
                    drop(queue);
                    let mut running = Running { once: self, is_complete: false };
                    f(&OnceState { is_poisoned: stage == Stage::Poisoned });
                    running.is_complete = true;
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
            match self.word.stage() {
                Stage::Complete => {}
                Stage::Poisoned if !force => {
                    drop(queue);
                    panic!("Once::wait: the function has panicked");
                }
                _ => {
                    let waiting = caller.until(bound, WaitReason::Once, ptr::from_ref(self) as usize);
                    if crowd::wait(&self.queue, queue, |queue| queue, &waiting, || ()).is_err() {
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
        f.debug_struct("Once").field("stage", &self.word).finish_non_exhaustive()
    }
}

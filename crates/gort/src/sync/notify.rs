//! Notify: a wake-up without a value. One is remembered if nobody waits for it.
//!
//! A mark and a queue under a lock (`gort_lockfree::crowd`): the mark is set only while the queue is empty, and a party waits only without it.

use crate::context::{Bound, Context, Ended};
use crate::g::{GList, WaitList, WaitReason};
use crate::prim::lock::Lock;
use crate::sched;
use crate::wait::Caller;
use gort_lockfree::crowd;
use std::fmt;
use std::ptr;
use std::time::{Duration, Instant};

/// Wakes those who wait, in order of arrival, without a lock or a condition around it.
///
/// [`notify_one`](Self::notify_one) with nobody there is remembered, once: the next [`wait`](Self::wait) returns immediately.
///
/// # Examples
/// ```
/// static CHANGED: gort::sync::Notify = gort::sync::Notify::new();
///
/// gort::go(|| CHANGED.notify_one());
/// CHANGED.wait();
/// ```
pub struct Notify {
    inner: Lock<Inner>,
}

struct Inner {
    is_remembered: bool,
    queue: WaitList,
}

impl Notify {
    /// One without a notification.
    #[must_use]
    pub const fn new() -> Self {
        Self { inner: Lock::new(Inner { is_remembered: false, queue: WaitList::new() }) }
    }

    /// Waits for a notification, and takes it.
    ///
    /// # Examples
    /// See [`Notify`].
    #[track_caller]
    pub fn wait(&self) {
        self.wait_within(Bound::NONE, Caller::begin());
    }

    /// Waits for a notification for `timeout` at most. True: it came, and is taken. With none remembered, a timeout of zero returns false at once.
    ///
    /// # Examples
    /// ```
    /// use std::time::{Duration, Instant};
    ///
    /// let changed = gort::sync::Notify::new();
    /// changed.notify_one();
    /// changed.notify_one();
    /// assert!(changed.wait_timeout(Duration::ZERO));
    /// assert!(!changed.wait_timeout(Duration::ZERO));
    /// ```
    #[track_caller]
    #[must_use = "the time may be over"]
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.wait_within(Bound::timeout(timeout), Caller::begin())
    }

    /// Waits for a notification until `deadline` at most. True: it came, and is taken.
    ///
    /// # Examples
    /// ```
    /// let changed = gort::sync::Notify::new();
    /// assert!(!changed.wait_deadline(std::time::Instant::now()));
    /// ```
    #[track_caller]
    #[must_use = "the time may be over"]
    pub fn wait_deadline(&self, deadline: Instant) -> bool {
        self.wait_within(Bound::deadline(deadline), Caller::begin())
    }

    /// Waits for a notification until `ctx` ends at most. One that is remembered is taken, also if it has ended.
    ///
    /// # Errors
    /// The context has ended first. No notification is lost with it: it goes to the next, or is remembered.
    ///
    /// # Examples
    /// ```
    /// let (ctx, cancel) = gort::context::background().with_cancel();
    /// let changed = gort::sync::Notify::new();
    /// gort::go(move || cancel.cancel());
    /// assert!(changed.wait_ctx(&ctx).unwrap_err().is_cancelled());
    /// changed.notify_one();
    /// changed.wait_ctx(&ctx).unwrap();
    /// ```
    #[track_caller]
    pub fn wait_ctx(&self, ctx: &Context) -> Result<(), Ended> {
        if self.wait_within(Bound::ctx(ctx), Caller::begin()) { Ok(()) } else { Err(ctx.ended()) }
    }

    fn wait_within(&self, bound: Bound<'_>, caller: Caller) -> bool {
        let mut inner = self.inner.lock();
        if std::mem::take(&mut inner.is_remembered) {
            return true;
        }
        let waiting = caller.until(bound, WaitReason::Notify, ptr::from_ref(self) as usize);
        crowd::wait(&self.inner, inner, |inner| &mut inner.queue, &waiting, || ()).is_ok()
    }

    /// Wakes the one that has waited longest. If nobody waits it is remembered for the next; several are remembered as one.
    ///
    /// # Examples
    /// See [`wait_timeout`](Self::wait_timeout).
    pub fn notify_one(&self) {
        let mut ready = GList::new();
        let mut inner = self.inner.lock();
        if !crowd::tell_one(&mut inner.queue, &mut ready) {
            inner.is_remembered = true;
        }
        drop(inner);
        sched::ready_list(&mut ready);
    }

    /// Wakes all who wait now. Nothing is remembered.
    ///
    /// # Examples
    /// ```
    /// let changed = gort::sync::Notify::new();
    /// changed.notify_all();
    /// assert!(!changed.wait_timeout(std::time::Duration::ZERO));
    /// ```
    pub fn notify_all(&self) {
        let mut ready = GList::new();
        let mut inner = self.inner.lock();
        crowd::tell_all(&mut inner.queue, &mut ready);
        drop(inner);
        sched::ready_list(&mut ready);
    }
}

impl Default for Notify {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notify").finish_non_exhaustive()
    }
}

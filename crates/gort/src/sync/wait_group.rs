//! A wait group, as Go's: a count, and those who wait until it is zero.
//!
//! Adding, and taking away what does not reach zero, is one compare-and-swap. The step to zero is made under the lock of the queue, as is the
//! look of one that is about to wait: so nobody goes to wait between the two (`gort_lockfree::count`).

use crate::context::{Bound, Context, Ended};
use crate::g::{GList, WaitList, WaitReason};
use crate::prim::lock::Lock;
use crate::sched;
use crate::spawn::JoinHandle;
use crate::wait::Caller;
use gort_lockfree::count::Count;
use gort_lockfree::crowd;
use std::fmt;
use std::ptr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Waits for a number of things to be done, as Go's `sync.WaitGroup`.
///
/// A handle: clones stand for the same group, and cloning counts nothing. What was done before a [`done`](Self::done) is visible after the
/// [`wait`](Self::wait) that it ends. The group can be used again when the wait is over.
///
/// # Examples
/// ```
/// use std::sync::atomic::{AtomicU32, Ordering};
/// static SUM: AtomicU32 = AtomicU32::new(0);
///
/// let group = gort::sync::WaitGroup::new();
/// for number in 1..=10 {
///     group.go(move || SUM.fetch_add(number, Ordering::Relaxed));
/// }
/// group.wait();
/// assert_eq!(SUM.load(Ordering::Relaxed), 55);
/// ```
#[derive(Clone)]
pub struct WaitGroup {
    inner: Arc<Inner>,
}

struct Inner {
    count: Count,
    queue: Lock<WaitList>,
}

impl WaitGroup {
    /// A group with nothing to be done.
    #[must_use]
    pub fn new() -> Self {
        Self { inner: Arc::new(Inner { count: Count::new(), queue: Lock::new(WaitList::new()) }) }
    }

    /// `count` more things are to be done. To be called before the `wait` that is to wait for them, hence usually not by the goroutine that does
    /// them.
    ///
    /// # Panics
    /// If the count passes `isize::MAX`.
    ///
    /// # Examples
    /// ```
    /// let group = gort::sync::WaitGroup::new();
    /// group.add(2);
    /// group.done();
    /// group.done();
    /// group.wait();
    /// ```
    pub fn add(&self, count: usize) {
        assert!(self.inner.count.add(count as u64), "WaitGroup::add: the count is too large");
    }

    /// One thing is done. Wakes all who wait if it was the last.
    ///
    /// # Panics
    /// If nothing was to be done.
    ///
    /// # Examples
    /// See [`add`](Self::add).
    pub fn done(&self) {
        if !self.inner.count.done() {
            self.done_last();
        }
    }

    /// Perhaps the last: under the lock.
    fn done_last(&self) {
        let mut ready = GList::new();
        let mut queue = self.inner.queue.lock();
        let was_to_be_done = self.inner.count.done_last(&mut *queue, &mut ready);
        drop(queue);
        sched::ready_list(&mut ready);
        assert!(was_to_be_done, "WaitGroup::done: more is done than was added");
    }

    /// Waits until nothing is to be done.
    ///
    /// # Examples
    /// See [`WaitGroup`].
    #[track_caller]
    pub fn wait(&self) {
        self.wait_within(Bound::NONE, Caller::begin());
    }

    /// Waits until nothing is to be done, for `timeout` at most. True: nothing is.
    ///
    /// # Examples
    /// ```
    /// let group = gort::sync::WaitGroup::new();
    /// group.add(1);
    /// assert!(!group.wait_timeout(std::time::Duration::from_millis(1)));
    /// ```
    #[track_caller]
    #[must_use = "the time may be over"]
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.wait_within(Bound::timeout(timeout), Caller::begin())
    }

    /// Waits until nothing is to be done, until `deadline` at most. True: nothing is.
    ///
    /// # Examples
    /// ```
    /// let group = gort::sync::WaitGroup::new();
    /// assert!(group.wait_deadline(std::time::Instant::now()));
    /// ```
    #[track_caller]
    #[must_use = "the time may be over"]
    pub fn wait_deadline(&self, deadline: Instant) -> bool {
        self.wait_within(Bound::deadline(deadline), Caller::begin())
    }

    /// Waits until nothing is to be done, until `ctx` ends at most. If nothing is, that wins over a context that has ended.
    ///
    /// # Errors
    /// The context has ended first.
    ///
    /// # Examples
    /// ```
    /// let (ctx, cancel) = gort::context::background().with_cancel();
    /// let group = gort::sync::WaitGroup::new();
    /// group.add(1);
    /// cancel.cancel();
    /// assert!(group.wait_ctx(&ctx).unwrap_err().is_cancelled());
    /// group.done();
    /// group.wait_ctx(&ctx).unwrap();
    /// ```
    #[track_caller]
    pub fn wait_ctx(&self, ctx: &Context) -> Result<(), Ended> {
        if self.wait_within(Bound::ctx(ctx), Caller::begin()) { Ok(()) } else { Err(ctx.ended()) }
    }

    fn wait_within(&self, bound: Bound<'_>, caller: Caller) -> bool {
        let inner = &*self.inner;
        if inner.count.is_zero() {
            return true;
        }
        let queue = inner.queue.lock();
        if inner.count.is_zero() {
            return true;
        }
        let waiting = caller.until(bound, WaitReason::WaitGroup, ptr::from_ref(inner) as usize);
        crowd::wait(&inner.queue, queue, |queue| queue, &waiting, || ()).is_ok()
    }

    /// Starts a goroutine that counts as one thing until it ends, also if by a panic.
    ///
    /// # Panics
    /// As [`gort::go`](crate::go).
    ///
    /// # Examples
    /// See [`WaitGroup`].
    #[track_caller]
    pub fn go<F, T>(&self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        struct Counted(WaitGroup);
        impl Drop for Counted {
            fn drop(&mut self) {
                self.0.done();
            }
        }
        self.add(1);
        let counted = Counted(self.clone());
        crate::go(move || {
            // Dropped last, after what `f` has captured.
            let _counted = counted;
            f()
        })
    }
}

impl Default for WaitGroup {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for WaitGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitGroup").field("count", &self.inner.count.get()).finish()
    }
}

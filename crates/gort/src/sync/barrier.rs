//! A barrier with std's interface: nobody passes before all have come.
//!
//! A count under a lock with the queue of those who wait (`gort_lockfree::crowd`). The last one to come sets it back to zero and tells everybody.
//! One that gives up takes itself out of the count, unless the round is over by then: it was counted, so all had come, and its wait has ended
//! well.

use crate::context::{Bound, Context, Ended};
use crate::g::{GList, WaitList, WaitReason};
use crate::prim::lock::Lock;
use crate::sched;
use crate::wait::Caller;
use gort_lockfree::crowd;
use std::fmt;
use std::ptr;
use std::time::{Duration, Instant};

/// Lets a number of goroutines and threads wait for each other, as [`std::sync::Barrier`]; again and again.
///
/// # Examples
/// ```
/// let barrier = gort::sync::Barrier::new(3);
/// gort::scope(|s| {
///     for _ in 0..2 {
///         s.spawn(|| barrier.wait());
///     }
///     barrier.wait();
/// });
/// ```
pub struct Barrier {
    size: usize,
    inner: Lock<Inner>,
}

struct Inner {
    arrived: usize,
    /// Counts the rounds.
    round: usize,
    queue: WaitList,
}

/// What [`Barrier::wait`] returns, as [`std::sync::BarrierWaitResult`].
#[derive(Debug)]
pub struct BarrierWaitResult(bool);

impl BarrierWaitResult {
    /// True for one of the parties of each round.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.0
    }
}

impl Barrier {
    /// A barrier for `n` parties. With 0 it is as with 1: nobody waits.
    #[must_use]
    pub const fn new(n: usize) -> Self {
        Self { size: n, inner: Lock::new(Inner { arrived: 0, round: 0, queue: WaitList::new() }) }
    }

    /// Waits until all have come. The last one is the leader.
    ///
    /// # Examples
    /// ```
    /// assert!(gort::sync::Barrier::new(1).wait().is_leader());
    /// ```
    #[track_caller]
    pub fn wait(&self) -> BarrierWaitResult {
        self.wait_within(Bound::NONE, Caller::begin()).expect("nothing else ends the wait")
    }

    /// Waits until all have come, for `timeout` at most. `None`: they have not, and it is as if the caller had not come either.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// let barrier = gort::sync::Barrier::new(2);
    /// assert!(barrier.wait_timeout(Duration::from_millis(1)).is_none());
    /// gort::scope(|s| {
    ///     s.spawn(|| barrier.wait());
    ///     assert!(barrier.wait_timeout(Duration::MAX).is_some());
    /// });
    /// ```
    #[track_caller]
    pub fn wait_timeout(&self, timeout: Duration) -> Option<BarrierWaitResult> {
        self.wait_within(Bound::timeout(timeout), Caller::begin())
    }

    /// Waits until all have come, until `deadline` at most. As [`wait_timeout`](Self::wait_timeout).
    ///
    /// # Examples
    /// ```
    /// let barrier = gort::sync::Barrier::new(2);
    /// assert!(barrier.wait_deadline(std::time::Instant::now()).is_none());
    /// ```
    #[track_caller]
    pub fn wait_deadline(&self, deadline: Instant) -> Option<BarrierWaitResult> {
        self.wait_within(Bound::deadline(deadline), Caller::begin())
    }

    /// Waits until all have come, until `ctx` ends at most.
    ///
    /// # Errors
    /// The context has ended first, and it is as if the caller had not come.
    ///
    /// # Examples
    /// ```
    /// let (ctx, cancel) = gort::context::background().with_cancel();
    /// let barrier = gort::sync::Barrier::new(2);
    /// gort::go(move || cancel.cancel());
    /// assert!(barrier.wait_ctx(&ctx).unwrap_err().is_cancelled());
    /// ```
    #[track_caller]
    pub fn wait_ctx(&self, ctx: &Context) -> Result<BarrierWaitResult, Ended> {
        self.wait_within(Bound::ctx(ctx), Caller::begin()).ok_or_else(|| ctx.ended())
    }

    fn wait_within(&self, bound: Bound<'_>, caller: Caller) -> Option<BarrierWaitResult> {
        let mut inner = self.inner.lock();
        let round = inner.round;
        inner.arrived += 1;
        if inner.arrived < self.size {
            let waiting = caller.until(bound, WaitReason::Barrier, ptr::from_ref(self) as usize);
            let told = crowd::wait(&self.inner, inner, |inner| &mut inner.queue, &waiting, || ());
            if let Err(mut inner) = told
                && inner.round == round
            {
                inner.arrived -= 1;
                return None;
            }
            return Some(BarrierWaitResult(false));
        }
        inner.arrived = 0;
        inner.round = round.wrapping_add(1);
        let mut ready = GList::new();
        crowd::tell_all(&mut inner.queue, &mut ready);
        drop(inner);
        sched::ready_list(&mut ready);
        Some(BarrierWaitResult(true))
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").field("size", &self.size).finish_non_exhaustive()
    }
}

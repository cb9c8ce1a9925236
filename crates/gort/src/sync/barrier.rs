//! A barrier with std's interface: nobody passes before all have come.
//!
//! A count under a lock with the queue of those who wait. The last one to come sets it back to zero and tells everybody; each is told through
//! its own claim, so no number of the round is needed.

use super::crowd;
use crate::g::{GList, WaitList, WaitReason};
use crate::prim::lock::Lock;
use crate::sched;
use crate::timer::NEVER;
use crate::wait::Caller;
use std::fmt;

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
        Self { size: n, inner: Lock::new(Inner { arrived: 0, queue: WaitList::new() }) }
    }

    /// Waits until all have come. The last one is the leader.
    ///
    /// # Examples
    /// ```
    /// assert!(gort::sync::Barrier::new(1).wait().is_leader());
    /// ```
    #[track_caller]
    pub fn wait(&self) -> BarrierWaitResult {
        let caller = Caller::begin();
        let mut inner = self.inner.lock();
        inner.arrived += 1;
        if inner.arrived < self.size {
            crowd::wait(&self.inner, inner, |inner| &mut inner.queue, NEVER, WaitReason::Barrier, caller);
            return BarrierWaitResult(false);
        }
        inner.arrived = 0;
        let mut ready = GList::new();
        crowd::tell_all(&mut inner.queue, &mut ready);
        drop(inner);
        sched::ready_list(&mut ready);
        BarrierWaitResult(true)
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").field("size", &self.size).finish_non_exhaustive()
    }
}

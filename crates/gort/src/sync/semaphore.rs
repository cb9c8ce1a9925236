//! A weighted semaphore: permits, taken some at a time and strictly in turn (`gate`).
//!
//! Who waits for many is not passed by one who wants few, also if those few are free: else it could wait for ever. A request that can never be
//! met does not stand in the queue at all.

use super::gate::Gate;
use crate::context::{Bound, Context, Ended};
use crate::g::WaitReason;
use crate::sched;
use crate::wait::Caller;
use gort_lockfree::permits::{Permits, Want};
use std::fmt;
use std::mem;
use std::ptr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A number of permits, of which each holder takes one or more, in order of arrival.
///
/// # Examples
/// At most three at a time:
/// ```
/// use gort::sync::Semaphore;
///
/// let slots = Semaphore::new(3);
/// gort::scope(|s| {
///     for _ in 0..10 {
///         s.spawn(|| {
///             let _slot = slots.acquire(1);
///             // …
///         });
///     }
/// });
/// assert_eq!(slots.available(), 3);
/// ```
pub struct Semaphore {
    gate: Gate,
    total: usize,
}

/// Permits of a [`Semaphore`]; dropping it gives them back.
#[derive(Debug)]
#[must_use = "the permits are given back when this is dropped"]
pub struct SemaphorePermit<'a> {
    semaphore: &'a Semaphore,
    count: usize,
}

/// Permits of a [`Semaphore`] in an `Arc`, to be given to a goroutine; dropping it gives them back.
#[derive(Debug)]
#[must_use = "the permits are given back when this is dropped"]
pub struct OwnedSemaphorePermit {
    semaphore: Arc<Semaphore>,
    count: usize,
}

impl Semaphore {
    /// No semaphore has more permits.
    pub const MAX_PERMITS: usize = Permits::MAX as usize;

    /// A semaphore with `permits` permits, all free.
    ///
    /// # Panics
    /// If that is more than [`MAX_PERMITS`](Self::MAX_PERMITS).
    ///
    /// # Examples
    /// ```
    /// static SLOTS: gort::sync::Semaphore = gort::sync::Semaphore::new(8);
    /// assert_eq!(SLOTS.available(), 8);
    /// ```
    #[must_use]
    pub const fn new(permits: usize) -> Self {
        assert!(permits <= Self::MAX_PERMITS, "Semaphore::new: too many permits");
        Self { gate: Gate::new(permits as u32), total: permits }
    }

    /// Takes `count` permits, waiting as long as it takes.
    ///
    /// # Panics
    /// If the semaphore has not that many in all: it would wait for ever.
    ///
    /// # Examples
    /// ```
    /// let semaphore = gort::sync::Semaphore::new(3);
    /// let two = semaphore.acquire(2);
    /// assert_eq!(semaphore.available(), 1);
    /// drop(two);
    /// ```
    #[track_caller]
    #[inline]
    pub fn acquire(&self, count: usize) -> SemaphorePermit<'_> {
        let Some(want) = self.want(count) else { self.too_many(count) };
        if !self.gate.take(want) {
            self.gate.wait(want, Bound::NONE, WaitReason::Semaphore, Caller::begin());
        }
        self.permit(count)
    }

    /// Takes `count` permits if they are free and nobody waits. Never waits.
    ///
    /// # Examples
    /// ```
    /// let semaphore = gort::sync::Semaphore::new(2);
    /// let one = semaphore.try_acquire(1).unwrap();
    /// assert!(semaphore.try_acquire(2).is_none());
    /// ```
    #[inline]
    pub fn try_acquire(&self, count: usize) -> Option<SemaphorePermit<'_>> {
        if self.want(count).is_some_and(|want| self.gate.take(want)) {
            return Some(self.permit(count));
        }
        // Who tries again and again gives way in the end.
        if let Some(g) = crate::spawn::me() {
            sched::begin_call(g);
        }
        None
    }

    /// Takes `count` permits, waiting for `timeout` at most. `None`: too late. More than there are in all are waited for, too, but in nobody's
    /// way.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// let semaphore = gort::sync::Semaphore::new(1);
    /// let _one = semaphore.acquire(1);
    /// assert!(semaphore.acquire_timeout(1, Duration::from_millis(1)).is_none());
    /// ```
    #[track_caller]
    pub fn acquire_timeout(&self, count: usize, timeout: Duration) -> Option<SemaphorePermit<'_>> {
        self.acquire_within(count, Bound::timeout(timeout), Caller::begin()).then(|| self.permit(count))
    }

    /// Takes `count` permits, waiting until `deadline` at most. As [`acquire_timeout`](Self::acquire_timeout).
    ///
    /// # Examples
    /// ```
    /// let semaphore = gort::sync::Semaphore::new(1);
    /// assert!(semaphore.acquire_deadline(1, std::time::Instant::now()).is_some());
    /// ```
    #[track_caller]
    pub fn acquire_deadline(&self, count: usize, deadline: Instant) -> Option<SemaphorePermit<'_>> {
        self.acquire_within(count, Bound::deadline(deadline), Caller::begin()).then(|| self.permit(count))
    }

    /// Takes `count` permits, waiting until `ctx` ends at most, as Go's `Acquire(ctx, n)`. What is free is taken, also if it has ended. More than
    /// there are in all are waited for, too, but in nobody's way.
    ///
    /// # Errors
    /// The context has ended first.
    ///
    /// # Panics
    /// As [`acquire`](Self::acquire), if nothing can end the context.
    ///
    /// # Examples
    /// ```
    /// let (ctx, cancel) = gort::context::background().with_cancel();
    /// let semaphore = gort::sync::Semaphore::new(1);
    /// let _one = semaphore.acquire_ctx(1, &ctx).unwrap();
    /// gort::go(move || cancel.cancel());
    /// assert!(semaphore.acquire_ctx(1, &ctx).unwrap_err().is_cancelled());
    /// ```
    #[track_caller]
    pub fn acquire_ctx(&self, count: usize, ctx: &Context) -> Result<SemaphorePermit<'_>, Ended> {
        let bound = Bound::ctx(ctx);
        if bound.is_none() && self.want(count).is_none() {
            self.too_many(count);
        }
        if self.acquire_within(count, bound, Caller::begin()) { Ok(self.permit(count)) } else { Err(ctx.ended()) }
    }

    /// As [`acquire`](Self::acquire), for a holder that does not borrow.
    ///
    /// # Panics
    /// As [`acquire`](Self::acquire).
    ///
    /// # Examples
    /// ```
    /// use gort::sync::Semaphore;
    /// use std::sync::Arc;
    ///
    /// let slots = Arc::new(Semaphore::new(2));
    /// for _ in 0..5 {
    ///     let slot = slots.clone().acquire_owned(1);
    ///     gort::go(move || {
    ///         let _slot = slot;
    ///         // …
    ///     });
    /// }
    /// ```
    #[track_caller]
    pub fn acquire_owned(self: Arc<Self>, count: usize) -> OwnedSemaphorePermit {
        mem::forget(self.acquire(count));
        OwnedSemaphorePermit { semaphore: self, count }
    }

    /// As [`acquire_ctx`](Self::acquire_ctx), for a holder that does not borrow.
    ///
    /// # Errors
    /// As [`acquire_ctx`](Self::acquire_ctx).
    ///
    /// # Panics
    /// As [`acquire_ctx`](Self::acquire_ctx).
    ///
    /// # Examples
    /// ```
    /// let slots = std::sync::Arc::new(gort::sync::Semaphore::new(1));
    /// let (ctx, _cancel) = gort::context::background().with_cancel();
    /// let slot = slots.clone().acquire_owned_ctx(1, &ctx).unwrap();
    /// gort::go(move || drop(slot)).join().unwrap();
    /// assert_eq!(slots.available(), 1);
    /// ```
    #[track_caller]
    pub fn acquire_owned_ctx(self: Arc<Self>, count: usize, ctx: &Context) -> Result<OwnedSemaphorePermit, Ended> {
        mem::forget(self.acquire_ctx(count, ctx)?);
        Ok(OwnedSemaphorePermit { semaphore: self, count })
    }

    /// As [`try_acquire`](Self::try_acquire), for a holder that does not borrow.
    ///
    /// # Examples
    /// ```
    /// use std::sync::Arc;
    ///
    /// let slots = Arc::new(gort::sync::Semaphore::new(1));
    /// let slot = slots.clone().try_acquire_owned(1);
    /// assert!(slot.is_some() && slots.try_acquire_owned(1).is_none());
    /// ```
    pub fn try_acquire_owned(self: Arc<Self>, count: usize) -> Option<OwnedSemaphorePermit> {
        mem::forget(self.try_acquire(count)?);
        Some(OwnedSemaphorePermit { semaphore: self, count })
    }

    /// Gives back `count` permits whose guard was [forgotten](SemaphorePermit::forget).
    ///
    /// # Panics
    /// If fewer are held.
    ///
    /// # Examples
    /// ```
    /// let semaphore = gort::sync::Semaphore::new(1);
    /// semaphore.acquire(1).forget();
    /// semaphore.release(1);
    /// assert_eq!(semaphore.available(), 1);
    /// ```
    pub fn release(&self, count: usize) {
        // What others hold only grows less than it seems if they misuse the semaphore as well; then one of them is told.
        let held = self.total.saturating_sub(self.available());
        assert!(count <= held, "Semaphore::release: {count} permits are released, and {held} are held");
        self.give(count);
    }

    /// How many permits are free now.
    ///
    /// # Examples
    /// See [`release`](Self::release).
    pub fn available(&self) -> usize {
        self.gate.free() as usize
    }

    /// How many permits there are in all.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(gort::sync::Semaphore::new(3).total(), 3);
    /// ```
    pub fn total(&self) -> usize {
        self.total
    }

    /// `None` if that can never be.
    #[inline(always)]
    fn want(&self, count: usize) -> Option<Want> {
        (count <= self.total).then_some(Want::Some(count as u32))
    }

    fn acquire_within(&self, count: usize, bound: Bound<'_>, caller: Caller) -> bool {
        let Some(want) = self.want(count) else {
            while !bound.is_over() {
                bound.park(caller.me, WaitReason::Semaphore, ptr::from_ref(self) as usize, caller.site);
            }
            return false;
        };
        self.gate.take(want) || self.gate.wait(want, bound, WaitReason::Semaphore, caller)
    }

    #[cold]
    #[track_caller]
    fn too_many(&self, count: usize) -> ! {
        panic!("Semaphore::acquire: {count} permits are wanted, and there are {} in all", self.total)
    }

    /// The caller has got `count` permits.
    #[inline(always)]
    fn permit(&self, count: usize) -> SemaphorePermit<'_> {
        SemaphorePermit { semaphore: self, count }
    }

    #[inline(always)]
    fn give(&self, count: usize) {
        if count > 0 {
            self.gate.give(count as u32);
        }
    }
}

impl SemaphorePermit<'_> {
    /// How many permits this is.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Keeps the permits taken, until somebody [releases](Semaphore::release) them.
    pub fn forget(self) {
        mem::forget(self);
    }
}

impl OwnedSemaphorePermit {
    /// How many permits this is.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Keeps the permits taken, until somebody [releases](Semaphore::release) them.
    pub fn forget(mut self) {
        // Not `mem::forget`: the `Arc` is to be dropped.
        self.count = 0;
    }
}

impl Drop for SemaphorePermit<'_> {
    #[inline]
    fn drop(&mut self) {
        self.semaphore.give(self.count);
    }
}

impl Drop for OwnedSemaphorePermit {
    fn drop(&mut self) {
        self.semaphore.give(self.count);
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore").field("available", &self.available()).field("total", &self.total).finish()
    }
}

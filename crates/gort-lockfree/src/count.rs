//! How many things are still to be done, for those who wait until nothing is: the word of a wait group.
//!
//! # The argument
//! **Nobody is left waiting.** The step to zero is made under the lock of the queue in which they stand ([`done_last`](Count::done_last)), and
//! so is the look of one that is about to (`crowd`): it has seen zero, or is in the queue of those who are told.
//!
//! **What was done is seen.** Every step down is a Release and an Acquire: the last one has acquired what was done before the others, and
//! passes it on to those it tells, through their claims, and to those who find zero, by the word itself.
//!
//! Models: `count/model.rs`. Source: Go `sync/waitgroup.go`.

use core::fmt;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use crate::atomics::{AtomicU64, const_unless_loom};
use crate::crowd;
use crate::mutate::mutated;
use crate::wait_list::{WaitList, Wakes};

#[cfg(test)]
mod model;

/// See the [module's documentation](self).
pub struct Count(AtomicU64);

impl Count {
    /// There are never more.
    pub const MAX: u64 = i64::MAX as u64;

    const_unless_loom! {
        /// Nothing to be done.
        pub const fn new() -> Self {
            Self(AtomicU64::new(0))
        }
    }

    /// `count` more. False: that would be more than [`MAX`](Self::MAX), and nothing is changed.
    #[must_use = "nothing may have been added"]
    pub fn add(&self, count: u64) -> bool {
        let sum = |now: u64| now.checked_add(count).filter(|sum| *sum <= Self::MAX);
        // Relaxed: what adds is ordered by whatever starts the work; the steps down synchronise.
        self.0.fetch_update(Relaxed, Relaxed, sum).is_ok()
    }

    /// One is done, if it is not the last. False: it may be; nothing is changed, go on with [`done_last`](Self::done_last).
    #[inline]
    #[must_use = "the last one must be done under the lock"]
    pub fn done(&self) -> bool {
        let last = if mutated!("count_ends_without_the_lock") { 0 } else { 1 };
        // AcqRel: what was done before is passed on to the last one. Relaxed on failure: we look again.
        let order = if mutated!("count_done_relaxed") { Relaxed } else { AcqRel };
        self.0.fetch_update(order, Relaxed, |now| (now > last).then(|| now - 1)).is_ok()
    }

    /// One is done, perhaps the last: then those who wait are told. Under the lock of their queue. False: nothing was to be done, and nothing is
    /// changed.
    pub fn done_last<W: Wakes>(&self, queue: &mut WaitList<W::Id>, ready: &mut W) -> bool {
        // AcqRel: as in `done`. Relaxed on failure: nothing is changed.
        let before = self.0.fetch_update(AcqRel, Relaxed, |now| now.checked_sub(1));
        if before == Ok(1) {
            crowd::tell_all(queue, ready);
        }
        before.is_ok()
    }

    /// True if nothing is to be done. Of one that is about to wait, under the lock.
    #[inline]
    pub fn is_zero(&self) -> bool {
        // Acquire: pairs with the steps down, whose writes are to be seen.
        self.0.load(Acquire) == 0
    }

    /// How many, for people.
    pub fn get(&self) -> u64 {
        // Relaxed: a picture.
        self.0.load(Relaxed)
    }
}

impl Default for Count {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Count").field(&self.get()).finish()
    }
}

#[cfg(all(test, not(gort_loom)))]
mod tests {
    use super::Count;
    use crate::wait_list::{WaitList, Wakes};

    struct Nobody;

    impl Wakes for Nobody {
        type Id = ();

        fn kick(&mut self, (): ()) {
            unreachable!("nobody waits");
        }
    }

    #[test]
    fn it_goes_neither_below_zero_nor_beyond_its_end() {
        let count = Count::new();
        let done_last = |count: &Count| count.done_last(&mut WaitList::new(), &mut Nobody);
        assert!(!count.done() && !done_last(&count) && count.is_zero());
        assert!(count.add(2) && count.done() && !count.done());
        assert!(done_last(&count) && count.is_zero());
        assert!(count.add(Count::MAX) && !count.add(1) && !count.add(u64::MAX));
        assert_eq!(count.get(), Count::MAX);
        assert!(done_last(&count) && !count.is_zero());
    }
}

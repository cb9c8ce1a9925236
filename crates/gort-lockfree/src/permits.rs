//! The word of a mutex, a read-write lock or a semaphore: how many permits are free, and whether anybody waits for some.
//!
//! | user | permits in all | takes |
//! |---|---|---|
//! | mutex | 1 | all |
//! | read-write lock | [`MAX`](Permits::MAX) | a reader one, a writer all |
//! | semaphore | what it was made with | what was asked for |
//!
//! Who gets nothing waits in a queue under a lock of its own: `gate`.
//!
//! # States
//! The number of free permits, and two bits:
//!
//! | bit | meaning | set by | cleared by |
//! |---|---|---|---|
//! | QUEUED | somebody may stand in the queue; without it nobody does | `queue` | `settled`, under the queue's lock |
//! | WOKEN | one that wants all was taken out of the queue, awake, without a permit | `settled` | that party: it takes, queues again, or leaves |
//!
//! There are two ways to take. *Some* is polite: not while either bit is set, so that who waits is not passed by. *All* barges: whoever
//! comes while everything is free takes it, which spares a busy mutex a switch for each hand-over. Permits can also be *handed over*:
//! `settled` leaves them out of the count, and the queue tells the waiter that they are its own.
//!
//! # The argument
//! **No more permits than there are.** Outside the queue's lock they are counted by compare-and-swap. Under it `settle` reads the word and
//! `settled` writes it, and nothing changes it in between: `settle` goes on only with QUEUED set and WOKEN not. Then *some* takes nothing, and
//! a `give` comes here, to the lock. *All* takes nothing, since not everything is free: either the caller still holds what it gives, or it has
//! nothing to give, and then the first of the queue wants more than is free (next paragraph).
//!
//! **Nobody is left waiting.** With QUEUED set and WOKEN not, the first of the queue wants more than is free. A party queues only if the same
//! compare-and-swap finds too little, or one of the bits. Permits that become free after that find QUEUED, and their giver serves the queue from
//! the front until the first does not fit; likewise whoever leaves the queue. With WOKEN set the queue need not be served: the woken party
//! takes all, or finds that somebody else has and clears WOKEN in the same step. Either way there is a holder, who gives later and finds
//! WOKEN gone or another woken party. It follows, too, that only one party is woken at a time. Whoever leaves the queue while WOKEN is set may
//! leave it empty with QUEUED set, which that giver clears.
//!
//! **What a holder wrote the next one sees.** Giving is a Release, taking an Acquire, and every change between is a read-modify-write, which
//! keeps the release sequence. A hand-over passes on what `settle` acquired, the other givers' writes, through the queue's lock or the claim.
//!
//! Rejected: one protocol for each user; a compare-and-swap in `settled` (could not fail, see above); handing over always (a mutex that two
//! threads use all the time then costs a switch each time).
//! The queue is `gate`, and so are the models: `gate/model.rs`. Source: Go `internal/sync/mutex.go`; tokio `batch_semaphore.rs` for a lock as a semaphore.

use core::fmt;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::atomics::{AtomicU32, const_unless_loom};
use crate::mutate::mutated;

const QUEUED: u32 = 1;
const WOKEN: u32 = 1 << 1;
const BITS: u32 = QUEUED | WOKEN;
const ONE: u32 = 1 << 2;

/// Free permits, and whether anybody waits. See the [module's documentation](self).
pub struct Permits(AtomicU32);

/// What a party in the queue wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// All of so many, barging.
    All(u32),
    /// So many, in turn.
    Some(u32),
}

impl Want {
    /// The number of permits.
    #[inline]
    pub const fn count(self) -> u32 {
        match self {
            Self::All(count) | Self::Some(count) => count,
        }
    }
}

impl Permits {
    /// There are never more.
    pub const MAX: u32 = u32::MAX >> 2;

    const_unless_loom! {
        /// A word with `free` permits, at most [`MAX`](Self::MAX).
        pub const fn new(free: u32) -> Self {
            Self(AtomicU32::new(free * ONE))
        }
    }

    /// Takes all if all are free and nobody waits: the fast path, one compare-and-swap.
    #[inline(always)]
    pub fn take_idle(&self, all: u32) -> bool {
        // Acquire: pairs with the Release in `give` and `settled`. Relaxed on failure: nothing is touched.
        self.0.compare_exchange(all * ONE, 0, taking(), Relaxed).is_ok()
    }

    /// Takes what is wanted, if the rules allow it.
    #[inline]
    pub fn take(&self, want: Want) -> bool {
        // Relaxed: the compare-and-swap decides.
        let mut word = self.0.load(Relaxed);
        while let Some(next) = taken(word, want, false) {
            // Acquire: as in `take_idle`. Relaxed on failure: we look again.
            match self.0.compare_exchange_weak(word, next, taking(), Relaxed) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        false
    }

    /// Gives permits back. False: somebody waits; nothing was given, go on with [`settle`](Self::settle).
    #[inline(always)]
    #[must_use = "what is not given must be settled"]
    pub fn give(&self, count: u32) -> bool {
        // Relaxed: the compare-and-swap decides.
        let mut word = self.0.load(Relaxed);
        loop {
            if word & BITS == QUEUED && !mutated!("permits_give_ignores_queued") {
                return false;
            }
            // Release: pairs with whoever takes. Relaxed on failure: we look again.
            match self.0.compare_exchange_weak(word, word + count * ONE, Release, Relaxed) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
    }

    /// Takes what is wanted, or notes that the caller is about to stand in the queue. True: taken.
    ///
    /// Under the queue's lock. `is_woken`: the caller is the party that WOKEN stands for, and is so no more.
    #[must_use = "false means that the caller must go into the queue"]
    pub fn queue(&self, want: Want, is_woken: bool) -> bool {
        let clear = if is_woken && !mutated!("permits_queue_keeps_woken") { WOKEN } else { 0 };
        // Relaxed: the compare-and-swap decides.
        let mut word = self.0.load(Relaxed);
        loop {
            let take = if mutated!("permits_queue_blind") { None } else { taken(word, want, is_woken) };
            let next = take.unwrap_or((word | QUEUED) & !clear);
            // Acquire: as in `take_idle`; for who queues, the hand-over will see to it. Relaxed on failure: we look again.
            match self.0.compare_exchange_weak(word, next, if take.is_some() { taking() } else { Relaxed }, Relaxed) {
                Ok(_) => return take.is_some(),
                Err(now) => word = now,
            }
        }
    }

    /// The woken party takes all after all, or leaves. True: taken.
    ///
    /// Under the queue's lock.
    #[must_use = "permits may have been taken"]
    pub fn leave_woken(&self, all: u32) -> bool {
        // Relaxed: the compare-and-swap decides.
        let mut word = self.0.load(Relaxed);
        loop {
            let take = taken(word, Want::All(all), true);
            let next = take.unwrap_or(word & !WOKEN);
            // Acquire: as in `take_idle`. Relaxed on failure: we look again.
            match self.0.compare_exchange_weak(word, next, taking(), Relaxed) {
                Ok(_) => return take.is_some(),
                Err(now) => word = now,
            }
        }
    }

    /// The woken party tries once more. True: taken, and it is woken no more.
    #[inline]
    pub fn take_woken(&self, all: u32) -> bool {
        // Relaxed: the compare-and-swap decides.
        let mut word = self.0.load(Relaxed);
        while let Some(next) = taken(word, Want::All(all), true) {
            // Acquire: as in `take_idle`. Relaxed on failure: we look again.
            match self.0.compare_exchange_weak(word, next, taking(), Relaxed) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        false
    }

    /// Begins to serve the queue with what is free and `count` more, the caller's: how many that is. `None`: nobody to be served, and the
    /// caller's permits have been given.
    ///
    /// Under the queue's lock. After `Some`, [`settled`](Self::settled) must follow before the lock is let go.
    #[must_use = "what has begun must be settled"]
    pub fn settle(&self, count: u32) -> Option<u32> {
        // Acquire: pairs with the Release in `give`; whom we hand permits to must see what their holders did.
        let order = if mutated!("permits_settle_relaxed") { Relaxed } else { Acquire };
        let mut word = self.0.load(order);
        while word & BITS != QUEUED {
            // Release: pairs with whoever takes. Failure: as the load above.
            match self.0.compare_exchange_weak(word, word + count * ONE, Release, order) {
                Ok(_) => return None,
                Err(now) => word = now,
            }
        }
        Some(word / ONE + count)
    }

    /// The queue has been served: what is free now, whether somebody is still in it, and whether one was woken to take all.
    ///
    /// Under the queue's lock, after [`settle`](Self::settle).
    pub fn settled(&self, free: u32, is_queued: bool, has_woken: bool) {
        let bits = u32::from(is_queued) * QUEUED + u32::from(has_woken) * WOKEN;
        // Release: pairs with whoever takes. A swap, so that the release sequences of others go on.
        let before = self.0.swap((free * ONE) | bits, Release);
        debug_assert!(before & BITS == QUEUED, "Permits::settled: not begun, or the word has changed");
    }

    /// True if nobody waits, and what is wanted is not free: looking again may help.
    #[inline]
    pub fn is_worth_a_spin(&self, want: Want) -> bool {
        // Relaxed: a hint.
        let word = self.0.load(Relaxed);
        word & BITS == 0 && word / ONE < want.count()
    }

    /// How many are free, for people and assertions.
    #[inline]
    pub fn free(&self) -> u32 {
        // Relaxed: a picture.
        self.0.load(Relaxed) / ONE
    }
}

/// The order of an access that takes permits.
#[inline(always)]
fn taking() -> core::sync::atomic::Ordering {
    if mutated!("permits_take_relaxed") { Relaxed } else { Acquire }
}

/// The word after what is wanted has been taken from it, if the rules allow that.
#[inline(always)]
fn taken(word: u32, want: Want, is_woken: bool) -> Option<u32> {
    match want {
        Want::All(all) => (word / ONE == all).then_some(if is_woken { word & QUEUED } else { word & BITS }),
        Want::Some(count) => {
            let is_in_turn = word & BITS == 0 || mutated!("permits_some_barges");
            (is_in_turn && word / ONE >= count).then(|| word - count * ONE)
        }
    }
}

impl fmt::Debug for Permits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Relaxed: a picture for people.
        let word = self.0.load(Relaxed);
        f.debug_struct("Permits")
            .field("free", &(word / ONE))
            .field("queued", &(word & QUEUED != 0))
            .field("woken", &(word & WOKEN != 0))
            .finish()
    }
}

#[cfg(all(test, not(gort_loom)))]
mod tests {
    use super::{Permits, Want};

    #[test]
    fn all_barges_and_some_waits_its_turn() {
        let word = Permits::new(3);
        assert!(word.take_idle(3) && !word.take_idle(3) && !word.take(Want::All(3)));
        assert!(!word.queue(Want::All(3), false), "nothing is free");
        assert!(!word.give(3), "somebody waits");
        assert_eq!(word.settle(3), Some(3));
        word.settled(3, true, true);
        assert!(!word.take(Want::Some(1)), "the woken one comes first");
        assert!(word.take(Want::All(3)), "but all may barge");
        assert!(word.give(3), "the woken one is awake");
        assert!(word.take_woken(3));
        assert!(!word.give(3), "another waits, and nobody is woken");
        assert_eq!(word.settle(3), Some(3));
        word.settled(1, false, false);
        assert!(word.take(Want::Some(1)));
        assert_eq!(word.free(), 0);
    }

    #[test]
    fn permits_that_nobody_waits_for_any_more_are_given() {
        let word = Permits::new(0);
        assert!(!word.queue(Want::Some(1), false));
        assert_eq!(word.settle(0), Some(0), "the one that waits leaves");
        word.settled(0, false, false);
        assert_eq!(word.settle(2), None);
        assert_eq!(word.free(), 2);
    }

    #[test]
    fn the_largest_number_fits() {
        let word = Permits::new(Permits::MAX);
        assert!(word.take(Want::Some(Permits::MAX - 1)) && word.take(Want::Some(1)));
        assert!(word.give(Permits::MAX));
        assert_eq!(word.free(), Permits::MAX);
    }
}

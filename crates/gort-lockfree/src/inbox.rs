//! Goroutines made ready for one M, by anybody: many writers, one reader, who may sleep.
//!
//! A goroutine that is bound to an M can be run by nobody else, so who makes it ready must reach
//! that very M. The protocol of `spinning` does not cover this: it wakes *somebody* for work that
//! everybody can find.
//!
//! # States
//!
//! | word | meaning | set by |
//! |---|---|---|
//! | null | nothing has come, the M is awake | [`take`](Inbox::take), by the M |
//! | ASLEEP | nothing has come, the M sleeps or is about to | [`sleep`](Inbox::sleep), by the M |
//! | an item | the newest of a chain that ends in null | [`push`](Inbox::push), by anybody |
//!
//! # The argument
//! **No lost wake-up.** Push and sleep are read-modify-writes of one word. A push that comes before
//! the sleep has left its item, and the sleep is refused; one that comes after finds ASLEEP and says
//! so. There is no third case, and so no fence.
//!
//! **Woken once.** ASLEEP is left by one compare-and-swap. Who comes second finds an item, and leaves
//! its own behind the first one's wake-up.
//!
//! **The M knows by itself.** It takes before it runs anything, whoever woke it and why: ASLEEP is
//! gone then, too. A pusher whose wake-up comes after that is told so by whatever lists sleeping Ms:
//! the M puts itself on the list and says [`sleep`](Inbox::sleep) under the list's lock, and who is
//! told to wake it takes the same lock. So he finds it on the list, or finds that somebody else took
//! it off, or that it left by itself; and then it takes before it sleeps again.
//!
//! **Nothing lost, nothing twice, in order.** An item enters by a compare-and-swap that succeeds only
//! if its link is the newest item at that moment. Items leave all at once, by a swap, so an item that
//! leaves and comes back between look and swap (ABA) makes no difference: the link is right again.
//! The items of one pusher come out in the order in which they went in.
//!
//! Rejected: a lock around a list (a pusher may be any thread at any point; the M looks at every
//! switch); a ring as in `runq` (there is no bound on bound goroutines); a futex word beside the list
//! (two words, a fence on both sides of each).
//! Models: `inbox/model.rs`. Source: Treiber's stack, emptied whole; std's futex parker for ASLEEP.

use core::fmt;
use core::ptr::{self, NonNull};
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use crate::atomics::{AtomicPtr, const_unless_loom};
use crate::mutate::mutated;

#[cfg(test)]
mod model;
#[cfg(all(test, not(gort_loom)))]
mod tests;

/// The inbox of one M. See the [module's documentation](self).
///
/// It holds addresses and looks behind none of them: the caller keeps the links.
pub struct Inbox<T>(AtomicPtr<T>);

/// No item has this address: items have an alignment of at least 2.
fn asleep<T>() -> *mut T {
    const { assert!(align_of::<T>() >= 2) }
    ptr::without_provenance_mut(1)
}

impl<T> Inbox<T> {
    const_unless_loom! {
        /// Nothing has come, the M is awake.
        pub const fn new() -> Self {
            Self(AtomicPtr::new(ptr::null_mut()))
        }
    }

    /// Adds `item`, which is the caller's and in no other list; `link` keeps the address behind it, null for
    /// the last. True: the M sleeps, and the caller must wake it.
    #[inline]
    #[must_use = "an M that sleeps must be woken"]
    pub fn push(&self, item: NonNull<T>, link: impl Fn(*mut T)) -> bool {
        // Relaxed: the compare-and-swap decides; nothing behind the address is looked at.
        let mut word = self.0.load(Relaxed);
        loop {
            let was_asleep = word == asleep();
            link(if was_asleep { ptr::null_mut() } else { word });
            // Release: pairs with the Acquire in `take`, the M sees the item and its link. Acquire: pairs with
            // the Release in `sleep`, who wakes the M sees what it has written.
            // Relaxed on failure: we look again.
            let order = if mutated!("inbox_push_relaxed") { Relaxed } else { AcqRel };
            if mutated!("inbox_push_without_cas") {
                self.0.store(item.as_ptr(), order);
                return was_asleep;
            }
            match self.0.compare_exchange_weak(word, item.as_ptr(), order, Relaxed) {
                Ok(_) => return was_asleep && !mutated!("inbox_push_silent"),
                Err(now) => word = now,
            }
        }
    }

    /// The M takes what has come, newest first: `visit` gets an item and gives the link kept for it. From
    /// here on the M counts as awake.
    ///
    /// Only the M calls this.
    #[inline]
    pub fn take(&self, mut visit: impl FnMut(NonNull<T>) -> *mut T) {
        // Acquire: pairs with the Release in `push`. A swap also continues the chain of read-modify-writes,
        // so it sees every pusher's item and not only the last one's.
        let order = if mutated!("inbox_take_relaxed") { Relaxed } else { Acquire };
        let mut newest = self.0.swap(ptr::null_mut(), order);
        if newest == asleep() {
            return;
        }
        while let Some(item) = NonNull::new(newest) {
            newest = visit(item);
        }
    }

    /// The M wants to sleep. False: something has come, take it.
    ///
    /// Only the M calls this, awake, under the lock of the list on which its wakers look for it.
    #[inline]
    #[must_use = "an M to which something has come must not sleep"]
    pub fn sleep(&self) -> bool {
        if mutated!("inbox_sleep_blind") {
            self.0.store(asleep(), Release);
            return true;
        }
        // Release: pairs with the Acquire in `push`. Relaxed on failure: `take` comes next.
        self.0.compare_exchange(ptr::null_mut(), asleep(), Release, Relaxed).is_ok()
    }

    /// True if something has come, or the M has said that it sleeps: there is a reason to
    /// [`take`](Self::take). A racy look for anybody but the M.
    #[inline(always)]
    pub fn has_news(&self) -> bool {
        // Relaxed: `take` acquires.
        !self.0.load(Relaxed).is_null()
    }

    /// True if something has come. A racy look.
    #[inline]
    pub fn is_filled(&self) -> bool {
        // Relaxed: as above.
        let word = self.0.load(Relaxed);
        !word.is_null() && word != asleep()
    }
}

impl<T> Default for Inbox<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for Inbox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let asleep = self.has_news() && !self.is_filled();
        f.debug_struct("Inbox").field("filled", &self.is_filled()).field("asleep", &asleep).finish()
    }
}

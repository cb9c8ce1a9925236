//! Where parties wait for permits: the word that counts them (`permits`), and a queue under a lock. What mutexes, read-write locks and
//! semaphores are made of.
//!
//! The word says why nobody is left waiting. Here is the other half: whom the queue serves, and how.
//!
//! | the first in the queue | fits | is served by |
//! |---|---|---|
//! | wants some | into what is free | a hand-over: the permits are its own, and the next in the queue is looked at |
//! | wants all | | a wake-up: it takes them when it runs, unless somebody else was faster |
//! | wants all, has waited [`STARVED_NS`] | | a hand-over |
//!
//! A woken party that comes too late goes back to the front, so it is the next to be served, and starves at most that long plus one holder's
//! time. One wake-up is under way at a time: a busy lock is not slowed by a crowd of parties that all look in vain.
//!
//! **A waiter that leaves** takes nothing along: it gives up by its claim, which a giver must have taken to serve it. Since it may have stood
//! before others that fit, it serves the queue when it goes. A woken one that leaves tries once more under the lock: what it does not take
//! has a holder, who will serve the queue.
//!
//! A waiter's want and age lie on its stack; waiting allocates nothing. Nobody is readied under the lock.
//!
//! Rejected: a table of queues by address (Go, parking_lot): it makes a lock one word small, and costs a second lock, a hash, and strangers in
//! one's queue. The queue in the object is 24 bytes.
//! Models: `gate/model.rs`. Source: Go `internal/sync/mutex.go`, normal and starvation mode.

use core::fmt;
use core::hint;
use core::ptr;

use crate::claim::{Claim, Party};
use crate::crowd::Guarded;
use crate::mutate::mutated;
use crate::permits::{Permits, Want};
use crate::wait_list::{self, WaitList, Waiter, Wakes};

#[cfg(test)]
mod model;

/// A party that has waited this long is handed what it wants, and nobody can be faster.
pub const STARVED_NS: u64 = 1_000_000;

/// Looks at the word this often before waiting, while nobody else waits: about as long as a short critical section, and well below the cost of a
/// park.
const SPINS: u32 = if cfg!(gort_loom) { 0 } else { 60 };

/// The permits are the waiter's.
const HANDED_OVER: u8 = 0;
/// The waiter should try now.
const WOKEN: u8 = 1;

/// Permits and those who wait for them; see the [module's documentation](self).
pub struct Gate<L> {
    word: Permits,
    queue: L,
}

/// What a waiter leaves on its stack for who serves it.
#[derive(Clone, Copy)]
struct Ticket {
    want: Want,
    since_ns: u64,
}

impl<L> Gate<L> {
    /// `permits` that are free, and an empty queue.
    #[cfg(not(gort_loom))]
    pub const fn new(permits: u32, queue: L) -> Self {
        Self { word: Permits::new(permits), queue }
    }

    /// `permits` that are free, and an empty queue.
    #[cfg(gort_loom)]
    pub fn new(permits: u32, queue: L) -> Self {
        Self { word: Permits::new(permits), queue }
    }

    /// The word.
    #[inline(always)]
    pub fn word(&self) -> &Permits {
        &self.word
    }
}

impl<I: Copy, L: Guarded<Value = WaitList<I>>> Gate<L> {
    /// Waits for permits. False: they did not come in time. `ready` is to be readied in either case.
    pub fn wait(
        &self,
        want: Want,
        party: &impl Party<Id = I>,
        ready: &mut impl Wakes<Id = I>,
        now_ns: impl Fn() -> u64,
    ) -> bool {
        if self.spin(want) {
            return true;
        }
        let mut is_woken = false;
        let ticket = Ticket { want, since_ns: now_ns() };
        loop {
            let (claim, node) = (Claim::new(), Waiter::new());
            node.set(party.id(), &claim, 0, wait_list::Want::Value, ptr::from_ref(&ticket).cast_mut().cast());
            let mut queue = self.queue.lock();
            if self.word.queue(want, is_woken) {
                return true;
            }
            // SAFETY: the wait below does not return before a giver has finished the claim, having taken the node out, or we have given up;
            // then it is taken out below. Nothing in between unwinds.
            unsafe { if is_woken { queue.push_front(&node) } else { queue.push(&node) } };
            drop(queue);
            match claim.wait(party) {
                Some(end) if end.outcome == HANDED_OVER => return true,
                Some(_) => {}
                None => {
                    let mut queue = self.queue.lock();
                    queue.remove(&node);
                    if !mutated!("gate_leaves_silently") {
                        self.serve(&mut queue, 0, ready, now_ns);
                    }
                    return false;
                }
            }
            if self.word.take_woken(want.count()) || self.spin_woken(want.count()) {
                return true;
            }
            if party.is_late() {
                let _queue = self.queue.lock();
                return self.word.leave_woken(want.count());
            }
            is_woken = true;
        }
    }

    /// Looks a few times, since most holders hold for a moment only.
    fn spin(&self, want: Want) -> bool {
        for _ in 0..SPINS {
            if self.word.take(want) {
                return true;
            }
            if !self.word.is_worth_a_spin(want) {
                return false;
            }
            hint::spin_loop();
        }
        false
    }

    /// The same for the woken party.
    fn spin_woken(&self, all: u32) -> bool {
        (0..SPINS).any(|_| {
            hint::spin_loop();
            self.word.free() == all && self.word.take_woken(all)
        })
    }

    /// Gives permits back that [`Permits::give`] did not take.
    pub fn give(&self, count: u32, ready: &mut impl Wakes<Id = I>, now_ns: impl Fn() -> u64) {
        self.serve(&mut self.queue.lock(), count, ready, now_ns);
    }

    /// Lets in whom there is room for, with `count` permits of the caller's.
    fn serve(&self, queue: &mut WaitList<I>, count: u32, ready: &mut impl Wakes<Id = I>, now_ns: impl Fn() -> u64) {
        let Some(mut free) = self.word.settle(count) else { return };
        let mut has_woken = false;
        while let Some(slot) = queue.first_slot() {
            // SAFETY: the slot of a member is its ticket, which stays while it is one, hence while the lock is held and nobody has taken it.
            let Ticket { want, since_ns } = unsafe { slot.cast::<Ticket>().read() };
            if want.count() > free || has_woken {
                break;
            }
            // It may have given up; then the next one is looked at.
            let Some(taken) = queue.take_first() else { continue };
            if matches!(want, Want::All(_)) && now_ns().saturating_sub(since_ns) < STARVED_NS {
                has_woken = true;
                taken.finish(WOKEN, ready);
            } else {
                free -= want.count();
                taken.finish(HANDED_OVER, ready);
            }
        }
        self.word.settled(free, !queue.is_empty(), has_woken);
    }
}

impl<L> fmt::Debug for Gate<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.word.fmt(f)
    }
}

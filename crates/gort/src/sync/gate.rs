//! Where parties wait for permits: a word that counts them, and a queue under a lock. What mutexes, read-write locks and semaphores are made of.
//!
//! The word, and why nobody is left waiting, is `gort_lockfree::permits`. Here is the other half: whom the queue serves, and how.
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
//! before others that fit, it serves the queue when it goes.
//!
//! A waiter's want and age lie on its stack; waiting allocates nothing. Nobody is readied under the lock.
//!
//! Rejected: a table of queues by address (Go, parking_lot): it makes a lock one word small, and costs a second lock, a hash, and strangers in
//! one's queue. The queue in the object is 24 bytes.
//! Source: Go `internal/sync/mutex.go`, normal and starvation mode.

use crate::context::Bound;
use crate::g::{GList, WaitList, WaitReason, Waiter, Want as Kind};
use crate::prim::lock::Lock;
use crate::sched;
use crate::sys::clock;
use crate::wait::{Caller, Wait};
use gort_lockfree::permits::{Permits, Want};
use std::hint;
use std::ptr;

/// A party that has waited this long is handed what it wants, and nobody can be faster.
const STARVED_NS: u64 = 1_000_000;

/// Looks at the word this often before waiting, while nobody else waits: about as long as a short critical section, and well below the cost of a
/// park.
const SPINS: u32 = 60;

/// The permits are the waiter's.
const HANDED_OVER: u8 = 0;
/// The waiter should try now.
const WOKEN: u8 = 1;

/// See the module.
pub(super) struct Gate {
    word: Permits,
    queue: Lock<WaitList>,
}

/// What a waiter leaves on its stack for who serves it.
struct Ticket {
    want: Want,
    since_ns: u64,
}

impl Gate {
    pub(super) const fn new(permits: u32) -> Self {
        Self { word: Permits::new(permits), queue: Lock::new(WaitList::new()) }
    }

    /// Takes all if nobody has or wants anything.
    #[inline(always)]
    pub(super) fn take_idle(&self, all: u32) -> bool {
        self.word.take_idle(all)
    }

    /// Takes what is wanted if it is free, and nobody waits for whom the caller is not allowed to pass.
    #[inline]
    pub(super) fn take(&self, want: Want) -> bool {
        self.word.take(want)
    }

    /// How many permits are free.
    pub(super) fn free(&self) -> u32 {
        self.word.free()
    }

    /// Waits for permits. False: they did not come in time.
    #[cold]
    pub(super) fn wait(&self, want: Want, bound: Bound<'_>, reason: WaitReason, caller: Caller) -> bool {
        if self.spin(want) {
            return true;
        }
        let mut is_woken = false;
        let ticket = Ticket { want, since_ns: clock::now_ns() };
        loop {
            let (wait, node) = (Wait::new(caller.me), Waiter::new());
            node.set(caller.me, &wait.claim, 0, Kind::Value, ptr::from_ref(&ticket).cast_mut().cast());
            let mut queue = self.queue.lock();
            if self.word.queue(want, is_woken) {
                return true;
            }
            // SAFETY: the wait below does not return before a giver has finished the claim, having taken the node out, or we have given up;
            // then `leave` takes it out.
            unsafe { if is_woken { queue.push_front(&node) } else { queue.push(&node) } };
            drop(queue);
            match wait.until(bound, reason, ptr::from_ref(self) as usize, caller.site) {
                Some(end) if end.outcome == HANDED_OVER => return true,
                Some(_) => {}
                None => {
                    self.leave(&node);
                    return false;
                }
            }
            if self.word.take_woken(want.count()) || self.spin_woken(want.count()) {
                return true;
            }
            if bound.is_over() {
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

    #[cold]
    fn leave(&self, node: &Waiter) {
        let mut ready = GList::new();
        let mut queue = self.queue.lock();
        queue.remove(node);
        self.serve(&mut queue, 0, &mut ready);
        drop(queue);
        sched::ready_list(&mut ready);
    }

    /// Gives permits back.
    #[inline(always)]
    pub(super) fn give(&self, count: u32) {
        if !self.word.give(count) {
            self.give_slow(count);
        }
    }

    #[cold]
    fn give_slow(&self, count: u32) {
        let mut ready = GList::new();
        let mut queue = self.queue.lock();
        self.serve(&mut queue, count, &mut ready);
        drop(queue);
        sched::ready_list(&mut ready);
    }

    /// Lets in whom there is room for, with `count` permits of the caller's.
    fn serve(&self, queue: &mut WaitList, count: u32, ready: &mut GList) {
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
            let barges = matches!(want, Want::All(_));
            if barges && clock::now_ns().saturating_sub(since_ns) < STARVED_NS {
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

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.word.fmt(f)
    }
}

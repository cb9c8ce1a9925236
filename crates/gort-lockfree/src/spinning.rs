//! Idle Ps and spinning Ms: who wakes whom.
//!
//! A goroutine made ready while a P is idle must soon run, yet a wake-up costs 6-11 us, so there is
//! never one wake-up per goroutine. At most one M is woken to *spin*, that is to look for work with
//! no goroutine in hand; a spinning M that finds work has the next one woken if there is more.
//!
//! # States
//! `idle_ps`: Ps that no M runs on. `spinning`: Ms that look for work, or are being woken to.
//!
//! # The argument
//! Nobody sleeps while something is queued. The producer: queue G → fence A → look at `idle_ps` and
//! `spinning` ([`submitted`](Spinning::submitted)). Whoever gives up: change a count → fence B →
//! look at every queue ([`p_idle`](Spinning::p_idle),
//! [`stop_without_work`](Spinning::stop_without_work)). A and B are SeqCst, so the producer sees the
//! count or the other sees G. By what the producer saw:
//! - *No idle P.* Whoever makes a P idle later does so before his fence B, and B comes after A: he
//!   finds G. This holds for an M that gave up without ever spinning, too; Go needs a flag for
//!   that (`needspinning`), here it is the rule that every M looks once more after `p_idle`.
//! - *Somebody spins.* The last spinner that leaves does so after the producer looked. Without work:
//!   its B comes after A, it finds G. With work: [`stop_with_work`](Spinning::stop_with_work) tells
//!   it that it was the last, and it must call `submitted` itself, thereby taking the
//!   producer's place.
//! - *Idle Ps and no spinner.* One of those who see this wins the count 0 → 1 and wakes an M, which
//!   spins; for the others somebody spins.
//!
//! A winner may find no idle P when it comes to take one. Others may have relied on its count by
//! then, so giving it back ([`cancel_wake`](Spinning::cancel_wake)) is a way of leaving, too: after its
//! fence it looks whether a P has become idle meanwhile, and says so. If none has, whoever makes one
//! idle later looks at every queue after fence B. Under the lock under which Ps become idle, after
//! finding none there, the answer is always no.
//!
//! An M that *starts* to spin needs no fence: it owes nothing until it stops.
//!
//! Rejected: an M per ready goroutine (threads that wake, find nothing and sleep); a spinner for
//! every idle P (the search itself is the load); both counts in one word (tokio): they change at
//! different places, and the fence orders them anyway.
//! Models: `spinning/model.rs`. Source: Go `proc.go`, "Worker thread parking/unparking".

use core::fmt;
use core::sync::atomic::Ordering::Relaxed;

use crate::atomics::{AtomicU32, const_unless_loom, fence_seq_cst};
use crate::mutate::mutated;

#[cfg(test)]
mod model;
#[cfg(all(test, not(gort_loom)))]
mod tests;

/// The two counts. See the [module's documentation](self).
#[repr(align(128))]
pub struct Spinning {
    // Relaxed everywhere: the counts carry no data, and against the queues they are ordered by the
    // fences.
    spinning: AtomicU32,
    idle_ps: AtomicU32,
}

impl Spinning {
    const_unless_loom! {
        /// No idle P, nobody spins.
        pub const fn new() -> Self {
            Self { spinning: AtomicU32::new(0), idle_ps: AtomicU32::new(0) }
        }
    }

    /// Something was queued. True: the caller must wake one M, which counts as spinning already, or
    /// call [`cancel_wake`](Self::cancel_wake).
    #[inline]
    #[must_use = "an M must be woken, and is counted already"]
    pub fn submitted(&self) -> bool {
        // Fence A: pairs with fence B in `p_idle`, `stop_without_work` and `cancel_wake`.
        if !mutated!("spinning_submitted_no_fence") {
            fence_seq_cst();
        }
        self.idle_ps.load(Relaxed) != 0
            && self.spinning.load(Relaxed) == 0
            && self.spinning.compare_exchange(0, 1, Relaxed, Relaxed).is_ok()
    }

    /// There was no idle P to wake an M for, or no M: the right won by [`submitted`](Self::submitted)
    /// is given back. True: a P has become idle meanwhile, call `submitted` again.
    ///
    /// Never true under the lock under which Ps become idle, after finding none there. Who found an
    /// idle P but no M, and has one made, need not look at the answer: the new M looks at every queue.
    #[must_use = "others may have relied on this wake-up"]
    pub fn cancel_wake(&self) -> bool {
        self.one_less();
        // Fence B.
        fence_seq_cst();
        self.idle_ps.load(Relaxed) != 0 && !mutated!("spinning_cancel_blind")
    }

    /// An M out of work wants to spin: at most half as many as run, so that the search itself is not
    /// the load. True: it is counted.
    #[inline]
    pub fn try_spin(&self, busy_ps: u32) -> bool {
        // Two may pass at once; the limit is a habit, not a promise.
        if self.spinning.load(Relaxed).saturating_mul(2) >= busy_ps {
            return false;
        }
        self.spinning.fetch_add(1, Relaxed);
        true
    }

    /// A spinning M has found work. True: it was the last one and must call
    /// [`submitted`](Self::submitted), since others may have relied on it.
    #[inline]
    #[must_use = "the last spinner has to see to the next"]
    pub fn stop_with_work(&self) -> bool {
        self.one_less() == 1 && !mutated!("spinning_last_unnoticed")
    }

    /// A spinning M gives up. The caller must look at every queue again, after this.
    #[inline]
    pub fn stop_without_work(&self) {
        self.one_less();
        // Fence B.
        if !mutated!("spinning_stop_no_fence") {
            fence_seq_cst();
        }
    }

    fn one_less(&self) -> u32 {
        let was = self.spinning.fetch_sub(1, Relaxed);
        debug_assert!(was != 0, "Spinning: more Ms stopped spinning than began");
        was
    }

    /// A P has become idle. The caller must look at every queue again, after this; if it spins, the
    /// look after [`stop_without_work`](Self::stop_without_work) is enough.
    #[inline]
    pub fn p_idle(&self) {
        self.idle_ps.fetch_add(1, Relaxed);
        // Fence B.
        if !mutated!("spinning_idle_no_fence") {
            fence_seq_cst();
        }
    }

    /// An idle P has been taken.
    #[inline]
    pub fn p_busy(&self) {
        let was = self.idle_ps.fetch_sub(1, Relaxed);
        debug_assert!(was != 0, "Spinning: more Ps became busy than were idle");
    }

    /// How many Ps are idle: a racy look.
    #[inline]
    pub fn idle(&self) -> u32 {
        self.idle_ps.load(Relaxed)
    }

    /// How many Ms spin: a racy look.
    #[inline]
    pub fn spinning(&self) -> u32 {
        self.spinning.load(Relaxed)
    }
}

impl Default for Spinning {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Spinning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spinning").field("spinning", &self.spinning()).field("idle_ps", &self.idle()).finish()
    }
}

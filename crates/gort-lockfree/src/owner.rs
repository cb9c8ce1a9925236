//! Who owns a P: the M that runs on it, for the price of two plain stores per visit to the runtime,
//! until somebody takes the P away from it.
//!
//! A goroutine may get stuck in the kernel or in a loop, with its P. Somebody else (sysmon) must be
//! able to take the P, from any M, without a signal, at any moment at which the M is in user code. An
//! M enters and leaves the runtime at every call of gort, a P is taken a thousand times a second
//! at most: so the M gets the cheap side and sysmon the dear one.
//!
//! # States
//! In the M ([`Stay`]): `seq` is odd while the M is in the runtime and even while it is in user code;
//! only the M writes it. `mark` asks the M to take its slow path; sysmon sets it, only the M clears
//! it, on that slow path. Both lie in the M and never in the P: a late store of a stuck M must not
//! touch the words of the P's next owner.
//!
//! In the P ([`Owner`]): one word, the M and an epoch that grows with every change. Every change is
//! one compare-and-swap from a [`Lease`], or a store by who took an idle P from the scheduler.
//!
//! # The argument
//! **Never two owners.** What an M does to its P in the runtime it does between `enter` and `leave`.
//!
//! | M | sysmon |
//! |---|---|
//! | `seq` odd | `mark` set |
//! | compiler fence | barrier |
//! | look at `mark` | look at `seq` again: even, and the same as before? |
//!
//! The barrier (membarrier, private expedited) makes every running thread of the process execute a
//! full fence between two of its instructions; a thread that does not run has executed one when it
//! was switched out. Place that fence in the M's column: if it falls after the store of `seq`, then
//! sysmon sees it and gives up; if before, then so is the look at `mark`, the M sees it, and both go
//! for the P's word with a compare-and-swap from the same lease: [`Owner::renew`] against
//! [`Owner::retake`]. One wins. "The same as before" makes sure that it is still the visit to user
//! code that has lasted too long.
//!
//! **What the M wrote is seen by the next owner.** The last thing the M did to its P came before
//! `leave`, a Release; sysmon's second look is an Acquire and saw that very number.
//!
//! **Clearing the mark loses nothing.** The M clears it while `seq` is odd and renews its lease in
//! the same visit, in either order. A sysmon whose mark is wiped out this way sees the odd (or a
//! later) number, or holds the lease from before the renewal. It cannot hold the new lease and an
//! old number: reading the new lease (Acquire) shows the number stored before it (Release), and it
//! samples after that.
//!
//! **Epochs.** 32 bits may come round, but an M that is stuck cannot acquire anything meanwhile, so
//! its lease is never issued again before it looks; sysmon's step takes no 2^32 changes.
//!
//! Without membarrier (seccomp, gVisor) the M calls [`Stay::enter_fenced`], whose fence is in
//! the table's place, and sysmon's barrier is a SeqCst fence. Under loom and miri, `enter` has that
//! fence also: they know no membarrier, and a fence on both sides is what it amounts to.
//!
//! Rejected: a compare-and-swap in and out of the runtime as Go had it (5 ns against 0.4); the
//! sequence in the P (see above); `MEMBARRIER_CMD_GLOBAL` (10 ms).
//! Models: `owner/model.rs`; without fences: the stress test `owner/tests.rs`.
//! Source: Go `proc.go`, `retake`, `exitsyscall`; Dice, Huang, Yang, "Asymmetric Dekker
//! synchronization", 2001.

use core::fmt;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use crate::atomics::{AtomicU32, AtomicU64, const_unless_loom, fence_seq_cst};
use crate::mutate::mutated;

#[cfg(test)]
mod model;
#[cfg(all(test, not(gort_loom)))]
mod tests;

/// Where an M is: in the runtime or in user code. Lies in the M.
pub struct Stay {
    seq: AtomicU64,
    mark: AtomicU32,
}

impl Stay {
    const_unless_loom! {
        /// In user code, unmarked.
        pub const fn new() -> Self {
            Self { seq: AtomicU64::new(0), mark: AtomicU32::new(0) }
        }
    }

    /// The M enters the runtime. True: somebody may be after its P, take the slow path:
    /// [`clear_mark`](Self::clear_mark), [`Owner::renew`].
    ///
    /// Only with sysmon's barrier a membarrier; otherwise [`enter_fenced`](Self::enter_fenced).
    #[inline(always)]
    #[must_use = "a marked M may have lost its P"]
    pub fn enter(&self) -> bool {
        self.step_in();
        // The light side: keeps the compiler from swapping the store and the load; the processor is
        // kept from it by sysmon's membarrier.
        #[cfg(not(any(gort_loom, miri)))]
        core::sync::atomic::compiler_fence(core::sync::atomic::Ordering::SeqCst);
        // Loom and miri know no membarrier: a fence on both sides stands for it.
        #[cfg(any(gort_loom, miri))]
        if !mutated!("owner_enter_no_fence") {
            fence_seq_cst();
        }
        self.is_marked()
    }

    /// As [`enter`](Self::enter), for a system that refuses membarrier.
    #[inline]
    #[must_use = "a marked M may have lost its P"]
    pub fn enter_fenced(&self) -> bool {
        self.step_in();
        // Pairs with the SeqCst fence that is sysmon's barrier in this mode.
        fence_seq_cst();
        self.is_marked()
    }

    #[inline(always)]
    fn step_in(&self) {
        // Relaxed: only this M writes `seq`.
        let seq = self.seq.load(Relaxed);
        debug_assert!(Self::in_user_code(seq), "Stay::enter: in the runtime already");
        // Relaxed: ordered before the look at `mark` by the barrier; nothing is published.
        self.seq.store(seq + 1, Relaxed);
    }

    /// The M leaves the runtime. From here on it touches nothing of its P.
    #[inline(always)]
    pub fn leave(&self) {
        // Relaxed: only this M writes `seq`.
        let seq = self.seq.load(Relaxed);
        debug_assert!(!Self::in_user_code(seq), "Stay::leave: in user code already");
        // Release: pairs with the Acquire in `sample`; the next owner sees what was done to the P.
        let order = if mutated!("owner_leave_relaxed") { Relaxed } else { Release };
        self.seq.store(seq + 1, order);
    }

    /// The number of this visit to the runtime or to user code.
    #[inline]
    pub fn sample(&self) -> u64 {
        // Acquire: pairs with the Release in `leave`.
        self.seq.load(Acquire)
    }

    /// Whether a sampled number is one of user code.
    #[inline]
    pub const fn in_user_code(seq: u64) -> bool {
        seq & 1 == 0
    }

    /// Asks the M to take its slow path.
    #[inline]
    pub fn set_mark(&self) {
        // Relaxed: ordered before the second sample by the barrier.
        self.mark.store(1, Relaxed);
    }

    /// The M has heard. Only the M calls this, in the runtime, and it renews its lease in that visit.
    #[inline]
    pub fn clear_mark(&self) {
        // Relaxed: the next `leave` publishes it; see the header.
        self.mark.store(0, Relaxed);
    }

    /// Whether the M is asked to take its slow path.
    #[inline(always)]
    pub fn is_marked(&self) -> bool {
        // Relaxed: ordered behind the store of `seq` by the barrier.
        self.mark.load(Relaxed) != 0
    }
}

impl Default for Stay {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Stay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stay").field("seq", &self.sample()).field("marked", &self.is_marked()).finish()
    }
}

/// Ownership of a P by an M, until the epoch moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The M, or [`Lease::NOBODY`].
    pub m: u32,
    /// Grows with every change of ownership.
    pub epoch: u32,
}

impl Lease {
    /// The `m` of an idle P.
    pub const NOBODY: u32 = u32::MAX;

    /// Whether the P is idle.
    #[inline]
    pub const fn is_idle(self) -> bool {
        self.m == Self::NOBODY
    }

    #[inline]
    const fn pack(self) -> u64 {
        (self.m as u64) << 32 | self.epoch as u64
    }

    #[inline]
    const fn unpack(word: u64) -> Self {
        Self { m: (word >> 32) as u32, epoch: word as u32 }
    }

    #[inline]
    const fn next(self, m: u32) -> Self {
        Self { m, epoch: self.epoch.wrapping_add(1) }
    }
}

/// Who owns a P. Lies in the P.
pub struct Owner(AtomicU64);

impl Owner {
    const_unless_loom! {
        /// Nobody.
        pub const fn new() -> Self {
            Self(AtomicU64::new(Lease { m: Lease::NOBODY, epoch: 0 }.pack()))
        }
    }

    /// The lease that holds at present.
    #[inline]
    pub fn current(&self) -> Lease {
        // Acquire: pairs with the Release in `renew`; a sample of `seq` after this is not older
        // than the visit in which the lease was made.
        Lease::unpack(self.0.load(Acquire))
    }

    /// M `m` takes an idle P. The caller holds what hands out idle Ps (the scheduler's lock).
    #[inline]
    pub fn acquire(&self, m: u32) -> Lease {
        debug_assert!(m != Lease::NOBODY, "Owner::acquire: that number means nobody");
        let idle = self.current();
        debug_assert!(idle.is_idle(), "Owner::acquire: the P belongs to an M");
        let lease = idle.next(m);
        // Release: pairs with the Acquire in `current`. A store, since the P is the caller's: a
        // compare-and-swap from an older lease fails before and after.
        self.0.store(lease.pack(), Release);
        lease
    }

    /// The M, on its slow path, makes sure of its P. `None`: it was retaken.
    #[inline]
    pub fn renew(&self, lease: Lease) -> Option<Lease> {
        let renewed = lease.next(lease.m);
        if mutated!("owner_renew_reads") {
            return (self.current() == lease).then_some(lease);
        }
        self.change(lease, renewed).then_some(renewed)
    }

    /// Takes the P from a stuck M. False: it has moved on. Use [`retake_step`].
    #[inline]
    pub fn retake(&self, lease: Lease) -> bool {
        self.change(lease, lease.next(Lease::NOBODY))
    }

    /// The M gives its P up. False: it was retaken before.
    #[inline]
    pub fn release(&self, lease: Lease) -> bool {
        self.change(lease, lease.next(Lease::NOBODY))
    }

    #[inline]
    fn change(&self, from: Lease, to: Lease) -> bool {
        // AcqRel: Release pairs with the Acquire in `current` (see there) and hands over what the M
        // did to the P; Acquire takes that over. Relaxed on failure: the P is not ours.
        self.0.compare_exchange(from.pack(), to.pack(), AcqRel, Relaxed).is_ok()
    }
}

impl Default for Owner {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Owner").field(&self.current()).finish()
    }
}

/// Sysmon's whole step: takes the P of `owner` from the M of `stay`, if that M is still in the visit
/// to user code in which it was seen.
///
/// `lease` is what [`Owner::current`] said, `seen_seq` a [`Stay::sample`] of its M taken after that.
/// `barrier` is a
/// private expedited membarrier; a SeqCst fence if all Ms use [`Stay::enter_fenced`]. It says whether
/// it was made: without it nothing is taken. The mark stays, which does no harm.
pub fn retake_step(stay: &Stay, owner: &Owner, lease: Lease, seen_seq: u64, barrier: impl FnOnce() -> bool) -> bool {
    stay.set_mark();
    if !mutated!("owner_retake_no_barrier") && !barrier() {
        return false;
    }
    let seq = stay.sample();
    let same = seq == seen_seq || mutated!("owner_retake_any_stay");
    same && Stay::in_user_code(seq) && owner.retake(lease)
}

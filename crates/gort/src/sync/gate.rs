//! Where parties wait for permits: [`gort_lockfree::gate`], with the runtime's lock, clock and parks. What mutexes, read-write locks, semaphores
//! and blocking classes are made of.

use crate::context::Bound;
use crate::g::{GList, Holder, WaitList, WaitReason};
use crate::prim::lock::Lock;
use crate::sched;
use crate::sys::clock;
use crate::wait::Caller;
use gort_lockfree::gate;
use gort_lockfree::permits::Want;

/// See the module.
#[repr(C)]
pub(crate) struct Gate {
    /// Whoever takes the permits of a lock writes itself down. First: what a party waits for is the gate, and this.
    pub(crate) holder: Holder,
    gate: gate::Gate<Lock<WaitList>>,
}

impl Gate {
    pub(crate) const fn new(permits: u32) -> Self {
        Self { holder: Holder::new(), gate: gate::Gate::new(permits, Lock::new(WaitList::new())) }
    }

    /// Takes all if nobody has or wants anything.
    #[inline(always)]
    pub(crate) fn take_idle(&self, all: u32) -> bool {
        self.gate.word().take_idle(all)
    }

    /// Takes what is wanted if it is free, and nobody waits for whom the caller is not allowed to pass.
    #[inline]
    pub(crate) fn take(&self, want: Want) -> bool {
        self.gate.word().take(want)
    }

    /// How many permits are free.
    pub(crate) fn free(&self) -> u32 {
        self.gate.word().free()
    }

    /// Waits for permits. False: they did not come in time.
    #[cold]
    pub(crate) fn wait(&self, want: Want, bound: Bound<'_>, reason: WaitReason, caller: Caller) -> bool {
        let mut ready = GList::new();
        let waiting = caller.until(bound, reason, self.holder.address());
        let is_taken = self.gate.wait(want, &waiting, &mut ready, clock::now_ns);
        sched::ready_list(&mut ready);
        is_taken
    }

    /// Gives permits back.
    #[inline(always)]
    pub(crate) fn give(&self, count: u32) {
        if !self.gate.word().give(count) {
            self.give_slow(count);
        }
    }

    #[cold]
    fn give_slow(&self, count: u32) {
        let mut ready = GList::new();
        self.gate.give(count, &mut ready, clock::now_ns);
        sched::ready_list(&mut ready);
    }
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.gate.fmt(f)
    }
}

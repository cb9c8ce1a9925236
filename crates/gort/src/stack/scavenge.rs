//! Gives the memory of idle stacks back to the system.
//!
//! A burst of goroutines, or a few deep recursions, leaves stacks behind whose pages are resident. What of a size nobody has taken for a whole
//! [`PERIOD_NS`] loses everything below its block, and waits among the cold ones, which are taken last. The page of the block stays: libc knows it
//! (`sys::identity`). Guards survive.
//!
//! The system monitor drives it, a few slots at a time, so that it is back for its other duties soon. When all are cold it needs no wake-up for it,
//! so a process that has become idle comes to rest. The stacks that each processor keeps at hand are no part of this.
//!
//! `MADV_DONTNEED`, not `MADV_FREE`: the latter costs as much and leaves the memory in the process's count.

use super::layout::{CLASSES, guard_bytes, slot_bytes};
use super::slab;
use crate::sys::stackmem::{self, PAGE};

/// Whoever was not needed for so long is let go.
pub(crate) const PERIOD_NS: u64 = 2_000_000_000;
/// For [`Scavenger::step`]: there is nothing to come back for.
pub(crate) const NEVER: u64 = u64::MAX;

/// What the one thread that scavenges remembers.
#[derive(Debug)]
pub(crate) struct Scavenger {
    period_ends_ns: u64,
    /// How many are to be let go, for each size.
    left: [usize; CLASSES],
}

impl Scavenger {
    pub(crate) const fn new() -> Self {
        Self { period_ends_ns: 0, left: [0; CLASSES] }
    }

    /// Lets go of up to `most` stacks, each 1 us and more. Gives when to come again at the latest for memory to be given back in time.
    pub(crate) fn step(&mut self, now_ns: u64, most: usize) -> u64 {
        if now_ns >= self.period_ends_ns {
            self.period_ends_ns = now_ns + PERIOD_NS;
            for (class, left) in (0..).zip(&mut self.left) {
                *left = slab::begin_period(class);
            }
        }
        let mut more = most;
        for (class, left) in (0..).zip(&mut self.left) {
            while *left > 0 && more > 0 {
                more -= 1;
                // They may be in use again.
                *left = if slab::cool_oldest(class) { *left - 1 } else { 0 };
            }
        }
        if more == 0 {
            now_ns
        } else if (0..CLASSES as u8).any(|class| slab::warm(class) > 0) {
            self.period_ends_ns
        } else {
            NEVER
        }
    }
}

/// Gives back what the frames of a slot have touched, as far as it is not on the page of its block. Nobody uses the slot.
///
/// # Safety
/// A made slot of this class that the caller owns; its frames begin at `frames_top`.
pub(super) unsafe fn discard_frames(base: usize, class: u8, frames_top: usize) {
    let limit = base + guard_bytes(slot_bytes(class));
    // SAFETY: between the guard and the block of a slot that the caller owns; nobody needs what is there. A refusal changes nothing.
    let _ = unsafe { stackmem::discard(limit, frames_top / PAGE * PAGE - limit) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::slab::{give_back, take};
    use crate::sys::identity::tests::{alone, identity};

    fn resident_bytes() -> usize {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * PAGE
    }

    #[test]
    fn what_a_burst_has_touched_is_given_back_when_nobody_has_needed_it_for_a_period() {
        if alone(module_path!(), "what_a_burst_has_touched_is_given_back_when_nobody_has_needed_it_for_a_period") {
            return;
        }
        const TOUCHED: usize = 128 << 10;
        let stacks: Vec<_> = (0..256).map(|_| take(2, Some(identity())).unwrap()).collect();
        for stack in &stacks {
            // SAFETY: the upper half of the slot's frames.
            unsafe { ((stack.frames_top() - TOUCHED) as *mut u8).write_bytes(1, TOUCHED) };
        }
        let high = resident_bytes();
        let mut scavenger = Scavenger::new();
        assert_eq!(scavenger.step(1, 1000), NEVER, "all are in use");
        give_back(&stacks);
        assert_eq!(scavenger.step(2, 1000), 1 + PERIOD_NS, "they were in use in this period");
        assert_eq!(scavenger.step(1 + PERIOD_NS, 1000), 1 + 2 * PERIOD_NS, "and for a part of it");
        assert!(resident_bytes() + (1 << 20) > high);
        // A user in between: one fewer has been idle all the time.
        let one = [take(2, Some(identity())).unwrap()];
        give_back(&one);
        assert_eq!(scavenger.step(1 + 2 * PERIOD_NS, 100), 1 + 2 * PERIOD_NS, "not all at once");
        assert_eq!(scavenger.step(2 + 2 * PERIOD_NS, 1000), 1 + 3 * PERIOD_NS, "the one");
        let given = high - resident_bytes();
        assert!(given > 253 * TOUCHED && given < 256 * TOUCHED, "{given}");
        // All can be used again, the warm one first, and what was let go reads as new.
        let again: Vec<_> = (0..256).map(|_| take(2, Some(identity())).unwrap()).collect();
        assert_eq!(again[0], one[0]);
        let is_old = |stack: &&slab::Stack| {
            // SAFETY: a word of the slot's frames.
            unsafe { ((stack.frames_top() - TOUCHED) as *const u8).read() == 1 }
        };
        assert_eq!(again.iter().position(|stack| !is_old(&stack)), Some(1));
        assert_eq!(again.iter().filter(is_old).count(), 1);
        assert_eq!(scavenger.step(1 + 3 * PERIOD_NS, 1000), NEVER);
        // SAFETY: the lowest byte below the block, and the highest above the guard.
        unsafe {
            ((again[255].frames_top() - 8) as *mut u64).write(1);
            (again[255].limit() as *mut u64).write(1);
        }
        give_back(&again);
    }
}

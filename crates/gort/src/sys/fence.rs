//! An asymmetric fence: nearly free for the side that runs all the time, dear for the side that runs rarely.
//!
//! Dekker's pattern (each side stores its word, then reads the other's) needs a store-load fence on both sides. Entering and leaving the
//! runtime is one side of it, some hundred million times a second; sysmon's look at an M is the other, some hundred times. With
//! `membarrier(PRIVATE_EXPEDITED)` the rare side interrupts every running thread of the process and makes it execute a full fence, so the
//! frequent side needs only a compiler fence.
//!
//! The argument. A: store x; compiler fence; read y. B: store y; [`run`](Barrier::run); read x. When B's call returns, every other thread has executed
//! a full fence at some point during it. If that point in A's thread lies after A's store, B reads it. If it lies before A's store, then A's
//! read comes later still, and B's store came before the call: A reads it. So at least one side sees the other's store.
//!
//! Where the kernel refuses (gVisor, seccomp, before 4.14) both sides pay for a SeqCst fence, which is the textbook form of the same pattern.
//! The frequent side is `gort_lockfree::owner::Stay`: `enter` with the compiler fence, `enter_fenced` with the real one.
//!
//! Rejected: `MEMBARRIER_CMD_GLOBAL` (waits for a grace period, 10 ms and more); `mprotect` tricks that force an interrupt (several times
//! dearer and not promised to be a fence).
//!
//! Source: membarrier(2); Linux `kernel/sched/membarrier.c` (the scenarios in its opening comment).

use super::raw::{self, Errno};
use std::sync::atomic::{Ordering::SeqCst, fence};

const QUERY: usize = 0;
const PRIVATE_EXPEDITED: usize = 1 << 3;
const REGISTER_PRIVATE_EXPEDITED: usize = 1 << 4;

/// How this process makes the rare side's fence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Barrier {
    /// The kernel interrupts the other threads; the frequent side pays nothing.
    Membarrier,
    /// The kernel cannot; both sides pay.
    None,
}

impl Barrier {
    /// Asks the kernel and registers this process. Call it once, before the first [`run`](Self::run).
    pub(crate) fn probe() -> Barrier {
        let wanted = PRIVATE_EXPEDITED | REGISTER_PRIVATE_EXPEDITED;
        match membarrier(QUERY) {
            Ok(commands) if commands & wanted == wanted && membarrier(REGISTER_PRIVATE_EXPEDITED).is_ok() => {
                Barrier::Membarrier
            }
            _ => Barrier::None,
        }
    }

    /// The rare side: between its store and its read. 0.3 to 1.5 us.
    ///
    /// # Errors
    /// There was no fence: a sandbox that began after [`probe`](Self::probe) refuses the call, with this number.
    pub(crate) fn run(self) -> Result<(), Errno> {
        // SeqCst: pairs with the fence of the frequent side. With membarrier it orders this thread's own accesses around the call.
        fence(SeqCst);
        if self == Barrier::Membarrier {
            // A process image that was registered stays so over fork; only exec forgets, and with it this code. Should some
            // checkpoint-and-restore tool have lost it, one more registration must do.
            membarrier(PRIVATE_EXPEDITED)
                .or_else(|_| membarrier(REGISTER_PRIVATE_EXPEDITED).and_then(|_| membarrier(PRIVATE_EXPEDITED)))?;
        }
        // SeqCst: as above.
        fence(SeqCst);
        Ok(())
    }
}

fn membarrier(command: usize) -> Result<usize, Errno> {
    // SAFETY: membarrier touches no memory of ours; flags and cpu are 0.
    unsafe { raw::syscall3(libc::SYS_membarrier, command, 0, 0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{
        AtomicU32,
        Ordering::{Acquire, Relaxed, Release},
        compiler_fence,
    };

    /// Both sides of Dekker's pattern, started together and shifted a little against each other, many rounds: never may both miss the
    /// other's store.
    fn store_load_holds(barrier: Barrier) {
        const ROUNDS: u32 = 30_000;
        // On lines of their own, as the words of two threads are.
        let [x, y, start] = [(); 3].map(|()| CacheLine(AtomicU32::new(0)));
        let mut missed = 0;
        let [a_saw, a_done] = [(); 2].map(|()| CacheLine(AtomicU32::new(0)));
        let wait_for = |word: &AtomicU32, round: u32| {
            let mut spins = 0;
            // Acquire: pairs with the Release of the other side; what it did before is visible.
            while word.load(Acquire) < round {
                spins += 1;
                if spins % 4096 == 0 {
                    std::thread::yield_now();
                }
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 1..=ROUNDS {
                    wait_for(&start.0, round);
                    // Relaxed: the fences under test are to do the ordering.
                    x.0.store(round, Relaxed);
                    match barrier {
                        // SeqCst: pairs with the interrupt that `run` makes.
                        Barrier::Membarrier => compiler_fence(SeqCst),
                        // SeqCst: pairs with the fence in `run`.
                        Barrier::None => fence(SeqCst),
                    }
                    a_saw.0.store(y.0.load(Relaxed), Relaxed);
                    a_done.0.store(round, Release);
                }
            });
            for round in 1..=ROUNDS {
                start.0.store(round, Release);
                for _ in 0..round % 32 {
                    std::hint::spin_loop();
                }
                // Relaxed: as above.
                y.0.store(round, Relaxed);
                barrier.run().unwrap();
                let b_saw = x.0.load(Relaxed);
                wait_for(&a_done.0, round);
                // Relaxed: after the Acquire in `wait_for`.
                let a_saw = a_saw.0.load(Relaxed);
                missed += u32::from(a_saw != round && b_saw != round);
            }
        });
        assert_eq!(missed, 0, "rounds in which both missed the other's store");
    }

    #[repr(align(128))]
    struct CacheLine(AtomicU32);

    #[test]
    fn one_side_sees_the_other_with_whatever_the_kernel_offers() {
        store_load_holds(Barrier::probe());
    }

    #[test]
    fn one_side_sees_the_other_without_membarrier() {
        store_load_holds(Barrier::None);
    }

    #[test]
    fn probing_twice_gives_the_same_answer() {
        assert_eq!(Barrier::probe(), Barrier::probe());
    }
}

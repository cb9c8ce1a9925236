//! Rounding modes and the like: the control words of the floating-point units, which belong to a thread and so to a goroutine.
//!
//! The calling convention preserves them, so a switch has to. Hardly anybody changes them (Rust code must not, C libraries do), and so they are
//! not saved and loaded at each switch, but looked at when a goroutine leaves: if they are as they were when the runtime started, which is
//! what every M and every new goroutine has, there is nothing to do. Else the goroutine keeps its own on its stack and leaves the usual ones to
//! who comes next. Whoever is switched to therefore always finds the usual ones.
//!
//! Costs 4 ns for a park and its resumption, most of it the wait for the processor's store to be read back; saving and loading on both sides of
//! each switch cost 9.
//!
//! Rejected: leaving it to the goroutine to put them back before it parks. One that forgets, or does not know that it parks, changes the results
//! of others.

use super::switch::switch;
use std::arch::asm;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// MXCSR without its lowest 6 bits, which are results; the x87 control word above it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Words(u64);

const MXCSR_CONTROL: u32 = 0xffc0;

/// As a process starts: all exceptions masked, to nearest, extended precision.
static USUAL: AtomicU64 = AtomicU64::new(0x037f << 32 | 0x1f80);

impl Words {
    #[inline(always)]
    fn current() -> Words {
        let (mut mxcsr, mut x87) = (0_u32, 0_u16);
        // SAFETY: each instruction writes the word it is given.
        unsafe {
            asm!(
                "stmxcsr [{mxcsr}]",
                "fnstcw [{x87}]",
                mxcsr = in(reg) &raw mut mxcsr,
                x87 = in(reg) &raw mut x87,
                options(nostack, preserves_flags),
            );
        }
        Words(u64::from(x87) << 32 | u64::from(mxcsr & MXCSR_CONTROL))
    }

    #[inline(always)]
    fn usual() -> Words {
        // Relaxed: written before the first goroutine exists.
        Words(USUAL.load(Relaxed))
    }

    fn load(self) {
        let (mxcsr, x87) = (self.0 as u32, (self.0 >> 32) as u16);
        // SAFETY: both were read from the processor, so that no reserved bit is set; they are what the code that runs next was compiled for,
        // or what it has set itself.
        unsafe {
            asm!(
                "ldmxcsr [{mxcsr}]",
                "fldcw [{x87}]",
                mxcsr = in(reg) &raw const mxcsr,
                x87 = in(reg) &raw const x87,
                options(nostack, preserves_flags),
            );
        }
    }
}

/// What the calling thread has is the usual from now on. Start-up calls it; the runtime's threads take it over.
pub(crate) fn note_usual() {
    // Relaxed: as in `usual`.
    USUAL.store(Words::current().0, Relaxed);
}

/// Gives the calling thread the usual. Each M does so: who starts it may have set its own.
pub(crate) fn take_usual() {
    Words::usual().load();
}

/// [`switch`] away from a goroutine, which will find its control words again.
///
/// # Safety
/// As for [`switch`].
#[inline(always)]
pub(crate) unsafe fn leave(save: *mut usize, to: usize) {
    let own = Words::current();
    if own == Words::usual() {
        // SAFETY: passed on.
        unsafe { switch(save, to) };
    } else {
        // SAFETY: passed on.
        unsafe { leave_with(own, save, to) };
    }
}

/// # Safety
/// As for [`switch`].
#[cold]
#[inline(never)]
unsafe fn leave_with(own: Words, save: *mut usize, to: usize) {
    Words::usual().load();
    // SAFETY: passed on.
    unsafe { switch(save, to) };
    // What others have left behind masked, as a division by zero, would be an exception as soon as it is not.
    // SAFETY: clears the flags, which stay with the thread.
    unsafe { asm!("fnclex", options(nomem, nostack, preserves_flags)) };
    own.load();
}

//! Changing stacks for good: the only file that does it (`host` borrows one for a call).
//!
//! A context is a stack pointer. Below it lie the three words that [`switch`] needs to come back:
//!
//! ```text
//!            higher addresses
//!   rsp+16   address to go on at
//!   rsp+ 8   rbp of the frame that left
//!   rsp+ 0   rbx of the frame that left
//! ```
//!
//! Everything else a function may expect to survive a call is declared clobbered, so the compiler saves exactly what the surrounding code
//! still needs, on the stack that is being left. The switch is inlined and ends in a jump, never in a `ret`: a return through a frame that
//! another stack has pushed is mispredicted, at about 8 ns for each frame.
//!
//! A profiler's signal may unwind the stack at any instruction of it, so each has its rule: up to the save the stack pointer is the surrounding
//! function's, whose rule holds (the words go below it, where the kernel's frame for a handler leaves them alone); from then on the caller is the
//! context gone to.
//!
//! The thread pointer is not touched here. A goroutine that leaves keeps its own until the scheduler, already on the M's stack, has chosen
//! what runs next (`sched::run`).
//!
//! Not saved here: the x87 control word and MXCSR (`control` does, for goroutines that have changed them).
//!
//! Why not a coroutine crate: the saved stack pointer has to be readable (prefetch of the next goroutine's frames, unwinding of parked ones)
//! and the switch has to be inlined into `park`; see `docs/decisions/0001-own-switch.md`.

use std::arch::{asm, naked_asm};

/// Saves the current context in `*save` and goes on at `to`. Returns when somebody switches back to what was saved.
///
/// # Safety
/// `to` must be a context saved by this function or made by [`prepare`], not used since, whose stack is still mapped. `save` must be valid
/// for a write, and whoever resumes from it must do so at most once. The thread may be another one when this returns.
#[inline(always)]
pub(crate) unsafe fn switch(save: *mut usize, to: usize) {
    // SAFETY: the three words written here are read by the side that switches back; all other registers are declared as clobbered, and the
    // block may write below the stack pointer because it is not `nostack`. The caller vouches for both contexts.
    unsafe {
        asm!(
            "lea rax, [rip + 2f]",
            "mov [rsp - 8], rax",
            "mov [rsp - 16], rbp",
            "mov [rsp - 24], rbx",
            "lea rax, [rsp - 24]",
            "mov [rdi], rax",
            // From here on the caller is the context gone to, whose words stay at rsi.
            ".cfi_remember_state",
            ".cfi_def_cfa rsi, 24",
            ".cfi_offset rip, -8",
            ".cfi_offset rbp, -16",
            ".cfi_offset rbx, -24",
            "mov rbx, [rsi]",
            "mov rbp, [rsi + 8]",
            "mov rax, [rsi + 16]",
            "lea rsp, [rsi + 24]",
            "jmp rax",
            ".cfi_restore_state",
            // Return addresses are looked up one byte before them.
            "ud2",
            "2:",
            inout("rdi") save => _,
            inout("rsi") to => _,
            out("r12") _, out("r13") _, out("r14") _, out("r15") _,
            clobber_abi("C"),
        );
    }
}

/// Makes a context on a fresh stack that, once switched to, calls `entry(argument)`.
///
/// # Safety
/// `top` must be the 16-aligned upper end of writable memory that nobody else uses, with at least one page below it. `entry` must not return.
#[inline]
pub(crate) unsafe fn prepare(top: usize, entry: extern "C" fn(usize) -> !, argument: usize) -> usize {
    debug_assert!(top.is_multiple_of(16));
    // Four words are taken (rbx, rbp, address, then the trampoline's own target), which leaves the stack pointer at `top`, 16-aligned.
    let context = top - 32;
    let words = context as *mut usize;
    // SAFETY: `context..top` lies in the memory the caller handed over.
    unsafe {
        words.write(argument);
        words.add(1).write(0);
        words.add(2).write(trampoline as *const () as usize + 1);
        words.add(3).write(entry as *const () as usize);
    }
    context
}

/// First instructions of every goroutine: `rbx` holds the argument, the word on top of the stack the function to call.
///
/// The return address is declared undefined, so that unwinders and debuggers stop here instead of reading beyond the stack's top.
#[unsafe(naked)]
extern "C" fn trampoline() -> ! {
    naked_asm!(
        ".cfi_startproc",
        ".cfi_undefined rip",
        // `prepare` goes on behind it: a return address is looked up one byte before it.
        "nop",
        "mov rdi, rbx",
        "pop rax",
        "xor ebp, ebp",
        "call rax",
        "ud2",
        ".cfi_endproc",
    )
}

/// Asks the processor for the cache line at `address`; any address will do, mapped or not.
#[inline(always)]
pub(crate) fn prefetch(address: usize) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: a prefetch is a hint; it never faults and changes nothing that a program can observe.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(address as *const i8) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    struct Pair {
        main: Cell<usize>,
        other: Cell<usize>,
        count: Cell<u32>,
    }

    extern "C" fn ping(argument: usize) -> ! {
        // SAFETY: the test passes the address of its `Pair`, which outlives this context.
        let pair = unsafe { &*(argument as *const Pair) };
        loop {
            pair.count.set(pair.count.get() + 1);
            // SAFETY: `main` was saved by the switch that brought us here.
            unsafe { switch(pair.other.as_ptr(), pair.main.get()) };
        }
    }

    #[test]
    fn two_stacks_take_turns_and_keep_their_locals() {
        let mut stack = vec![0_u128; 4096];
        let top = stack.as_mut_ptr_range().end as usize;
        let pair = Pair { main: Cell::new(0), other: Cell::new(0), count: Cell::new(0) };
        // SAFETY: the vector is ours and 16-aligned; `ping` never returns.
        pair.other.set(unsafe { prepare(top, ping, &raw const pair as usize) });
        for round in 1..=1000 {
            let before = round * 3;
            // SAFETY: `other` is the prepared context, later the one `ping` saved.
            unsafe { switch(pair.main.as_ptr(), pair.other.get()) };
            assert_eq!(pair.count.get(), round);
            assert_eq!(before, round * 3);
        }
    }
}

//! Calling a function as the thread beneath a goroutine: on that thread's own stack, with its thread pointer (in bound mode there is no other).
//!
//! The thread's stack is free below the context it saved when it switched to the goroutine: nothing lies there, and nobody will use it before
//! the goroutine switches back, which it cannot do before the call has returned. So one frame suffices:
//!
//! ```text
//!   goroutine's stack                     thread's stack
//!   caller                                run, execute (context saved at `stack`)
//!   call_as: rbp, rbx ───── rsp ────────▶ f
//! ```
//!
//! The frame's unwind description refers to `rbp`, which lies on the goroutine's stack: a backtrace taken in `f` goes on with the caller. An
//! unwinding must not: `f` catches every panic, and being `extern "C"` ends the process for whatever else might come through.
//!
//! A signal may arrive between any two instructions here. It finds either stack with room below `rsp`, and either thread pointer, both of which
//! are this thread's alone.

use std::arch::naked_asm;

/// Calls `f(argument)` on the stack whose free part ends at `stack`, with the thread block at `tp`; then both are what they were.
///
/// # Safety
/// `stack` is 16-aligned; below it lies a stack that nobody uses until this returns. `tp` is a thread block that nobody else uses until then,
/// and `identity::probe` has succeeded. `f` neither unwinds nor parks the goroutine that calls this.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn call_as(stack: usize, tp: usize, f: unsafe extern "C" fn(*mut ()), argument: *mut ()) {
    naked_asm!(
        ".cfi_startproc",
        "push rbp",
        ".cfi_def_cfa_offset 16",
        ".cfi_offset rbp, -16",
        "mov rbp, rsp",
        ".cfi_def_cfa_register rbp",
        "push rbx",
        ".cfi_offset rbx, -24",
        // `f` preserves rbx and rbp.
        "rdfsbase rbx",
        "mov rsp, rdi",
        "wrfsbase rsi",
        "mov rdi, rcx",
        "call rdx",
        "wrfsbase rbx",
        "lea rsp, [rbp - 8]",
        "pop rbx",
        "pop rbp",
        ".cfi_def_cfa rsp, 8",
        "ret",
        ".cfi_endproc",
    )
}

/// Calls `f(argument)` on the stack whose free part ends at `stack`, with the thread block that there is.
///
/// # Safety
/// As for [`call_as`], but for the thread block. If the stack is nobody else's whatever thread the goroutine continues on, `f` may park.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn call_on(stack: usize, f: unsafe extern "C" fn(*mut ()), argument: *mut ()) {
    naked_asm!(
        ".cfi_startproc",
        "push rbp",
        ".cfi_def_cfa_offset 16",
        ".cfi_offset rbp, -16",
        "mov rbp, rsp",
        ".cfi_def_cfa_register rbp",
        "mov rsp, rdi",
        "mov rdi, rdx",
        "call rsi",
        "mov rsp, rbp",
        "pop rbp",
        ".cfi_def_cfa rsp, 8",
        "ret",
        ".cfi_endproc",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::identity::tests::identity;
    use crate::sys::identity::thread_pointer;

    struct Seen {
        input: u32,
        frame: usize,
        tp: usize,
    }

    unsafe extern "C" fn look(seen: *mut ()) {
        let local = std::hint::black_box(0_u8);
        // SAFETY: the test passes a `Seen`.
        let seen = unsafe { &mut *seen.cast::<Seen>() };
        seen.frame = &raw const local as usize;
        seen.tp = thread_pointer();
        seen.input += 1;
    }

    #[test]
    fn the_function_runs_on_the_given_stack_and_the_caller_goes_on_with_its_own() {
        // For the look at FSGSBASE.
        identity();
        let mut memory = vec![0_u128; 4096];
        let range = memory.as_mut_ptr_range();
        let (bottom, top) = (range.start as usize, range.end as usize);
        let own = thread_pointer();
        let mut seen = Seen { input: 0, frame: 0, tp: 0 };
        for round in 1..=1000 {
            let kept = round * 7;
            // SAFETY: the vector is ours; the block is this thread's own; `look` neither unwinds nor parks.
            unsafe { call_as(top, own, look, (&raw mut seen).cast()) };
            assert_eq!((seen.input, seen.tp, thread_pointer()), (2 * round - 1, own, own));
            assert!((bottom..top).contains(&seen.frame), "on the other stack");
            assert_eq!(std::hint::black_box(kept), round * 7);
            // SAFETY: as above.
            unsafe { call_on(top, look, (&raw mut seen).cast()) };
            assert_eq!((seen.input, seen.tp), (2 * round, own));
            assert!((bottom..top).contains(&seen.frame), "on the other stack");
            assert_eq!(std::hint::black_box(kept), round * 7);
        }
    }
}

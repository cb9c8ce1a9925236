//! Thread identity: what makes a goroutine a thread to the compiler, std, libc and every crate.
//!
//! All of user space finds "the current thread" through one register, the thread pointer. It leads to a *thread block*: the thread-local
//! variables below it and the C library's own record of the thread at and above it. A goroutine that owns a block of its own and carries
//! the pointer with it may be resumed by any OS thread: addresses of thread-locals that the compiler keeps across a park stay right, and
//! `errno`, panic counts, owner ids and destructors follow. `docs/SOUNDNESS.md` says what that needs and where it ends.
//!
//! This module makes such blocks, resets them for the next goroutine and runs what has to run at a goroutine's end. It knows nothing of
//! stacks and goroutines. The implementation depends on the C library and the processor; where there is none, [`probe`] says so and why.
//!
//! Nothing is taken on trust: every offset is read from the C library's own descriptions or found by experiment, then the whole is tried
//! out on two threads before the first goroutine exists (`self_check`). Whatever is not as expected ends in [`Unavailable`].

#![cfg_attr(not(target_env = "gnu"), allow(dead_code, reason = "what only blocks need"))]

use super::{clock, raw};
use std::fmt;
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};

#[cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu", not(target_feature = "crt-static")))]
mod glibc_x86_64;
#[cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu", not(target_feature = "crt-static")))]
pub(crate) use glibc_x86_64::{Extras, Identity, MallocWords, on_thread_exit, probe};

// Compiled under test everywhere, so that it keeps up with the interface.
#[cfg(any(
    test,
    not(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu", not(target_feature = "crt-static")))
))]
#[cfg_attr(test, allow(dead_code))]
mod none;
#[cfg(not(all(
    target_os = "linux",
    target_arch = "x86_64",
    target_env = "gnu",
    not(target_feature = "crt-static")
)))]
pub(crate) use none::{Extras, Identity, MallocWords, on_thread_exit, probe};

#[cfg(test)]
pub(crate) mod tests;

/// Why goroutines cannot have thread blocks of their own in this process.
#[derive(Debug)]
pub(crate) struct Unavailable {
    reason: String,
    /// It could be had here, with more of something.
    is_shortage: bool,
}

impl Unavailable {
    pub(crate) fn new(reason: impl Into<String>) -> Unavailable {
        Unavailable { reason: reason.into(), is_shortage: false }
    }

    /// There is too little of something to find out.
    pub(crate) fn short(reason: impl Into<String>) -> Unavailable {
        Unavailable { reason: reason.into(), is_shortage: true }
    }

    /// What is missing.
    pub(crate) fn reason(&self) -> &str {
        &self.reason
    }

    pub(crate) fn is_shortage(&self) -> bool {
        self.is_shortage
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_shortage {
            return write!(
                f,
                "the runtime cannot find out whether goroutines can move between threads here: {}",
                self.reason
            );
        }
        write!(
            f,
            "goroutines cannot move between threads here, because {}; gort needs a 64-bit x86 processor and kernel with FSGSBASE \
             (Linux 5.9 or newer) and a dynamically linked glibc",
            self.reason
        )
    }
}

impl std::error::Error for Unavailable {}

/// How large a block says its stack is: the smallest that a thread can have, `PTHREAD_STACK_MIN`.
///
/// glibc puts a buffer on the stack if it takes no more than a quarter of that, and than 64 KiB (`__libc_alloca_cutoff`); 0 stands for unknown
/// and means 64 KiB. That would step over a small stack's guard, from safe code: a name with a thousand addresses is enough. It is the same
/// for all blocks, since `with_stack` puts frames on another stack, of any size.
pub(crate) const SAID_BYTES: usize = 16 << 10;

/// Thread ids for blocks start above the largest id the kernel gives out (PID_MAX_LIMIT), so that none is ever a real thread's.
const FIRST_TID: i32 = 1 << 22;
/// And end below what fits beside the flag bits of a futex word that names its owner (FUTEX_TID_MASK).
const TID_LIMIT: i32 = 1 << 30;

/// A thread id that no kernel thread and no other block of this process has.
///
/// Recursive, error-checking and robust mutexes of the C library compare it, so two live goroutines must differ. It belongs to the *block*,
/// not to the goroutine: a block that is used again keeps its id, as a kernel reuses ids of threads that have ended. Blocks are never given
/// back, so an id would only repeat with more than a billion of them, which no address space holds. (An id per goroutine would cost a
/// shared counter per start and repeat within minutes, while long-lived goroutines still hold the first ones.)
///
/// Processes that share such a mutex compare ids, too. Each counts from a point of its own, drawn at random: that two of them meet is unlikely,
/// not impossible.
pub(crate) fn next_tid() -> i32 {
    static NEXT: AtomicI32 = AtomicI32::new(NONE);
    const NONE: i32 = 0;
    // Relaxed, here and below: only the value counts, and the read-modify-write makes it unique.
    if NEXT.load(Relaxed) == NONE {
        // Another thread's point is as good.
        let _ = NEXT.compare_exchange(NONE, random_tid(), Relaxed, Relaxed);
    }
    let step = |tid: i32| Some(if tid + 1 < TID_LIMIT { tid + 1 } else { FIRST_TID });
    NEXT.fetch_update(Relaxed, Relaxed, step).unwrap_or(FIRST_TID)
}

/// Any of the ids. Not from the random bytes that the kernel gives a program at its start: a child forked before the first goroutine has the same.
fn random_tid() -> i32 {
    let mut random = [0_u8; 4];
    let (at, bytes) = (random.as_mut_ptr() as usize, random.len());
    // SAFETY: the kernel writes at most so many bytes.
    let drawn = unsafe { raw::syscall3(libc::SYS_getrandom, at, bytes, libc::GRND_NONBLOCK as usize) };
    let random = match drawn {
        Ok(4) => u32::from_ne_bytes(random),
        // Early at boot, or refused: different, if not random.
        _ => (clock::now_ns() as u32) ^ std::process::id().wrapping_mul(0x9E37_79B9),
    };
    FIRST_TID + (random % (TID_LIMIT - FIRST_TID).cast_unsigned()).cast_signed()
}

/// The thread pointer: the address of the current thread block.
///
/// Only after [`probe`] has succeeded: the instruction faults where the kernel has not enabled it.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) fn thread_pointer() -> usize {
    let tp: usize;
    // SAFETY: the instruction reads one register. It is deliberately not `pure`: two reads around a switch may differ.
    unsafe { core::arch::asm!("rdfsbase {}", out(reg) tp, options(nomem, nostack, preserves_flags)) };
    tp
}

/// Makes the block at `tp` the current one.
///
/// # Safety
/// [`probe`] has succeeded and `tp` is a block made by [`Identity::make`], or the OS thread's own, that no other thread uses until this one
/// sets another. The calling function must not touch thread-locals (the compiler may have computed their addresses before).
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) unsafe fn set_thread_pointer(tp: usize) {
    // SAFETY: the caller vouches for the block. Without `nomem` the compiler keeps memory accesses on their side of the change.
    unsafe { core::arch::asm!("wrfsbase {}", in(reg) tp, options(nostack, preserves_flags)) };
}

/// Calls `f(argument)` with the block at `tp` as the current one, then goes back to the one before.
///
/// # Safety
/// As for [`set_thread_pointer`], for as long as `f` runs; and whatever `f` itself asks for. `f` must neither unwind nor park.
#[cfg(target_arch = "x86_64")]
#[inline(never)]
pub(crate) unsafe fn call_with_thread_pointer(tp: usize, f: unsafe extern "C" fn(*mut ()), argument: *mut ()) {
    let own = thread_pointer();
    // One block from change to change, so that nothing of the compiler's can come in between. r12 is preserved by the callee; the stack is
    // aligned for a call because the block is not `nostack`.
    // SAFETY: the caller vouches for `tp` and `f`; `own` is what was current.
    unsafe {
        core::arch::asm!(
            "wrfsbase {tp}",
            "call {f}",
            "wrfsbase r12",
            tp = in(reg) tp,
            f = in(reg) f,
            in("rdi") argument,
            in("r12") own,
            clobber_abi("C"),
        );
    }
}

/// Elsewhere `probe` fails, so that none of these is ever called.
#[cfg(not(target_arch = "x86_64"))]
mod pointer {
    pub(crate) fn thread_pointer() -> usize {
        0
    }

    /// # Safety
    /// Never called.
    pub(crate) unsafe fn set_thread_pointer(_: usize) {}

    /// # Safety
    /// Never called.
    pub(crate) unsafe fn call_with_thread_pointer(_: usize, _: unsafe extern "C" fn(*mut ()), _: *mut ()) {}
}
#[cfg(not(target_arch = "x86_64"))]
pub(crate) use pointer::{call_with_thread_pointer, set_thread_pointer, thread_pointer};

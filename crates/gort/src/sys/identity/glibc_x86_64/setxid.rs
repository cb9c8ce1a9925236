//! setuid and its family while goroutines run.
//!
//! To the kernel credentials belong to threads, to POSIX they belong to the process. So glibc's `setuid`, `setgid`, `setgroups` and so on send
//! a signal to every thread it knows, whose handler makes the same system call and then answers *in the record of the current thread
//! pointer*. On an M that runs a goroutine that is the goroutine's, while the caller waits for an answer in the M's: for ever.
//!
//! The cure is a handler in front of glibc's that takes the thread's own thread pointer for as long as glibc's runs. It may interrupt any
//! instruction on any thread, in the scheduler too, so it asks the one who always knows which record is the thread's: the kernel, which was
//! told by glibc where the thread's list of robust mutexes lies, which is inside that record. (Unless somebody has told it of another list: so the
//! record is looked at first, with the kernel's eyes, as there may be nothing.)
//!
//! A goroutine that calls `setuid` is itself not in glibc's list, but its M is and is sent the signal: the M's thread makes the system call
//! twice, in the handler and as the caller. These calls set credentials to given values, which is always allowed to who has them already.
//!
//! Rejected: looking for the M by its kernel id in the scheduler's table (works, but this layer knows no Ms, and a thread that is just being
//! started is not there yet); asking the kernel which word it clears when the thread ends (it was the tid, but no longer is in glibc 2.43);
//! sending the signal to goroutines (the kernel does not know them).

use super::super::{Unavailable, call_with_thread_pointer, thread_pointer};
use super::block::header;
use super::symbols::{Offsets, ROBUST_HEAD_AFTER_TID};
use crate::sys::fault::{abort, write_stderr};
use crate::sys::raw;
use crate::sys::thread::gettid;
use std::ffi::{c_int, c_void};
use std::sync::atomic::{
    AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};

/// glibc's signal for it. `sigaction` of libc refuses the number, since it is libc's own.
const SIGSETXID: usize = 33;
/// What the kernel takes for the size of a signal set.
const SIGNAL_SET_BYTES: usize = 8;

/// The kernel's `sigaction` on x86-64.
#[repr(C)]
#[derive(Default)]
struct Action {
    handler: usize,
    flags: usize,
    restorer: usize,
    mask: u64,
}

type Handler = unsafe extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);

/// glibc's handler.
static NEXT: AtomicUsize = AtomicUsize::new(0);
/// The place of the tid in a thread's record.
static TID: AtomicUsize = AtomicUsize::new(0);

/// Puts our handler in front of glibc's, once per process. At least one thread has been started before, since that is when glibc installs its.
pub(super) fn install(offsets: &Offsets) -> Result<(), Unavailable> {
    let mut action = Action::default();
    let ours = handle as Handler as usize;
    let refused = |cause: &dyn std::fmt::Display| {
        Unavailable::new(format!("the handler of glibc's signal for setuid cannot be had ({cause})"))
    };
    // SAFETY: the kernel writes its struct of that size.
    unsafe { raw::syscall4(libc::SYS_rt_sigaction, SIGSETXID, 0, &raw mut action as usize, SIGNAL_SET_BYTES) }
        .map_err(|errno| refused(&errno))?;
    if action.handler == ours {
        return Ok(());
    }
    if action.handler == libc::SIG_DFL
        || action.handler == libc::SIG_IGN
        || action.flags & libc::SA_SIGINFO as usize == 0
    {
        return Err(refused(&"there is none of the known kind"));
    }
    // Relaxed: published by `NEXT`.
    TID.store(offsets.tid, Relaxed);
    // Release: pairs with the Acquire in `handle`.
    NEXT.store(action.handler, Release);
    action.handler = ours;
    // A goroutine's stack may be nearly full; threads without a stack for signals use what they are on, as before.
    action.flags |= libc::SA_ONSTACK as usize;
    // SAFETY: glibc's own action with another handler of the same type, which is async-signal-safe; its restorer came with it.
    unsafe { raw::syscall4(libc::SYS_rt_sigaction, SIGSETXID, &raw const action as usize, 0, SIGNAL_SET_BYTES) }
        .map_err(|errno| refused(&errno))?;
    Ok(())
}

/// Whether the word at an address that may not exist is this one: the kernel would wait, for no time.
fn is_word(address: usize, word: u32) -> bool {
    let none = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let operation = (libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG) as usize;
    // SAFETY: reads a word if it is there, and the time.
    let outcome =
        unsafe { raw::syscall4(libc::SYS_futex, address, operation, word as usize, &raw const none as usize) };
    // A signal that is caught meanwhile says that it has waited, too.
    matches!(outcome, Err(raw::Errno(libc::ETIMEDOUT | libc::EINTR)))
}

/// Whether `block` is the record of the kernel's thread `tid`.
fn is_block_of(block: usize, tid: u32, tid_offset: usize) -> bool {
    let words = [(header::SELF, block as u32), (header::SELF + 4, (block >> 32) as u32), (tid_offset, tid)];
    block.is_multiple_of(16) && words.iter().all(|&(at, word)| is_word(block.wrapping_add(at), word))
}

/// The thread block that glibc made for the kernel's thread, whatever the thread pointer is now. Raw system calls only.
fn own_block(tid_offset: usize) -> Option<usize> {
    let (current, tid) = (thread_pointer(), gettid());
    // SAFETY: the word of the current block. A goroutine has an id that no thread has.
    if unsafe { ((current + tid_offset) as *const u32).read_volatile() } == tid {
        return Some(current);
    }
    let (mut head, mut length) = (0_usize, 0_usize);
    // SAFETY: the kernel writes two words.
    let asked =
        unsafe { raw::syscall3(libc::SYS_get_robust_list, 0, &raw mut head as usize, &raw mut length as usize) };
    let block = head.wrapping_sub(ROBUST_HEAD_AFTER_TID + tid_offset);
    (asked.is_ok() && is_block_of(block, tid, tid_offset)).then_some(block)
}

struct Arguments {
    next: Handler,
    signal: c_int,
    info: *mut libc::siginfo_t,
    context: *mut c_void,
}

/// # Safety
/// `arguments` is what `handle` passes.
unsafe extern "C" fn pass_on(arguments: *mut ()) {
    // SAFETY: as above; the handler is glibc's, with the kernel's arguments.
    unsafe {
        let Arguments { next, signal, info, context } = arguments.cast::<Arguments>().read();
        next(signal, info, context);
    }
}

/// Touches no thread-local of either block.
unsafe extern "C" fn handle(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // Acquire: pairs with the Release in `install`.
    let next = NEXT.load(Acquire);
    // SAFETY: `install` stored a handler of this type before it installed this one.
    let next = unsafe { std::mem::transmute::<usize, Handler>(next) };
    // Relaxed: published by `NEXT`.
    let Some(own) = own_block(TID.load(Relaxed)) else {
        write_stderr(
            b"gort: the kernel does not say whose thread this is (get_robust_list fails, or set_robust_list was called), so setuid and its \
            family would wait for ever while goroutines run; call them before gort is first used\n",
        );
        abort()
    };
    if own == thread_pointer() {
        // SAFETY: the kernel's arguments.
        return unsafe { next(signal, info, context) };
    }
    let mut arguments = Arguments { next, signal, info, context };
    // SAFETY: the block is this thread's own, unused while a goroutine's is current: the handler interrupts this thread, which is the only one
    // that could use it. glibc's handler neither unwinds nor parks.
    unsafe { call_with_thread_pointer(own, pass_on, (&raw mut arguments).cast()) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::identity::tests::identity;

    #[test]
    fn the_kernel_knows_the_block_of_every_thread() {
        let offset = identity().offsets.tid;
        assert_eq!(own_block(offset), Some(thread_pointer()));
        std::thread::spawn(move || assert_eq!(own_block(offset), Some(thread_pointer()))).join().unwrap();
        crate::go(move || {
            let own = own_block(offset).unwrap();
            assert_ne!(own, thread_pointer(), "a goroutine's block is not the kernel's business");
            assert_eq!(crate::host(thread_pointer), own);
        })
        .join()
        .unwrap();
    }
}

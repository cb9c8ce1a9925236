//! A goroutine's own stack for signal handlers (`sigaltstack`).
//!
//! To the kernel it is the thread's, while its memory is the goroutine's: crates that want a larger one than there is (wasmtime) keep it in a
//! thread-local that unmaps it at the end. Left with the M, handlers of others would run on it, and go on doing so when something else lies there.
//!
//! So the program gets a `sigaltstack` of its own, in front of libc's. One that a goroutine sets follows it: when it leaves, the M gets back what it
//! had, and when it is resumed, on whatever M, its own is set again: two system calls for each park, for those who did that. Each M has 256 KiB of its own
//! (`sys::fault`), which most find large enough.
//!
//! Which stack an M has is not the goroutine's business: by the time it puts "the old one" back, it may be on another. So it is told of a place where
//! nobody can have one, [`OURS`], which means the M's own when it comes back. Inside [`host`](crate::host()), on plain threads and in bound mode, where
//! nobody moves, all of this is libc's function.
//!
//! Raw system calls are not noticed.

use super::fixed;
use super::m::M;
use crate::g::G;
use crate::spawn::me;
use crate::stack::control;
use crate::sys::fault::{alt_stack, exchange};
use crate::sys::raw::{self, Errno};
use std::ffi::c_int;

/// The upper half of the address space is the kernel's: who uses it by a way past this file gets a fault, and nothing worse.
const OURS: usize = 0xffff_f000_0000_0000;

/// What a goroutine is told of its M's.
fn seen(own: libc::stack_t) -> libc::stack_t {
    if own.ss_flags & libc::SS_DISABLE != 0 {
        return own;
    }
    libc::stack_t { ss_sp: OURS as *mut _, ..own }
}

/// `sigaltstack` of the goroutine that runs on `m`.
fn of_goroutine(m: &M, new: Option<&libc::stack_t>) -> Result<libc::stack_t, Errno> {
    let beneath = m.signal_stack.get();
    let had = match (new, beneath) {
        (None, _) => alt_stack()?,
        (Some(new), None) if new.ss_sp as usize == OURS => alt_stack()?,
        (Some(new), Some(beneath)) if new.ss_sp as usize == OURS => {
            let had = exchange(&beneath)?;
            m.lends_signals.set(false);
            m.signal_stack.set(None);
            had
        }
        (Some(new), _) => {
            let had = exchange(new)?;
            m.signal_stack.set(beneath.or(Some(had)));
            m.lends_signals.set(true);
            had
        }
    };
    Ok(if beneath.is_some() { had } else { seen(had) })
}

/// In front of libc's function of that name; see the head of this file.
///
/// # Safety
/// As for libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn sigaltstack(new: *const libc::stack_t, old: *mut libc::stack_t) -> c_int {
    let outcome = match me().filter(|_| fixed().identity.is_some()) {
        // SAFETY: the goroutine that calls this; the caller's arguments.
        Some(g) => unsafe { of_goroutine(M::of(g), new.as_ref()) }.map(|had| {
            if !old.is_null() {
                // SAFETY: the caller's argument.
                unsafe { old.write(had) };
            }
        }),
        // SAFETY: the caller's arguments.
        None => unsafe { raw::syscall2(libc::SYS_sigaltstack, new as usize, old as usize) }.map(drop),
    };
    match outcome {
        Ok(()) => 0,
        Err(Errno(errno)) => {
            // SAFETY: the caller's errno.
            unsafe { *libc::__errno_location() = errno };
            -1
        }
    }
}

/// Switches away from a goroutine that has a stack of its own for signals, and that will find it again.
///
/// # Safety
/// As for [`control::leave`], with the words of `g` and of `m`, on which it runs.
#[cold]
#[inline(never)]
pub(super) unsafe fn leave(m: &'static M, g: &'static G) {
    m.lends_signals.set(false);
    // Refused to who parks inside a handler, on that very stack; nobody may.
    let own = m.signal_stack.take().and_then(|beneath| exchange(&beneath).ok());
    // SAFETY: passed on.
    unsafe { control::leave(g.rsp.as_ptr(), m.rsp.get()) };
    if let Some(own) = own {
        // SAFETY: the goroutine itself, resumed.
        let m = unsafe { M::of(g) };
        // A stack that is there or, as on a thread, no longer.
        m.signal_stack.set(exchange(&own).ok());
        m.lends_signals.set(m.signal_stack.get().is_some());
    }
}

/// Makes sure that the linker takes this file's function before it comes to libc's: something that every program uses has to refer to it.
pub(super) fn keep() {
    std::hint::black_box(sigaltstack as unsafe extern "C" fn(*const libc::stack_t, *mut libc::stack_t) -> c_int);
}

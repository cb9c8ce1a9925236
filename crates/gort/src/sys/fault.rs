//! Memory faults: the signal handler that asks whether a fault is ours, and the stack it runs on.
//!
//! A goroutine that overflows its stack faults in its guard with no stack left, so the handler needs one of its own; each M gets it from
//! [`thread_alt_stack`]. Whatever is not ours goes on to the handler that was installed before, std's in most programs, which reports
//! overflows of ordinary threads.
//!
//! Everything here runs inside a signal handler, possibly with a goroutine's thread pointer, possibly in the middle of malloc: raw system
//! calls, no allocation, no lock, no thread-local.

use super::raw::{self, Errno};
use super::stackmem;
use std::cell::UnsafeCell;
use std::ffi::{c_int, c_void};
use std::io;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{
    AtomicBool, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};

/// Is told the address of each fault. Does not return if the fault is its business.
pub(crate) type Look = fn(address: usize);

const SIGNALS: [c_int; 2] = [libc::SIGSEGV, libc::SIGBUS];
/// The cause of a fault is the kernel's: a general protection fault, which knows no address, or a frame that it could not write.
const SI_KERNEL: c_int = 0x80;
/// The processor's number for a general protection fault: an address that cannot be one, an instruction that is not for us.
const PROTECTION_FAULT: i64 = 13;
/// What the kernel takes for the size of a signal set.
const SIGNAL_SET_BYTES: usize = 8;

/// What was installed before us.
struct Previous([UnsafeCell<MaybeUninit<libc::sigaction>>; SIGNALS.len()]);

// SAFETY: written by `install` before `INSTALLED`, read after it.
unsafe impl Sync for Previous {}

static PREVIOUS: Previous = Previous([const { UnsafeCell::new(MaybeUninit::uninit()) }; SIGNALS.len()]);
static LOOK: AtomicUsize = AtomicUsize::new(0);
static STARTED: AtomicBool = AtomicBool::new(false);
static INSTALLED: AtomicBool = AtomicBool::new(false);
/// What the kernel needs of a stack to call a handler on it.
static FRAME_BYTES: AtomicUsize = AtomicUsize::new(0);

/// Below the stack pointer, and in use: the ABI's.
const RED_ZONE_BYTES: usize = 128;

/// Installs the handler, once per process; later calls change nothing.
///
/// # Errors
/// The system's, if it refuses the handler.
pub(crate) fn install(look: Look) -> io::Result<()> {
    // Relaxed: only who was first counts.
    if STARTED.swap(true, Relaxed) {
        return Ok(());
    }
    // Relaxed: published by the installation itself, before which no handler of ours runs.
    LOOK.store(look as usize, Relaxed);
    // SAFETY: reads a word of the auxiliary vector; 0 on kernels that do not say.
    let frame_bytes = unsafe { libc::getauxval(libc::AT_MINSIGSTKSZ) } as usize;
    FRAME_BYTES.store(frame_bytes.max(libc::MINSIGSTKSZ) + RED_ZONE_BYTES, Relaxed);
    // SAFETY: zeros are a valid sigaction.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handle as *const () as usize;
    // NODEFER: a second fault, inside the handler, shall come here again and be reported, instead of ending the process without a word.
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
    for (signal, previous) in SIGNALS.into_iter().zip(&PREVIOUS.0) {
        // SAFETY: the previous action is written before it can be read: see `INSTALLED`.
        if unsafe { libc::sigaction(signal, ptr::null(), previous.get().cast()) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    // Release: pairs with the Acquire in `chain`.
    INSTALLED.store(true, Release);
    for signal in SIGNALS {
        // SAFETY: a handler of the right type, which is async-signal-safe.
        if unsafe { libc::sigaction(signal, &action, ptr::null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

unsafe extern "C" fn handle(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes a valid record.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr() as usize) };
    // Not one that somebody has sent.
    if code > 0 {
        // Relaxed: set before the handler was installed.
        let look = LOOK.load(Relaxed);
        // SAFETY: `install` stored a function of this type.
        let look: Look = unsafe { std::mem::transmute::<usize, Look>(look) };
        look(match code {
            // The kernel does not say where. Perhaps it had no room to call a handler for another signal, which wants no stack of its own.
            // SAFETY: the kernel passes a valid record.
            SI_KERNEL if unsafe { register(context, libc::REG_TRAPNO) } != PROTECTION_FAULT => {
                // SAFETY: as above. Relaxed: set before the handler was installed.
                let stack = unsafe { register(context, libc::REG_RSP) } as usize;
                stack.saturating_sub(FRAME_BYTES.load(Relaxed))
            }
            _ => address,
        });
    }
    // SAFETY: the kernel's arguments.
    unsafe { chain(signal, info, context) };
}

/// What the interrupted code had in this register.
///
/// # Safety
/// The last argument of a signal handler.
unsafe fn register(context: *mut c_void, register: c_int) -> i64 {
    // SAFETY: the caller's promise.
    unsafe { (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs[register as usize] }
}

/// Does what would have happened without us.
///
/// # Safety
/// The arguments of a signal handler.
unsafe fn chain(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // Acquire: pairs with the Release in `install`.
    if !INSTALLED.load(Acquire) {
        return default(signal, info);
    }
    let previous = &PREVIOUS.0[usize::from(signal != SIGNALS[0])];
    // SAFETY: written before INSTALLED, never again.
    let previous = unsafe { (*previous.get()).assume_init_ref() };
    match previous.sa_sigaction {
        // A fault cannot be ignored: the instruction would fault for ever, so the kernel ends the process as for the default.
        libc::SIG_DFL | libc::SIG_IGN => default(signal, info),
        handler => {
            // The handler expects the signals blocked that it was installed with. The kernel restores the mask when we return.
            let mut mask = first_word(&previous.sa_mask);
            if previous.sa_flags & libc::SA_NODEFER == 0 {
                mask |= 1 << (signal - 1);
            }
            block(mask);
            if previous.sa_flags & libc::SA_SIGINFO != 0 {
                // SAFETY: a handler of this type was installed.
                let handler = unsafe {
                    std::mem::transmute::<usize, unsafe extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void)>(
                        handler,
                    )
                };
                // SAFETY: the kernel's arguments.
                unsafe { handler(signal, info, context) };
            } else {
                // SAFETY: as above.
                let handler = unsafe { std::mem::transmute::<usize, unsafe extern "C" fn(c_int)>(handler) };
                // SAFETY: as above.
                unsafe { handler(signal) };
            }
        }
    }
}

/// The default action: the fault comes again when we return, at the same instruction, and dumps core there. A signal that somebody sent
/// does not come again by itself.
fn default(signal: c_int, info: *mut libc::siginfo_t) {
    set_default(signal);
    // SAFETY: the kernel's record.
    if unsafe { (*info).si_code } <= 0 {
        raise(signal);
    }
}

/// The kernel's `sigset_t` is the first word of libc's.
fn first_word(set: &libc::sigset_t) -> u64 {
    // SAFETY: a sigset_t is at least one word.
    unsafe { ptr::from_ref(set).cast::<u64>().read() }
}

fn block(mask: u64) {
    let how = libc::SIG_BLOCK as usize;
    // SAFETY: reads one word.
    unsafe { raw::syscall4(libc::SYS_rt_sigprocmask, how, ptr::from_ref(&mask) as usize, 0, SIGNAL_SET_BYTES) }.ok();
}

fn set_default(signal: c_int) {
    // The kernel's struct: handler, flags, restorer, mask.
    let action = [0_usize; 4];
    let at = ptr::from_ref(&action) as usize;
    // SAFETY: reads the struct, which asks for the default action.
    unsafe { raw::syscall4(libc::SYS_rt_sigaction, signal as usize, at, 0, SIGNAL_SET_BYTES) }.ok();
}

fn raise(signal: c_int) {
    // SAFETY: sends a signal to the calling thread.
    unsafe {
        let (process, thread) = (raw::syscall0(libc::SYS_getpid), raw::syscall0(libc::SYS_gettid));
        if let (Ok(process), Ok(thread)) = (process, thread) {
            raw::syscall3(libc::SYS_tgkill, process, thread, signal as usize).ok();
        }
    }
}

/// Ends the process by SIGABRT, whatever the program has made of that signal. For use after a message.
pub(crate) fn abort() -> ! {
    set_default(libc::SIGABRT);
    let mask: u64 = 1 << (libc::SIGABRT - 1);
    let how = libc::SIG_UNBLOCK as usize;
    // SAFETY: reads one word.
    unsafe { raw::syscall4(libc::SYS_rt_sigprocmask, how, ptr::from_ref(&mask) as usize, 0, SIGNAL_SET_BYTES) }.ok();
    raise(libc::SIGABRT);
    loop {
        // The signal has ended us; a tracer may have taken it away.
        // SAFETY: ends the process.
        unsafe { raw::syscall1(libc::SYS_exit_group, 134) }.ok();
    }
}

/// Writes to standard error, from wherever.
pub(crate) fn write_stderr(mut text: &[u8]) {
    while !text.is_empty() {
        // SAFETY: the kernel reads the text.
        match unsafe { raw::syscall3(libc::SYS_write, 2, text.as_ptr() as usize, text.len()) } {
            Ok(written) if written > 0 => text = &text[written.min(text.len())..],
            Err(Errno::INTR) => {}
            _ => return,
        }
    }
}

/// A thread's stack for signal handlers, with a guard; dropping it gives the thread back what it had before.
#[derive(Debug)]
pub(crate) struct AltStack {
    base: usize,
    bytes: usize,
    previous: libc::stack_t,
    /// Belongs to the thread that made it.
    not_send: PhantomData<*const ()>,
}

const ALT_STACK_BYTES: usize = 256 << 10;

/// Gives the calling thread its own stack for signal handlers.
///
/// 256 KiB, of which only what handlers use becomes memory: those of the program and of other libraries run there too, and who wants more than a thread
/// has (wasmtime that much) makes one of his own.
///
/// # Errors
/// Out of memory.
pub(crate) fn thread_alt_stack() -> io::Result<AltStack> {
    // SAFETY: reads a word of the auxiliary vector; 0 on kernels that do not say.
    let least = unsafe { libc::getauxval(libc::AT_MINSIGSTKSZ) } as usize;
    let usable = (least + ALT_STACK_BYTES / 2).max(ALT_STACK_BYTES).next_multiple_of(stackmem::PAGE);
    let bytes = stackmem::PAGE + usable;
    let base = stackmem::reserve(bytes, stackmem::PAGE)?;
    let made = stackmem::guard(base, stackmem::PAGE).and_then(|()| {
        let stack = libc::stack_t { ss_sp: (base + stackmem::PAGE) as *mut c_void, ss_flags: 0, ss_size: usable };
        exchange(&stack)
    });
    match made {
        Ok(previous) => Ok(AltStack { base, bytes, previous, not_send: PhantomData }),
        Err(errno) => {
            stackmem::release(base, bytes);
            Err(errno.into())
        }
    }
}

/// Gives the calling thread this stack for signal handlers; returns the one it had.
pub(crate) fn exchange(stack: &libc::stack_t) -> Result<libc::stack_t, Errno> {
    exchange_at(stack)
}

/// The stack for signal handlers that the calling thread has.
pub(crate) fn alt_stack() -> Result<libc::stack_t, Errno> {
    exchange_at(ptr::null())
}

fn exchange_at(stack: *const libc::stack_t) -> Result<libc::stack_t, Errno> {
    let mut previous = libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };
    let (new, old) = (stack as usize, ptr::from_mut(&mut previous) as usize);
    // SAFETY: the kernel reads one, unless it is null, and writes the other.
    unsafe { raw::syscall2(libc::SYS_sigaltstack, new, old) }?;
    Ok(previous)
}

impl Drop for AltStack {
    fn drop(&mut self) {
        if exchange(&self.previous).is_ok() {
            stackmem::release(self.base, self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn current() -> (usize, usize, c_int) {
        let mut stack = libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: 0, ss_size: 0 };
        // SAFETY: the kernel writes what the thread has now.
        assert_eq!(unsafe { libc::sigaltstack(ptr::null(), &mut stack) }, 0);
        (stack.ss_sp as usize, stack.ss_size, stack.ss_flags)
    }

    #[test]
    fn an_alternate_stack_is_the_threads_until_it_is_dropped() {
        let before = current();
        let ours = thread_alt_stack().unwrap();
        let (base, bytes, flags) = current();
        assert_eq!((base, flags), (ours.base + stackmem::PAGE, 0));
        assert!(bytes >= ALT_STACK_BYTES);
        drop(ours);
        assert_eq!(current(), before);
    }
}

//! Signals that somebody waits for.
//!
//! The handler interrupts any thread at any instruction, on whatever thread pointer it has, possibly a goroutine's. So it counts the signal and rings
//! a bell, an eventfd: one atomic operation and one raw system call; no errno, no thread-local, no allocation, no lock. It runs on the alternate signal
//! stack if the thread has one, since a goroutine's own may be nearly full, and interrupted calls are restarted.
//!
//! Nothing is read from the bell. Whoever waits has a descriptor of its own for it, and each ring is an event for each of them; what has come stands in
//! the counts. So signals are told apart without loss, and none waits behind another.
//!
//! The bell stays for the rest of the process: a handler may be about to ring it on any thread.

use super::raw::{self, Errno};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::ptr::null_mut;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicI32, AtomicU64};

/// The highest number of a signal. They begin with 1.
pub(crate) const LAST: i32 = 64;

static COUNTS: [AtomicU64; LAST as usize + 1] = [const { AtomicU64::new(0) }; LAST as usize + 1];

const NO_BELL: RawFd = -1;
static BELL: AtomicI32 = AtomicI32::new(NO_BELL);

extern "C" fn handler(signal: libc::c_int) {
    let Some(count) = COUNTS.get(signal as usize) else { return };
    // Release: pairs with `count`: who sees it, and not only hears the bell, sees what the sender did before.
    count.fetch_add(1, Release);
    let one = 1_u64;
    // An error means that the bell has been rung as often as it can be, so nobody is asleep.
    // Relaxed: the bell was there before the handler was installed.
    // SAFETY: the kernel reads eight bytes of a live number.
    let _ = unsafe {
        raw::syscall3(libc::SYS_write, BELL.load(Relaxed) as usize, (&raw const one) as usize, size_of::<u64>())
    };
}

/// How often the signal has come. Rings after it has changed.
pub(crate) fn count(signal: i32) -> u64 {
    // Acquire: see the handler.
    COUNTS[signal as usize].load(Acquire)
}

/// A descriptor that becomes readable with each signal anew; closed on exec.
pub(crate) fn hear() -> Result<OwnedFd, Errno> {
    if BELL.load(Acquire) == NO_BELL {
        let flags = libc::EFD_NONBLOCK | libc::EFD_CLOEXEC;
        // SAFETY: no memory is involved; success gives a new descriptor.
        let new = unsafe { raw::syscall2(libc::SYS_eventfd2, 0, flags as usize) }? as RawFd;
        // AcqRel: the handler is installed after this.
        if BELL.compare_exchange(NO_BELL, new, AcqRel, Acquire).is_err() {
            // SAFETY: ours, and somebody else's is the bell.
            drop(unsafe { OwnedFd::from_raw_fd(new) });
        }
    }
    super::socket::dup_cloexec(BELL.load(Acquire))
}

/// What is done about a signal.
pub(crate) struct Action(libc::sigaction);

impl Action {
    /// What is done now.
    ///
    /// # Errors
    /// `InvalidInput` for a number that the C library does not give to anybody.
    pub(crate) fn of(signal: i32) -> io::Result<Self> {
        let mut current = MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: only asks; the answer goes into a live sigaction, for which all zero was valid already.
        unsafe {
            match libc::sigaction(signal, null_mut(), current.as_mut_ptr()) {
                0 => Ok(Self(current.assume_init())),
                _ => Err(io::Error::last_os_error()),
            }
        }
    }

    fn simple(handler: libc::sighandler_t) -> Self {
        // SAFETY: all zero is a valid sigaction: empty mask, no flags, default handler.
        let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
        action.sa_sigaction = handler;
        action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
        Self(action)
    }

    /// It is counted, and the bell rung. There must be one.
    pub(crate) fn notice() -> Self {
        Self::simple(handler as extern "C" fn(libc::c_int) as libc::sighandler_t)
    }

    /// Nothing is done.
    pub(crate) fn ignore() -> Self {
        Self::simple(libc::SIG_IGN)
    }

    pub(crate) fn is_ignore(&self) -> bool {
        self.0.sa_sigaction == libc::SIG_IGN
    }

    pub(crate) fn is_notice(&self) -> bool {
        self.0.sa_sigaction == Self::notice().0.sa_sigaction
    }

    /// Makes this what is done from here on: what was sent before is still answered by what was done until now.
    ///
    /// The kernel looks up what is done when a thread takes the signal, which for one that was sent to the process may be later. So the calling thread takes
    /// first what has come.
    pub(crate) fn set_after_pending(&self, signal: i32) -> io::Result<()> {
        let (mut only, mut before) = (MaybeUninit::uninit(), MaybeUninit::uninit());
        // SAFETY: the first call makes the set, the second one adds a number that the kernel or libc checks, the others read both and fill `before`.
        // A change of its mask makes a thread look at what waits for the whole process, and it takes that before the call that lets it through returns.
        unsafe {
            libc::sigemptyset(only.as_mut_ptr());
            libc::sigaddset(only.as_mut_ptr(), signal);
            libc::pthread_sigmask(libc::SIG_BLOCK, only.as_ptr(), before.as_mut_ptr());
            libc::pthread_sigmask(libc::SIG_UNBLOCK, only.as_ptr(), null_mut());
        }
        let set = self.set(signal);
        // SAFETY: filled by the first change.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), null_mut()) };
        set
    }

    /// Makes this what is done.
    pub(crate) fn set(&self, signal: i32) -> io::Result<()> {
        // SAFETY: the action is one that was asked for, or `simple`: its handler may be called at any time.
        match unsafe { libc::sigaction(signal, &self.0, null_mut()) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl std::fmt::Debug for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Action").field("handler", &self.0.sa_sigaction).finish_non_exhaustive()
    }
}

//! The standard streams' descriptors, which belong to other processes as well.

use super::raw::{self, Errno};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// Another open file description of what is behind `fd`, for reading or writing only, non-blocking and closed on exec. For terminals and pipes.
pub(crate) fn reopen(fd: RawFd, writes: bool) -> Result<OwnedFd, Errno> {
    let path = format!("/proc/self/fd/{fd}\0");
    let access = if writes { libc::O_WRONLY } else { libc::O_RDONLY };
    let flags = access | libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOCTTY;
    let at = libc::AT_FDCWD as usize;
    // SAFETY: the kernel reads a live path that ends with a zero; success gives a new descriptor.
    unsafe {
        let opened = raw::syscall4(libc::SYS_openat, at, path.as_ptr() as usize, flags as usize, 0)?;
        Ok(OwnedFd::from_raw_fd(opened as RawFd))
    }
}

/// Whether `fd` is a pipe or a terminal: what can be opened once more and is the same then. Other devices have a state for each open file, and the side of a
/// terminal that stands for the person (`/dev/ptmx`) would be another terminal.
pub(crate) fn can_be_reopened(fd: RawFd) -> bool {
    super::copy::is_pipe(fd).unwrap_or(false) || settings(fd).is_ok() && !is_persons_side(fd)
}

/// Whether a read of this terminal gives up by itself, after a time without a byte: as an open file that is non-blocking it does not.
pub(crate) fn has_timer(fd: RawFd) -> bool {
    settings(fd).is_ok_and(|settings| {
        settings.c_lflag & libc::ICANON == 0 && settings.c_cc[libc::VMIN] == 0 && settings.c_cc[libc::VTIME] > 0
    })
}

/// Those of a terminal; an error for anything else.
fn settings(fd: RawFd) -> Result<libc::termios, Errno> {
    let mut settings = std::mem::MaybeUninit::<libc::termios>::zeroed();
    // SAFETY: the kernel fills its `termios`, which is the beginning of the C library's; the rest are numbers too, and zero.
    unsafe {
        raw::syscall3(libc::SYS_ioctl, fd as usize, libc::TCGETS as usize, settings.as_mut_ptr() as usize)?;
        Ok(settings.assume_init())
    }
}

fn is_persons_side(fd: RawFd) -> bool {
    let mut number = 0_u32;
    // SAFETY: the kernel writes one number.
    unsafe {
        raw::syscall3(libc::SYS_ioctl, fd as usize, libc::TIOCGPTN as usize, std::ptr::from_mut(&mut number) as usize)
            .is_ok()
    }
}

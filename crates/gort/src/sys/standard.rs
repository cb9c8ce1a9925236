//! The standard streams' descriptors, which belong to other processes as well.

use super::raw::{self, Errno};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// Another open file description of what is behind `fd`, for reading or writing only, non-blocking and closed on exec. For devices and pipes; `NXIO` for a
/// socket.
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

/// Whether `fd` is a pipe or a device: what can be opened once more without losing its place.
pub(crate) fn has_no_place(fd: RawFd) -> bool {
    let mut stat = std::mem::MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the kernel fills a `stat` if it succeeds.
    unsafe {
        raw::syscall2(libc::SYS_fstat, fd as usize, stat.as_mut_ptr() as usize).is_ok()
            && matches!(stat.assume_init().st_mode & libc::S_IFMT, libc::S_IFIFO | libc::S_IFCHR)
    }
}

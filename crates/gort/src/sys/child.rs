//! Child processes: how one waits for their end without taking it away.

use super::raw::{self, Errno};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// A descriptor that becomes readable when the process ends; closed on exec. `NOSYS` before Linux 5.3.
pub(crate) fn pidfd_open(pid: u32) -> Result<OwnedFd, Errno> {
    // SAFETY: no memory is involved; success gives a new descriptor.
    unsafe { Ok(OwnedFd::from_raw_fd(raw::syscall2(libc::SYS_pidfd_open, pid as usize, 0)? as RawFd)) }
}

/// Sends `signal` to the process.
pub(crate) fn kill(pid: u32, signal: i32) -> Result<(), Errno> {
    // SAFETY: no memory is involved.
    unsafe { raw::syscall2(libc::SYS_kill, pid as usize, signal as usize) }.map(drop)
}

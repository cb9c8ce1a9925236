//! Bytes from one descriptor to another, through the kernel.

use super::raw::{self, Errno};
use std::mem::MaybeUninit;
use std::os::fd::RawFd;

/// Moves up to `count` bytes between a pipe and something else, without waiting for a pipe; anything else waits as its mode says.
pub(crate) fn splice(from: RawFd, to: RawFd, count: usize) -> Result<usize, Errno> {
    let flags = libc::SPLICE_F_NONBLOCK | libc::SPLICE_F_MOVE;
    // SAFETY: no memory is involved.
    unsafe { raw::syscall6(libc::SYS_splice, from as usize, 0, to as usize, 0, count, flags as usize) }
}

/// Sends up to `count` bytes of a file, from its cursor on, which moves.
pub(crate) fn sendfile(file: RawFd, to: RawFd, count: usize) -> Result<usize, Errno> {
    // SAFETY: no memory is involved.
    unsafe { raw::syscall4(libc::SYS_sendfile, to as usize, file as usize, 0, count) }
}

/// Whether it is a pipe.
pub(crate) fn is_pipe(fd: RawFd) -> Result<bool, Errno> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the kernel fills a `stat` if it succeeds.
    unsafe {
        raw::syscall2(libc::SYS_fstat, fd as usize, stat.as_mut_ptr() as usize)?;
        Ok(stat.assume_init().st_mode & libc::S_IFMT == libc::S_IFIFO)
    }
}

/// Gives a pipe room for so many bytes. An error leaves it as it is: a user without privileges has so much for all pipes together.
pub(crate) fn set_pipe_size(pipe: RawFd, bytes: usize) -> Result<(), Errno> {
    // SAFETY: no memory is involved.
    unsafe { raw::syscall3(libc::SYS_fcntl, pipe as usize, libc::F_SETPIPE_SZ as usize, bytes).map(drop) }
}

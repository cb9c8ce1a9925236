//! Pipes, and plain reads and writes: for what is no socket.
//!
//! A write to a pipe that nobody reads raises SIGPIPE, which std has switched off before `main`. The calls wait if the descriptor is in blocking mode.

use super::raw::{self, Errno};
use super::socket::MAX_PIECES;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// Reading and writing end of a new pipe, non-blocking and closed on exec.
pub(crate) fn pipe() -> Result<(OwnedFd, OwnedFd), Errno> {
    let mut ends = [-1; 2];
    let flags = libc::O_NONBLOCK | libc::O_CLOEXEC;
    // SAFETY: the kernel writes two numbers.
    unsafe { raw::syscall2(libc::SYS_pipe2, ends.as_mut_ptr() as usize, flags as usize) }?;
    // SAFETY: two new descriptors, which nobody else has.
    Ok(unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}

pub(crate) fn read(fd: RawFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: the slice is writable for its length.
    unsafe { raw::syscall3(libc::SYS_read, fd as usize, buffer.as_mut_ptr() as usize, buffer.len()) }
}

pub(crate) fn write(fd: RawFd, buffer: &[u8]) -> Result<usize, Errno> {
    // SAFETY: the kernel reads the slice.
    unsafe { raw::syscall3(libc::SYS_write, fd as usize, buffer.as_ptr() as usize, buffer.len()) }
}

pub(crate) fn read_vectored(fd: RawFd, buffers: &mut [IoSliceMut<'_>]) -> Result<usize, Errno> {
    let count = buffers.len().min(MAX_PIECES);
    // SAFETY: std promises that an `IoSliceMut` is an `iovec` of writable memory; there are `count` at least.
    unsafe { raw::syscall3(libc::SYS_readv, fd as usize, buffers.as_mut_ptr() as usize, count) }
}

pub(crate) fn write_vectored(fd: RawFd, buffers: &[IoSlice<'_>]) -> Result<usize, Errno> {
    let count = buffers.len().min(MAX_PIECES);
    // SAFETY: std promises that an `IoSlice` is an `iovec`; there are `count` at least.
    unsafe { raw::syscall3(libc::SYS_writev, fd as usize, buffers.as_ptr() as usize, count) }
}

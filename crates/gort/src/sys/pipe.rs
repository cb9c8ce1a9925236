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
    read_vectored(fd, &mut [IoSliceMut::new(buffer)])
}

pub(crate) fn write(fd: RawFd, buffer: &[u8]) -> Result<usize, Errno> {
    write_vectored(fd, &[IoSlice::new(buffer)])
}

pub(crate) fn read_vectored(fd: RawFd, buffers: &mut [IoSliceMut<'_>]) -> Result<usize, Errno> {
    let (at, count) = (buffers.as_mut_ptr() as usize, buffers.len().min(MAX_PIECES));
    // SAFETY: std promises that an `IoSliceMut` is an `iovec` of writable memory; there are `count` at least.
    match unsafe { now(libc::SYS_preadv2, fd, at, count) } {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
            if super::socket::poll(fd, libc::POLLIN, Some(0))? == 0 {
                return Err(Errno::AGAIN);
            }
            // SAFETY: as above.
            unsafe { raw::syscall3(libc::SYS_readv, fd as usize, at, count) }
        }
        outcome => outcome,
    }
}

pub(crate) fn write_vectored(fd: RawFd, buffers: &[IoSlice<'_>]) -> Result<usize, Errno> {
    let (at, count) = (buffers.as_ptr() as usize, buffers.len().min(MAX_PIECES));
    // SAFETY: std promises that an `IoSlice` is an `iovec`; there are `count` at least.
    match unsafe { now(libc::SYS_pwritev2, fd, at, count) } {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
            if super::socket::poll(fd, libc::POLLOUT, Some(0))? == 0 {
                return Err(Errno::AGAIN);
            }
            // What is writable has room for a page.
            let first = buffers
                .iter()
                .find(|piece| !piece.is_empty())
                .map_or(&[][..], |piece| &piece[..piece.len().min(libc::PIPE_BUF)]);
            // SAFETY: the kernel reads the slice.
            unsafe { raw::syscall3(libc::SYS_write, fd as usize, first.as_ptr() as usize, first.len()) }
        }
        outcome => outcome,
    }
}

/// Does not wait whatever the mode: that belongs to all who have the pipe.
///
/// # Safety
/// At `at` are `count` pieces of memory that the call may read or write.
unsafe fn now(number: raw::Number, fd: RawFd, at: usize, count: usize) -> Result<usize, Errno> {
    // SAFETY: as the caller says; an offset of -1 is none.
    unsafe { raw::syscall6(number, fd as usize, at, count, usize::MAX, 0, libc::RWF_NOWAIT as usize) }
}

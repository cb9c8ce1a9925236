//! Bytes in and out of a socket.
//!
//! Writes never raise SIGPIPE (`MSG_NOSIGNAL`); a closed peer is an `EPIPE`. And no call waits (`MSG_DONTWAIT`), whatever the descriptor's
//! mode: the mode belongs to the open socket, and whoever has another descriptor of it may change it under our feet.

use super::Address;
use crate::sys::raw::{self, Errno};
use std::{
    io::{IoSlice, IoSliceMut},
    os::fd::RawFd,
};

/// The kernel takes no more pieces than this at once (`UIO_MAXIOV`); what is beyond waits for the next call, as in std.
pub(crate) const MAX_PIECES: usize = 1024;

/// Receives into `buffer`. 0 means the end of the stream (or an empty buffer). Flags: 0, `MSG_PEEK`, ...; `MSG_DONTWAIT` is added.
#[inline]
pub(crate) fn recv(fd: RawFd, buffer: &mut [u8], flags: i32) -> Result<usize, Errno> {
    // SAFETY: the slice is writable for its length.
    unsafe { recv_raw(fd, buffer.as_mut_ptr(), buffer.len(), flags) }
}

/// [`recv`] without flags.
#[inline]
pub(crate) fn receive(fd: RawFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    recv(fd, buffer, 0)
}

/// [`recv`] into memory that need not be initialised.
///
/// # Safety
/// `len` bytes at `at` must be writable.
#[inline]
pub(crate) unsafe fn recv_raw(fd: RawFd, at: *mut u8, len: usize, flags: i32) -> Result<usize, Errno> {
    let flags = flags | libc::MSG_DONTWAIT;
    // SAFETY: the kernel writes at most `len` bytes at `at`; no address is asked for.
    unsafe { raw::syscall6(libc::SYS_recvfrom, fd as usize, at as usize, len, flags as usize, 0, 0) }
}

/// Sends from `buffer`; says how much the kernel took.
#[inline]
pub(crate) fn send(fd: RawFd, buffer: &[u8]) -> Result<usize, Errno> {
    // SAFETY: the kernel reads the slice; no address is given.
    unsafe {
        raw::syscall6(
            libc::SYS_sendto,
            fd as usize,
            buffer.as_ptr() as usize,
            buffer.len(),
            (libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT) as usize,
            0,
            0,
        )
    }
}

/// Receives a datagram, and where it comes from. What does not fit into the buffer is lost. Flags as in [`recv`].
pub(crate) fn recv_from<A: Address>(fd: RawFd, buffer: &mut [u8], flags: i32) -> Result<(usize, A), Errno> {
    let mut addr = A::EMPTY;
    let (at, length) = addr.as_out();
    // SAFETY: the slice is writable for its length; the kernel writes at most `*length` bytes at `at`, both of which live as long as the call.
    let received = unsafe {
        raw::syscall6(
            libc::SYS_recvfrom,
            fd as usize,
            buffer.as_mut_ptr() as usize,
            buffer.len(),
            (flags | libc::MSG_DONTWAIT) as usize,
            at as usize,
            length as usize,
        )
    }?;
    Ok((received, addr))
}

/// Sends a datagram to `addr`.
pub(crate) fn send_to(fd: RawFd, buffer: &[u8], addr: &impl Address) -> Result<usize, Errno> {
    // SAFETY: the kernel reads the slice, and `addr.len()` bytes of a live address.
    unsafe {
        raw::syscall6(
            libc::SYS_sendto,
            fd as usize,
            buffer.as_ptr() as usize,
            buffer.len(),
            (libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT) as usize,
            addr.as_ptr() as usize,
            addr.len() as usize,
        )
    }
}

/// Receives into several buffers, one after the other.
#[inline]
pub(crate) fn recv_vectored(fd: RawFd, buffers: &mut [IoSliceMut<'_>]) -> Result<usize, Errno> {
    // SAFETY: an all-zero msghdr is valid: no address, no pieces, no control data.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    // std promises that an `IoSliceMut` is an `iovec` of writable memory.
    message.msg_iov = buffers.as_mut_ptr().cast();
    message.msg_iovlen = buffers.len().min(MAX_PIECES) as _;
    // SAFETY: the kernel reads the header and the array and writes into the pieces and the header, all of which live as long as the call.
    unsafe {
        raw::syscall3(
            libc::SYS_recvmsg,
            fd as usize,
            std::ptr::from_mut(&mut message) as usize,
            libc::MSG_DONTWAIT as usize,
        )
    }
}

/// Sends from several buffers, one after the other.
#[inline]
pub(crate) fn send_vectored(fd: RawFd, buffers: &[IoSlice<'_>]) -> Result<usize, Errno> {
    // SAFETY: an all-zero msghdr is valid: no address, no pieces, no control data.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    // std promises that an `IoSlice` is an `iovec`; the kernel only reads the array although the field is `*mut`.
    message.msg_iov = buffers.as_ptr().cast_mut().cast();
    message.msg_iovlen = buffers.len().min(MAX_PIECES) as _;
    // SAFETY: the kernel reads the header, the array and its pieces, all of which live as long as the call.
    unsafe {
        raw::syscall3(
            libc::SYS_sendmsg,
            fd as usize,
            std::ptr::from_ref(&message) as usize,
            (libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT) as usize,
        )
    }
}

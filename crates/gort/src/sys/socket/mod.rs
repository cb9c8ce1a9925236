//! Sockets by raw system calls: every operation is one call (or says so), none touches errno, none waits unless the descriptor is blocking.
//!
//! Split by what is done: this file makes and ends sockets, `transfer` moves bytes, `datagrams` many messages at once, `ancillary` descriptors, `options` asks and tells, `addr` and `unix_addr` convert
//! addresses. What takes or gives an address does so in the kernel's form, for whichever family ([`Address`]).
//!
//! Functions take a bare fd, because the same descriptor is used through goroutines that share it, and its owner is a descriptor record above
//! this layer. Passing a number that is not open is answered by `EBADF` and passing somebody else's is a logic error; neither touches memory
//! that is not ours.
#![allow(dead_code, unused_imports)]

mod addr;
mod ancillary;
mod datagrams;
mod multicast;
mod options;
#[cfg(test)]
mod tests;
mod transfer;
mod unix_addr;

pub(crate) use addr::{Address, SockAddr};
pub(crate) use ancillary::*;
pub(crate) use datagrams::Datagrams;
pub(crate) use multicast::*;
pub(crate) use options::*;
pub(crate) use transfer::*;
pub(crate) use unix_addr::UnixAddr;

use super::{
    clock,
    raw::{self, Errno},
};
use std::{
    net::{Shutdown, SocketAddr},
    os::fd::{FromRawFd, IntoRawFd, OwnedFd, RawFd},
};

/// A new socket, non-blocking and closed on exec.
pub(crate) fn socket(domain: i32, kind: i32, protocol: i32) -> Result<OwnedFd, Errno> {
    let kind = kind | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: no memory is involved; success gives a new descriptor.
    unsafe { owned(raw::syscall3(libc::SYS_socket, domain as usize, kind as usize, protocol as usize)) }
}

/// A new TCP socket for addresses like `addr`, non-blocking and closed on exec.
pub(crate) fn tcp_socket(addr: &SocketAddr) -> Result<OwnedFd, Errno> {
    socket(domain(addr), libc::SOCK_STREAM, libc::IPPROTO_TCP)
}

/// A new UDP socket for addresses like `addr`, non-blocking and closed on exec.
pub(crate) fn udp_socket(addr: &SocketAddr) -> Result<OwnedFd, Errno> {
    socket(domain(addr), libc::SOCK_DGRAM, libc::IPPROTO_UDP)
}

fn domain(addr: &SocketAddr) -> i32 {
    match addr {
        SocketAddr::V4(_) => libc::AF_INET,
        SocketAddr::V6(_) => libc::AF_INET6,
    }
}

/// Two Unix sockets that are connected with each other, non-blocking and closed on exec.
pub(crate) fn unix_pair(kind: i32) -> Result<(OwnedFd, OwnedFd), Errno> {
    let mut ends = [-1; 2];
    let kind = kind | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let at = ends.as_mut_ptr() as usize;
    // SAFETY: the kernel writes two numbers.
    unsafe { raw::syscall4(libc::SYS_socketpair, libc::AF_UNIX as usize, kind as usize, 0, at) }?;
    // SAFETY: two new descriptors, which nobody else has.
    Ok(unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}

pub(crate) fn bind(fd: RawFd, addr: &impl Address) -> Result<(), Errno> {
    // SAFETY: the kernel reads `addr.len()` bytes of a live address.
    unsafe { raw::syscall3(libc::SYS_bind, fd as usize, addr.as_ptr() as usize, addr.len() as usize) }.map(drop)
}

/// Lets the kernel queue up to `backlog` connections (it caps that by `net.core.somaxconn`).
pub(crate) fn listen(fd: RawFd, backlog: i32) -> Result<(), Errno> {
    // SAFETY: no memory is involved.
    unsafe { raw::syscall2(libc::SYS_listen, fd as usize, backlog as usize) }.map(drop)
}

/// Takes a connection; it comes non-blocking and closed on exec.
///
pub(crate) fn accept<A: Address>(fd: RawFd) -> Result<(OwnedFd, A), Errno> {
    let mut addr = A::EMPTY;
    let (at, length) = addr.as_out();
    // SAFETY: the kernel writes at most `*length` bytes at `at`, both of which live as long as the call; success gives a new descriptor.
    let connection = unsafe {
        owned(raw::syscall4(
            libc::SYS_accept4,
            fd as usize,
            at as usize,
            length as usize,
            (libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC) as usize,
        ))
    }?;
    Ok((connection, addr))
}

/// Begins to connect. A non-blocking socket answers `EINPROGRESS`, later becomes writable, and [`take_error`] then says how it went.
pub(crate) fn connect(fd: RawFd, addr: &impl Address) -> Result<(), Errno> {
    // SAFETY: the kernel reads `addr.len()` bytes of a live address.
    unsafe { raw::syscall3(libc::SYS_connect, fd as usize, addr.as_ptr() as usize, addr.len() as usize) }.map(drop)
}

pub(crate) fn shutdown(fd: RawFd, how: Shutdown) -> Result<(), Errno> {
    let how = match how {
        Shutdown::Read => libc::SHUT_RD,
        Shutdown::Write => libc::SHUT_WR,
        Shutdown::Both => libc::SHUT_RDWR,
    };
    // SAFETY: no memory is involved.
    unsafe { raw::syscall2(libc::SYS_shutdown, fd as usize, how as usize) }.map(drop)
}

/// The address this socket is bound to.
pub(crate) fn local_addr<A: Address>(fd: RawFd) -> Result<A, Errno> {
    name(libc::SYS_getsockname, fd)
}

/// The address this socket is connected to.
pub(crate) fn peer_addr<A: Address>(fd: RawFd) -> Result<A, Errno> {
    name(libc::SYS_getpeername, fd)
}

fn name<A: Address>(call: raw::Number, fd: RawFd) -> Result<A, Errno> {
    let mut addr = A::EMPTY;
    let (at, length) = addr.as_out();
    // SAFETY: both calls write at most `*length` bytes at `at`, which live as long as the call.
    unsafe { raw::syscall3(call, fd as usize, at as usize, length as usize) }?;
    Ok(addr)
}

/// A second descriptor of the same open socket, closed on exec. As std does it, never one of the standard streams.
pub(crate) fn dup_cloexec(fd: RawFd) -> Result<OwnedFd, Errno> {
    // SAFETY: no memory is involved; success gives a new descriptor.
    unsafe { owned(raw::syscall3(libc::SYS_fcntl, fd as usize, libc::F_DUPFD_CLOEXEC as usize, 3)) }
}

/// Closes `fd`. Whatever the answer, it is closed: Linux frees the number first (so `EINTR` must not be answered by a second try).
pub(crate) fn close(fd: OwnedFd) -> Result<(), Errno> {
    // SAFETY: we owned it, and nobody else will close it.
    unsafe { raw::syscall1(libc::SYS_close, fd.into_raw_fd() as usize) }.map(drop)
}

/// Waits until one of `events` (`POLLIN`, `POLLOUT`), an error or a hang-up is there and returns what is; 0 if the deadline came first.
///
/// For plain threads: it blocks the thread. Signals do not end it.
pub(crate) fn poll(fd: RawFd, events: i16, deadline_ns: Option<u64>) -> Result<i16, Errno> {
    let mut entry = libc::pollfd { fd, events, revents: 0 };
    raw::retry(|| {
        // The kernel writes the rest back into the timespec, so it is made anew for every try.
        let mut left = deadline_ns.map(|deadline| clock::timespec(deadline.saturating_sub(clock::now_ns())));
        let timeout = left.as_mut().map_or(0, |t| std::ptr::from_mut(t) as usize);
        // SAFETY: one entry, and the timespec if there is one, live as long as the call; no signal mask is given.
        unsafe { raw::syscall5(libc::SYS_ppoll, std::ptr::from_mut(&mut entry) as usize, 1, timeout, 0, 0) }
    })?;
    Ok(entry.revents)
}

/// # Safety
/// A successful `outcome` must be a descriptor that nobody else owns.
unsafe fn owned(outcome: Result<usize, Errno>) -> Result<OwnedFd, Errno> {
    // SAFETY: by contract.
    outcome.map(|fd| unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

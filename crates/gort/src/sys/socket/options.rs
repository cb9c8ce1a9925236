//! Socket options: what std offers and what people ask for besides.
//!
//! Times that the kernel keeps in seconds are rounded up, so that nothing happens earlier than asked for, and cut at the kernel's maximum.

use crate::sys::raw::{self, Errno};
use libc::{IPPROTO_IP, IPPROTO_IPV6, IPPROTO_TCP, SOL_SOCKET};
use std::{io, os::fd::RawFd, time::Duration};

/// What the kernel may copy in and out of an option.
///
/// # Safety
/// Every bit pattern is a value, and there is no padding.
pub(crate) unsafe trait Plain: Copy + Default {}
// SAFETY: an integer.
unsafe impl Plain for i32 {}
// SAFETY: two integers of the same size.
unsafe impl Plain for Linger {}
// SAFETY: bytes.
unsafe impl Plain for [u8; 8] {}
// SAFETY: bytes.
unsafe impl Plain for [u8; 16] {}
// SAFETY: bytes.
unsafe impl Plain for [u8; 20] {}
// SAFETY: three integers of the same size.
unsafe impl Plain for Credentials {}

/// `libc::linger`, with a default.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Linger {
    on: i32,
    seconds: i32,
}

/// `libc::ucred`, with a default.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Credentials {
    pub(crate) process: i32,
    pub(crate) user: u32,
    pub(crate) group: u32,
}

/// Reads an option; the second value says how many bytes the kernel filled in.
pub(crate) fn getsockopt<T: Plain>(fd: RawFd, level: i32, option: i32) -> Result<(T, usize), Errno> {
    let mut value = T::default();
    let mut length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes into `value`, for which every bit pattern is valid, and then `length`.
    unsafe {
        raw::syscall5(
            libc::SYS_getsockopt,
            fd as usize,
            level as usize,
            option as usize,
            std::ptr::from_mut(&mut value) as usize,
            std::ptr::from_mut(&mut length) as usize,
        )
    }?;
    Ok((value, length as usize))
}

/// Sets an option.
pub(crate) fn setsockopt<T: Plain>(fd: RawFd, level: i32, option: i32, value: T) -> Result<(), Errno> {
    // SAFETY: the kernel reads `value`, which lives as long as the call and has no padding.
    unsafe {
        raw::syscall5(
            libc::SYS_setsockopt,
            fd as usize,
            level as usize,
            option as usize,
            std::ptr::from_ref(&value) as usize,
            size_of::<T>(),
        )
    }
    .map(drop)
}

pub(super) fn get(fd: RawFd, level: i32, option: i32) -> Result<i32, Errno> {
    getsockopt::<i32>(fd, level, option).map(|(value, _)| value)
}

pub(super) fn set(fd: RawFd, level: i32, option: i32, value: i32) -> Result<(), Errno> {
    setsockopt(fd, level, option, value)
}

/// Takes the error that an operation of the kernel left behind (how a connection attempt went, why a connection broke).
pub(crate) fn take_error(fd: RawFd) -> Result<Option<Errno>, Errno> {
    match get(fd, SOL_SOCKET, libc::SO_ERROR)? {
        0 => Ok(None),
        errno => Ok(Some(Errno(errno))),
    }
}

pub(crate) fn set_nonblocking(fd: RawFd, on: bool) -> Result<(), Errno> {
    let on = i32::from(on);
    // SAFETY: the kernel reads the int.
    unsafe { raw::syscall3(libc::SYS_ioctl, fd as usize, libc::FIONBIO as usize, std::ptr::from_ref(&on) as usize) }
        .map(drop)
}

pub(crate) fn is_nonblocking(fd: RawFd) -> Result<bool, Errno> {
    // SAFETY: no memory is involved.
    let flags = unsafe { raw::syscall2(libc::SYS_fcntl, fd as usize, libc::F_GETFL as usize) }?;
    Ok(flags as i32 & libc::O_NONBLOCK != 0)
}

/// Whether `fd` is TCP proper, for which alone a short read proves that nothing is left: MPTCP, SMC and packet sockets differ, and so does
/// TCP with an upper-layer protocol (kernel TLS), whose records end reads early.
pub(crate) fn protocol_is_plain_tcp(fd: RawFd) -> bool {
    /// linux/tcp.h; not in libc for every target.
    const TCP_ULP: i32 = 31;
    matches!(get(fd, SOL_SOCKET, libc::SO_DOMAIN), Ok(libc::AF_INET | libc::AF_INET6))
        && get(fd, SOL_SOCKET, libc::SO_TYPE) == Ok(libc::SOCK_STREAM)
        && get(fd, SOL_SOCKET, libc::SO_PROTOCOL) == Ok(IPPROTO_TCP)
        // Its name, or nothing. A kernel that does not know the option has no such protocols.
        && getsockopt::<[u8; 16]>(fd, IPPROTO_TCP, TCP_ULP).map_or_else(|e| e == Errno::NOPROTOOPT, |(_, length)| length == 0)
}

pub(crate) fn set_nodelay(fd: RawFd, on: bool) -> Result<(), Errno> {
    set(fd, IPPROTO_TCP, libc::TCP_NODELAY, on.into())
}

pub(crate) fn nodelay(fd: RawFd) -> Result<bool, Errno> {
    get(fd, IPPROTO_TCP, libc::TCP_NODELAY).map(|on| on != 0)
}

pub(crate) fn set_quickack(fd: RawFd, on: bool) -> Result<(), Errno> {
    set(fd, IPPROTO_TCP, libc::TCP_QUICKACK, on.into())
}

pub(crate) fn quickack(fd: RawFd) -> Result<bool, Errno> {
    get(fd, IPPROTO_TCP, libc::TCP_QUICKACK).map(|on| on != 0)
}

/// As std: the IPv4 field, on IPv6 sockets too.
pub(crate) fn set_ttl(fd: RawFd, ttl: u32) -> Result<(), Errno> {
    set(fd, IPPROTO_IP, libc::IP_TTL, i32::try_from(ttl).map_err(|_| Errno::INVAL)?)
}

pub(crate) fn ttl(fd: RawFd) -> Result<u32, Errno> {
    get(fd, IPPROTO_IP, libc::IP_TTL).map(|ttl| ttl as u32)
}

pub(crate) fn set_only_v6(fd: RawFd, on: bool) -> Result<(), Errno> {
    set(fd, IPPROTO_IPV6, libc::IPV6_V6ONLY, on.into())
}

pub(crate) fn only_v6(fd: RawFd) -> Result<bool, Errno> {
    get(fd, IPPROTO_IPV6, libc::IPV6_V6ONLY).map(|on| on != 0)
}

pub(crate) fn set_reuse_addr(fd: RawFd, on: bool) -> Result<(), Errno> {
    set(fd, SOL_SOCKET, libc::SO_REUSEADDR, on.into())
}

pub(crate) fn reuse_addr(fd: RawFd) -> Result<bool, Errno> {
    get(fd, SOL_SOCKET, libc::SO_REUSEADDR).map(|on| on != 0)
}

pub(crate) fn set_reuse_port(fd: RawFd, on: bool) -> Result<(), Errno> {
    set(fd, SOL_SOCKET, libc::SO_REUSEPORT, on.into())
}

pub(crate) fn reuse_port(fd: RawFd) -> Result<bool, Errno> {
    get(fd, SOL_SOCKET, libc::SO_REUSEPORT).map(|on| on != 0)
}

pub(crate) fn set_broadcast(fd: RawFd, on: bool) -> Result<(), Errno> {
    set(fd, SOL_SOCKET, libc::SO_BROADCAST, on.into())
}

pub(crate) fn broadcast(fd: RawFd) -> Result<bool, Errno> {
    get(fd, SOL_SOCKET, libc::SO_BROADCAST).map(|on| on != 0)
}

/// Who made the other end of a Unix socket, or listened there.
pub(crate) fn peer_credentials(fd: RawFd) -> Result<Credentials, Errno> {
    getsockopt(fd, SOL_SOCKET, libc::SO_PEERCRED).map(|(credentials, _)| credentials)
}

/// Asks for a receive buffer of `bytes`; the kernel doubles that for its own needs and caps it.
pub(crate) fn set_recv_buffer_bytes(fd: RawFd, bytes: usize) -> Result<(), Errno> {
    set(fd, SOL_SOCKET, libc::SO_RCVBUF, bytes.min(i32::MAX as usize) as i32)
}

pub(crate) fn recv_buffer_bytes(fd: RawFd) -> Result<usize, Errno> {
    get(fd, SOL_SOCKET, libc::SO_RCVBUF).map(|bytes| bytes as usize)
}

/// Asks for a send buffer of `bytes`; the kernel doubles that for its own needs and caps it.
pub(crate) fn set_send_buffer_bytes(fd: RawFd, bytes: usize) -> Result<(), Errno> {
    set(fd, SOL_SOCKET, libc::SO_SNDBUF, bytes.min(i32::MAX as usize) as i32)
}

pub(crate) fn send_buffer_bytes(fd: RawFd) -> Result<usize, Errno> {
    get(fd, SOL_SOCKET, libc::SO_SNDBUF).map(|bytes| bytes as usize)
}

/// How long a close waits for unsent data; `Some(0)` resets the connection instead, `None` lets the kernel finish in the background.
pub(crate) fn set_linger(fd: RawFd, wait: Option<Duration>) -> Result<(), Errno> {
    let linger =
        Linger { on: wait.is_some().into(), seconds: wait.map_or(0, |wait| whole_seconds(wait, i32::MAX as u64)) };
    setsockopt(fd, SOL_SOCKET, libc::SO_LINGER, linger)
}

pub(crate) fn linger(fd: RawFd) -> Result<Option<Duration>, Errno> {
    let (linger, _) = getsockopt::<Linger>(fd, SOL_SOCKET, libc::SO_LINGER)?;
    Ok((linger.on != 0).then(|| Duration::from_secs(linger.seconds as u64)))
}

/// How keep-alive probes are sent; what is `None` stays as it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct KeepAlive {
    /// Silence before the first probe.
    pub(crate) idle: Option<Duration>,
    /// Time between probes.
    pub(crate) interval: Option<Duration>,
    /// Unanswered probes after which the connection counts as broken.
    pub(crate) count: Option<u32>,
}

/// Linux's `MAX_TCP_KEEPIDLE` and `MAX_TCP_KEEPINTVL`, in seconds.
const MAX_KEEPALIVE_S: u64 = 32_767;

/// Switches keep-alive on with these parameters, or off.
///
/// # Errors
/// The kernel's: `EINVAL` for a count outside 1..=127. Nothing is switched on then. A zero time counts as the shortest, one second.
pub(crate) fn set_keepalive(fd: RawFd, how: Option<KeepAlive>) -> Result<(), Errno> {
    if let Some(how) = how {
        if let Some(idle) = how.idle {
            set(fd, IPPROTO_TCP, libc::TCP_KEEPIDLE, whole_seconds(idle, MAX_KEEPALIVE_S).max(1))?;
        }
        if let Some(interval) = how.interval {
            set(fd, IPPROTO_TCP, libc::TCP_KEEPINTVL, whole_seconds(interval, MAX_KEEPALIVE_S).max(1))?;
        }
        if let Some(count) = how.count {
            set(fd, IPPROTO_TCP, libc::TCP_KEEPCNT, i32::try_from(count).map_err(|_| Errno::INVAL)?)?;
        }
    }
    set(fd, SOL_SOCKET, libc::SO_KEEPALIVE, how.is_some().into())
}

/// The parameters of keep-alive if it is on.
pub(crate) fn keepalive(fd: RawFd) -> Result<Option<KeepAlive>, Errno> {
    if get(fd, SOL_SOCKET, libc::SO_KEEPALIVE)? == 0 {
        return Ok(None);
    }
    let seconds = |option| get(fd, IPPROTO_TCP, option).map(|seconds| Some(Duration::from_secs(seconds as u64)));
    Ok(Some(KeepAlive {
        idle: seconds(libc::TCP_KEEPIDLE)?,
        interval: seconds(libc::TCP_KEEPINTVL)?,
        count: Some(get(fd, IPPROTO_TCP, libc::TCP_KEEPCNT)? as u32),
    }))
}

fn whole_seconds(wait: Duration, most: u64) -> i32 {
    let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0));
    seconds.min(most) as i32
}

/// The longest queue of connections a listener can get (`net.core.somaxconn`).
pub(crate) fn max_backlog() -> io::Result<u32> {
    let text = std::fs::read_to_string("/proc/sys/net/core/somaxconn")?;
    text.trim().parse().map_err(|_| {
        io::Error::new(io::ErrorKind::InvalidData, format!("/proc/sys/net/core/somaxconn: {text:?} is not a number"))
    })
}

//! Options of datagram sockets about groups, which are addresses that many sockets receive at.

use super::options::{get, set, setsockopt};
use crate::sys::raw::Errno;
use libc::{IPPROTO_IP, IPPROTO_IPV6};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::RawFd;

pub(crate) fn set_multicast_loop_v4(fd: RawFd, on: bool) -> Result<(), Errno> {
    set(fd, IPPROTO_IP, libc::IP_MULTICAST_LOOP, on.into())
}

pub(crate) fn multicast_loop_v4(fd: RawFd) -> Result<bool, Errno> {
    get(fd, IPPROTO_IP, libc::IP_MULTICAST_LOOP).map(|on| on != 0)
}

pub(crate) fn set_multicast_ttl_v4(fd: RawFd, ttl: u32) -> Result<(), Errno> {
    set(fd, IPPROTO_IP, libc::IP_MULTICAST_TTL, i32::try_from(ttl).map_err(|_| Errno::INVAL)?)
}

pub(crate) fn multicast_ttl_v4(fd: RawFd) -> Result<u32, Errno> {
    get(fd, IPPROTO_IP, libc::IP_MULTICAST_TTL).map(|ttl| ttl as u32)
}

pub(crate) fn set_multicast_loop_v6(fd: RawFd, on: bool) -> Result<(), Errno> {
    set(fd, IPPROTO_IPV6, libc::IPV6_MULTICAST_LOOP, on.into())
}

pub(crate) fn multicast_loop_v6(fd: RawFd) -> Result<bool, Errno> {
    get(fd, IPPROTO_IPV6, libc::IPV6_MULTICAST_LOOP).map(|on| on != 0)
}

pub(crate) fn join_multicast_v4(fd: RawFd, group: Ipv4Addr, interface: Ipv4Addr) -> Result<(), Errno> {
    setsockopt(fd, IPPROTO_IP, libc::IP_ADD_MEMBERSHIP, membership_v4(group, interface))
}

pub(crate) fn leave_multicast_v4(fd: RawFd, group: Ipv4Addr, interface: Ipv4Addr) -> Result<(), Errno> {
    setsockopt(fd, IPPROTO_IP, libc::IP_DROP_MEMBERSHIP, membership_v4(group, interface))
}

pub(crate) fn join_multicast_v6(fd: RawFd, group: Ipv6Addr, interface: u32) -> Result<(), Errno> {
    setsockopt(fd, IPPROTO_IPV6, libc::IPV6_ADD_MEMBERSHIP, membership_v6(group, interface))
}

pub(crate) fn leave_multicast_v6(fd: RawFd, group: Ipv6Addr, interface: u32) -> Result<(), Errno> {
    setsockopt(fd, IPPROTO_IPV6, libc::IPV6_DROP_MEMBERSHIP, membership_v6(group, interface))
}

/// An `ip_mreq`: two addresses in network order.
fn membership_v4(group: Ipv4Addr, interface: Ipv4Addr) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&group.octets());
    bytes[4..].copy_from_slice(&interface.octets());
    bytes
}

/// An `ipv6_mreq`: an address and the number of an interface.
fn membership_v6(group: Ipv6Addr, interface: u32) -> [u8; 20] {
    let mut bytes = [0; 20];
    bytes[..16].copy_from_slice(&group.octets());
    bytes[16..].copy_from_slice(&interface.to_ne_bytes());
    bytes
}

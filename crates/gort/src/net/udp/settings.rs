//! Broadcasts, and groups that many receive at. Nothing here blocks.

use super::UdpSocket;
use crate::net::{Ipv4Addr, Ipv6Addr};
use crate::sys::socket as sys;
use std::io;

impl UdpSocket {
    /// Whether datagrams may be sent to a broadcast address (`SO_BROADCAST`).
    ///
    /// # Errors
    /// The system's; `NotConnected` if the socket was closed.
    ///
    /// # Examples
    /// ```
    /// # let socket = gort::net::UdpSocket::bind("127.0.0.1:0")?;
    /// socket.set_broadcast(true)?;
    /// assert_eq!(socket.broadcast()?, true);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_broadcast(&self, on: bool) -> io::Result<()> {
        self.handle.with_fd(|fd| sys::set_broadcast(fd, on))
    }

    /// Whether datagrams may be sent to a broadcast address.
    ///
    /// # Errors
    /// The system's; `NotConnected` if the socket was closed.
    ///
    /// # Examples
    /// See [`set_broadcast`](UdpSocket::set_broadcast).
    pub fn broadcast(&self) -> io::Result<bool> {
        self.handle.with_fd(sys::broadcast)
    }

    /// Whether this machine receives what this socket sends to a group, too (`IP_MULTICAST_LOOP`).
    ///
    /// # Errors
    /// The system's; `NotConnected` if the socket was closed.
    ///
    /// # Examples
    /// ```
    /// # let socket = gort::net::UdpSocket::bind("127.0.0.1:0")?;
    /// socket.set_multicast_loop_v4(false)?;
    /// assert_eq!(socket.multicast_loop_v4()?, false);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_multicast_loop_v4(&self, on: bool) -> io::Result<()> {
        self.handle.with_fd(|fd| sys::set_multicast_loop_v4(fd, on))
    }

    /// Whether this machine receives what this socket sends to a group.
    ///
    /// # Errors
    /// The system's; `NotConnected` if the socket was closed.
    ///
    /// # Examples
    /// See [`set_multicast_loop_v4`](UdpSocket::set_multicast_loop_v4).
    pub fn multicast_loop_v4(&self) -> io::Result<bool> {
        self.handle.with_fd(sys::multicast_loop_v4)
    }

    /// How many routers a datagram to a group may pass (`IP_MULTICAST_TTL`); 1 at first: none.
    ///
    /// # Errors
    /// The system's; `NotConnected` if the socket was closed.
    ///
    /// # Examples
    /// ```
    /// # let socket = gort::net::UdpSocket::bind("127.0.0.1:0")?;
    /// socket.set_multicast_ttl_v4(4)?;
    /// assert_eq!(socket.multicast_ttl_v4()?, 4);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_multicast_ttl_v4(&self, ttl: u32) -> io::Result<()> {
        self.handle.with_fd(|fd| sys::set_multicast_ttl_v4(fd, ttl))
    }

    /// How many routers a datagram to a group may pass.
    ///
    /// # Errors
    /// The system's; `NotConnected` if the socket was closed.
    ///
    /// # Examples
    /// See [`set_multicast_ttl_v4`](UdpSocket::set_multicast_ttl_v4).
    pub fn multicast_ttl_v4(&self) -> io::Result<u32> {
        self.handle.with_fd(sys::multicast_ttl_v4)
    }

    /// Whether this machine receives what this IPv6 socket sends to a group, too (`IPV6_MULTICAST_LOOP`).
    ///
    /// # Errors
    /// The system's; `NotConnected` if the socket was closed.
    ///
    /// # Examples
    /// ```
    /// # let Ok(socket) = gort::net::UdpSocket::bind("[::1]:0") else { return Ok(()) };
    /// socket.set_multicast_loop_v6(false)?;
    /// assert_eq!(socket.multicast_loop_v6()?, false);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_multicast_loop_v6(&self, on: bool) -> io::Result<()> {
        self.handle.with_fd(|fd| sys::set_multicast_loop_v6(fd, on))
    }

    /// Whether this machine receives what this IPv6 socket sends to a group.
    ///
    /// # Errors
    /// The system's; `NotConnected` if the socket was closed.
    ///
    /// # Examples
    /// See [`set_multicast_loop_v6`](UdpSocket::set_multicast_loop_v6).
    pub fn multicast_loop_v6(&self) -> io::Result<bool> {
        self.handle.with_fd(sys::multicast_loop_v6)
    }

    /// Receives what is sent to `group`. `interface` is the address of the one to receive on; unspecified: the system's choice.
    ///
    /// # Errors
    /// The system's: no such interface, not the address of a group; `NotConnected` if the socket was closed.
    ///
    /// # Examples
    /// ```
    /// use gort::net::Ipv4Addr;
    /// # let socket = gort::net::UdpSocket::bind("127.0.0.1:0")?;
    /// let group = Ipv4Addr::new(224, 0, 0, 251);
    /// if socket.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST).is_ok() {
    ///     socket.leave_multicast_v4(&group, &Ipv4Addr::LOCALHOST)?;
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn join_multicast_v4(&self, group: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.handle.with_fd(|fd| sys::join_multicast_v4(fd, *group, *interface))
    }

    /// Receives what is sent to `group` no more.
    ///
    /// # Errors
    /// The system's: it was no member; `NotConnected` if the socket was closed.
    ///
    /// # Examples
    /// See [`join_multicast_v4`](UdpSocket::join_multicast_v4).
    pub fn leave_multicast_v4(&self, group: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.handle.with_fd(|fd| sys::leave_multicast_v4(fd, *group, *interface))
    }

    /// Receives what is sent to `group`. `interface` is the number of the one to receive on; 0: the system's choice.
    ///
    /// # Errors
    /// The system's: no such interface, not the address of a group; `NotConnected` if the socket was closed.
    ///
    /// # Examples
    /// ```
    /// use gort::net::Ipv6Addr;
    /// # let Ok(socket) = gort::net::UdpSocket::bind("[::1]:0") else { return Ok(()) };
    /// let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
    /// if socket.join_multicast_v6(&group, 0).is_ok() {
    ///     socket.leave_multicast_v6(&group, 0)?;
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn join_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.handle.with_fd(|fd| sys::join_multicast_v6(fd, *group, interface))
    }

    /// Receives what is sent to `group` no more.
    ///
    /// # Errors
    /// The system's: it was no member; `NotConnected` if the socket was closed.
    ///
    /// # Examples
    /// See [`join_multicast_v6`](UdpSocket::join_multicast_v6).
    pub fn leave_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.handle.with_fd(|fd| sys::leave_multicast_v6(fd, *group, interface))
    }
}

//! Settings that std has no place for: keep-alive, and how to listen.

use super::resolve::{first_success, resolve};
use super::{SocketAddr, TcpListener, ToSocketAddrs};
use crate::handle::Handle;
use crate::sys::socket as sys;
use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

/// How the kernel finds out that a silent peer is gone: it sends probes, and breaks the connection if none is answered.
///
/// What is `None` stays as it is: without a setting, the system's (on Linux 2 hours, 75 s and 9). Times are kept in whole seconds, rounded up,
/// from 1 to 32767.
///
/// # Examples
/// ```
/// use gort::net::KeepAlive;
/// use std::time::Duration;
/// # let listener = gort::net::TcpListener::bind("127.0.0.1:0")?;
/// # let stream = gort::net::TcpStream::connect(listener.local_addr()?)?;
///
/// stream.set_keepalive(Some(KeepAlive { idle: Some(Duration::from_secs(15)), ..KeepAlive::default() }))?;
/// assert_eq!(stream.keepalive()?.unwrap().idle, Some(Duration::from_secs(15)));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeepAlive {
    /// Silence before the first probe.
    pub idle: Option<Duration>,
    /// Time between probes.
    pub interval: Option<Duration>,
    /// Unanswered probes, 1 to 127, after which the connection counts as broken.
    pub count: Option<u32>,
}

impl From<KeepAlive> for sys::KeepAlive {
    fn from(how: KeepAlive) -> Self {
        Self { idle: how.idle, interval: how.interval, count: how.count }
    }
}

impl From<sys::KeepAlive> for KeepAlive {
    fn from(how: sys::KeepAlive) -> Self {
        Self { idle: how.idle, interval: how.interval, count: how.count }
    }
}

/// How to listen, for what [`TcpListener::bind`] does not ask: made by [`TcpListener::builder`].
///
/// # Examples
/// ```
/// use gort::net::TcpListener;
///
/// // As many listeners as there are accepting goroutines, each with a queue of its own.
/// let first = TcpListener::builder().reuse_port(true).bind("127.0.0.1:0")?;
/// let second = TcpListener::builder().reuse_port(true).bind(first.local_addr()?)?;
/// # drop(second);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "a builder does nothing until it binds"]
pub struct TcpListenerBuilder {
    backlog: u32,
    reuse_addr: bool,
    reuse_port: bool,
    only_v6: Option<bool>,
    recv_buffer_bytes: Option<usize>,
    send_buffer_bytes: Option<usize>,
}

impl TcpListenerBuilder {
    pub(super) fn new() -> Self {
        Self {
            // The kernel cuts it at its own limit.
            backlog: u32::MAX,
            reuse_addr: true,
            reuse_port: false,
            only_v6: None,
            recv_buffer_bytes: None,
            send_buffer_bytes: None,
        }
    }

    /// How many connections may wait to be accepted. The system's limit (`net.core.somaxconn`) cuts it, and is the default.
    ///
    /// # Examples
    /// ```
    /// let listener = gort::net::TcpListener::builder().backlog(16).bind("127.0.0.1:0")?;
    /// # drop(listener);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = connections;
        self
    }

    /// Whether a port may be taken while connections of an earlier listener linger (`SO_REUSEADDR`). On, as in std.
    ///
    /// # Examples
    /// ```
    /// let listener = gort::net::TcpListener::builder().reuse_address(false).bind("127.0.0.1:0")?;
    /// # drop(listener);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn reuse_address(mut self, reuse: bool) -> Self {
        self.reuse_addr = reuse;
        self
    }

    /// Whether several listeners, also of other processes of this user, may share a port (`SO_REUSEPORT`); the kernel spreads the connections.
    /// All of them must ask for it. Off.
    ///
    /// # Examples
    /// ```
    /// let first = gort::net::TcpListener::builder().reuse_port(true).bind("127.0.0.1:0")?;
    /// let second = gort::net::TcpListener::builder().reuse_port(true).bind(first.local_addr()?)?;
    /// # drop(second);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn reuse_port(mut self, reuse: bool) -> Self {
        self.reuse_port = reuse;
        self
    }

    /// Whether a listener on an IPv6 address, such as `[::]`, leaves IPv4 alone. Otherwise the system's default holds. Without effect on IPv4
    /// addresses.
    ///
    /// # Examples
    /// ```
    /// match gort::net::TcpListener::builder().only_v6(true).bind("[::1]:0") {
    ///     Ok(listener) => assert!(listener.local_addr()?.is_ipv6()),
    ///     Err(error) => eprintln!("no IPv6 here: {error}"),
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn only_v6(mut self, only: bool) -> Self {
        self.only_v6 = Some(only);
        self
    }

    /// Receive buffer of every accepted connection. It decides the window that TCP may announce, and has to be set before listening for that.
    ///
    /// # Examples
    /// ```
    /// let listener = gort::net::TcpListener::builder().recv_buffer_size(1 << 16).bind("127.0.0.1:0")?;
    /// # drop(listener);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn recv_buffer_size(mut self, bytes: usize) -> Self {
        self.recv_buffer_bytes = Some(bytes);
        self
    }

    /// Send buffer of every accepted connection.
    ///
    /// # Examples
    /// ```
    /// let listener = gort::net::TcpListener::builder().send_buffer_size(1 << 16).bind("127.0.0.1:0")?;
    /// # drop(listener);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn send_buffer_size(mut self, bytes: usize) -> Self {
        self.send_buffer_bytes = Some(bytes);
        self
    }

    /// Listens on the first of the addresses that can be had, as [`TcpListener::bind`].
    ///
    /// # Errors
    /// Names every address tried; of the last failure's kind.
    ///
    /// # Examples
    /// ```
    /// let listener = gort::net::TcpListener::builder().bind("127.0.0.1:0")?;
    /// # drop(listener);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn bind<A: ToSocketAddrs>(self, addr: A) -> io::Result<TcpListener> {
        first_success("listen on", resolve(&addr)?, |addr| self.listen(&addr))
    }

    fn listen(&self, addr: &SocketAddr) -> io::Result<TcpListener> {
        let socket = sys::tcp_socket(addr)?;
        let fd = socket.as_raw_fd();
        if self.reuse_addr {
            sys::set_reuse_addr(fd, true)?;
        }
        if self.reuse_port {
            sys::set_reuse_port(fd, true)?;
        }
        if let Some(only) = self.only_v6.filter(|_| addr.is_ipv6()) {
            sys::set_only_v6(fd, only)?;
        }
        if let Some(bytes) = self.recv_buffer_bytes {
            sys::set_recv_buffer_bytes(fd, bytes)?;
        }
        if let Some(bytes) = self.send_buffer_bytes {
            sys::set_send_buffer_bytes(fd, bytes)?;
        }
        sys::bind(fd, &sys::SockAddr::from(*addr))?;
        // The kernel takes an int and compares it as unsigned.
        sys::listen(fd, self.backlog.min(i32::MAX as u32) as i32)?;
        let is_plain_tcp = sys::protocol_is_plain_tcp(fd);
        Ok(TcpListener::from_handle(Handle::new(socket, is_plain_tcp, true)?))
    }
}

//! What a connection can be asked and told. Nothing here blocks.

use super::TcpStream;
use crate::handle::surface;
use crate::net::{KeepAlive, SocketAddr};
use crate::sys::socket::{self as sys, SockAddr};
use std::io;

impl TcpStream {
    /// The address of the peer.
    ///
    /// # Errors
    /// `NotConnected` if the connection is gone or was closed.
    ///
    /// # Examples
    /// ```
    /// # let listener = gort::net::TcpListener::bind("127.0.0.1:0")?;
    /// # let stream = gort::net::TcpStream::connect(listener.local_addr()?)?;
    /// assert_eq!(stream.peer_addr()?, listener.local_addr()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.handle.with_fd(|fd| sys::peer_addr::<SockAddr>(fd)?.to_std())
    }

    /// The address of this end.
    ///
    /// # Errors
    /// `NotConnected` if the stream was closed.
    ///
    /// # Examples
    /// ```
    /// # let listener = gort::net::TcpListener::bind("127.0.0.1:0")?;
    /// # let stream = gort::net::TcpStream::connect(listener.local_addr()?)?;
    /// assert!(stream.local_addr()?.ip().is_loopback());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.handle.with_fd(|fd| sys::local_addr::<SockAddr>(fd)?.to_std())
    }

    /// Whether small writes are sent at once instead of being gathered (`TCP_NODELAY`).
    ///
    /// # Errors
    /// `NotConnected` if the stream was closed.
    ///
    /// # Examples
    /// ```
    /// # let listener = gort::net::TcpListener::bind("127.0.0.1:0")?;
    /// # let stream = gort::net::TcpStream::connect(listener.local_addr()?)?;
    /// stream.set_nodelay(true)?;
    /// assert!(stream.nodelay()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.handle.with_fd(|fd| sys::set_nodelay(fd, nodelay))
    }

    /// Whether small writes are sent at once.
    ///
    /// # Errors
    /// `NotConnected` if the stream was closed.
    ///
    /// # Examples
    /// ```
    /// # let listener = gort::net::TcpListener::bind("127.0.0.1:0")?;
    /// # let stream = gort::net::TcpStream::connect(listener.local_addr()?)?;
    /// assert!(!stream.nodelay()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn nodelay(&self) -> io::Result<bool> {
        self.handle.with_fd(sys::nodelay)
    }

    /// Whether acknowledgements are sent at once (`TCP_QUICKACK`). The kernel may change its mind later.
    ///
    /// # Errors
    /// `NotConnected` if the stream was closed.
    ///
    /// # Examples
    /// ```
    /// # let listener = gort::net::TcpListener::bind("127.0.0.1:0")?;
    /// # let stream = gort::net::TcpStream::connect(listener.local_addr()?)?;
    /// stream.set_quickack(true)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_quickack(&self, quickack: bool) -> io::Result<()> {
        self.handle.with_fd(|fd| sys::set_quickack(fd, quickack))
    }

    /// Whether acknowledgements are sent at once.
    ///
    /// # Errors
    /// `NotConnected` if the stream was closed.
    ///
    /// # Examples
    /// ```
    /// # let listener = gort::net::TcpListener::bind("127.0.0.1:0")?;
    /// # let stream = gort::net::TcpStream::connect(listener.local_addr()?)?;
    /// println!("{}", stream.quickack()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn quickack(&self) -> io::Result<bool> {
        self.handle.with_fd(sys::quickack)
    }

    /// Whether the kernel probes a silent peer, and how; `None` switches it off, which is how a connection begins.
    ///
    /// A connection that it finds broken ends reads and writes with `TimedOut`.
    ///
    /// # Errors
    /// `InvalidInput` for a count outside 1..=127; `NotConnected` if the stream was closed.
    ///
    /// # Examples
    /// ```
    /// use gort::net::KeepAlive;
    /// # let listener = gort::net::TcpListener::bind("127.0.0.1:0")?;
    /// # let stream = gort::net::TcpStream::connect(listener.local_addr()?)?;
    /// stream.set_keepalive(Some(KeepAlive::default()))?;
    /// assert!(stream.keepalive()?.is_some());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_keepalive(&self, how: Option<KeepAlive>) -> io::Result<()> {
        self.handle.with_fd(|fd| sys::set_keepalive(fd, how.map(Into::into)))
    }

    /// How the kernel probes a silent peer, if it does.
    ///
    /// # Errors
    /// `NotConnected` if the stream was closed.
    ///
    /// # Examples
    /// ```
    /// # let listener = gort::net::TcpListener::bind("127.0.0.1:0")?;
    /// # let stream = gort::net::TcpStream::connect(listener.local_addr()?)?;
    /// assert_eq!(stream.keepalive()?, None);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn keepalive(&self) -> io::Result<Option<KeepAlive>> {
        self.handle.with_fd(sys::keepalive).map(|how| how.map(Into::into))
    }
}

surface::ttl!(
    TcpStream,
    "stream",
    "# let listener = gort::net::TcpListener::bind(\"127.0.0.1:0\")?;
# let stream = gort::net::TcpStream::connect(listener.local_addr()?)?;"
);
surface::buffers!(
    TcpStream,
    "stream",
    "# let listener = gort::net::TcpListener::bind(\"127.0.0.1:0\")?;
# let stream = gort::net::TcpStream::connect(listener.local_addr()?)?;"
);

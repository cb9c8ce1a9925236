//! What a connection can be asked and told. Nothing here blocks.

use super::TcpStream;
use crate::net::{KeepAlive, SocketAddr};
use crate::netpoll::Side;
use crate::sys::socket as sys;
use std::io;
use std::time::{Duration, Instant};

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
        self.socket.with_fd(sys::peer_addr)
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
        self.socket.with_fd(sys::local_addr)
    }

    /// How long each read, and [`peek`](TcpStream::peek), may take from now on. `None`: as long as it needs.
    ///
    /// Then it fails with `TimedOut`, not earlier, and what comes later can be read. The time spent on waiting for another reader counts.
    ///
    /// # Errors
    /// `InvalidInput` for a zero timeout; `NotConnected` if the stream was closed.
    ///
    /// # Examples
    /// ```
    /// use std::io::{ErrorKind, Read};
    /// use std::time::Duration;
    /// # let listener = gort::net::TcpListener::bind("127.0.0.1:0")?;
    /// # let stream = gort::net::TcpStream::connect(listener.local_addr()?)?;
    /// stream.set_read_timeout(Some(Duration::from_millis(5)))?;
    /// assert_eq!((&stream).read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::TimedOut);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.socket.set_timeout(Side::Read, timeout)
    }

    /// How long each write may take from now on, as [`set_read_timeout`](TcpStream::set_read_timeout) for reads.
    ///
    /// # Errors
    /// `InvalidInput` for a zero timeout; `NotConnected` if the stream was closed.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// # let listener = gort::net::TcpListener::bind("127.0.0.1:0")?;
    /// # let stream = gort::net::TcpStream::connect(listener.local_addr()?)?;
    /// stream.set_write_timeout(Some(Duration::from_secs(1)))?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.socket.set_timeout(Side::Write, timeout)
    }

    /// How long each read may take.
    ///
    /// # Errors
    /// `NotConnected` if the stream was closed.
    ///
    /// # Examples
    /// ```
    /// # let listener = gort::net::TcpListener::bind("127.0.0.1:0")?;
    /// # let stream = gort::net::TcpStream::connect(listener.local_addr()?)?;
    /// assert_eq!(stream.read_timeout()?, None);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
        self.socket.timeout(Side::Read)
    }

    /// How long each write may take.
    ///
    /// # Errors
    /// `NotConnected` if the stream was closed.
    ///
    /// # Examples
    /// ```
    /// # let listener = gort::net::TcpListener::bind("127.0.0.1:0")?;
    /// # let stream = gort::net::TcpStream::connect(listener.local_addr()?)?;
    /// assert_eq!(stream.write_timeout()?, None);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
        self.socket.timeout(Side::Write)
    }

    /// When reading ends: from `deadline` on every read fails with `TimedOut`, even if data is there, until another one is set. `None`: never.
    ///
    /// Whoever waits in a read now is held to it too; a deadline in the past ends every wait at once. It is a point in time for all reads together,
    /// where a timeout counts for each one; whichever comes first holds.
    ///
    /// # Errors
    /// `NotConnected` if the stream was closed.
    ///
    /// # Examples
    /// ```
    /// use std::io::{ErrorKind, Read};
    /// use std::time::{Duration, Instant};
    /// # let listener = gort::net::TcpListener::bind("127.0.0.1:0")?;
    /// # let stream = gort::net::TcpStream::connect(listener.local_addr()?)?;
    /// stream.set_read_deadline(Some(Instant::now() + Duration::from_millis(5)))?;
    /// assert_eq!((&stream).read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::TimedOut);
    /// stream.set_read_deadline(None)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_read_deadline(&self, deadline: Option<Instant>) -> io::Result<()> {
        self.socket.set_deadline(Side::Read, deadline)
    }

    /// When writing ends, as [`set_read_deadline`](TcpStream::set_read_deadline) for reading.
    ///
    /// # Errors
    /// `NotConnected` if the stream was closed.
    ///
    /// # Examples
    /// ```
    /// use std::io::{ErrorKind, Write};
    /// use std::time::Instant;
    /// # let listener = gort::net::TcpListener::bind("127.0.0.1:0")?;
    /// # let stream = gort::net::TcpStream::connect(listener.local_addr()?)?;
    /// stream.set_write_deadline(Some(Instant::now()))?;
    /// assert_eq!((&stream).write(b"late").unwrap_err().kind(), ErrorKind::TimedOut);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_write_deadline(&self, deadline: Option<Instant>) -> io::Result<()> {
        self.socket.set_deadline(Side::Write, deadline)
    }

    /// When reading and writing end: both deadlines at once.
    ///
    /// # Errors
    /// `NotConnected` if the stream was closed.
    ///
    /// # Examples
    /// ```
    /// use std::time::{Duration, Instant};
    /// # let listener = gort::net::TcpListener::bind("127.0.0.1:0")?;
    /// # let stream = gort::net::TcpStream::connect(listener.local_addr()?)?;
    /// stream.set_deadline(Some(Instant::now() + Duration::from_secs(30)))?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_deadline(&self, deadline: Option<Instant>) -> io::Result<()> {
        self.socket.set_deadline(Side::Read, deadline)?;
        self.socket.set_deadline(Side::Write, deadline)
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
        self.socket.with_fd(|fd| sys::set_nodelay(fd, nodelay))
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
        self.socket.with_fd(sys::nodelay)
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
        self.socket.with_fd(|fd| sys::set_quickack(fd, quickack))
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
        self.socket.with_fd(sys::quickack)
    }

    /// How many routers a packet may pass (`IP_TTL`).
    ///
    /// # Errors
    /// The system's for a value it does not take; `NotConnected` if the stream was closed.
    ///
    /// # Examples
    /// ```
    /// # let listener = gort::net::TcpListener::bind("127.0.0.1:0")?;
    /// # let stream = gort::net::TcpStream::connect(listener.local_addr()?)?;
    /// stream.set_ttl(100)?;
    /// assert_eq!(stream.ttl()?, 100);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.socket.with_fd(|fd| sys::set_ttl(fd, ttl))
    }

    /// How many routers a packet may pass.
    ///
    /// # Errors
    /// `NotConnected` if the stream was closed.
    ///
    /// # Examples
    /// ```
    /// # let listener = gort::net::TcpListener::bind("127.0.0.1:0")?;
    /// # let stream = gort::net::TcpStream::connect(listener.local_addr()?)?;
    /// assert!(stream.ttl()? > 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn ttl(&self) -> io::Result<u32> {
        self.socket.with_fd(sys::ttl)
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
        self.socket.with_fd(|fd| sys::set_keepalive(fd, how.map(Into::into)))
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
        self.socket.with_fd(sys::keepalive).map(|how| how.map(Into::into))
    }

    /// Asks for a receive buffer of `bytes` (`SO_RCVBUF`). The kernel doubles that for its own needs, and caps it.
    ///
    /// # Errors
    /// `NotConnected` if the stream was closed.
    ///
    /// # Examples
    /// ```
    /// # let listener = gort::net::TcpListener::bind("127.0.0.1:0")?;
    /// # let stream = gort::net::TcpStream::connect(listener.local_addr()?)?;
    /// stream.set_recv_buffer_size(1 << 16)?;
    /// assert!(stream.recv_buffer_size()? >= 1 << 16);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_recv_buffer_size(&self, bytes: usize) -> io::Result<()> {
        self.socket.with_fd(|fd| sys::set_recv_buffer_bytes(fd, bytes))
    }

    /// Size of the receive buffer, with the kernel's own needs.
    ///
    /// # Errors
    /// `NotConnected` if the stream was closed.
    ///
    /// # Examples
    /// ```
    /// # let listener = gort::net::TcpListener::bind("127.0.0.1:0")?;
    /// # let stream = gort::net::TcpStream::connect(listener.local_addr()?)?;
    /// assert!(stream.recv_buffer_size()? > 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn recv_buffer_size(&self) -> io::Result<usize> {
        self.socket.with_fd(sys::recv_buffer_bytes)
    }

    /// Asks for a send buffer of `bytes` (`SO_SNDBUF`). The kernel doubles that for its own needs, and caps it.
    ///
    /// # Errors
    /// `NotConnected` if the stream was closed.
    ///
    /// # Examples
    /// ```
    /// # let listener = gort::net::TcpListener::bind("127.0.0.1:0")?;
    /// # let stream = gort::net::TcpStream::connect(listener.local_addr()?)?;
    /// stream.set_send_buffer_size(1 << 16)?;
    /// assert!(stream.send_buffer_size()? >= 1 << 16);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_send_buffer_size(&self, bytes: usize) -> io::Result<()> {
        self.socket.with_fd(|fd| sys::set_send_buffer_bytes(fd, bytes))
    }

    /// Size of the send buffer, with the kernel's own needs.
    ///
    /// # Errors
    /// `NotConnected` if the stream was closed.
    ///
    /// # Examples
    /// ```
    /// # let listener = gort::net::TcpListener::bind("127.0.0.1:0")?;
    /// # let stream = gort::net::TcpStream::connect(listener.local_addr()?)?;
    /// assert!(stream.send_buffer_size()? > 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn send_buffer_size(&self) -> io::Result<usize> {
        self.socket.with_fd(sys::send_buffer_bytes)
    }

    /// Takes the error that the kernel keeps for this connection, so that the next call does not report it (`SO_ERROR`).
    ///
    /// # Errors
    /// `NotConnected` if the stream was closed.
    ///
    /// # Examples
    /// ```
    /// # let listener = gort::net::TcpListener::bind("127.0.0.1:0")?;
    /// # let stream = gort::net::TcpStream::connect(listener.local_addr()?)?;
    /// assert!(stream.take_error()?.is_none());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.socket.with_fd(sys::take_error).map(|error| error.map(Into::into))
    }

    /// With `true`, calls that would park fail with `WouldBlock` instead, also those parked now.
    ///
    /// For loops of one's own; a goroutine has no need of it. Unlike in std this concerns this value only, not its clones.
    ///
    /// # Errors
    /// `NotConnected` if the stream was closed.
    ///
    /// # Examples
    /// ```
    /// use std::io::{ErrorKind, Read};
    /// # let listener = gort::net::TcpListener::bind("127.0.0.1:0")?;
    /// # let stream = gort::net::TcpStream::connect(listener.local_addr()?)?;
    /// stream.set_nonblocking(true)?;
    /// assert_eq!((&stream).read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.socket.set_nonblocking(nonblocking)
    }
}

//! Waiting for TCP connections.

use super::no_room::say_no_room;
use super::{SocketAddr, TcpListenerBuilder, TcpStream, ToSocketAddrs};
use crate::handle::{Handle, surface};
use crate::netpoll::Side;
use crate::sys::socket::{self as sys, SockAddr};
use std::fmt;
use std::io;
use std::iter::FusedIterator;
use std::panic::Location;
use std::time::Instant;

/// A socket that listens for TCP connections, as [`std::net::TcpListener`].
///
/// Any number of goroutines may accept on one listener. Dropping it closes the port; connections that wait to be accepted are reset.
///
/// # Examples
/// ```no_run
/// use std::io::{Read, Write};
///
/// let listener = gort::net::TcpListener::bind("0.0.0.0:7000")?;
/// for stream in listener.incoming() {
///     let mut stream = stream?;
///     gort::go(move || -> std::io::Result<()> {
///         let mut buf = [0; 4096];
///         loop {
///             match stream.read(&mut buf)? {
///                 0 => return Ok(()),
///                 n => stream.write_all(&buf[..n])?,
///             }
///         }
///     });
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct TcpListener {
    handle: Handle,
}

impl TcpListener {
    /// Listens on the first of the addresses that can be had. Port 0 gives a free one, which [`local_addr`](TcpListener::local_addr) tells.
    ///
    /// The address may be taken although connections of an earlier listener linger (`SO_REUSEADDR`), as in std. As many connections may wait
    /// as the system allows (std: 128). [`TcpListener::builder`] changes both. Names are resolved in a section marked as blocking; nothing else
    /// here blocks.
    ///
    /// # Errors
    /// If the name cannot be resolved; or one that names every address tried and why it failed, of the last failure's kind. `AddrInUse`: somebody
    /// else has the port.
    ///
    /// # Examples
    /// ```
    /// let listener = gort::net::TcpListener::bind("127.0.0.1:0")?;
    /// assert_ne!(listener.local_addr()?.port(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<Self> {
        Self::builder().bind(addr)
    }

    /// More ways to listen: backlog, a port shared by several listeners, buffer sizes.
    ///
    /// # Examples
    /// ```
    /// let listener = gort::net::TcpListener::builder().backlog(16).bind("127.0.0.1:0")?;
    /// # drop(listener);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn builder() -> TcpListenerBuilder {
        TcpListenerBuilder::new()
    }

    pub(super) fn from_handle(handle: Handle) -> Self {
        Self { handle }
    }

    /// Takes a connection, and says where it comes from.
    ///
    /// Parks until there is one, until the [deadline](TcpListener::set_deadline), or until the listener is closed. Connections that were given up
    /// before they were accepted are passed over.
    ///
    /// **Out of descriptors or memory** the connections wait: accept pauses, 5 ms at first and then longer up to a second, and goes on
    /// when there is room; on stderr it says so, once in the life of the process, and how to raise the limit. A loop around `accept` keeps
    /// serving. Only in non-blocking mode the caller gets the error. If the poller has no room, the connection is handed over and its operations say
    /// so.
    ///
    /// # Errors
    /// `TimedOut` at the deadline, `NotConnected` if the listener was closed, `WouldBlock` in non-blocking mode.
    ///
    /// # Examples
    /// ```
    /// # let listener = gort::net::TcpListener::bind("127.0.0.1:0")?;
    /// # let client = gort::net::TcpStream::connect(listener.local_addr()?)?;
    /// let (stream, peer) = listener.accept()?;
    /// assert_eq!(stream.peer_addr()?, peer);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (fd, peer) =
            self.handle.accept::<SockAddr>(Location::caller(), |error| say_no_room(self.local_addr(), error))?;
        let peer = peer.to_std()?;
        // Plain TCP makes plain TCP, and anything else its own kind.
        Ok((TcpStream::from_handle(Handle::new_or_refused(fd, self.handle.is_plain_tcp(), true)), peer))
    }

    /// Accepts for ever: an iterator over connections. It ends only when the listener is closed.
    ///
    /// # Errors
    /// Each item is what [`accept`](TcpListener::accept) returns, without the address.
    ///
    /// # Examples
    /// ```
    /// # let listener = gort::net::TcpListener::bind("127.0.0.1:0")?;
    /// # let client = gort::net::TcpStream::connect(listener.local_addr()?)?;
    /// for stream in listener.incoming() {
    ///     println!("{}", stream?.peer_addr()?);
    ///     listener.close()?; // the loop ends
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    /// The address it listens on.
    ///
    /// # Errors
    /// `NotConnected` if the listener was closed.
    ///
    /// # Examples
    /// ```
    /// let listener = gort::net::TcpListener::bind("127.0.0.1:0")?;
    /// assert!(listener.local_addr()?.ip().is_loopback());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.handle.with_fd(|fd| sys::local_addr::<SockAddr>(fd)?.to_std())
    }

    /// When accepting ends: from `deadline` on it fails with `TimedOut`, even if a connection waits, until another one is set. `None`: never.
    ///
    /// Whoever waits in [`accept`](TcpListener::accept) now is held to it too.
    ///
    /// # Errors
    /// `NotConnected` if the listener was closed.
    ///
    /// # Examples
    /// ```
    /// use std::io::ErrorKind;
    /// use std::time::{Duration, Instant};
    /// # let listener = gort::net::TcpListener::bind("127.0.0.1:0")?;
    ///
    /// listener.set_deadline(Some(Instant::now() + Duration::from_millis(5)))?;
    /// assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::TimedOut);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_deadline(&self, deadline: Option<Instant>) -> io::Result<()> {
        self.handle.set_deadline(Side::Read, deadline)
    }
}

surface::socket_ends!(
    TcpListener,
    "listener",
    "# let listener = gort::net::TcpListener::bind(\"127.0.0.1:0\")?;",
    "listener.accept()"
);
surface::ttl!(TcpListener, "listener", "# let listener = gort::net::TcpListener::bind(\"127.0.0.1:0\")?;");
surface::converts!(
    TcpListener,
    std::net::TcpListener,
    "listener",
    "# let listener = gort::net::TcpListener::bind(\"127.0.0.1:0\")?;",
    "gort::net::TcpListener"
);

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("TcpListener");
        if let Ok(addr) = self.local_addr() {
            f.field("addr", &addr);
        }
        f.field("fd", &self.handle).finish()
    }
}

/// Connections as they come: made by [`TcpListener::incoming`].
///
/// # Examples
/// ```
/// # let listener = gort::net::TcpListener::bind("127.0.0.1:0")?;
/// # let client = gort::net::TcpStream::connect(listener.local_addr()?)?;
/// for stream in listener.incoming().take(1) {
///     println!("{}", stream?.peer_addr()?);
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "iterators are lazy and do nothing unless consumed"]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    #[track_caller]
    fn next(&mut self) -> Option<Self::Item> {
        match self.listener.accept() {
            Ok((stream, _)) => Some(Ok(stream)),
            // For ever after: a loop that passes over errors must end here.
            Err(_) if self.listener.handle.is_closed() => None,
            Err(error) => Some(Err(error)),
        }
    }
}

impl FusedIterator for Incoming<'_> {}

//! Waiting for TCP connections.

mod convert;

use super::{SocketAddr, TcpListenerBuilder, TcpStream, ToSocketAddrs};
use crate::io::Socket;
use crate::netpoll::Side;
use crate::sys::limits;
use crate::sys::socket as sys;
use std::fmt;
use std::io;
use std::iter::FusedIterator;
use std::panic::Location;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
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
    socket: Socket,
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

    pub(super) fn from_socket(socket: Socket) -> Self {
        Self { socket }
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
        let (fd, peer) = self.socket.accept(Location::caller(), |error| self.say_no_room(error))?;
        // Plain TCP makes plain TCP, and anything else its own kind.
        Ok((TcpStream::from_socket(Socket::new_or_refused(fd, self.socket.is_plain_tcp(), true)), peer))
    }

    /// Says once that connections wait because there is no room for them.
    #[cold]
    fn say_no_room(&self, error: &io::Error) {
        static SAID: AtomicBool = AtomicBool::new(false);
        // Relaxed: only who says it is decided.
        if SAID.swap(true, Relaxed) {
            return;
        }
        let way_out = match error.raw_os_error() {
            Some(libc::EMFILE) => match limits::descriptors() {
                Ok(limits) if limits.soft >= limits.hard => format!(
                    "this process may open {} descriptors, and that is the hard limit: its parent, or limits.conf, must raise it",
                    limits.hard
                ),
                Ok(limits) => format!(
                    "this process may open {} descriptors: raise the limit (ulimit -n), up to {}",
                    limits.soft, limits.hard
                ),
                Err(_) => "raise the limit on descriptors (ulimit -n)".to_owned(),
            },
            Some(libc::ENFILE) => "the system's limit is /proc/sys/fs/file-max".to_owned(),
            _ => "the system is short of memory for sockets".to_owned(),
        };
        let at = self.local_addr().map_or_else(|_| "a listener".to_owned(), |addr| addr.to_string());
        // In one piece, whatever others write meanwhile.
        let line = format!(
            "gort: accept on {at}: {error}; connections wait until there is room; {way_out}; this is said once\n"
        );
        crate::sys::fault::write_stderr(line.as_bytes());
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
        self.socket.with_fd(sys::local_addr)
    }

    /// A second value for the same listener, with an fd of its own: closing one leaves the other usable.
    ///
    /// It begins with this one's deadline and mode; from then on each has its own. Sharing one value is cheaper: all methods take `&self`.
    ///
    /// # Errors
    /// If the process has no descriptor left.
    ///
    /// # Examples
    /// ```
    /// let listener = gort::net::TcpListener::bind("127.0.0.1:0")?;
    /// let clone = listener.try_clone()?;
    /// assert_eq!(clone.local_addr()?, listener.local_addr()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn try_clone(&self) -> io::Result<Self> {
        self.socket.try_clone().map(Self::from_socket)
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
        self.socket.set_deadline(Side::Read, deadline)
    }

    /// Stops listening, also for the others who share this value: their calls under way end with an error, and so does every later one.
    ///
    /// Returns when the port is free again; unless it was lent out by [`as_fd`](std::os::fd::AsFd::as_fd), which keeps it until this value is
    /// dropped, or a clone still listens.
    ///
    /// # Errors
    /// `NotConnected` if it was closed before.
    ///
    /// # Examples
    /// ```
    /// # let listener = gort::net::TcpListener::bind("127.0.0.1:0")?;
    /// gort::scope(|s| {
    ///     let accepting = s.spawn(|| listener.accept().map(drop));
    ///     listener.close()?;
    ///     assert!(accepting.join().unwrap().is_err());
    ///     std::io::Result::Ok(())
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn close(&self) -> io::Result<()> {
        self.socket.close(Location::caller())
    }

    /// How many routers a packet of its connections may pass (`IP_TTL`).
    ///
    /// # Errors
    /// The system's for a value it does not take; `NotConnected` if the listener was closed.
    ///
    /// # Examples
    /// ```
    /// # let listener = gort::net::TcpListener::bind("127.0.0.1:0")?;
    /// listener.set_ttl(100)?;
    /// assert_eq!(listener.ttl()?, 100);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.socket.with_fd(|fd| sys::set_ttl(fd, ttl))
    }

    /// How many routers a packet of its connections may pass.
    ///
    /// # Errors
    /// `NotConnected` if the listener was closed.
    ///
    /// # Examples
    /// ```
    /// # let listener = gort::net::TcpListener::bind("127.0.0.1:0")?;
    /// assert!(listener.ttl()? > 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn ttl(&self) -> io::Result<u32> {
        self.socket.with_fd(sys::ttl)
    }

    /// Takes the error that the kernel keeps for this socket (`SO_ERROR`).
    ///
    /// # Errors
    /// `NotConnected` if the listener was closed.
    ///
    /// # Examples
    /// ```
    /// # let listener = gort::net::TcpListener::bind("127.0.0.1:0")?;
    /// assert!(listener.take_error()?.is_none());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.socket.with_fd(sys::take_error).map(|error| error.map(Into::into))
    }

    /// With `true`, [`accept`](TcpListener::accept) fails with `WouldBlock` instead of parking, also one that is parked now.
    ///
    /// Unlike in std this concerns this value only, not its clones.
    ///
    /// # Errors
    /// `NotConnected` if the listener was closed.
    ///
    /// # Examples
    /// ```
    /// # let listener = gort::net::TcpListener::bind("127.0.0.1:0")?;
    /// listener.set_nonblocking(true)?;
    /// assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.socket.set_nonblocking(nonblocking)
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("TcpListener");
        if let Ok(addr) = self.local_addr() {
            f.field("addr", &addr);
        }
        f.field("fd", &self.socket).finish()
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
            Err(_) if self.listener.socket.is_closed() => None,
            Err(error) => Some(Err(error)),
        }
    }
}

impl FusedIterator for Incoming<'_> {}

//! Waiting for connections.

use super::{Shown, UnixStream, debug, local_addr, named};
use crate::handle::{Handle, surface};
use crate::net::no_room::say_no_room;
use crate::netpoll::Side;
use crate::sys::socket::{self as sys, UnixAddr};
use std::fmt;
use std::io;
use std::iter::FusedIterator;
use std::os::fd::AsRawFd;
use std::os::unix::net::SocketAddr;
use std::panic::Location;
use std::path::Path;
use std::time::Instant;

/// A Unix socket that listens for connections, as [`std::os::unix::net::UnixListener`].
///
/// Any number of goroutines may accept on one listener. Its path stays when it is dropped: whoever listens there next has to remove it first. An
/// abstract name goes with it.
///
/// # Examples
/// ```
/// use gort::net::{UnixListener, UnixStream};
/// use std::io::{Read, Write};
///
/// let path = std::env::temp_dir().join(format!("gort-listener-{}", std::process::id()));
/// let listener = UnixListener::bind(&path)?;
/// let serving = gort::go(move || -> std::io::Result<()> {
///     let (mut stream, _) = listener.accept()?;
///     stream.write_all(b"hello")
/// });
/// let mut text = String::new();
/// UnixStream::connect(&path)?.read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
/// serving.join().unwrap()?;
/// std::fs::remove_file(path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct UnixListener {
    handle: Handle,
}

impl UnixListener {
    /// Listens at `path`, which it makes. As many connections may wait as the system allows.
    ///
    /// # Errors
    /// One that names the path, with the system's as its source. `AddrInUse`: the path exists, also if nobody listens there any more;
    /// `InvalidInput`: a path with a zero, or of 108 bytes or more.
    ///
    /// # Examples
    /// See [`UnixListener`].
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<Self> {
        Self::bind_addr(&SocketAddr::from_pathname(path)?)
    }

    /// Listens at `addr`, which may be an abstract name. As [`UnixListener::bind`].
    ///
    /// # Errors
    /// As [`UnixListener::bind`].
    ///
    /// # Examples
    /// See [`UnixStream::connect_addr`].
    pub fn bind_addr(addr: &SocketAddr) -> io::Result<Self> {
        let listen = || {
            let fd = sys::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0)?;
            sys::bind(fd.as_raw_fd(), &UnixAddr::from(addr))?;
            // The kernel cuts it at its own limit.
            sys::listen(fd.as_raw_fd(), i32::MAX)?;
            Handle::new(fd, false, true)
        };
        Ok(Self { handle: listen().map_err(|error| named("listen on", addr, error))? })
    }

    /// Takes a connection, and says where it comes from, which in most cases has no name.
    ///
    /// Parks until there is one, until the [deadline](UnixListener::set_deadline), or until the listener is closed. Out of descriptors or memory it
    /// pauses and says so, as [`TcpListener::accept`](crate::net::TcpListener::accept) does.
    ///
    /// # Errors
    /// `TimedOut` at the deadline, `NotConnected` if the listener was closed, `WouldBlock` in non-blocking mode.
    ///
    /// # Examples
    /// See [`UnixListener`].
    #[track_caller]
    pub fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let say = |error: &io::Error| say_no_room(self.local_addr().map(|addr| Shown(&addr).to_string()), error);
        let (fd, peer) = self.handle.accept::<UnixAddr>(Location::caller(), say)?;
        let peer = peer.to_std().or_else(|_| UnixAddr::UNNAMED.to_std())?;
        Ok((UnixStream { handle: Handle::new_or_refused(fd, false, true) }, peer))
    }

    /// Accepts for ever: an iterator over connections. It ends only when the listener is closed.
    ///
    /// # Errors
    /// Each item is what [`accept`](UnixListener::accept) returns, without the address.
    ///
    /// # Examples
    /// ```
    /// # use std::os::linux::net::SocketAddrExt;
    /// # let name = format!("gort-incoming-{}", std::process::id());
    /// # let addr = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
    /// let listener = gort::net::UnixListener::bind_addr(&addr)?;
    /// let client = gort::net::UnixStream::connect_addr(&addr)?;
    /// for stream in listener.incoming() {
    ///     println!("{:?}", stream?.peer_credentials()?);
    ///     listener.close()?; // the loop ends
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn incoming(&self) -> UnixIncoming<'_> {
        UnixIncoming { listener: self }
    }

    /// The address it listens at.
    ///
    /// # Errors
    /// `NotConnected` if the listener was closed.
    ///
    /// # Examples
    /// ```
    /// # use std::os::linux::net::SocketAddrExt;
    /// let name = format!("gort-local-{}", std::process::id());
    /// let addr = std::os::unix::net::SocketAddr::from_abstract_name(&name)?;
    /// let listener = gort::net::UnixListener::bind_addr(&addr)?;
    /// assert_eq!(listener.local_addr()?.as_abstract_name(), Some(name.as_bytes()));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.handle.with_fd(local_addr)
    }

    /// When accepting ends: from `deadline` on it fails with `TimedOut`, even if a connection waits, until another one is set. `None`: never.
    ///
    /// Whoever waits in [`accept`](UnixListener::accept) now is held to it too.
    ///
    /// # Errors
    /// `NotConnected` if the listener was closed.
    ///
    /// # Examples
    /// ```
    /// use std::io::ErrorKind;
    /// use std::time::{Duration, Instant};
    /// # use std::os::linux::net::SocketAddrExt;
    /// # let name = format!("gort-deadline-{}", std::process::id());
    /// # let addr = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
    /// # let listener = gort::net::UnixListener::bind_addr(&addr)?;
    /// listener.set_deadline(Some(Instant::now() + Duration::from_millis(5)))?;
    /// assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::TimedOut);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_deadline(&self, deadline: Option<Instant>) -> io::Result<()> {
        self.handle.set_deadline(Side::Read, deadline)
    }
}

surface::socket_ends!(
    UnixListener,
    "listener",
    "# use std::os::linux::net::SocketAddrExt;
# let name = format!(\"gort-{}-{}\", std::process::id(), line!());
# let addr = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
# let listener = gort::net::UnixListener::bind_addr(&addr)?;",
    "listener.accept()"
);
surface::converts!(
    UnixListener,
    std::os::unix::net::UnixListener,
    "listener",
    "# use std::os::linux::net::SocketAddrExt;
# let name = format!(\"gort-{}-{}\", std::process::id(), line!());
# let addr = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
# let listener = gort::net::UnixListener::bind_addr(&addr)?;",
    "gort::net::UnixListener"
);

impl fmt::Debug for UnixListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug(f, "UnixListener", &self.handle, Err(io::ErrorKind::NotConnected.into()))
    }
}

/// Connections as they come: made by [`UnixListener::incoming`].
#[derive(Debug)]
#[must_use = "iterators are lazy and do nothing unless consumed"]
pub struct UnixIncoming<'a> {
    listener: &'a UnixListener,
}

impl Iterator for UnixIncoming<'_> {
    type Item = io::Result<UnixStream>;

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

impl FusedIterator for UnixIncoming<'_> {}

impl<'a> IntoIterator for &'a UnixListener {
    type Item = io::Result<UnixStream>;
    type IntoIter = UnixIncoming<'a>;

    fn into_iter(self) -> UnixIncoming<'a> {
        self.incoming()
    }
}

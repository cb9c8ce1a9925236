//! Connections.

use super::{debug, local_addr, named, peer_addr, unless_full};
use crate::handle::{Handle, surface};
use crate::net::Shutdown;
use crate::sys::raw::Errno;
use crate::sys::socket::{self as sys, UnixAddr};
use std::fmt;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::SocketAddr;
use std::panic::Location;
use std::path::Path;

/// A connection of Unix sockets, as [`std::os::unix::net::UnixStream`].
///
/// It reads and writes through [`Read`](io::Read) and [`Write`](io::Write), which are there for `&UnixStream` too, so that goroutines can share it.
///
/// # Examples
/// ```
/// use gort::net::UnixStream;
/// use std::io::{Read, Write};
///
/// let (mut near, mut far) = UnixStream::pair()?;
/// let answering = gort::go(move || far.write_all(b"hello"));
/// let mut text = String::new();
/// near.read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
/// answering.join().unwrap()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct UnixStream {
    pub(super) handle: Handle,
}

impl UnixStream {
    /// Connects to whoever listens at `path`.
    ///
    /// Parks while the listener has as many waiting connections as it wants. No event tells when that changes, so it is tried again after pauses, up to
    /// 50 ms.
    ///
    /// # Errors
    /// One that names the path, with the system's as its source. `NotFound`: there is no such path; `ConnectionRefused`: nobody listens there any
    /// more; `InvalidInput`: a path with a zero, or of 108 bytes or more.
    ///
    /// # Examples
    /// ```
    /// let path = std::env::temp_dir().join(format!("gort-connect-{}", std::process::id()));
    /// let listener = gort::net::UnixListener::bind(&path)?;
    /// let stream = gort::net::UnixStream::connect(&path)?;
    /// assert_eq!(stream.peer_addr()?.as_pathname(), Some(&*path));
    /// std::fs::remove_file(path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn connect<P: AsRef<Path>>(path: P) -> io::Result<Self> {
        let site = Location::caller();
        Self::connect_at(&SocketAddr::from_pathname(path)?, site)
    }

    /// Connects to whoever listens at `addr`, which may be an abstract name. As [`UnixStream::connect`].
    ///
    /// # Errors
    /// As [`UnixStream::connect`].
    ///
    /// # Examples
    /// ```
    /// use std::os::linux::net::SocketAddrExt;
    /// use std::os::unix::net::SocketAddr;
    ///
    /// let addr = SocketAddr::from_abstract_name(format!("gort-connect-addr-{}", std::process::id()))?;
    /// let listener = gort::net::UnixListener::bind_addr(&addr)?;
    /// let stream = gort::net::UnixStream::connect_addr(&addr)?;
    /// # drop((listener, stream));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn connect_addr(addr: &SocketAddr) -> io::Result<Self> {
        Self::connect_at(addr, Location::caller())
    }

    fn connect_at(addr: &SocketAddr, site: &'static Location<'static>) -> io::Result<Self> {
        let connect = || {
            let kernels = UnixAddr::from(addr);
            let fd = sys::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0)?;
            match sys::connect(fd.as_raw_fd(), &kernels) {
                Ok(()) => Handle::new(fd, false, true),
                Err(Errno::AGAIN | Errno::INTR) => {
                    let handle = Handle::new(fd, false, true)?;
                    handle.write_when_room(site, |fd| unless_full(sys::connect(fd, &kernels)))?;
                    Ok(handle)
                }
                Err(error) => Err(error.into()),
            }
        };
        Ok(Self { handle: connect().map_err(|error| named("connect to", addr, error))? })
    }

    /// Two streams that are connected with each other.
    ///
    /// # Errors
    /// If the process has no descriptors left.
    ///
    /// # Examples
    /// See [`UnixStream`].
    pub fn pair() -> io::Result<(Self, Self)> {
        let (near, far) = sys::unix_pair(libc::SOCK_STREAM)?;
        Ok((Self { handle: Handle::new(near, false, true)? }, Self { handle: Handle::new(far, false, true)? }))
    }

    /// The address of this end.
    ///
    /// # Errors
    /// `NotConnected` if the stream was closed.
    ///
    /// # Examples
    /// ```
    /// let (stream, _peer) = gort::net::UnixStream::pair()?;
    /// assert!(stream.local_addr()?.is_unnamed());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.handle.with_fd(local_addr)
    }

    /// The address of the other end.
    ///
    /// # Errors
    /// `NotConnected` if the stream was closed.
    ///
    /// # Examples
    /// ```
    /// let (stream, _peer) = gort::net::UnixStream::pair()?;
    /// assert!(stream.peer_addr()?.is_unnamed());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.handle.with_fd(peer_addr)
    }

    /// Receives without taking the bytes out: the next read gives them again. Parks as a read does.
    ///
    /// # Errors
    /// As a read.
    ///
    /// # Examples
    /// ```
    /// # use std::io::Write;
    /// let (stream, mut peer) = gort::net::UnixStream::pair()?;
    /// peer.write_all(b"hi")?;
    /// assert_eq!(stream.peek(&mut [0; 8])?, 2);
    /// assert_eq!(stream.peek(&mut [0; 8])?, 2);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return self.handle.with_fd(|_| Ok(0));
        }
        self.handle.read_other(Location::caller(), |fd| sys::recv(fd, buf, libc::MSG_PEEK))
    }

    /// Ends reading, writing or both for everybody who has this connection, clones included.
    ///
    /// Parked readers get `Ok(0)`, parked writers `BrokenPipe`; after `Shutdown::Write` the peer reads what was sent, and then the end. One that is
    /// parked in a write to a clone learns it when the peer has read: the system makes no event of it.
    ///
    /// # Errors
    /// `NotConnected` if the stream was closed.
    ///
    /// # Examples
    /// ```
    /// # use std::io::Read;
    /// let (stream, mut peer) = gort::net::UnixStream::pair()?;
    /// stream.shutdown(gort::net::Shutdown::Write)?;
    /// assert_eq!(peer.read(&mut [0; 8])?, 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.handle.shutdown(how)
    }
}

surface::readable!(UnixStream, sys::receive, sys::recv_vectored);
surface::writable!(UnixStream, sys::send, sys::send_vectored);
surface::limits!(
    UnixStream,
    "stream",
    "# use std::io::{Read, Write};
# let (stream, _peer) = gort::net::UnixStream::pair()?;",
    "(&stream).read(&mut [0; 8])",
    "(&stream).write(b\"late\")"
);
surface::socket_ends!(
    UnixStream,
    "stream",
    "# use std::io::Read;
# let (stream, _peer) = gort::net::UnixStream::pair()?;",
    "(&stream).read(&mut [0; 8])"
);
surface::buffers!(UnixStream, "stream", "# let (stream, _peer) = gort::net::UnixStream::pair()?;");
surface::readiness!(
    UnixStream,
    "stream",
    "# use std::io::{Read, Write};
# let (stream, mut peer) = gort::net::UnixStream::pair()?;
# peer.write_all(b\"hi\")?;",
    "(&stream).read(&mut buffer)?"
);
surface::converts!(
    UnixStream,
    std::os::unix::net::UnixStream,
    "stream",
    "# let (stream, _peer) = gort::net::UnixStream::pair()?;",
    "gort::net::UnixStream"
);

impl fmt::Debug for UnixStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug(f, "UnixStream", &self.handle, self.peer_addr())
    }
}

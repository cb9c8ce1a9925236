//! Datagrams.

use super::{debug, local_addr, named, peer_addr};
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

/// A Unix socket for datagrams, as [`std::os::unix::net::UnixDatagram`].
///
/// Datagrams arrive whole, in order, and none is lost: whoever sends waits while the receiver's queue is full.
///
/// # Examples
/// ```
/// let (near, far) = gort::net::UnixDatagram::pair()?;
/// near.send(b"hello")?;
/// let mut buf = [0; 16];
/// assert_eq!(far.recv(&mut buf)?, 5);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct UnixDatagram {
    pub(super) handle: Handle,
}

/// Nothing has come: the end, if the socket was shut down. The kernel says so to calls that wait only.
pub(super) fn or_end<R>(
    fd: i32,
    mut receive: impl FnMut() -> Result<R, Errno>,
    end: impl FnOnce() -> R,
) -> Result<R, Errno> {
    match receive() {
        Err(Errno::AGAIN) if sys::poll(fd, libc::POLLRDHUP, Some(0))? & libc::POLLRDHUP != 0 => match receive() {
            // From here on nothing comes; before this, something may have.
            Err(Errno::AGAIN) => Ok(end()),
            other => other,
        },
        other => other,
    }
}

impl UnixDatagram {
    /// A socket at `path`, which it makes.
    ///
    /// # Errors
    /// One that names the path, with the system's as its source. `AddrInUse`: the path exists.
    ///
    /// # Examples
    /// ```
    /// let path = std::env::temp_dir().join(format!("gort-datagram-{}", std::process::id()));
    /// let socket = gort::net::UnixDatagram::bind(&path)?;
    /// assert_eq!(socket.local_addr()?.as_pathname(), Some(&*path));
    /// std::fs::remove_file(path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<Self> {
        Self::bind_addr(&SocketAddr::from_pathname(path)?)
    }

    /// A socket at `addr`, which may be an abstract name.
    ///
    /// # Errors
    /// As [`UnixDatagram::bind`].
    ///
    /// # Examples
    /// ```
    /// use std::os::linux::net::SocketAddrExt;
    /// use std::os::unix::net::SocketAddr;
    ///
    /// let addr = SocketAddr::from_abstract_name(format!("gort-datagram-{}", std::process::id()))?;
    /// let socket = gort::net::UnixDatagram::bind_addr(&addr)?;
    /// # drop(socket);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn bind_addr(addr: &SocketAddr) -> io::Result<Self> {
        let bind = || {
            let fd = sys::socket(libc::AF_UNIX, libc::SOCK_DGRAM, 0)?;
            sys::bind(fd.as_raw_fd(), &UnixAddr::from(addr))?;
            Handle::new(fd, false, true)
        };
        Ok(Self { handle: bind().map_err(|error| named("bind to", addr, error))? })
    }

    /// A socket without an address: nobody can answer it.
    ///
    /// # Errors
    /// If the process has no descriptor left.
    ///
    /// # Examples
    /// ```
    /// let socket = gort::net::UnixDatagram::unbound()?;
    /// assert!(socket.local_addr()?.is_unnamed());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn unbound() -> io::Result<Self> {
        let fd = sys::socket(libc::AF_UNIX, libc::SOCK_DGRAM, 0)?;
        Ok(Self { handle: Handle::new(fd, false, true)? })
    }

    /// Two sockets that are connected with each other.
    ///
    /// # Errors
    /// If the process has no descriptors left.
    ///
    /// # Examples
    /// See [`UnixDatagram`].
    pub fn pair() -> io::Result<(Self, Self)> {
        let (near, far) = sys::unix_pair(libc::SOCK_DGRAM)?;
        Ok((Self { handle: Handle::new(near, false, true)? }, Self { handle: Handle::new(far, false, true)? }))
    }

    /// Sends to, and receives from, the socket at `path` and no other. Never waits.
    ///
    /// # Errors
    /// One that names the path. `NotFound`: there is no such path; `ConnectionRefused`: nobody is there any more.
    ///
    /// # Examples
    /// ```
    /// let path = std::env::temp_dir().join(format!("gort-connects-{}", std::process::id()));
    /// let far = gort::net::UnixDatagram::bind(&path)?;
    /// let near = gort::net::UnixDatagram::unbound()?;
    /// near.connect(&path)?;
    /// near.send(b"hello")?;
    /// std::fs::remove_file(path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn connect<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        self.connect_addr(&SocketAddr::from_pathname(path)?)
    }

    /// As [`UnixDatagram::connect`], to `addr`, which may be an abstract name.
    ///
    /// # Errors
    /// As [`UnixDatagram::connect`].
    ///
    /// # Examples
    /// ```
    /// let path = std::env::temp_dir().join(format!("gort-connects-addr-{}", std::process::id()));
    /// let far = gort::net::UnixDatagram::bind(&path)?;
    /// let near = gort::net::UnixDatagram::unbound()?;
    /// near.connect_addr(&far.local_addr()?)?;
    /// near.send(b"hello")?;
    /// std::fs::remove_file(path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn connect_addr(&self, addr: &SocketAddr) -> io::Result<()> {
        let kernels = UnixAddr::from(addr);
        self.handle.with_fd(|fd| sys::connect(fd, &kernels)).map_err(|error| named("connect to", addr, error))
    }

    /// Sends a datagram to the socket that this one is connected to. Parks while that one's queue is full.
    ///
    /// # Errors
    /// `NotConnected` if it is connected to none, or was closed; `ConnectionRefused` if nobody is there any more; `TimedOut` at the timeout or deadline.
    ///
    /// # Examples
    /// ```
    /// let (near, _far) = gort::net::UnixDatagram::pair()?;
    /// assert_eq!(near.send(b"hello")?, 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.handle.write_when_room(Location::caller(), |fd| super::unless_full(sys::send(fd, buf)))
    }

    /// Sends a datagram to the socket at `path`. Parks while that one's queue is full: no event tells when it is not, so it is tried again
    /// after pauses, up to 50 ms.
    ///
    /// # Errors
    /// As [`UnixDatagram::send`]; the path is named.
    ///
    /// # Examples
    /// ```
    /// let path = std::env::temp_dir().join(format!("gort-sends-to-{}", std::process::id()));
    /// let far = gort::net::UnixDatagram::bind(&path)?;
    /// let near = gort::net::UnixDatagram::unbound()?;
    /// assert_eq!(near.send_to(b"hello", &path)?, 5);
    /// assert_eq!(far.recv(&mut [0; 8])?, 5);
    /// std::fs::remove_file(path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn send_to<P: AsRef<Path>>(&self, buf: &[u8], path: P) -> io::Result<usize> {
        let site = Location::caller();
        self.send_at(buf, &SocketAddr::from_pathname(path)?, site)
    }

    /// As [`UnixDatagram::send_to`], to `addr`, which may be an abstract name.
    ///
    /// # Errors
    /// As [`UnixDatagram::send_to`].
    ///
    /// # Examples
    /// ```
    /// let path = std::env::temp_dir().join(format!("gort-sends-to-addr-{}", std::process::id()));
    /// let far = gort::net::UnixDatagram::bind(&path)?;
    /// let near = gort::net::UnixDatagram::unbound()?;
    /// assert_eq!(near.send_to_addr(b"hello", &far.local_addr()?)?, 5);
    /// std::fs::remove_file(path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn send_to_addr(&self, buf: &[u8], addr: &SocketAddr) -> io::Result<usize> {
        self.send_at(buf, addr, Location::caller())
    }

    fn send_at(&self, buf: &[u8], addr: &SocketAddr, site: &'static Location<'static>) -> io::Result<usize> {
        let kernels = UnixAddr::from(addr);
        let send = |fd| super::unless_full(sys::send_to(fd, buf, &kernels));
        self.handle.write_when_room(site, send).map_err(|error| match error.raw_os_error() {
            // The system's own words about the receiver; what ends the wait says enough by itself.
            Some(_) => named("send to", addr, error),
            None => error,
        })
    }

    /// Receives a datagram, and says how long it is. What does not fit into `buf` is lost. Parks until there is one.
    ///
    /// # Errors
    /// `TimedOut` at the timeout or deadline; `NotConnected` if the socket was closed.
    ///
    /// # Examples
    /// ```
    /// let (near, far) = gort::net::UnixDatagram::pair()?;
    /// near.send(b"hello")?;
    /// assert_eq!(far.recv(&mut [0; 16])?, 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.handle.read_other(Location::caller(), |fd| or_end(fd, || sys::recv(fd, buf, 0), || 0))
    }

    /// As [`UnixDatagram::recv`]; says also where it comes from.
    ///
    /// # Errors
    /// As [`UnixDatagram::recv`].
    ///
    /// # Examples
    /// ```
    /// let (near, far) = gort::net::UnixDatagram::pair()?;
    /// near.send(b"hello")?;
    /// let (length, from) = far.recv_from(&mut [0; 16])?;
    /// assert!(length == 5 && from.is_unnamed());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let receive = |fd| or_end(fd, || sys::recv_from(fd, buf, 0), || (0, UnixAddr::UNNAMED));
        let (length, from) = self.handle.read_other(Location::caller(), receive)?;
        Ok((length, from.to_std().or_else(|_| UnixAddr::UNNAMED.to_std())?))
    }

    /// As [`UnixDatagram::recv`], but the datagram stays: the next call gives it again.
    ///
    /// # Errors
    /// As [`UnixDatagram::recv`].
    ///
    /// # Examples
    /// ```
    /// let (near, far) = gort::net::UnixDatagram::pair()?;
    /// near.send(b"hello")?;
    /// assert_eq!(far.peek(&mut [0; 16])?, 5);
    /// assert_eq!(far.recv(&mut [0; 16])?, 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.handle.read_other(Location::caller(), |fd| or_end(fd, || sys::recv(fd, buf, libc::MSG_PEEK), || 0))
    }

    /// The address of this socket.
    ///
    /// # Errors
    /// `NotConnected` if the socket was closed.
    ///
    /// # Examples
    /// ```
    /// let (near, _far) = gort::net::UnixDatagram::pair()?;
    /// assert!(near.local_addr()?.is_unnamed());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.handle.with_fd(local_addr)
    }

    /// The address of the socket that this one is connected to.
    ///
    /// # Errors
    /// `NotConnected` if it is connected to none, or was closed.
    ///
    /// # Examples
    /// ```
    /// let (near, _far) = gort::net::UnixDatagram::pair()?;
    /// assert!(near.peer_addr()?.is_unnamed());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.handle.with_fd(peer_addr)
    }

    /// Ends receiving, sending or both for everybody who has this socket, clones included. Receivers get `Ok(0)` here, also parked ones, once what has come
    /// is received; sends give `BrokenPipe`, and so do those of others who are connected to a socket that receives no more.
    ///
    /// # Errors
    /// `NotConnected` if it is connected to none, or was closed.
    ///
    /// # Examples
    /// ```
    /// let (near, far) = gort::net::UnixDatagram::pair()?;
    /// near.shutdown(gort::net::Shutdown::Read)?;
    /// assert_eq!(near.recv(&mut [0; 8])?, 0);
    /// assert_eq!(far.send(b"late").unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.handle.shutdown(how)
    }
}

surface::limits!(
    UnixDatagram,
    "socket",
    "# let (socket, _peer) = gort::net::UnixDatagram::pair()?;",
    "socket.recv(&mut [0; 8])",
    "socket.send(b\"late\")"
);
surface::socket_ends!(
    UnixDatagram,
    "socket",
    "# let (socket, _peer) = gort::net::UnixDatagram::pair()?;",
    "socket.recv(&mut [0; 8])"
);
surface::buffers!(UnixDatagram, "socket", "# let (socket, _peer) = gort::net::UnixDatagram::pair()?;");
surface::converts!(
    UnixDatagram,
    std::os::unix::net::UnixDatagram,
    "socket",
    "# let (socket, _peer) = gort::net::UnixDatagram::pair()?;",
    "gort::net::UnixDatagram"
);

impl fmt::Debug for UnixDatagram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug(f, "UnixDatagram", &self.handle, self.peer_addr())
    }
}

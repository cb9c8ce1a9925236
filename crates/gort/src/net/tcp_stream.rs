//! A TCP connection: making it, reading, writing, ending it.

mod settings;

use super::dial::one_after_the_other;
use super::resolve::{all_failed, first_success, resolve};
use super::{Shutdown, SocketAddr, ToSocketAddrs};
use crate::handle::{Handle, surface};
use crate::netpoll::Side;
use crate::sys::raw::Errno;
use crate::sys::socket as sys;
use std::fmt;
use std::io;
use std::os::fd::AsRawFd;
use std::panic::Location;
use std::time::{Duration, Instant};

/// A TCP connection, as [`std::net::TcpStream`].
///
/// It reads and writes through [`Read`](io::Read) and [`Write`](io::Write), which are there for `&TcpStream` too, so that goroutines can share it. Dropping it closes
/// the connection.
///
/// # Examples
/// ```
/// use gort::net::{TcpListener, TcpStream};
/// use std::io::{Read, Write};
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let addr = listener.local_addr()?;
/// let server = gort::go(move || -> std::io::Result<()> {
///     let (mut stream, _) = listener.accept()?;
///     stream.write_all(b"hello")
/// });
/// let mut text = String::new();
/// TcpStream::connect(addr)?.read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
/// server.join().unwrap()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct TcpStream {
    handle: Handle,
}

impl TcpStream {
    /// Connects to the first of the addresses that accepts.
    ///
    /// Parks until the connection stands or has failed. Names are resolved by the system, in a section marked as blocking.
    ///
    /// # Errors
    /// If the name cannot be resolved; or one that names every address tried and why it failed, of the last failure's kind, with the last failure
    /// as its source. `ConnectionRefused`: nobody listens there.
    ///
    /// # Examples
    /// ```
    /// # let listener = gort::net::TcpListener::bind("127.0.0.1:0")?;
    /// # let addr = listener.local_addr()?;
    /// let stream = gort::net::TcpStream::connect(addr)?;
    /// assert_eq!(stream.peer_addr()?, addr);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn connect<A: ToSocketAddrs>(addr: A) -> io::Result<Self> {
        let site = Location::caller();
        first_success("connect to", resolve(&addr)?, |addr| Self::connect_by(&addr, None, site))
    }

    /// Connects to `addr`, and gives up after `timeout`.
    ///
    /// # Errors
    /// `TimedOut`, not before the time is up; `InvalidInput` for a zero timeout; else as [`TcpStream::connect`].
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// # let listener = gort::net::TcpListener::bind("127.0.0.1:0")?;
    /// # let addr = listener.local_addr()?;
    /// let stream = gort::net::TcpStream::connect_timeout(&addr, Duration::from_secs(5))?;
    /// # drop(stream);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn connect_timeout(addr: &SocketAddr, timeout: Duration) -> io::Result<Self> {
        let site = Location::caller();
        if timeout.is_zero() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "cannot set a 0 duration timeout"));
        }
        // A time that no clock can show never comes.
        let deadline = Instant::now().checked_add(timeout);
        first_success("connect to", std::iter::once(*addr), |addr| Self::connect_by(&addr, deadline, site))
    }

    /// Connects to the first of the addresses that accepts, and gives up at `deadline`.
    ///
    /// Each address gets an equal share of the time that is left, but 2 seconds at least. The resolution of a name is not cut short, and counts.
    ///
    /// # Errors
    /// `TimedOut`, not before the deadline; else as [`TcpStream::connect`].
    ///
    /// # Examples
    /// ```
    /// use std::time::{Duration, Instant};
    /// # let listener = gort::net::TcpListener::bind("127.0.0.1:0")?;
    /// # let addr = listener.local_addr()?;
    /// let stream = gort::net::TcpStream::connect_deadline(addr, Instant::now() + Duration::from_secs(5))?;
    /// # drop(stream);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn connect_deadline<A: ToSocketAddrs>(addr: A, deadline: Instant) -> io::Result<Self> {
        let site = Location::caller();
        let addrs: Vec<_> = resolve(&addr)?.collect();
        one_after_the_other(&addrs, Some(deadline), site).map_err(|failures| all_failed("connect to", failures))
    }

    pub(super) fn connect_by(
        addr: &SocketAddr,
        deadline: Option<Instant>,
        site: &'static Location<'static>,
    ) -> io::Result<Self> {
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let fd = sys::tcp_socket(addr)?;
        // Before it is registered: epoll reports a socket without a connection as hung up.
        let kernels = sys::SockAddr::from(*addr);
        let is_under_way = match sys::connect(fd.as_raw_fd(), &kernels) {
            Ok(()) => false,
            Err(Errno::INPROGRESS | Errno::INTR) => true,
            Err(error) => return Err(error.into()),
        };
        let is_plain_tcp = sys::protocol_is_plain_tcp(fd.as_raw_fd());
        let handle = Handle::new(fd, is_plain_tcp, true)?;
        if is_under_way {
            if deadline.is_some() {
                handle.set_deadline(Side::Write, deadline)?;
            }
            // A second connect tells what has become of the first.
            handle.write(site, |fd| match sys::connect(fd, &kernels) {
                Ok(()) | Err(Errno::ISCONN) => Ok(()),
                Err(Errno::INPROGRESS | Errno::ALREADY) => Err(Errno::AGAIN),
                Err(error) => Err(error),
            })?;
            if deadline.is_some() {
                handle.set_deadline(Side::Write, None)?;
            }
        }
        Ok(Self { handle })
    }

    pub(super) fn from_handle(handle: Handle) -> Self {
        Self { handle }
    }

    /// Receives without taking the bytes out: the next read gives them again.
    ///
    /// Parks as a read does.
    ///
    /// # Errors
    /// As a read.
    ///
    /// # Examples
    /// ```
    /// # use std::io::{Read, Write};
    /// # let listener = gort::net::TcpListener::bind("127.0.0.1:0")?;
    /// # let mut stream = gort::net::TcpStream::connect(listener.local_addr()?)?;
    /// # listener.accept()?.0.write_all(b"hi")?;
    /// let mut first = [0];
    /// assert_eq!(stream.peek(&mut first)?, 1);
    /// let mut again = [0];
    /// stream.read_exact(&mut again)?;
    /// assert_eq!(first, again);
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
    /// Parked readers get `Ok(0)`, parked writers `BrokenPipe`; after `Shutdown::Write` the peer reads what was sent, and then the end.
    ///
    /// # Errors
    /// `NotConnected` if the connection is gone or was closed.
    ///
    /// # Examples
    /// ```
    /// use gort::net::Shutdown;
    /// # use std::io::{Read, Write};
    /// # let listener = gort::net::TcpListener::bind("127.0.0.1:0")?;
    /// # let stream = gort::net::TcpStream::connect(listener.local_addr()?)?;
    /// # let (mut peer, _) = listener.accept()?;
    ///
    /// stream.shutdown(Shutdown::Write)?;
    /// assert_eq!(peer.read(&mut [0; 8])?, 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.handle.shutdown(how)
    }
}

surface::readable!(TcpStream, sys::receive, sys::recv_vectored);
surface::writable!(TcpStream, sys::send, sys::send_vectored);
surface::limits!(
    TcpStream,
    "stream",
    "# use std::io::{Read, Write};
# let listener = gort::net::TcpListener::bind(\"127.0.0.1:0\")?;
# let stream = gort::net::TcpStream::connect(listener.local_addr()?)?;",
    "(&stream).read(&mut [0; 8])",
    "(&stream).write(b\"late\")"
);
surface::socket_ends!(
    TcpStream,
    "stream",
    "# use std::io::Read;
# let listener = gort::net::TcpListener::bind(\"127.0.0.1:0\")?;
# let stream = gort::net::TcpStream::connect(listener.local_addr()?)?;",
    "(&stream).read(&mut [0; 8])"
);
surface::readiness!(
    TcpStream,
    "stream",
    "# use std::io::{Read, Write};
# let listener = gort::net::TcpListener::bind(\"127.0.0.1:0\")?;
# let stream = gort::net::TcpStream::connect(listener.local_addr()?)?;
# listener.accept()?.0.write_all(b\"hi\")?;",
    "(&stream).read(&mut buffer)?"
);
surface::converts!(
    TcpStream,
    std::net::TcpStream,
    "stream",
    "# let listener = gort::net::TcpListener::bind(\"127.0.0.1:0\")?;
# let stream = gort::net::TcpStream::connect(listener.local_addr()?)?;",
    "gort::net::TcpStream"
);

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("TcpStream");
        if let Ok(addr) = self.local_addr() {
            f.field("addr", &addr);
        }
        if let Ok(peer) = self.peer_addr() {
            f.field("peer", &peer);
        }
        f.field("fd", &self.handle).finish()
    }
}

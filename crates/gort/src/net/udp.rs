//! UDP: datagrams of the internet.

mod batch;
mod settings;

pub use batch::{Batch, Datagram, Datagrams};

use super::resolve::{first_success, resolve};
use super::{SocketAddr, ToSocketAddrs};
use crate::handle::{Handle, surface};
use crate::sys::socket::{self as sys, SockAddr};
use std::fmt;
use std::io;
use std::os::fd::AsRawFd;
use std::panic::Location;

/// A UDP socket, as [`std::net::UdpSocket`].
///
/// All methods take `&self`: goroutines can share it, and one sends while another one receives. A call that receives gives one datagram, cut at the
/// end of the buffer; one of length 0 is a datagram like any other. Many at once: [`recv_batch`](UdpSocket::recv_batch).
///
/// # Examples
/// ```
/// use gort::net::UdpSocket;
///
/// let server = UdpSocket::bind("127.0.0.1:0")?;
/// let addr = server.local_addr()?;
/// let serving = gort::go(move || -> std::io::Result<()> {
///     let mut buf = [0; 1500];
///     let (length, from) = server.recv_from(&mut buf)?;
///     server.send_to(&buf[..length], from)?;
///     Ok(())
/// });
/// let client = UdpSocket::bind("127.0.0.1:0")?;
/// client.connect(addr)?;
/// client.send(b"ping")?;
/// let mut answer = [0; 4];
/// assert_eq!(client.recv(&mut answer)?, 4);
/// assert_eq!(&answer, b"ping");
/// serving.join().unwrap()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct UdpSocket {
    handle: Handle,
}

impl UdpSocket {
    /// A socket at the first of the addresses that can be had. Port 0 gives a free one. Names are resolved in a section marked as blocking.
    ///
    /// # Errors
    /// If the name cannot be resolved; or one that names every address tried and why it failed, of the last failure's kind. `AddrInUse`: somebody
    /// else has the port.
    ///
    /// # Examples
    /// ```
    /// let socket = gort::net::UdpSocket::bind("127.0.0.1:0")?;
    /// assert_ne!(socket.local_addr()?.port(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<Self> {
        first_success("bind to", resolve(&addr)?, |addr| {
            let fd = sys::udp_socket(&addr)?;
            sys::bind(fd.as_raw_fd(), &SockAddr::from(addr))?;
            Ok(Self { handle: Handle::new(fd, false, true)? })
        })
    }

    /// Sends to, and receives from, the first of the addresses that the system takes, and no other. Never waits, apart from the resolution of a name.
    ///
    /// # Errors
    /// As [`UdpSocket::bind`]. That nobody receives there is said by a later call, with `ConnectionRefused`, if at all.
    ///
    /// # Examples
    /// ```
    /// # let (socket, peer) = (gort::net::UdpSocket::bind("127.0.0.1:0")?, gort::net::UdpSocket::bind("127.0.0.1:0")?);
    /// socket.connect(peer.local_addr()?)?;
    /// assert_eq!(socket.peer_addr()?, peer.local_addr()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn connect<A: ToSocketAddrs>(&self, addr: A) -> io::Result<()> {
        first_success("connect to", resolve(&addr)?, |addr| {
            self.handle.with_fd(|fd| sys::connect(fd, &SockAddr::from(addr)))
        })
    }

    /// Sends a datagram to the address that the socket is [connected](UdpSocket::connect) to. Parks while the send buffer is full.
    ///
    /// # Errors
    /// The system's: without an address, for a datagram that is too long; `ConnectionRefused` if an earlier one found nobody. `TimedOut` at the
    /// timeout or deadline; `NotConnected` if the socket was closed.
    ///
    /// # Examples
    /// ```
    /// # let (socket, peer) = (gort::net::UdpSocket::bind("127.0.0.1:0")?, gort::net::UdpSocket::bind("127.0.0.1:0")?);
    /// socket.connect(peer.local_addr()?)?;
    /// assert_eq!(socket.send(b"hello")?, 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.handle.write(Location::caller(), |fd| sys::send(fd, buf))
    }

    /// Sends a datagram to the first of the addresses. Parks while the send buffer is full. Names are resolved in a section marked as blocking.
    ///
    /// # Errors
    /// As [`UdpSocket::send`]; `InvalidInput` if there is no address.
    ///
    /// # Examples
    /// ```
    /// # let (socket, peer) = (gort::net::UdpSocket::bind("127.0.0.1:0")?, gort::net::UdpSocket::bind("127.0.0.1:0")?);
    /// assert_eq!(socket.send_to(b"hello", peer.local_addr()?)?, 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn send_to<A: ToSocketAddrs>(&self, buf: &[u8], addr: A) -> io::Result<usize> {
        let site = Location::caller();
        let none = || io::Error::new(io::ErrorKind::InvalidInput, "no addresses to send data to");
        let addr = SockAddr::from(resolve(&addr)?.next().ok_or_else(none)?);
        self.handle.write(site, |fd| sys::send_to(fd, buf, &addr))
    }

    /// Receives a datagram, and says how long it is. What does not fit into `buf` is lost. Parks until there is one.
    ///
    /// # Errors
    /// `ConnectionRefused` if one that was sent found nobody; `TimedOut` at the timeout or deadline; `NotConnected` if the socket was closed.
    ///
    /// # Examples
    /// ```
    /// # let (socket, peer) = (gort::net::UdpSocket::bind("127.0.0.1:0")?, gort::net::UdpSocket::bind("127.0.0.1:0")?);
    /// peer.send_to(b"hello", socket.local_addr()?)?;
    /// let mut buf = [0; 1500];
    /// assert_eq!(socket.recv(&mut buf)?, 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.handle.read_other(Location::caller(), |fd| sys::recv(fd, buf, 0))
    }

    /// Receives a datagram, and says how long it is and where it comes from. As [`UdpSocket::recv`].
    ///
    /// # Errors
    /// As [`UdpSocket::recv`].
    ///
    /// # Examples
    /// ```
    /// # let (socket, peer) = (gort::net::UdpSocket::bind("127.0.0.1:0")?, gort::net::UdpSocket::bind("127.0.0.1:0")?);
    /// peer.send_to(b"hello", socket.local_addr()?)?;
    /// let mut buf = [0; 1500];
    /// assert_eq!(socket.recv_from(&mut buf)?, (5, peer.local_addr()?));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.recv_from_flags(buf, 0, Location::caller())
    }

    /// As [`UdpSocket::recv`], but the datagram stays: the next call gives it again.
    ///
    /// # Errors
    /// As [`UdpSocket::recv`].
    ///
    /// # Examples
    /// ```
    /// # let (socket, peer) = (gort::net::UdpSocket::bind("127.0.0.1:0")?, gort::net::UdpSocket::bind("127.0.0.1:0")?);
    /// peer.send_to(b"hello", socket.local_addr()?)?;
    /// let mut buf = [0; 1500];
    /// assert_eq!(socket.peek(&mut buf)?, 5);
    /// assert_eq!(socket.recv(&mut buf)?, 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.handle.read_other(Location::caller(), |fd| sys::recv(fd, buf, libc::MSG_PEEK))
    }

    /// As [`UdpSocket::recv_from`], but the datagram stays: the next call gives it again.
    ///
    /// # Errors
    /// As [`UdpSocket::recv`].
    ///
    /// # Examples
    /// ```
    /// # let (socket, peer) = (gort::net::UdpSocket::bind("127.0.0.1:0")?, gort::net::UdpSocket::bind("127.0.0.1:0")?);
    /// peer.send_to(b"hello", socket.local_addr()?)?;
    /// let mut buf = [0; 1500];
    /// assert_eq!(socket.peek_from(&mut buf)?, socket.recv_from(&mut buf)?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.recv_from_flags(buf, libc::MSG_PEEK, Location::caller())
    }

    fn recv_from_flags(
        &self,
        buf: &mut [u8],
        flags: i32,
        site: &'static Location<'static>,
    ) -> io::Result<(usize, SocketAddr)> {
        let (length, from) = self.handle.read_other(site, |fd| sys::recv_from::<SockAddr>(fd, buf, flags))?;
        Ok((length, from.to_std()?))
    }

    /// Receives as many datagrams as there are and the batch has room for, by one system call; what was in the batch is dropped. Says how many.
    /// Parks until there is one at least. Allocates nothing.
    ///
    /// # Errors
    /// As [`UdpSocket::recv`]; the batch is empty then.
    ///
    /// # Examples
    /// ```
    /// use gort::net::Batch;
    /// # let (socket, peer) = (gort::net::UdpSocket::bind("127.0.0.1:0")?, gort::net::UdpSocket::bind("127.0.0.1:0")?);
    /// let mut batch = Batch::new(64, 1500);
    /// peer.send_to(b"hello", socket.local_addr()?)?;
    /// assert_eq!(socket.recv_batch(&mut batch)?, 1);
    /// for datagram in batch.iter() {
    ///     assert_eq!(datagram.bytes, b"hello");
    /// }
    /// socket.send_batch(&mut batch)?; // and back to where each came from
    /// assert_eq!(peer.recv(&mut [0; 8])?, 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn recv_batch(&self, batch: &mut Batch) -> io::Result<usize> {
        batch.clear();
        let count = self.handle.read_other(Location::caller(), |fd| batch.datagrams.receive(fd))?;
        batch.set_received(count);
        Ok(count)
    }

    /// Sends all datagrams of the batch, each to its address, by as few system calls as it takes. Parks while the send buffer is full. Allocates
    /// nothing.
    ///
    /// Those that were sent leave the batch: afterwards it is empty, or begins with the first that was not sent.
    ///
    /// # Errors
    /// As [`UdpSocket::send`]. `ConnectionRefused` is about an earlier datagram: call it again. Other errors are about the first one in the batch.
    ///
    /// # Examples
    /// ```
    /// use gort::net::Batch;
    /// # let (socket, peer) = (gort::net::UdpSocket::bind("127.0.0.1:0")?, gort::net::UdpSocket::bind("127.0.0.1:0")?);
    /// let mut batch = Batch::new(64, 1500);
    /// for n in 0..10 {
    ///     batch.push(&[n], peer.local_addr()?)?;
    /// }
    /// socket.send_batch(&mut batch)?;
    /// assert!(batch.is_empty());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn send_batch(&self, batch: &mut Batch) -> io::Result<()> {
        let site = Location::caller();
        while !batch.is_empty() {
            let left = batch.left();
            let sent = self.handle.write(site, |fd| batch.datagrams.send(fd, left.clone()))?;
            batch.set_sent(sent);
        }
        Ok(())
    }

    /// The address of this socket.
    ///
    /// # Errors
    /// `NotConnected` if the socket was closed.
    ///
    /// # Examples
    /// ```
    /// let socket = gort::net::UdpSocket::bind("127.0.0.1:0")?;
    /// assert!(socket.local_addr()?.ip().is_loopback());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.handle.with_fd(|fd| sys::local_addr::<SockAddr>(fd)?.to_std())
    }

    /// The address that the socket is connected to.
    ///
    /// # Errors
    /// `NotConnected` if it is not, or was closed.
    ///
    /// # Examples
    /// ```
    /// let socket = gort::net::UdpSocket::bind("127.0.0.1:0")?;
    /// assert_eq!(socket.peer_addr().unwrap_err().kind(), std::io::ErrorKind::NotConnected);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.handle.with_fd(|fd| sys::peer_addr::<SockAddr>(fd)?.to_std())
    }
}

surface::limits!(
    UdpSocket,
    "socket",
    "# let socket = gort::net::UdpSocket::bind(\"127.0.0.1:0\")?;
# let addr = socket.local_addr()?;",
    "socket.recv(&mut [0; 8])",
    "socket.send_to(b\"late\", addr)"
);
surface::socket_ends!(
    UdpSocket,
    "socket",
    "# let socket = gort::net::UdpSocket::bind(\"127.0.0.1:0\")?;",
    "socket.recv(&mut [0; 8])"
);
surface::ttl!(UdpSocket, "socket", "# let socket = gort::net::UdpSocket::bind(\"127.0.0.1:0\")?;");
surface::buffers!(UdpSocket, "socket", "# let socket = gort::net::UdpSocket::bind(\"127.0.0.1:0\")?;");
surface::readiness!(
    UdpSocket,
    "socket",
    "# let socket = gort::net::UdpSocket::bind(\"127.0.0.1:0\")?;
# socket.send_to(b\"hi\", socket.local_addr()?)?;",
    "socket.recv(&mut buffer)?"
);
surface::converts!(
    UdpSocket,
    std::net::UdpSocket,
    "socket",
    "# let socket = gort::net::UdpSocket::bind(\"127.0.0.1:0\")?;",
    "gort::net::UdpSocket"
);

impl fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("UdpSocket");
        if let Ok(addr) = self.local_addr() {
            f.field("addr", &addr);
        }
        f.field("fd", &self.handle).finish()
    }
}

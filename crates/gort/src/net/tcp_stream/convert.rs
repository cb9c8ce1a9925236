//! From and into std's types and descriptors.
//!
//! A descriptor that comes in is put into non-blocking mode and registered with the poller; one that goes out is in blocking mode again (unless
//! the user has asked this value for non-blocking), and its registration ends.
//!
//! `From<OwnedFd>` cannot fail in std, so it does not here: if the poller refuses the descriptor, the value is made all the same, and each of its
//! operations says why.

use super::TcpStream;
use crate::io::Socket;
use crate::netpoll::Side;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

impl TcpStream {
    /// Takes over a connection of std's with its timeouts; from now on it parks, also if it was in non-blocking mode.
    ///
    /// # Errors
    /// If it cannot be registered with the poller: the limit on watches, or no memory. `From` gives that error at the first use instead.
    ///
    /// # Examples
    /// ```
    /// # let listener = gort::net::TcpListener::bind("127.0.0.1:0")?;
    /// let stream = gort::net::TcpStream::from_std(std::net::TcpStream::connect(listener.local_addr()?)?)?;
    /// # drop(stream);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn from_std(stream: std::net::TcpStream) -> io::Result<Self> {
        Self::from(stream).unless_refused()
    }

    fn unless_refused(self) -> io::Result<Self> {
        self.socket.unless_refused().map(Self::from_socket)
    }

    /// Hands over to std, with the timeouts; deadlines, which std does not have, are dropped.
    ///
    /// # Errors
    /// `NotConnected` if it was closed. `From` panics then.
    ///
    /// # Examples
    /// ```
    /// # let listener = gort::net::TcpListener::bind("127.0.0.1:0")?;
    /// # let stream = gort::net::TcpStream::connect(listener.local_addr()?)?;
    /// let stream: std::net::TcpStream = stream.into_std()?;
    /// # drop(stream);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn into_std(self) -> io::Result<std::net::TcpStream> {
        // An error means closed, which `into_fd` says too.
        let timeouts = [Side::Read, Side::Write].map(|side| self.socket.timeout(side).unwrap_or(None));
        let stream = std::net::TcpStream::from(self.socket.into_fd()?);
        stream.set_read_timeout(timeouts[0])?;
        stream.set_write_timeout(timeouts[1])?;
        Ok(stream)
    }
}

impl From<std::net::TcpStream> for TcpStream {
    /// As [`TcpStream::from_std`], but an error is reported by the first operation.
    fn from(stream: std::net::TcpStream) -> Self {
        let timeouts = [stream.read_timeout(), stream.write_timeout()];
        let this = Self::from(OwnedFd::from(stream));
        for (side, timeout) in [Side::Read, Side::Write].into_iter().zip(timeouts) {
            // Refused by the poller: then every operation says so.
            let _ = this.socket.set_timeout(side, timeout.unwrap_or(None));
        }
        this
    }
}

impl From<TcpStream> for std::net::TcpStream {
    /// # Panics
    /// If it was closed; [`TcpStream::into_std`] returns an error.
    fn from(stream: TcpStream) -> Self {
        stream.into_std().unwrap_or_else(|error| panic!("TcpStream::into: {error}"))
    }
}

impl From<OwnedFd> for TcpStream {
    /// Takes over any TCP socket. If the poller refuses the descriptor, every operation says why.
    fn from(fd: OwnedFd) -> Self {
        Self::from_socket(Socket::adopt(fd))
    }
}

impl From<TcpStream> for OwnedFd {
    /// # Panics
    /// If it was closed.
    fn from(stream: TcpStream) -> Self {
        stream.socket.into_fd().unwrap_or_else(|error| panic!("TcpStream::into: {error}"))
    }
}

impl FromRawFd for TcpStream {
    /// # Safety
    /// As [`OwnedFd::from_raw_fd`]: `fd` is open, and nobody else owns it.
    unsafe fn from_raw_fd(fd: RawFd) -> Self {
        // SAFETY: the caller gives the fd away.
        unsafe { OwnedFd::from_raw_fd(fd) }.into()
    }
}

impl IntoRawFd for TcpStream {
    /// # Panics
    /// If it was closed.
    fn into_raw_fd(self) -> RawFd {
        OwnedFd::from(self).into_raw_fd()
    }
}

impl AsRawFd for TcpStream {
    /// The fd, in non-blocking mode; leave it so. -1 if it was closed.
    fn as_raw_fd(&self) -> RawFd {
        self.socket.expose_fd()
    }
}

impl AsFd for TcpStream {
    /// The fd, in non-blocking mode; leave it so. A close from now on ends all use of this value, but the fd stays open until it is dropped.
    ///
    /// # Panics
    /// If it was closed before.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.lend_fd().unwrap_or_else(|error| panic!("TcpStream::as_fd: {error}"))
    }
}

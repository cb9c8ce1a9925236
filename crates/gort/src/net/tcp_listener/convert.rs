//! From and into std's types and descriptors.
//!
//! A descriptor that comes in is put into non-blocking mode and registered with the poller; one that goes out is in blocking mode again (unless
//! the user has asked this value for non-blocking), and its registration ends.
//!
//! `From<OwnedFd>` cannot fail in std, so it does not here: if the poller refuses the descriptor, the value is made all the same, and each of its
//! operations says why.

use super::TcpListener;
use crate::io::Socket;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

impl TcpListener {
    /// Takes over a listener of std's; from now on it parks, also if it was in non-blocking mode.
    ///
    /// # Errors
    /// If it cannot be registered with the poller: the limit on watches, or no memory. `From` gives that error at the first use instead.
    ///
    /// # Examples
    /// ```
    /// let listener = gort::net::TcpListener::from_std(std::net::TcpListener::bind("127.0.0.1:0")?)?;
    /// # drop(listener);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn from_std(listener: std::net::TcpListener) -> io::Result<Self> {
        Self::from(listener).unless_refused()
    }

    fn unless_refused(self) -> io::Result<Self> {
        self.socket.unless_refused().map(Self::from_socket)
    }

    /// Hands over to std. A deadline, which std does not have, is dropped.
    ///
    /// # Errors
    /// `NotConnected` if it was closed. `From` panics then.
    ///
    /// # Examples
    /// ```
    /// # let listener = gort::net::TcpListener::bind("127.0.0.1:0")?;
    /// let listener: std::net::TcpListener = listener.into_std()?;
    /// # drop(listener);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn into_std(self) -> io::Result<std::net::TcpListener> {
        self.socket.into_fd().map(Into::into)
    }
}

impl From<std::net::TcpListener> for TcpListener {
    /// As [`TcpListener::from_std`], but an error is reported by the first operation.
    fn from(listener: std::net::TcpListener) -> Self {
        Self::from(OwnedFd::from(listener))
    }
}

impl From<TcpListener> for std::net::TcpListener {
    /// # Panics
    /// If it was closed; [`TcpListener::into_std`] returns an error.
    fn from(listener: TcpListener) -> Self {
        listener.into_std().unwrap_or_else(|error| panic!("TcpListener::into: {error}"))
    }
}

impl From<OwnedFd> for TcpListener {
    /// Takes over any TCP socket that listens. If the poller refuses the descriptor, every operation says why.
    fn from(fd: OwnedFd) -> Self {
        Self::from_socket(Socket::adopt(fd))
    }
}

impl From<TcpListener> for OwnedFd {
    /// # Panics
    /// If it was closed.
    fn from(listener: TcpListener) -> Self {
        listener.socket.into_fd().unwrap_or_else(|error| panic!("TcpListener::into: {error}"))
    }
}

impl FromRawFd for TcpListener {
    /// # Safety
    /// As [`OwnedFd::from_raw_fd`]: `fd` is open, and nobody else owns it.
    unsafe fn from_raw_fd(fd: RawFd) -> Self {
        // SAFETY: the caller gives the fd away.
        unsafe { OwnedFd::from_raw_fd(fd) }.into()
    }
}

impl IntoRawFd for TcpListener {
    /// # Panics
    /// If it was closed.
    fn into_raw_fd(self) -> RawFd {
        OwnedFd::from(self).into_raw_fd()
    }
}

impl AsRawFd for TcpListener {
    /// The fd, in non-blocking mode; leave it so. -1 if it was closed.
    fn as_raw_fd(&self) -> RawFd {
        self.socket.expose_fd()
    }
}

impl AsFd for TcpListener {
    /// The fd, in non-blocking mode; leave it so. A close from now on ends all use of this value, but the fd stays open until it is dropped.
    ///
    /// # Panics
    /// If it was closed before.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.lend_fd().unwrap_or_else(|error| panic!("TcpListener::as_fd: {error}"))
    }
}

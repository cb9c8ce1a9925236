//! Readiness of descriptors that somebody else reads and writes.
//!
//! What is watched is a descriptor of our own for the same open file: so the same thing may be watched several times, by others too, and whatever
//! its owner does with its own number concerns us no more.
//!
//! The open file's mode is left alone. O_NONBLOCK belongs to all who have it, in other processes too: a shell whose terminal is made non-blocking
//! breaks. So a look is `poll`, which does not wait, and a wait is the poller's; the call itself is the user's.

use crate::handle::{Handle, look, surface};
use crate::sys::raw::Errno;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::panic::Location;

/// Waits until a descriptor is ready, for any that epoll takes: eventfd, timerfd, inotify, a terminal, a C library's socket. The calls that read and
/// write remain those of `T`.
///
/// Neither does it own what it watches alone, nor does it change its mode: a descriptor in blocking mode stays so. Then the call after
/// [`readable`](Pollable::readable) blocks its thread if somebody else has been faster; where that can be, non-blocking mode is the user's to set, and
/// [`read_with`](Pollable::read_with) waits again.
///
/// It costs a descriptor, and a system call for each look. Dropping it ends the watch, and drops `T`.
///
/// # Examples
/// ```
/// use gort::io::Pollable;
/// use std::io::{Read, Write};
///
/// let (reader, mut writer) = std::io::pipe()?; // std's: in blocking mode
/// let reader = Pollable::new(reader)?;
/// gort::go(move || writer.write_all(b"x"));
/// reader.readable()?; // parks
/// reader.get_ref().read_exact(&mut [0])?; // there is something, so this does not block
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Pollable<T> {
    handle: Handle,
    inner: T,
}

impl<T: AsFd> Pollable<T> {
    /// Watches `inner`.
    ///
    /// # Errors
    /// `PermissionDenied` for what epoll refuses, files and folders above all: those are always ready, and block in the call, for which
    /// [`blocking`](crate::blocking) is there. If the process has no descriptor left, or the poller no room.
    ///
    /// # Examples
    /// ```
    /// use gort::io::Pollable;
    /// use std::io::ErrorKind;
    ///
    /// let file = std::fs::File::open("Cargo.toml")?;
    /// let error = Pollable::new(file).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    /// assert!(error.to_string().contains("gort::blocking"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new(inner: T) -> io::Result<Self> {
        let fd = inner.as_fd().try_clone_to_owned()?;
        Ok(Self { handle: Handle::new(fd, false, false)?, inner })
    }
}

/// Calls `f` if the descriptor is ready. What `f` finds not to be there is waited for by an event: what makes `poll` say "ready" may stay, an error queue
/// for example.
fn or_later<R>(fd: RawFd, events: i16, f: impl FnOnce() -> io::Result<R>) -> Result<io::Result<R>, Errno> {
    look(fd, events)?;
    match f() {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(Errno::AGAIN),
        outcome => Ok(outcome),
    }
}

impl<T> Pollable<T> {
    /// Parks until a read would not block: there is something, or the end, or an error.
    ///
    /// True for the moment at which it was seen. Of several who wait each is told, one after the other, as long as it holds.
    ///
    /// # Errors
    /// `TimedOut` at the timeout or deadline.
    ///
    /// # Examples
    /// See [`Pollable`].
    #[track_caller]
    pub fn readable(&self) -> io::Result<()> {
        self.handle.readable(Location::caller())
    }

    /// Parks until a write would not block: there is room, or nobody reads any more, or an error. As [`readable`](Pollable::readable).
    ///
    /// # Errors
    /// `TimedOut` at the timeout or deadline.
    ///
    /// # Examples
    /// ```
    /// # use std::io::Write;
    /// let (_reader, writer) = std::io::pipe()?;
    /// let writer = gort::io::Pollable::new(writer)?;
    /// writer.writable()?;
    /// writer.get_ref().write_all(b"x")?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn writable(&self) -> io::Result<()> {
        self.handle.writable(Location::caller())
    }

    /// Waits until it is readable and calls `f`; if that says `WouldBlock`, waits for the next event and calls it again. Others who wait for this have
    /// their turn afterwards, so `f` must not wait for it, too.
    ///
    /// # Errors
    /// Those of `f`; and those of [`readable`](Pollable::readable).
    ///
    /// # Examples
    /// ```
    /// # use std::io::{Read, Write};
    /// let (reader, mut writer) = std::io::pipe()?;
    /// let reader = gort::io::Pollable::new(reader)?;
    /// writer.write_all(b"abc")?;
    /// let mut buf = [0; 8];
    /// assert_eq!(reader.read_with(|mut reader| reader.read(&mut buf))?, 3);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn read_with<R>(&self, mut f: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.handle
            .read_other(Location::caller(), |fd| or_later(fd, libc::POLLIN | libc::POLLRDHUP, || f(&self.inner)))?
    }

    /// Waits until it is writable and calls `f`; if that says `WouldBlock`, waits for the next event and calls it again. Others who wait for this have
    /// their turn afterwards, so `f` must not wait for it, too.
    ///
    /// # Errors
    /// Those of `f`; and those of [`writable`](Pollable::writable).
    ///
    /// # Examples
    /// ```
    /// # use std::io::Write;
    /// let (_reader, writer) = std::io::pipe()?;
    /// let writer = gort::io::Pollable::new(writer)?;
    /// assert_eq!(writer.write_with(|mut writer| writer.write(b"abc"))?, 3);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn write_with<R>(&self, mut f: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.handle.write(Location::caller(), |fd| or_later(fd, libc::POLLOUT, || f(&self.inner)))?
    }

    /// What is watched. Reads and writes go there.
    pub fn get_ref(&self) -> &T {
        &self.inner
    }

    /// Ends the watch.
    ///
    /// # Examples
    /// ```
    /// let (reader, _writer) = std::io::pipe()?;
    /// let reader: std::io::PipeReader = gort::io::Pollable::new(reader)?.into_inner();
    /// # drop(reader);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn into_inner(self) -> T {
        self.inner
    }
}

surface::limits!(
    Pollable<T>,
    "watched",
    "# let (reader, _writer) = gort::io::pipe()?;
# let watched = gort::io::Pollable::new(reader)?;",
    "watched.readable()",
    "watched.writable()"
);

impl<T: AsFd> AsFd for Pollable<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

impl<T: AsRawFd> AsRawFd for Pollable<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.inner.as_raw_fd()
    }
}

impl<T: fmt::Debug> fmt::Debug for Pollable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pollable").field(&self.inner).finish()
    }
}

//! Descriptors that go along with bytes: files, sockets, pipes, given to another process.

use super::datagram::or_end;
use super::{UnixDatagram, UnixStream};
use crate::sys::socket as sys;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::panic::Location;

/// What [`UnixStream::recv_with_fds`] has received.
#[derive(Debug)]
#[non_exhaustive]
pub struct Parcel {
    /// How many bytes are in the buffer. 0 is the end of a stream, or an empty datagram.
    pub bytes: usize,
    /// The descriptors that came with them, closed on exec. They are this process's own.
    pub fds: Vec<OwnedFd>,
    /// A datagram was longer than the buffer, and the rest is lost.
    pub lost_bytes: bool,
    /// More descriptors came than were asked for, or than this process may have open. The kernel has closed those that are not in `fds`.
    pub lost_fds: bool,
}

fn check(fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    if fds.len() > sys::MOST_FDS {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{} descriptors, and no more than {} go with one message: send several", fds.len(), sys::MOST_FDS),
        ));
    }
    Ok(())
}

impl From<sys::Parcel> for Parcel {
    fn from(parcel: sys::Parcel) -> Self {
        let sys::Parcel { bytes, fds, lost_bytes, lost_fds } = parcel;
        Self { bytes, fds, lost_bytes, lost_fds }
    }
}

impl UnixStream {
    /// Writes bytes, and gives copies of descriptors along with the first of them. Says how many bytes were taken; the descriptors are, all of them,
    /// if that is not an error. Parks as a write does.
    ///
    /// Whoever reads those bytes without asking for descriptors loses them; the kernel closes them.
    ///
    /// # Errors
    /// `InvalidInput` without a byte that they could go with, and for more than 253 descriptors; else as a write.
    ///
    /// # Examples
    /// ```
    /// use std::io::Read;
    /// use std::os::fd::AsFd;
    ///
    /// let (near, far) = gort::net::UnixStream::pair()?;
    /// let file = std::fs::File::open("Cargo.toml")?;
    /// near.send_with_fds(b"a file", &[file.as_fd()])?;
    ///
    /// let mut buf = [0; 16];
    /// let parcel = far.recv_with_fds(&mut buf, 1)?;
    /// assert_eq!(&buf[..parcel.bytes], b"a file");
    /// let mut file = std::fs::File::from(parcel.fds.into_iter().next().unwrap());
    /// file.read_exact(&mut buf)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn send_with_fds(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
        if bytes.is_empty() && !fds.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "descriptors go through a stream along with bytes: give one at least",
            ));
        }
        check(fds)?;
        self.handle.write(Location::caller(), |fd| sys::send_with_fds(fd, bytes, fds))
    }

    /// Reads bytes, and takes `most` descriptors that come along with them at most. Parks as a read does. What was sent
    /// before the bytes that came with descriptors may be read together with them; what was sent after them is not.
    ///
    /// # Errors
    /// As a read.
    ///
    /// # Examples
    /// See [`send_with_fds`](UnixStream::send_with_fds).
    #[track_caller]
    pub fn recv_with_fds(&self, buf: &mut [u8], most: usize) -> io::Result<Parcel> {
        self.handle.read_other(Location::caller(), |fd| sys::recv_with_fds(fd, buf, most)).map(Into::into)
    }
}

impl UnixDatagram {
    /// Sends a datagram, which may be empty, to the address that the socket is connected to, and gives copies of descriptors along.
    ///
    /// # Errors
    /// `InvalidInput` for more than 253 descriptors; else as [`UnixDatagram::send`].
    ///
    /// # Examples
    /// ```
    /// use std::os::fd::AsFd;
    ///
    /// let (near, far) = gort::net::UnixDatagram::pair()?;
    /// near.send_with_fds(b"", &[std::io::stderr().as_fd()])?;
    /// let parcel = far.recv_with_fds(&mut [0; 16], 8)?;
    /// assert_eq!((parcel.bytes, parcel.fds.len(), parcel.lost_fds), (0, 1, false));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn send_with_fds(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
        check(fds)?;
        self.handle.write_when_room(Location::caller(), |fd| super::unless_full(sys::send_with_fds(fd, bytes, fds)))
    }

    /// Receives a datagram, and takes `most` descriptors that come along with it at most. Parks as [`UnixDatagram::recv`] does.
    ///
    /// # Errors
    /// As [`UnixDatagram::recv`].
    ///
    /// # Examples
    /// See [`send_with_fds`](UnixDatagram::send_with_fds).
    #[track_caller]
    pub fn recv_with_fds(&self, buf: &mut [u8], most: usize) -> io::Result<Parcel> {
        let receive = |fd| or_end(fd, || sys::recv_with_fds(fd, buf, most), sys::Parcel::default);
        self.handle.read_other(Location::caller(), receive).map(Into::into)
    }
}

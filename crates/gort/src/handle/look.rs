//! Waiting for readiness alone: looks, and nothing is read or written.

use super::Handle;
use crate::sys::raw::Errno;
use crate::sys::socket as sys;
use std::io;
use std::os::fd::RawFd;
use std::panic::Location;

/// Whether one of `events` is there, or an error or a hang-up; `EAGAIN` if not.
pub(crate) fn look(fd: RawFd, events: i16) -> Result<(), Errno> {
    match sys::poll(fd, events, Some(0))? {
        0 => Err(Errno::AGAIN),
        _ => Ok(()),
    }
}

impl Handle {
    /// Waits until a read would not: there is something, or the end, or an error.
    pub(crate) fn readable(&self, site: &'static Location<'static>) -> io::Result<()> {
        self.read_other(site, |fd| look(fd, libc::POLLIN | libc::POLLRDHUP))
    }

    /// Waits until a write would not: there is room, or nobody reads any more, or an error.
    pub(crate) fn writable(&self, site: &'static Location<'static>) -> io::Result<()> {
        self.write(site, |fd| look(fd, libc::POLLOUT))
    }
}

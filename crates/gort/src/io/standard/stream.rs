//! How a standard stream is read or written without blocking its thread, and without changing anything for those who have it, too.
//!
//! The descriptor is inherited, and its mode belongs to all who have the open file, the shell above all: put into non-blocking mode, it would be so for them.
//! So, at the first use:
//!
//! 1. A pipe or a terminal is opened once more, through /proc. That open file is ours, non-blocking, and watched by the poller. A terminal that is set to give
//!    up by itself (`VTIME`) is read in a marked section when nothing is there.
//! 2. What cannot be opened again, a socket or another device for example, or without /proc, is watched as it is. A look says whether it is ready, and the call follows; one that
//!    somebody else has been faster at blocks its thread.
//! 3. What epoll refuses, files and `/dev/null`, is read and written in a [marked section](crate::blocking).
//!
//! A stream that is closed is empty, and takes everything, as std's.

use crate::context::ambient;
use crate::handle::Handle;
use crate::sync::OnceLock;
use crate::sys::file::{self, At};
use crate::sys::raw::Errno;
use crate::sys::{pipe, socket, standard as sys};
use crate::{blocking, sched, spawn};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, RawFd};
use std::panic::Location;

#[derive(Debug)]
enum Way {
    /// An open file of our own, non-blocking.
    Own(Handle),
    /// Everybody's.
    Shared(Handle),
    /// What cannot be watched.
    Marked,
}

#[derive(Debug)]
pub(super) struct Stream {
    fd: RawFd,
    writes: bool,
    way: OnceLock<Way>,
}

impl Stream {
    pub(super) const fn new(fd: RawFd) -> Self {
        Self { fd, writes: fd != libc::STDIN_FILENO, way: OnceLock::new() }
    }

    fn way(&self) -> &Way {
        self.way.get_or_init(|| {
            if sys::can_be_reopened(self.fd)
                && let Ok(own) = sys::reopen(self.fd, self.writes)
                && let Ok(handle) = Handle::new(own, false, true)
            {
                return Way::Own(handle);
            }
            let shared = socket::dup_cloexec(self.fd).ok().and_then(|fd| Handle::new(fd, false, false).ok());
            shared.map_or(Way::Marked, Way::Shared)
        })
    }

    fn fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the standard descriptors are everybody's. If one is closed, the calls fail, or find whatever has its number now; as in std.
        unsafe { BorrowedFd::borrow_raw(self.fd) }
    }

    #[track_caller]
    pub(super) fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let site = Location::caller();
        let read = match self.way() {
            Way::Own(handle) => {
                let read = handle.read_other(site, |fd| match read(fd, buf) {
                    Err(Errno::AGAIN) if sys::has_timer(fd) => Ok(None),
                    outcome => outcome.map(Some),
                });
                match read {
                    Ok(None) => marked(|| file::read(self.fd(), At::Cursor, as_uninit(buf))),
                    read => read.map(Option::unwrap_or_default),
                }
            }
            Way::Shared(handle) => handle.read(buf.len(), site, |fd| pipe::read(fd, buf)),
            Way::Marked => marked(|| file::read(self.fd(), At::Cursor, as_uninit(buf))),
        };
        unless_closed(read, 0)
    }

    #[track_caller]
    pub(super) fn write(&self, buf: &[u8]) -> io::Result<usize> {
        let site = Location::caller();
        let written = match self.way() {
            Way::Own(handle) => handle.write(site, |fd| write(fd, buf)),
            Way::Shared(handle) => handle.write(site, |fd| pipe::write(fd, buf)),
            Way::Marked => marked(|| file::write(self.fd(), At::Cursor, buf)),
        };
        unless_closed(written, buf.len())
    }
}

/// For a call that nobody can end.
#[track_caller]
fn marked(f: impl FnOnce() -> Result<usize, Errno>) -> io::Result<usize> {
    if let Some(g) = spawn::me() {
        sched::begin_call(g);
    }
    ambient::check_but_root()?;
    Ok(blocking(f)?)
}

fn read(fd: RawFd, buf: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: the handle keeps it open as long as this call.
    file::read(unsafe { BorrowedFd::borrow_raw(fd) }, At::Cursor, as_uninit(buf))
}

fn write(fd: RawFd, buf: &[u8]) -> Result<usize, Errno> {
    // SAFETY: as above.
    file::write(unsafe { BorrowedFd::borrow_raw(fd) }, At::Cursor, buf)
}

fn as_uninit(buf: &mut [u8]) -> &mut [MaybeUninit<u8>] {
    // SAFETY: the same memory, into which system calls write bytes only.
    unsafe { &mut *(std::ptr::from_mut(buf) as *mut [MaybeUninit<u8>]) }
}

fn unless_closed(outcome: io::Result<usize>, otherwise: usize) -> io::Result<usize> {
    match outcome {
        Err(error) if error.raw_os_error() == Some(libc::EBADF) => Ok(otherwise),
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_is_closed_is_empty_and_takes_everything() {
        // A number that no descriptor can have.
        let closed = Stream::new(i32::MAX);
        assert_eq!(closed.read(&mut [0; 8]).unwrap(), 0);
        assert_eq!(closed.write(b"four").unwrap(), 4);
    }
}

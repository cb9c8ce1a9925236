//! Copies that the kernel makes: `sendfile` from a file, `splice` from and to pipes, and between two sockets through a pipe of our own.
//!
//! Each step is an operation of the one side or the other, as a read or write would be, so deadlines, contexts and closes end it.
//!
//! A splice that would block does not say at which end. So it is tried as an operation of the writing side after the reading side has been seen ready, and if
//! it fails, both are looked at: we wait for the writer only if it is full and the reader still ready; else somebody else has been faster, and we begin anew.
//!
//! The kernel may refuse a call for what the ends are, or have been set to (`O_APPEND`). Such a call has moved nothing, and the rest is read and written; what is
//! in a pipe between two sockets then is written first.

use super::ends::End;
use crate::fs;
use crate::handle::Handle;
use crate::sys::copy as sys;
use crate::sys::file::nature;
use crate::sys::pipe;
use crate::sys::raw::Errno;
use crate::sys::socket::{poll, send};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::panic::Location;

/// So much at most is moved at once, so that a fast pair of ends does not keep its processor.
const STEP: u64 = 1 << 20;

/// Room in the pipe between two sockets. Four times the usual: fewer, larger steps. A user without privileges has 64 MiB for all pipes, and when that is used up
/// pipes are as they are.
const BETWEEN_BYTES: usize = 256 << 10;

/// A copy under way.
pub(super) struct Copy {
    /// So much is left of the limit: it falls with what is read.
    pub(super) left: u64,
    pub(super) done: u64,
    site: &'static Location<'static>,
}

/// How a copy came to its end without an error.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Ending {
    /// The source is at its end, or the limit reached.
    Over,
    /// The kernel does not do this for these ends.
    Refused,
}

impl Copy {
    pub(super) fn new(limit: u64, site: &'static Location<'static>) -> Self {
        Self { left: limit, done: 0, site }
    }

    /// Copies, and says in `done` how much, also if an error comes.
    pub(super) fn run(&mut self, from: &End<'_>, to: &End<'_>) -> io::Result<Ending> {
        match (from, to) {
            (&End::File(fd, file), End::Stream(to)) => self.send_file(fd, file, to),
            (End::Stream(from), End::Stream(to)) => {
                if from.with_fd(sys::is_pipe)? || to.with_fd(sys::is_pipe)? {
                    return self.splice(from, to);
                }
                // At the limit of descriptors there is none.
                let Ok(between) = pipe::pipe() else { return Ok(Ending::Refused) };
                // Without it the copy is slower.
                let _ = sys::set_pipe_size(between.1.as_raw_fd(), BETWEEN_BYTES);
                self.splice_through(from, to, &between)
            }
            (_, End::File(..)) => Ok(Ending::Refused),
        }
    }

    fn step(&self) -> usize {
        self.left.min(STEP) as usize
    }

    fn moved(&mut self, count: usize) {
        self.left -= count as u64;
        self.done += count as u64;
    }

    fn send_file(&mut self, fd: BorrowedFd<'_>, file: Option<&fs::File>, to: &Handle) -> io::Result<Ending> {
        // A terminal waits for a person, and not in a turn for the disk. An error is the read's to tell.
        if !nature(fd).is_ok_and(|nature| nature.is_disk) {
            return Ok(Ending::Refused);
        }
        while self.left > 0 {
            let _turn = file.map(fs::File::cursor).transpose()?;
            let step = self.step();
            // What the page cache does not have is fetched by this thread, in its turn.
            let send = |to| match fs::disk(|| Ok(sys::sendfile(fd.as_raw_fd(), to, step))) {
                Ok(sent) => sent.map(Ok),
                Err(ended) => Ok(Err(ended)),
            };
            match unless_refused(to.write(self.site, send).flatten())? {
                None => return Ok(Ending::Refused),
                Some(0) => break,
                Some(count) => self.moved(count),
            }
        }
        Ok(Ending::Over)
    }

    /// From or to a pipe.
    fn splice(&mut self, from: &Handle, to: &Handle) -> io::Result<Ending> {
        while self.left > 0 {
            from.read_other(self.site, |from| if is_readable(from)? { Ok(()) } else { Err(Errno::AGAIN) })?;
            let step = self.step();
            let moved = to.write(self.site, |to| {
                // A reference to the reading side for the try, not for the wait: a close of it is not to wait for us.
                let moved = from.with_fd(|from| match sys::splice(from, to, step) {
                    Err(Errno::AGAIN) if !is_readable(from)? || is_writable(to)? => Ok(None),
                    outcome => outcome.map(Some),
                });
                match moved {
                    Err(error) if error.raw_os_error() == Some(Errno::AGAIN.0) => Err(Errno::AGAIN),
                    Err(error) if error.raw_os_error() == Some(Errno::INTR.0) => Err(Errno::INTR),
                    outcome => Ok(outcome),
                }
            });
            match unless_refused(moved.flatten())? {
                None => return Ok(Ending::Refused),
                Some(Some(0)) => break,
                Some(Some(count)) => self.moved(count),
                Some(None) => {}
            }
        }
        Ok(Ending::Over)
    }

    /// Between two sockets. The pipe is empty whenever we read, so a read that would block does so at the socket.
    fn splice_through(&mut self, from: &Handle, to: &Handle, (out, into): &(OwnedFd, OwnedFd)) -> io::Result<Ending> {
        while self.left > 0 {
            let step = self.step();
            let read = from.read_other(self.site, |from| sys::splice(from, into.as_raw_fd(), step));
            let mut held = match unless_refused(read)? {
                None => return Ok(Ending::Refused),
                Some(0) => break,
                Some(count) => count,
            };
            self.left -= held as u64;
            while held > 0 {
                let written = to.write(self.site, |to| sys::splice(out.as_raw_fd(), to, held));
                let Some(count) = unless_refused(written)? else {
                    self.write_out(out, held, to)?;
                    return Ok(Ending::Refused);
                };
                held -= count;
                self.done += count as u64;
            }
        }
        Ok(Ending::Over)
    }

    /// Writes the `held` bytes that are in a pipe.
    fn write_out(&mut self, out: &OwnedFd, held: usize, to: &Handle) -> io::Result<()> {
        let mut bytes = vec![0; held];
        let mut read = 0;
        while read < held {
            read += pipe::read(out.as_raw_fd(), &mut bytes[read..])?;
        }
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let count = to.write(self.site, |to| send(to, rest))?;
            rest = &rest[count..];
            self.done += count as u64;
        }
        Ok(())
    }
}

/// `None` if the kernel does not do this for these ends: nothing has been moved by that call.
fn unless_refused<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
    match outcome.map_err(|error| (error.raw_os_error().map(Errno), error)) {
        Err((Some(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP), _)) => Ok(None),
        outcome => outcome.map(Some).map_err(|(_, error)| error),
    }
}

/// Something, or the end. Not what a socket's queue of errors has: that a read does not take.
fn is_readable(fd: RawFd) -> Result<bool, Errno> {
    let events = libc::POLLIN | libc::POLLRDHUP;
    Ok(poll(fd, events, Some(0))? & (events | libc::POLLHUP) != 0)
}

fn is_writable(fd: RawFd) -> Result<bool, Errno> {
    Ok(poll(fd, libc::POLLOUT, Some(0))? & libc::POLLOUT != 0)
}

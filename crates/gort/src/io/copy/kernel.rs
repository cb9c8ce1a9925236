//! Copies that the kernel makes: `sendfile` from a file, `splice` from and to pipes, and between two sockets through a pipe of our own.
//!
//! Each step is an operation of the one side or the other, as a read or write would be, so deadlines, contexts and closes end it.
//!
//! A splice that would block does not say at which end. So it is tried as an operation of the writing side after the reading side has been seen ready, and if
//! it fails, that is looked at again: ready, so the writer is full, and we wait for it; or not, since somebody else has been faster, and we begin anew.

use super::ends::End;
use crate::fs;
use crate::handle::Handle;
use crate::sys::copy as sys;
use crate::sys::pipe::pipe;
use crate::sys::raw::Errno;
use crate::sys::socket::poll;
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
    /// So much is left of the limit.
    left: u64,
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
        let outcome = match (from, to) {
            (&End::File(fd, file), End::Stream(to)) => self.send_file(fd, file, to),
            (End::Stream(from), End::Stream(to)) => {
                if from.with_fd(sys::is_pipe)? || to.with_fd(sys::is_pipe)? {
                    self.splice(from, to)
                } else {
                    let between = pipe()?;
                    // Without it the copy is slower.
                    let _ = sys::set_pipe_size(between.1.as_raw_fd(), BETWEEN_BYTES);
                    self.splice_through(from, to, &between)
                }
            }
            (_, End::File(..)) => return Ok(Ending::Refused),
        };
        match outcome.map_err(|error| (error.raw_os_error().map(Errno), error)) {
            Ok(()) => Ok(Ending::Over),
            // Of a descriptor that it is not made for: nothing has been moved by that call.
            Err((Some(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP), _)) => Ok(Ending::Refused),
            Err((_, error)) => Err(error),
        }
    }

    fn step(&self) -> usize {
        self.left.min(STEP) as usize
    }

    fn moved(&mut self, count: usize) {
        self.left -= count as u64;
        self.done += count as u64;
    }

    fn send_file(&mut self, fd: BorrowedFd<'_>, file: Option<&fs::File>, to: &Handle) -> io::Result<()> {
        while self.left > 0 {
            let _turn = file.map(fs::File::cursor).transpose()?;
            let step = self.step();
            // What the page cache does not have is fetched by this thread, in its turn.
            let send = |to| match fs::disk(|| Ok(sys::sendfile(fd.as_raw_fd(), to, step))) {
                Ok(sent) => sent.map(Ok),
                Err(ended) => Ok(Err(ended)),
            };
            match to.write(self.site, send)?? {
                0 => break,
                count => self.moved(count),
            }
        }
        Ok(())
    }

    /// From or to a pipe.
    fn splice(&mut self, from: &Handle, to: &Handle) -> io::Result<()> {
        while self.left > 0 {
            from.read_other(self.site, |from| if is_readable(from)? { Ok(()) } else { Err(Errno::AGAIN) })?;
            let step = self.step();
            let moved = to.write(self.site, |to| {
                // A reference to the reading side for the try, not for the wait: a close of it is not to wait for us.
                let moved = from.with_fd(|from| match sys::splice(from, to, step) {
                    Err(Errno::AGAIN) if !is_readable(from)? => Ok(None),
                    outcome => outcome.map(Some),
                });
                match moved {
                    Err(error) if error.raw_os_error() == Some(Errno::AGAIN.0) => Err(Errno::AGAIN),
                    Err(error) if error.raw_os_error() == Some(Errno::INTR.0) => Err(Errno::INTR),
                    outcome => Ok(outcome),
                }
            })??;
            match moved {
                Some(0) => break,
                Some(count) => self.moved(count),
                None => {}
            }
        }
        Ok(())
    }

    /// Between two sockets. The pipe is empty whenever we read, so a read that would block does so at the socket.
    fn splice_through(&mut self, from: &Handle, to: &Handle, (out, into): &(OwnedFd, OwnedFd)) -> io::Result<()> {
        while self.left > 0 {
            let step = self.step();
            let mut held = from.read_other(self.site, |from| sys::splice(from, into.as_raw_fd(), step))?;
            if held == 0 {
                break;
            }
            while held > 0 {
                let count = to.write(self.site, |to| sys::splice(out.as_raw_fd(), to, held))?;
                held -= count;
                self.moved(count);
            }
        }
        Ok(())
    }
}

/// Something, or the end, or an error.
fn is_readable(fd: RawFd) -> Result<bool, Errno> {
    Ok(poll(fd, libc::POLLIN | libc::POLLRDHUP, Some(0))? != 0)
}

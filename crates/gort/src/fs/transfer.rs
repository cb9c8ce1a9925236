//! Reading and writing: what can be done without waiting is done in place, the rest in its turn.
//!
//! The first try moves what the page cache has, or can take. If that was a part only, the rest follows: a read of a regular file is short at its
//! end and nowhere else, and programs count on that. Any other failure of the try is left to the plain call, which says what std's would say. A file system
//! that does not know such tries (ext4 for writes) is asked once for each open file; one that goes past the page cache (`O_DIRECT`) never, since the try
//! would wait for the disk all the same.
//!
//! The kernel lets those who use the cursor of a regular file take turns, and a thread that waits for its turn there is blocked. So goroutines take
//! turns here first.

use super::turn;
use crate::context::ambient;
use crate::sync::{Semaphore, SemaphorePermit};
use crate::sys::file::{self as sys, At};
use crate::sys::raw::Errno;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::Relaxed;

/// What is shared by all who have the same open file description.
#[derive(Debug)]
pub(super) struct Description {
    cursor: Semaphore,
    /// What is known; relaxed: each bit stands for itself.
    known: AtomicU8,
}

// A panic leaves nothing half changed: a semaphore's permit comes back, and the bits are atomic.
impl std::panic::UnwindSafe for Description {}
impl std::panic::RefUnwindSafe for Description {}

/// The other bits count.
const KNOWN: u8 = 1;
const IS_DISK: u8 = 2;
const NO_READ_NOW: u8 = 4;
const NO_WRITE_NOW: u8 = 8;

impl Description {
    pub(super) fn new() -> Self {
        Self { cursor: Semaphore::new(1), known: AtomicU8::new(0) }
    }

    /// What is known of `fd`, which is one for this description.
    fn known(&self, fd: BorrowedFd<'_>) -> u8 {
        match self.known.load(Relaxed) {
            0 => self.ask(fd),
            known => known,
        }
    }

    #[cold]
    fn ask(&self, fd: BorrowedFd<'_>) -> u8 {
        // That fails for no open file; the call itself says what is wrong.
        let Ok(nature) = sys::nature(fd) else { return KNOWN | NO_READ_NOW | NO_WRITE_NOW };
        let disk = if nature.is_disk { IS_DISK } else { 0 };
        let now = match nature {
            _ if nature.is_direct => NO_READ_NOW | NO_WRITE_NOW,
            // A try may write a part, and then another process's line may come in between.
            _ if nature.is_append => NO_WRITE_NOW,
            _ => 0,
        };
        let known = KNOWN | disk | now;
        self.known.fetch_or(known, Relaxed);
        known
    }

    /// Our turn at the cursor. None where there are no turns: who reads from a pipe may wait for who writes to it.
    #[track_caller]
    pub(super) fn cursor(&self, fd: BorrowedFd<'_>) -> io::Result<Option<SemaphorePermit<'_>>> {
        if self.known(fd) & IS_DISK == 0 {
            return Ok(None);
        }
        if let Some(permit) = self.cursor.try_acquire(1) {
            return Ok(Some(permit));
        }
        match ambient::inherited() {
            None => Ok(Some(self.cursor.acquire(1))),
            Some(ctx) => Ok(Some(self.cursor.acquire_ctx(1, &ctx)?)),
        }
    }

    #[track_caller]
    pub(super) fn read(&self, fd: BorrowedFd<'_>, at: At, buf: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
        let len = buf.len();
        match self.attempt(fd, at, len, NO_READ_NOW, || sys::read_now(fd, at, buf))? {
            Attempt::Over(count) => Ok(count),
            Attempt::Rest(rest) => rest.run(|done| sys::read(fd, at.after(done), &mut buf[done..])),
        }
    }

    #[track_caller]
    pub(super) fn write(&self, fd: BorrowedFd<'_>, at: At, buf: &[u8]) -> io::Result<usize> {
        match self.attempt(fd, at, buf.len(), NO_WRITE_NOW, || sys::write_now(fd, at, buf))? {
            Attempt::Over(count) => Ok(count),
            Attempt::Rest(rest) => rest.run(|done| sys::write(fd, at.after(done), &buf[done..])),
        }
    }

    #[track_caller]
    pub(super) fn read_vectored(&self, fd: BorrowedFd<'_>, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let len = bufs.iter().map(|buf| buf.len()).sum();
        match self.attempt(fd, At::Cursor, len, NO_READ_NOW, || sys::read_vectored_now(fd, bufs))? {
            Attempt::Over(count) => Ok(count),
            Attempt::Rest(rest) => rest.run(|done| {
                // The caller's slices stay as they are.
                let mut bufs: Vec<_> = bufs.iter_mut().map(|buf| IoSliceMut::new(buf)).collect();
                let mut bufs = &mut bufs[..];
                IoSliceMut::advance_slices(&mut bufs, done);
                sys::read_vectored(fd, bufs)
            }),
        }
    }

    #[track_caller]
    pub(super) fn write_vectored(&self, fd: BorrowedFd<'_>, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let len = bufs.iter().map(|buf| buf.len()).sum();
        match self.attempt(fd, At::Cursor, len, NO_WRITE_NOW, || sys::write_vectored_now(fd, bufs))? {
            Attempt::Over(count) => Ok(count),
            Attempt::Rest(rest) => rest.run(|done| {
                let mut bufs: Vec<_> = bufs.iter().map(|buf| IoSlice::new(buf)).collect();
                let mut bufs = &mut bufs[..];
                IoSlice::advance_slices(&mut bufs, done);
                sys::write_vectored(fd, bufs)
            }),
        }
    }

    /// Moves with `now` what can be moved at once, of `len` bytes.
    #[inline]
    #[track_caller]
    fn attempt(
        &self,
        fd: BorrowedFd<'_>,
        at: At,
        len: usize,
        not_now: u8,
        now: impl FnOnce() -> Result<usize, Errno>,
    ) -> io::Result<Attempt<'_>> {
        turn::begin()?;
        let turn = if at == At::Cursor { self.cursor(fd)? } else { None };
        let known = self.known(fd);
        let is_disk = known & IS_DISK != 0;
        let mut done = 0;
        // The plain call looks closer at a transfer of nothing: at a directory, say.
        if known & not_now == 0 && len != 0 {
            match now() {
                // A read has found the end.
                Ok(0) if not_now == NO_READ_NOW => return Ok(Attempt::Over(0)),
                Ok(count) if !is_disk || count >= len => return Ok(Attempt::Over(count)),
                Ok(count) => done = count,
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => _ = self.known.fetch_or(not_now, Relaxed),
                Err(_) => {}
            }
        }
        Ok(Attempt::Rest(Rest { done, is_disk, _turn: turn }))
    }
}

/// What has come of a try.
enum Attempt<'a> {
    /// So many bytes, and nothing is left to do.
    Over(usize),
    Rest(Rest<'a>),
}

/// What is left to do.
struct Rest<'a> {
    /// So many bytes have been moved.
    done: usize,
    is_disk: bool,
    _turn: Option<SemaphorePermit<'a>>,
}

impl Rest<'_> {
    /// Moves the rest with `f`, which is told how many bytes there were.
    #[track_caller]
    fn run(self, f: impl FnOnce(usize) -> Result<usize, Errno> + Send) -> io::Result<usize> {
        let done = self.done;
        let f = || Ok(f(done)?);
        match if self.is_disk { turn::disk(f) } else { turn::somebody(f) } {
            Ok(count) => Ok(done + count),
            // It comes again with the next call.
            Err(_) if done > 0 => Ok(done),
            Err(error) => Err(error),
        }
    }
}

//! Reading and writing: what can be done without waiting is done in place, the rest by io_uring or in its turn.
//!
//! The first try moves what the page cache has, or can take. If that was a part only, the rest follows: a read of a regular file is short at its
//! end and nowhere else, and programs count on that. Any other failure of the try is left to the plain call, which says what std's would say. A file system
//! that does not know such tries (ext4 for writes) is asked once for each open file; one that goes past the page cache (`O_DIRECT`) never, since the try
//! would wait for the disk all the same. What is left goes to io_uring (`ring`) if it can and should, and else waits for a turn.
//!
//! The kernel lets those who use the cursor of a regular file take turns, and a thread that waits for its turn there is blocked. So goroutines take
//! turns here first.

use super::{ring, turn};
use crate::context::ambient;
use crate::sync::{Semaphore, SemaphorePermit};
use crate::sys::file::{self as sys, At};
use crate::sys::raw::Errno;
use crate::sys::uring::Sqe;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
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
/// It goes past the page cache.
const IS_DIRECT: u8 = 16;
/// Whether its file system has blocks at all is known.
const KNOWN_FS: u8 = 32;
const HAS_BLOCKS: u8 = 64;
/// What is written goes to the end.
const IS_APPEND: u8 = 128;

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
        let direct = if nature.is_direct { IS_DIRECT } else { 0 };
        let append = if nature.is_append { IS_APPEND } else { 0 };
        let now = match nature {
            _ if nature.is_direct => NO_READ_NOW | NO_WRITE_NOW,
            // A try may write a part, and then another process's line may come in between.
            _ if nature.is_append => NO_WRITE_NOW,
            _ => 0,
        };
        let known = KNOWN | disk | direct | append | now;
        self.known.fetch_or(known, Relaxed);
        known
    }

    /// Whether what a try has left is better moved by io_uring.
    ///
    /// Not if its file system cannot tell what waits: the kernel would have a thread of its own do it, and two more would be woken for a transfer that most
    /// often only copies. And not what is no disk's at all but looks like a file, as
    /// `/proc` does: such files want to know who reads them. Nor what is appended: where that ends, the kernel tells nobody but the cursor, which
    /// io_uring does not move.
    fn suits_ring(&self, fd: BorrowedFd<'_>, not_now: u8) -> bool {
        let known = self.known(fd);
        if known & IS_DISK == 0 || known & not_now != 0 && known & IS_DIRECT == 0 {
            return false;
        }
        if not_now == NO_WRITE_NOW && known & IS_APPEND != 0 {
            return false;
        }
        let known = if known & KNOWN_FS != 0 { known } else { self.ask_fs(fd) };
        known & HAS_BLOCKS != 0
    }

    #[cold]
    fn ask_fs(&self, fd: BorrowedFd<'_>) -> u8 {
        let known = KNOWN_FS | if sys::has_blocks(fd) { HAS_BLOCKS } else { 0 };
        self.known.fetch_or(known, Relaxed) | known
    }

    /// Waits until what was written is on the disk.
    #[track_caller]
    pub(super) fn sync(&self, fd: BorrowedFd<'_>, contents_only: bool) -> io::Result<()> {
        turn::begin()?;
        if self.suits_ring(fd, 0) {
            // SAFETY: it points to nothing, and the descriptor is borrowed until this returns.
            if let Some(outcome) = unsafe { ring::run(Sqe::sync(fd.as_raw_fd(), contents_only)) } {
                return outcome.map(drop);
            }
        }
        turn::disk(|| Ok(sys::sync(fd, contents_only)?))
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
        match ambient::but_root() {
            None => Ok(Some(self.cursor.acquire(1))),
            Some(ctx) => Ok(Some(self.cursor.acquire_ctx(1, &ctx)?)),
        }
    }

    #[track_caller]
    pub(super) fn read(&self, fd: BorrowedFd<'_>, at: At, buf: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
        let len = buf.len();
        match self.attempt(fd, at, len, NO_READ_NOW, || sys::read_now(fd, at, buf))? {
            Attempt::Over(count) => Ok(count),
            Attempt::Rest(rest) => {
                let (at, buf) = (at.after(rest.done), &mut buf[rest.done..]);
                let sqe = Sqe::read(fd.as_raw_fd(), at, buf.as_mut_ptr().cast(), buf.len());
                // SAFETY: the caller's bytes and descriptor, which are borrowed until this returns.
                unsafe { rest.run(self, fd, sqe, || sys::read(fd, at, buf)) }
            }
        }
    }

    #[track_caller]
    pub(super) fn write(&self, fd: BorrowedFd<'_>, at: At, buf: &[u8]) -> io::Result<usize> {
        match self.attempt(fd, at, buf.len(), NO_WRITE_NOW, || sys::write_now(fd, at, buf))? {
            Attempt::Over(count) => Ok(count),
            Attempt::Rest(rest) => {
                let (at, buf) = (at.after(rest.done), &buf[rest.done..]);
                let sqe = Sqe::write(fd.as_raw_fd(), at, buf.as_ptr(), buf.len());
                // SAFETY: as in `read`.
                unsafe { rest.run(self, fd, sqe, || sys::write(fd, at, buf)) }
            }
        }
    }

    #[track_caller]
    pub(super) fn read_vectored(&self, fd: BorrowedFd<'_>, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let len = bufs.iter().map(|buf| buf.len()).sum();
        match self.attempt(fd, At::Cursor, len, NO_READ_NOW, || sys::read_vectored_now(fd, bufs))? {
            Attempt::Over(count) => Ok(count),
            Attempt::Rest(rest) => {
                // The caller's slices stay as they are.
                let mut bufs: Vec<_> = bufs.iter_mut().map(|buf| IoSliceMut::new(buf)).collect();
                let mut bufs = &mut bufs[..];
                IoSliceMut::advance_slices(&mut bufs, rest.done);
                let sqe = Sqe::read_vectored(fd.as_raw_fd(), bufs);
                // SAFETY: as in `read`; the pieces are in the vector above.
                unsafe { rest.run(self, fd, sqe, || sys::read_vectored(fd, bufs)) }
            }
        }
    }

    #[track_caller]
    pub(super) fn write_vectored(&self, fd: BorrowedFd<'_>, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let len = bufs.iter().map(|buf| buf.len()).sum();
        match self.attempt(fd, At::Cursor, len, NO_WRITE_NOW, || sys::write_vectored_now(fd, bufs))? {
            Attempt::Over(count) => Ok(count),
            Attempt::Rest(rest) => {
                let mut bufs: Vec<_> = bufs.iter().map(|buf| IoSlice::new(buf)).collect();
                let mut bufs = &mut bufs[..];
                IoSlice::advance_slices(&mut bufs, rest.done);
                let sqe = Sqe::write_vectored(fd.as_raw_fd(), bufs);
                // SAFETY: as in `read_vectored`.
                unsafe { rest.run(self, fd, sqe, || sys::write_vectored(fd, bufs)) }
            }
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
                // A read has found the end. Where that may be wrong, the plain call looks again.
                Ok(0) if not_now == NO_READ_NOW && !sys::tries_end_early() => return Ok(Attempt::Over(0)),
                Ok(count) if !is_disk || count >= len => return Ok(Attempt::Over(count)),
                Ok(count) => done = count,
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => _ = self.known.fetch_or(not_now, Relaxed),
                Err(_) => {}
            }
        }
        Ok(Attempt::Rest(Rest { done, is_disk, not_now, at: at.after(done), _turn: turn }))
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
    /// What the description knows of tries of this kind.
    not_now: u8,
    at: At,
    _turn: Option<SemaphorePermit<'a>>,
}

impl Rest<'_> {
    /// Where that is, for io_uring. It must not be told to use the cursor itself: past the page cache it reads where that is and does not move it.
    /// `None` for what is no offset: the plain call has the right error.
    fn place(&self, fd: BorrowedFd<'_>) -> Option<u64> {
        match self.at {
            At::Cursor => sys::cursor(fd).ok(),
            At::Offset(offset) => (offset <= i64::MAX as u64).then_some(offset),
        }
    }

    /// Moves the cursor, if it is used, behind what was moved at `place`. It is our turn still.
    fn moved(&self, fd: BorrowedFd<'_>, place: u64, outcome: io::Result<usize>) -> io::Result<usize> {
        if let (At::Cursor, Ok(count @ 1..)) = (self.at, &outcome) {
            sys::set_cursor(fd, place + *count as u64)?;
        }
        outcome
    }

    /// Moves the rest: by `sqe` in the kernel if that can be, else by `f` on a thread.
    ///
    /// # Safety
    /// As for [`ring::run`].
    #[track_caller]
    unsafe fn run(
        self,
        description: &Description,
        fd: BorrowedFd<'_>,
        sqe: Sqe,
        f: impl FnOnce() -> Result<usize, Errno> + Send,
    ) -> io::Result<usize> {
        let done = self.done;
        let place = if description.suits_ring(fd, self.not_now) { self.place(fd) } else { None };
        let by_ring = match place {
            // SAFETY: as the caller says.
            Some(place) => unsafe { ring::run(sqe.at(place)) }.map(|outcome| self.moved(fd, place, outcome)),
            None => None,
        };
        let f = || Ok(f()?);
        let outcome = match by_ring {
            Some(outcome) => outcome,
            None if self.is_disk => turn::disk(f),
            None => turn::somebody(f),
        };
        match outcome {
            Ok(count) => Ok(done + count),
            // It comes again with the next call.
            Err(_) if done > 0 => Ok(done),
            Err(error) => Err(error),
        }
    }
}

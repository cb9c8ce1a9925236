//! Reading and writing of files, and what has to be known of a file to choose how.

use super::raw::{Errno, retry, syscall1, syscall2, syscall3, syscall4, syscall6};
use std::ffi::CStr;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::Relaxed;

/// Where an operation takes place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum At {
    /// At the cursor of the open file description, which moves.
    Cursor,
    /// There.
    Offset(u64),
}

impl At {
    /// So many bytes further on. The cursor moves by itself.
    pub(crate) fn after(self, bytes: usize) -> Self {
        match self {
            Self::Cursor => Self::Cursor,
            Self::Offset(offset) => Self::Offset(offset.saturating_add(bytes as u64)),
        }
    }
}

/// As many pieces the kernel takes at once; more would be an error.
pub(crate) const MAX_PIECES: usize = 1024;

/// What a try at the cursor has instead of an offset.
const AT_CURSOR: u64 = u64::MAX;

/// Reads into `buf`, or its beginning, as long as it takes.
pub(crate) fn read(fd: BorrowedFd<'_>, at: At, buf: &mut [MaybeUninit<u8>]) -> Result<usize, Errno> {
    let fd = fd.as_raw_fd() as usize;
    // SAFETY: the kernel writes within a slice that is ours.
    retry(|| unsafe {
        match at {
            At::Cursor => syscall3(libc::SYS_read, fd, buf.as_mut_ptr() as usize, buf.len()),
            At::Offset(offset) => {
                syscall4(libc::SYS_pread64, fd, buf.as_mut_ptr() as usize, buf.len(), offset as usize)
            }
        }
    })
}

/// Writes `buf`, or its beginning, as long as it takes.
pub(crate) fn write(fd: BorrowedFd<'_>, at: At, buf: &[u8]) -> Result<usize, Errno> {
    let fd = fd.as_raw_fd() as usize;
    // SAFETY: the kernel reads a live slice.
    retry(|| unsafe {
        match at {
            At::Cursor => syscall3(libc::SYS_write, fd, buf.as_ptr() as usize, buf.len()),
            At::Offset(offset) => syscall4(libc::SYS_pwrite64, fd, buf.as_ptr() as usize, buf.len(), offset as usize),
        }
    })
}

/// As [`read`], into several pieces.
pub(crate) fn read_vectored(fd: BorrowedFd<'_>, bufs: &mut [IoSliceMut<'_>]) -> Result<usize, Errno> {
    let count = bufs.len().min(MAX_PIECES);
    // SAFETY: an `IoSliceMut` is an iovec of memory that may be written, and so many there are.
    retry(|| unsafe { syscall3(libc::SYS_readv, fd.as_raw_fd() as usize, bufs.as_mut_ptr() as usize, count) })
}

/// As [`write`], of several pieces.
pub(crate) fn write_vectored(fd: BorrowedFd<'_>, bufs: &[IoSlice<'_>]) -> Result<usize, Errno> {
    let count = bufs.len().min(MAX_PIECES);
    // SAFETY: an `IoSlice` is an iovec of live memory, and so many there are.
    retry(|| unsafe { syscall3(libc::SYS_writev, fd.as_raw_fd() as usize, bufs.as_ptr() as usize, count) })
}

/// Reads what is there without waiting for a disk: `AGAIN` if nothing is, `OPNOTSUPP` if the file system cannot tell.
pub(crate) fn read_now(fd: BorrowedFd<'_>, at: At, buf: &mut [MaybeUninit<u8>]) -> Result<usize, Errno> {
    let piece = libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() };
    // SAFETY: one live iovec, of a slice that is ours.
    unsafe { now(libc::SYS_preadv2, fd, at, &raw const piece, 1) }
}

/// Writes what can be written without waiting, as [`read_now`].
pub(crate) fn write_now(fd: BorrowedFd<'_>, at: At, buf: &[u8]) -> Result<usize, Errno> {
    let piece = libc::iovec { iov_base: buf.as_ptr().cast_mut().cast(), iov_len: buf.len() };
    // SAFETY: one live iovec, of memory that is only read.
    unsafe { now(libc::SYS_pwritev2, fd, at, &raw const piece, 1) }
}

/// As [`read_now`], into several pieces, at the cursor.
pub(crate) fn read_vectored_now(fd: BorrowedFd<'_>, bufs: &mut [IoSliceMut<'_>]) -> Result<usize, Errno> {
    let count = bufs.len().min(MAX_PIECES);
    // SAFETY: as in `read_vectored`.
    unsafe { now(libc::SYS_preadv2, fd, At::Cursor, bufs.as_mut_ptr().cast(), count) }
}

/// As [`write_now`], of several pieces, at the cursor.
pub(crate) fn write_vectored_now(fd: BorrowedFd<'_>, bufs: &[IoSlice<'_>]) -> Result<usize, Errno> {
    let count = bufs.len().min(MAX_PIECES);
    // SAFETY: as in `write_vectored`.
    unsafe { now(libc::SYS_pwritev2, fd, At::Cursor, bufs.as_ptr().cast(), count) }
}

/// # Safety
/// `number` is one of the two calls, and there are `count` pieces, of memory that it may use as it does.
unsafe fn now(
    number: libc::c_long,
    fd: BorrowedFd<'_>,
    at: At,
    pieces: *const libc::iovec,
    count: usize,
) -> Result<usize, Errno> {
    let offset = match at {
        At::Cursor => AT_CURSOR,
        // Would be the cursor, or no offset at all: the plain call has the right error.
        At::Offset(offset) if offset > i64::MAX as u64 => return Err(Errno::INVAL),
        At::Offset(offset) => offset,
    };
    // The offset's upper half is for machines whose words are shorter.
    // SAFETY: as the caller says.
    retry(|| unsafe {
        syscall6(number, fd.as_raw_fd() as usize, pieces as usize, count, offset as usize, 0, libc::RWF_NOWAIT as usize)
    })
}

/// Whether a try to read may say that the file has ended where it has not: Linux 5.9 and 5.10 (BUGS in readv(2)).
#[cold]
pub(crate) fn tries_end_early() -> bool {
    const UNKNOWN: u8 = 0;
    static KNOWN: AtomicU8 = AtomicU8::new(UNKNOWN);
    // Relaxed, both: it stands for itself, and all find the same.
    let known = KNOWN.load(Relaxed);
    if known != UNKNOWN {
        return known > 1;
    }
    let mut names = MaybeUninit::<libc::utsname>::zeroed();
    // SAFETY: the kernel fills a `utsname` with texts that end; all zero is one, too.
    let early = unsafe {
        syscall2(libc::SYS_uname, names.as_mut_ptr() as usize, 0).ok();
        is_early(CStr::from_ptr((*names.as_ptr()).release.as_ptr()).to_bytes())
    };
    KNOWN.store(1 + u8::from(early), Relaxed);
    early
}

/// Whether `release`, as `uname` tells it, is one of those.
fn is_early(release: &[u8]) -> bool {
    let is = |version: &[u8]| {
        release.strip_prefix(version).is_some_and(|rest| !rest.first().is_some_and(u8::is_ascii_digit))
    };
    is(b"5.9") || is(b"5.10")
}

/// Where the cursor is.
pub(crate) fn cursor(fd: BorrowedFd<'_>) -> Result<u64, Errno> {
    // SAFETY: numbers.
    unsafe { syscall3(libc::SYS_lseek, fd.as_raw_fd() as usize, 0, libc::SEEK_CUR as usize) }.map(|place| place as u64)
}

/// Puts the cursor there.
pub(crate) fn set_cursor(fd: BorrowedFd<'_>, place: u64) -> Result<(), Errno> {
    // SAFETY: numbers.
    unsafe { syscall3(libc::SYS_lseek, fd.as_raw_fd() as usize, place as usize, libc::SEEK_SET as usize) }.map(drop)
}

/// Waits until what was written is on the disk: the contents, and all of the metadata or what is needed to read them.
pub(crate) fn sync(fd: BorrowedFd<'_>, contents_only: bool) -> Result<(), Errno> {
    let number = if contents_only { libc::SYS_fdatasync } else { libc::SYS_fsync };
    // SAFETY: a number.
    retry(|| unsafe { syscall1(number, fd.as_raw_fd() as usize) }).map(drop)
}

/// Whether the file system counts blocks: those that the kernel makes up (`/proc`, `/sys`) do not.
pub(crate) fn has_blocks(fd: BorrowedFd<'_>) -> bool {
    let mut stat = MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: the kernel fills a `statfs` if it succeeds, and all zero is one.
    unsafe {
        syscall2(libc::SYS_fstatfs, fd.as_raw_fd() as usize, stat.as_mut_ptr() as usize).is_ok()
            && stat.assume_init().f_blocks > 0
    }
}

/// What an open file is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nature {
    /// It waits for a disk at most, and not for somebody at the other end: a regular file, a directory, a block device.
    pub(crate) is_disk: bool,
    /// It goes past the page cache.
    pub(crate) is_direct: bool,
    /// What is written goes to the end, in one piece.
    pub(crate) is_append: bool,
}

/// Asks the kernel what `fd` is.
pub(crate) fn nature(fd: BorrowedFd<'_>) -> Result<Nature, Errno> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the kernel fills a `stat` if it succeeds, and the second call takes a number.
    unsafe {
        syscall2(libc::SYS_fstat, fd.as_raw_fd() as usize, stat.as_mut_ptr() as usize)?;
        let flags = syscall3(libc::SYS_fcntl, fd.as_raw_fd() as usize, libc::F_GETFL as usize, 0)?;
        let stat = stat.assume_init();
        let has = |flag: i32| flags & flag as usize != 0;
        Ok(Nature { is_disk: is_disk(stat.st_mode), is_direct: has(libc::O_DIRECT), is_append: has(libc::O_APPEND) })
    }
}

/// Whether a file of this mode is on a disk; else opening, reading or writing it may wait for somebody: pipes, sockets, terminals.
pub(crate) fn is_disk(mode: u32) -> bool {
    matches!(mode & libc::S_IFMT, libc::S_IFREG | libc::S_IFDIR | libc::S_IFBLK)
}

#[cfg(test)]
mod tests {
    use super::is_early;

    #[test]
    fn releases_whose_tries_end_early_are_known() {
        for release in ["5.9", "5.9.0-rc3", "5.9.16-gentoo", "5.10", "5.10-rc1", "5.10.0-28-amd64", "5.10.234+"] {
            assert!(is_early(release.as_bytes()), "{release}");
        }
        for release in ["", "5", "5.1", "5.8.18", "5.11.0", "5.100.1", "5.90", "5.15.0-91-generic", "15.9.1", "6.18.0"]
        {
            assert!(!is_early(release.as_bytes()), "{release}");
        }
    }
}

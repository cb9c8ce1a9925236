//! An open file.

use super::transfer::Description;
use super::{OpenOptions, turn};
use crate::sys::file::At;
use std::fmt;
use std::fs::{FileTimes, Metadata, Permissions, TryLockError};
use std::io::{self, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::mem::{ManuallyDrop, MaybeUninit};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// An open file, as [`std::fs::File`], with its traits: [`Read`], [`Write`] and [`Seek`] for `File` and `&File`, [`FileExt`], conversions from and to
/// std's and [`OwnedFd`].
///
/// What is in the page cache is read in place; what waits for a disk waits in its turn. See the [module](super).
///
/// Dropping it closes it, in a [marked section](crate::blocking): the last close of a removed file gives its blocks back, and that may take a while.
///
/// # Examples
/// ```
/// use gort::fs::File;
/// use std::io::{Read, Seek, SeekFrom, Write};
/// use std::os::unix::fs::FileExt;
///
/// # let path = std::env::temp_dir().join(format!("gort-file-{}", std::process::id()));
/// let mut file = File::options().read(true).write(true).create_new(true).open(&path)?;
/// file.write_all(b"hello, disk")?;
/// file.seek(SeekFrom::Start(7))?;
/// let mut text = String::new();
/// file.read_to_string(&mut text)?;
/// assert_eq!(text, "disk");
///
/// let mut word = [0; 5];
/// file.read_exact_at(&mut word, 0)?; // the cursor stays where it is
/// assert_eq!(&word, b"hello");
/// file.sync_all()?;
/// # std::fs::remove_file(path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct File {
    fd: Fd,
    description: Arc<Description>,
}

/// Closes in a marked section.
struct Fd(ManuallyDrop<std::fs::File>);

impl Drop for Fd {
    fn drop(&mut self) {
        // SAFETY: it is not used again.
        let file = unsafe { ManuallyDrop::take(&mut self.0) };
        crate::blocking(|| drop(file));
    }
}

impl File {
    /// Our turn at the cursor, if it has turns.
    #[track_caller]
    pub(crate) fn cursor(&self) -> io::Result<Option<crate::sync::SemaphorePermit<'_>>> {
        turn::begin()?;
        self.description.cursor(self.as_fd())
    }

    /// Opens a file for reading.
    ///
    /// # Errors
    /// As [`std::fs::File::open`]; and if the ambient [context](crate::context) has ended. The same holds for all methods here.
    #[track_caller]
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        OpenOptions::new().read(true).open(path)
    }

    /// Opens a file for writing, emptied, or made if it is not there.
    ///
    /// # Errors
    /// As [`std::fs::File::create`].
    #[track_caller]
    pub fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        OpenOptions::new().write(true).create(true).truncate(true).open(path)
    }

    /// Makes a file, for reading and writing, which must not be there.
    ///
    /// # Errors
    /// As [`std::fs::File::create_new`].
    #[track_caller]
    pub fn create_new(path: impl AsRef<Path>) -> io::Result<Self> {
        OpenOptions::new().read(true).write(true).create_new(true).open(path)
    }

    /// [`OpenOptions::new`].
    #[must_use]
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    fn std(&self) -> &std::fs::File {
        &self.fd.0
    }

    /// Waits until contents and metadata are on the disk.
    ///
    /// # Errors
    /// As [`std::fs::File::sync_all`]: also for writes that looked as if they had succeeded.
    #[track_caller]
    pub fn sync_all(&self) -> io::Result<()> {
        self.description.sync(self.as_fd(), false)
    }

    /// Waits until the contents are on the disk, and what of the metadata is needed to read them.
    ///
    /// # Errors
    /// As [`std::fs::File::sync_data`].
    #[track_caller]
    pub fn sync_data(&self) -> io::Result<()> {
        self.description.sync(self.as_fd(), true)
    }

    /// Cuts or extends it; what is new is zero.
    ///
    /// # Errors
    /// As [`std::fs::File::set_len`].
    #[track_caller]
    pub fn set_len(&self, size: u64) -> io::Result<()> {
        turn::disk(|| self.std().set_len(size))
    }

    /// What the system knows of it.
    ///
    /// # Errors
    /// As [`std::fs::File::metadata`].
    #[track_caller]
    pub fn metadata(&self) -> io::Result<Metadata> {
        turn::disk(|| self.std().metadata())
    }

    /// A second descriptor for the same open file: cursor and locks are shared.
    ///
    /// # Errors
    /// As [`std::fs::File::try_clone`]: there is no descriptor left.
    pub fn try_clone(&self) -> io::Result<Self> {
        let fd = Fd(ManuallyDrop::new(self.std().try_clone()?));
        Ok(Self { fd, description: Arc::clone(&self.description) })
    }

    /// Sets who may do what with it.
    ///
    /// # Errors
    /// As [`std::fs::File::set_permissions`].
    #[track_caller]
    pub fn set_permissions(&self, permissions: Permissions) -> io::Result<()> {
        turn::disk(|| self.std().set_permissions(permissions))
    }

    /// Sets its times.
    ///
    /// # Errors
    /// As [`std::fs::File::set_times`].
    #[track_caller]
    pub fn set_times(&self, times: FileTimes) -> io::Result<()> {
        turn::disk(|| self.std().set_times(times))
    }

    /// Sets the time of its last change.
    ///
    /// # Errors
    /// As [`std::fs::File::set_times`].
    #[track_caller]
    pub fn set_modified(&self, time: SystemTime) -> io::Result<()> {
        self.set_times(FileTimes::new().set_modified(time))
    }

    /// Takes the exclusive lock, and waits for whoever has it, with a thread: it may be another process, and no event tells when it lets go.
    ///
    /// # Errors
    /// As [`std::fs::File::lock`].
    #[track_caller]
    pub fn lock(&self) -> io::Result<()> {
        turn::somebody(|| uninterrupted(|| self.std().lock()))
    }

    /// Takes a shared lock, and waits as [`lock`](Self::lock).
    ///
    /// # Errors
    /// As [`std::fs::File::lock_shared`].
    #[track_caller]
    pub fn lock_shared(&self) -> io::Result<()> {
        turn::somebody(|| uninterrupted(|| self.std().lock_shared()))
    }

    /// Takes the exclusive lock if it is free.
    ///
    /// # Errors
    /// As [`std::fs::File::try_lock`].
    #[track_caller]
    pub fn try_lock(&self) -> Result<(), TryLockError> {
        tried(turn::disk(|| Ok(self.std().try_lock())))
    }

    /// Takes a shared lock if it is free.
    ///
    /// # Errors
    /// As [`std::fs::File::try_lock_shared`].
    #[track_caller]
    pub fn try_lock_shared(&self) -> Result<(), TryLockError> {
        tried(turn::disk(|| Ok(self.std().try_lock_shared())))
    }

    /// Lets go of the lock.
    ///
    /// # Errors
    /// As [`std::fs::File::unlock`].
    #[track_caller]
    pub fn unlock(&self) -> io::Result<()> {
        turn::disk(|| self.std().unlock())
    }

    /// Refused: a file has no deadlines. What waits for its turn is ended by a context, [`Context::run`](crate::context::Context::run).
    ///
    /// # Errors
    /// `Unsupported`, always.
    ///
    /// # Examples
    /// ```
    /// let file = gort::fs::File::open("Cargo.toml")?;
    /// let error = file.set_deadline(Some(std::time::Instant::now())).unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_deadline(&self, _deadline: Option<Instant>) -> io::Result<()> {
        no_deadlines()
    }

    /// As [`set_deadline`](Self::set_deadline).
    ///
    /// # Errors
    /// `Unsupported`, always.
    pub fn set_read_deadline(&self, _deadline: Option<Instant>) -> io::Result<()> {
        no_deadlines()
    }

    /// As [`set_deadline`](Self::set_deadline).
    ///
    /// # Errors
    /// `Unsupported`, always.
    pub fn set_write_deadline(&self, _deadline: Option<Instant>) -> io::Result<()> {
        no_deadlines()
    }

    /// As [`set_deadline`](Self::set_deadline).
    ///
    /// # Errors
    /// `Unsupported`, always.
    pub fn set_read_timeout(&self, _timeout: Option<Duration>) -> io::Result<()> {
        no_deadlines()
    }

    /// As [`set_deadline`](Self::set_deadline).
    ///
    /// # Errors
    /// `Unsupported`, always.
    pub fn set_write_timeout(&self, _timeout: Option<Duration>) -> io::Result<()> {
        no_deadlines()
    }

    /// Reads at the cursor into what `bytes` has room for, and makes it longer by what there was.
    #[track_caller]
    fn read_into_room(&self, bytes: &mut Vec<u8>) -> io::Result<usize> {
        let count = self.description.read(self.as_fd(), At::Cursor, bytes.spare_capacity_mut())?;
        // SAFETY: so many have been written there.
        unsafe { bytes.set_len(bytes.len() + count) };
        Ok(count)
    }

    /// How much there is from the cursor on, as far as the file system says.
    fn rest(&self) -> Option<usize> {
        let size = turn::disk(|| self.std().metadata()).ok()?.len();
        usize::try_from(size.checked_sub((&*self).stream_position().ok()?)?).ok()
    }
}

/// `buf` as something to read into, which nobody here makes uninitialized.
fn room(buf: &mut [u8]) -> &mut [MaybeUninit<u8>] {
    // SAFETY: the same bytes, and those who get them write what the kernel has read.
    unsafe { &mut *(std::ptr::from_mut(buf) as *mut [MaybeUninit<u8>]) }
}

/// What a signal has ended goes on.
fn uninterrupted<R>(mut f: impl FnMut() -> io::Result<R>) -> io::Result<R> {
    loop {
        match f() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

fn tried(outcome: io::Result<Result<(), TryLockError>>) -> Result<(), TryLockError> {
    outcome.unwrap_or_else(|error| Err(TryLockError::Error(error)))
}

fn no_deadlines() -> io::Result<()> {
    let why = "a file has no deadlines; gort::context ends what waits for its turn";
    Err(io::Error::new(io::ErrorKind::Unsupported, why))
}

impl Read for &File {
    #[track_caller]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.description.read(self.as_fd(), At::Cursor, room(buf))
    }

    #[track_caller]
    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.description.read_vectored(self.as_fd(), bufs)
    }

    #[track_caller]
    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        let before = buf.len();
        buf.try_reserve(self.rest().unwrap_or(0))?;
        loop {
            if buf.len() == buf.capacity() {
                // Usually this is the end, and the vector large enough.
                let mut few = [0; 32];
                match self.read(&mut few)? {
                    0 => return Ok(buf.len() - before),
                    count => {
                        buf.try_reserve(count.max(LEAST))?;
                        buf.extend_from_slice(&few[..count]);
                    }
                }
            } else if self.read_into_room(buf)? == 0 {
                return Ok(buf.len() - before);
            }
        }
    }

    #[track_caller]
    fn read_to_string(&mut self, buf: &mut String) -> io::Result<usize> {
        let mut bytes = Vec::new();
        let outcome = self.read_to_end(&mut bytes);
        let not_text = || io::Error::new(io::ErrorKind::InvalidData, "stream did not contain valid UTF-8");
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(_) => return outcome.and(Err(not_text())),
        };
        if buf.is_empty() {
            *buf = text;
        } else {
            buf.push_str(&text);
        }
        outcome
    }
}

/// Room for a file of which the system does not say how long it is.
const LEAST: usize = 8192;

impl Write for &File {
    #[track_caller]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.description.write(self.as_fd(), At::Cursor, buf)
    }

    #[track_caller]
    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.description.write_vectored(self.as_fd(), bufs)
    }

    /// Does nothing: nothing is kept back.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for &File {
    #[track_caller]
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        turn::begin()?;
        let _turn = self.description.cursor(self.as_fd())?;
        turn::disk(|| self.std().seek(to))
    }
}

impl Read for File {
    #[track_caller]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }

    #[track_caller]
    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(bufs)
    }

    #[track_caller]
    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        (&*self).read_to_end(buf)
    }

    #[track_caller]
    fn read_to_string(&mut self, buf: &mut String) -> io::Result<usize> {
        (&*self).read_to_string(buf)
    }
}

impl Write for File {
    #[track_caller]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    #[track_caller]
    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(bufs)
    }

    /// Does nothing: nothing is kept back.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for File {
    #[track_caller]
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        (&*self).seek(to)
    }
}

impl FileExt for File {
    #[track_caller]
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.description.read(self.as_fd(), At::Offset(offset), room(buf))
    }

    #[track_caller]
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.description.write(self.as_fd(), At::Offset(offset), buf)
    }
}

impl From<std::fs::File> for File {
    fn from(file: std::fs::File) -> Self {
        Self { fd: Fd(ManuallyDrop::new(file)), description: Arc::new(Description::new()) }
    }
}

impl From<File> for std::fs::File {
    fn from(file: File) -> Self {
        let mut fd = ManuallyDrop::new(file.fd);
        // SAFETY: the file is taken out of a value that is neither used again nor dropped.
        unsafe { ManuallyDrop::take(&mut fd.0) }
    }
}

impl From<OwnedFd> for File {
    fn from(fd: OwnedFd) -> Self {
        std::fs::File::from(fd).into()
    }
}

impl From<File> for OwnedFd {
    fn from(file: File) -> Self {
        std::fs::File::from(file).into()
    }
}

impl From<File> for Stdio {
    fn from(file: File) -> Self {
        std::fs::File::from(file).into()
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.std().as_fd()
    }
}

impl AsRawFd for File {
    fn as_raw_fd(&self) -> RawFd {
        self.std().as_raw_fd()
    }
}

impl IntoRawFd for File {
    fn into_raw_fd(self) -> RawFd {
        std::fs::File::from(self).into_raw_fd()
    }
}

impl FromRawFd for File {
    unsafe fn from_raw_fd(fd: RawFd) -> Self {
        // SAFETY: as the caller says.
        unsafe { std::fs::File::from_raw_fd(fd) }.into()
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.std().fmt(f)
    }
}

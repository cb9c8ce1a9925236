//! Directories: reading them, and making them.

use super::turn;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::fs::{FileType, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, DirEntryExt};
use std::path::{Path, PathBuf};

/// So many entries are read in one turn: some three calls of the kernel's.
const BATCH: usize = 1024;

/// The entries of a directory, as [`std::fs::ReadDir`]. Comes from [`read_dir`](super::read_dir).
///
/// Reads many entries in one turn, so that a directory with a million of them is a thousand turns.
pub struct ReadDir {
    entries: std::fs::ReadDir,
    /// What the last turn has brought.
    batch: VecDeque<io::Result<std::fs::DirEntry>>,
    is_over: bool,
}

/// An entry of a directory, as [`std::fs::DirEntry`].
pub struct DirEntry(std::fs::DirEntry);

impl ReadDir {
    #[track_caller]
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        turn::disk(|| {
            let mut this = Self { entries: std::fs::read_dir(path)?, batch: VecDeque::new(), is_over: false };
            this.fill();
            Ok(this)
        })
    }

    fn fill(&mut self) {
        while self.batch.len() < BATCH && !self.is_over {
            match self.entries.next() {
                Some(entry) => self.batch.push_back(entry),
                None => self.is_over = true,
            }
        }
    }
}

impl Iterator for ReadDir {
    type Item = io::Result<DirEntry>;

    #[track_caller]
    fn next(&mut self) -> Option<Self::Item> {
        if self.batch.is_empty() && !self.is_over {
            let turn = turn::disk(|| {
                self.fill();
                Ok(())
            });
            if let Err(error) = turn {
                // A loop that passes over errors must end.
                self.is_over = true;
                return Some(Err(error));
            }
        }
        Some(self.batch.pop_front()?.map(DirEntry))
    }
}

impl fmt::Debug for ReadDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.entries.fmt(f)
    }
}

impl DirEntry {
    /// The path that [`read_dir`](super::read_dir) was given, and the name.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.0.path()
    }

    /// The name.
    #[must_use]
    pub fn file_name(&self) -> OsString {
        self.0.file_name()
    }

    /// What the system knows of the entry itself, and not of what a link points to.
    ///
    /// # Errors
    /// As [`std::fs::DirEntry::metadata`]; and if the ambient context has ended.
    #[track_caller]
    pub fn metadata(&self) -> io::Result<Metadata> {
        turn::disk(|| self.0.metadata())
    }

    /// Of what type the entry itself is. Usually the directory says so; else it is a look at the file.
    ///
    /// # Errors
    /// As [`metadata`](Self::metadata).
    #[track_caller]
    pub fn file_type(&self) -> io::Result<FileType> {
        turn::disk(|| self.0.file_type())
    }
}

impl DirEntryExt for DirEntry {
    fn ino(&self) -> u64 {
        self.0.ino()
    }
}

impl fmt::Debug for DirEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How a directory is to be made, as [`std::fs::DirBuilder`]. Takes std's [`DirBuilderExt`] as well.
///
/// # Examples
/// ```
/// use gort::fs::DirBuilder;
/// use std::os::unix::fs::DirBuilderExt;
///
/// # let root = std::env::temp_dir().join(format!("gort-dirs-{}", std::process::id()));
/// DirBuilder::new().recursive(true).mode(0o700).create(root.join("a/b"))?;
/// assert!(gort::fs::metadata(root.join("a/b"))?.is_dir());
/// # gort::fs::remove_dir_all(root)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct DirBuilder(std::fs::DirBuilder);

impl DirBuilder {
    /// One directory, open to all as far as the process's mask lets it be.
    #[must_use]
    #[allow(clippy::new_without_default)] // as std's
    pub fn new() -> Self {
        Self(std::fs::DirBuilder::new())
    }

    /// Whether those above are made as well, and it may be there.
    pub fn recursive(&mut self, recursive: bool) -> &mut Self {
        self.0.recursive(recursive);
        self
    }

    /// Makes it.
    ///
    /// # Errors
    /// As [`std::fs::DirBuilder::create`]; and if the ambient context has ended.
    #[track_caller]
    pub fn create(&self, path: impl AsRef<Path>) -> io::Result<()> {
        turn::disk(|| self.0.create(path))
    }
}

impl DirBuilderExt for DirBuilder {
    fn mode(&mut self, mode: u32) -> &mut Self {
        self.0.mode(mode);
        self
    }
}

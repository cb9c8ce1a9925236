//! Files to read, in a directory of their own that goes when this is dropped.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Past the page cache. The number of x86-64 and most others.
const O_DIRECT: i32 = 0o40000;
/// What is read past the page cache has to lie so.
pub const PAGE: usize = 4096;

/// See the module.
#[derive(Debug)]
pub struct Files {
    dir: PathBuf,
}

impl Files {
    /// `count` files of `bytes` bytes, of which file n holds nothing but n, in the page cache. Named by their numbers.
    ///
    /// # Errors
    /// The disk is full, or the like.
    pub fn new(count: u64, bytes: usize) -> io::Result<Self> {
        let files = Self { dir: std::env::temp_dir().join(format!("gort-bench-files-{}", std::process::id())) };
        fs::create_dir(&files.dir)?;
        for n in 0..count {
            File::create(files.path(n))?.write_all(&vec![n as u8; bytes])?;
        }
        // So that the disk is idle afterwards.
        for n in 0..count {
            File::open(files.path(n))?.sync_all()?;
        }
        Ok(files)
    }

    /// The file n.
    pub fn path(&self, n: u64) -> PathBuf {
        self.dir.join(n.to_string())
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // What cannot be removed lies in the directory for such things.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Opens a file for reads past the page cache.
///
/// # Errors
/// The file system cannot (tmpfs): `TMPDIR` says where the files are.
pub fn open_direct(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(O_DIRECT).open(path)
}

/// Memory for a read past the page cache.
#[derive(Debug)]
#[repr(align(4096))]
pub struct Page(pub [u8; PAGE]);

impl Page {
    /// In a place of its own.
    pub fn new() -> Box<Self> {
        Box::new(Self([0xff; PAGE]))
    }
}

/// Hands out `count` offsets of pages within `bytes`, in an order that no read-ahead follows.
#[derive(Debug)]
pub struct Offsets {
    next: AtomicU64,
    count: u64,
    pages: u64,
}

impl Offsets {
    /// See the type.
    pub fn new(count: u64, bytes: usize) -> Self {
        Self { next: AtomicU64::new(0), count, pages: (bytes / PAGE) as u64 }
    }

    /// The next one, until there have been so many.
    pub fn next(&self) -> Option<u64> {
        // Relaxed: a count.
        let n = self.next.fetch_add(1, Relaxed);
        (n < self.count).then(|| (n.wrapping_mul(2_654_435_761) >> 3) % self.pages * PAGE as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_hold_their_number_and_go() {
        let files = Files::new(3, 10).unwrap();
        let path = files.path(2);
        assert_eq!(fs::read(&path).unwrap(), [2; 10]);
        drop(files);
        assert!(!path.exists());
    }

    #[test]
    fn offsets_are_pages_within_the_file_and_so_many() {
        let offsets = Offsets::new(100, 10 * PAGE);
        let all: Vec<_> = std::iter::from_fn(|| offsets.next()).collect();
        assert_eq!(all.len(), 100);
        assert!(all.iter().all(|&at| at % PAGE as u64 == 0 && at < 10 * PAGE as u64));
        assert!((0..10).all(|page| all.contains(&(page * PAGE as u64))));
    }
}

//! The functions that take a path.

use super::{File, ReadDir, turn};
use std::fs::{Metadata, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// Functions that are std's, each in its turn.
macro_rules! as_std {
    ($($(#[$doc:meta])* $from:path: $name:ident($($arg:ident),+ $(; $($extra:ident: $type:ty),+)?) -> $result:ty;)*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        #[doc = concat!("As [`", stringify!($from), "`]; and if the ambient [context](crate::context) has ended.")]
        #[track_caller]
        pub fn $name($($arg: impl AsRef<Path>,)+ $($($extra: $type),+)?) -> io::Result<$result> {
            turn::disk(|| $from($($arg,)+ $($($extra),+)?))
        }
    )*};
}

as_std! {
    /// The absolute path without links.
    std::fs::canonicalize: canonicalize(path) -> PathBuf;
    /// Makes a directory.
    std::fs::create_dir: create_dir(path) -> ();
    /// Makes a directory and those above.
    std::fs::create_dir_all: create_dir_all(path) -> ();
    /// Whether there is something at `path`, and an error if that cannot be told.
    std::fs::exists: exists(path) -> bool;
    /// Gives a file a second name.
    std::fs::hard_link: hard_link(original, link) -> ();
    /// What the system knows of a file, through links.
    std::fs::metadata: metadata(path) -> Metadata;
    /// Where a link points to.
    std::fs::read_link: read_link(path) -> PathBuf;
    /// Removes an empty directory.
    std::fs::remove_dir: remove_dir(path) -> ();
    /// Removes a directory with all that is in it. All of it is one turn.
    std::fs::remove_dir_all: remove_dir_all(path) -> ();
    /// Removes a file.
    std::fs::remove_file: remove_file(path) -> ();
    /// Renames a file or directory, over what is there.
    std::fs::rename: rename(from, to) -> ();
    /// Sets who may do what with a file.
    std::fs::set_permissions: set_permissions(path; permissions: Permissions) -> ();
    /// What the system knows of a file, and of a link itself.
    std::fs::symlink_metadata: symlink_metadata(path) -> Metadata;
    /// Makes a link to a path.
    std::os::unix::fs::symlink: symlink(original, link) -> ();
    /// Gives a file to an owner and a group.
    std::os::unix::fs::chown: chown(path; uid: Option<u32>, gid: Option<u32>) -> ();
    /// As [`chown`], for a link itself.
    std::os::unix::fs::lchown: lchown(path; uid: Option<u32>, gid: Option<u32>) -> ();
}

/// As [`chown`], for an open file.
///
/// # Errors
/// As [`std::os::unix::fs::fchown`]; and if the ambient [context](crate::context) has ended.
#[track_caller]
pub fn fchown(fd: impl AsFd, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
    turn::disk(|| std::os::unix::fs::fchown(fd, uid, gid))
}

/// Copies a file with its permissions, over what is there, and returns how many bytes there were. All of it is one turn.
///
/// # Errors
/// As [`std::fs::copy`]; and if the ambient [context](crate::context) has ended.
///
/// # Examples
/// ```
/// let to = std::env::temp_dir().join(format!("gort-copy-{}", std::process::id()));
/// let bytes = gort::fs::copy("Cargo.toml", &to)?;
/// assert_eq!(bytes, gort::fs::metadata("Cargo.toml")?.len());
/// # gort::fs::remove_file(to)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<u64> {
    let (from, to) = (from.as_ref(), to.as_ref());
    turn::opening(&[from, to], || std::fs::copy(from, to))
}

/// Reads a whole file.
///
/// # Errors
/// As [`std::fs::read`]; and if the ambient [context](crate::context) ends.
///
/// # Examples
/// ```
/// let bytes = gort::fs::read("Cargo.toml")?;
/// assert!(bytes.starts_with(b"[package]"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a whole file, which is text.
///
/// # Errors
/// As [`std::fs::read_to_string`]; and if the ambient [context](crate::context) ends.
///
/// # Examples
/// ```
/// assert!(gort::fs::read_to_string("Cargo.toml")?.contains("gort"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn read_to_string(path: impl AsRef<Path>) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.read_to_string(&mut text)?;
    Ok(text)
}

/// Writes a whole file, over what is there.
///
/// # Errors
/// As [`std::fs::write`]; and if the ambient [context](crate::context) ends.
#[track_caller]
pub fn write(path: impl AsRef<Path>, contents: impl AsRef<[u8]>) -> io::Result<()> {
    File::create(path)?.write_all(contents.as_ref())
}

/// The entries of a directory, in no order.
///
/// # Errors
/// As [`std::fs::read_dir`]; and if the ambient [context](crate::context) has ended.
///
/// # Examples
/// ```
/// let mut names = Vec::new();
/// for entry in gort::fs::read_dir("src")? {
///     names.push(entry?.file_name());
/// }
/// assert!(names.iter().any(|name| name == "lib.rs"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn read_dir(path: impl AsRef<Path>) -> io::Result<ReadDir> {
    ReadDir::open(path.as_ref())
}

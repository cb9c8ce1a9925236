//! Files: std's types and functions, for many goroutines on few threads.
//!
//! Everything of `std::fs` is here under its name, so in most programs `use std::fs` becomes `use gort::fs` and that is all. The traits of
//! `std::os::unix::fs` (`FileExt`, `OpenOptionsExt`, `DirBuilderExt`, `DirEntryExt`) are implemented for these types; what those of
//! `std::fs` hold besides (`Metadata`, `Permissions`, `FileType`, `FileTimes`) is std's own.
//!
//! **What blocks.** A file is always ready, says the system, and then a read waits for a disk with its thread. Here a read first takes what the
//! page cache has, in place, which needs no other thread and costs what the system call costs. What the cache does not have, what goes past it
//! (`O_DIRECT`), and syncs are handed to the kernel (io_uring), and the goroutine is parked: no thread waits. Everything else that may wait for a disk (opening,
//! directories, writes where the file system cannot tell whether they would wait), and all of it where io_uring cannot be had, is a [marked
//! section](crate::blocking) of the class `gort::fs`: so many at a time, in order of arrival, and all others are parked. The limit is half of the threads that the
//! runtime may have, 64 at most; [`runtime::blocking_classes`](crate::runtime::blocking_classes) shows it and who waits. So ten thousand goroutines
//! that read from a slow disk hold 64 threads at most, and sockets and timers go on. [`runtime::metrics`](crate::runtime::metrics) says what waits for
//! disks, and [`runtime::Files`](crate::runtime::Files) chooses. On a plain thread every function does what std's does. In [bound
//! mode](crate::runtime::Mode) a marked section blocks the goroutine's thread; an operation in the kernel does not.
//!
//! What waits for somebody, and not for a disk, has no part in the class, and keeps a thread each for as long as it lasts: reading or opening a named pipe
//! or a terminal, [`File::lock`]. In bound mode that is another thread than the goroutine's.
//!
//! **What ends a wait.** In a [context](crate::context::Context::run) that has ended, every call fails, and so does one that has not had its turn yet.
//! What has reached the system is waited for: it uses the caller's buffer. io_uring is asked to cancel it, and what is returned is what has happened. Signals end nothing: `Interrupted` does not exist here. In the root, the
//! context of those who have no other, a [shutdown](crate::runtime::shutdown) ends nothing here: what is to be saved can be saved.
//!
//! **The cursor** belongs to the open file, which clones share. Reads, writes and seeks at the cursor take turns, parked; those at an offset
//! ([`FileExt`](std::os::unix::fs::FileExt)) need none. Who uses the same open file in another way at the same time (its raw descriptor, another
//! process) takes no turn, and may read or write in the same place.
//!
//! # Examples
//! ```
//! use gort::fs;
//!
//! let dir = std::env::temp_dir().join(format!("gort-fs-{}", std::process::id()));
//! fs::create_dir_all(&dir)?;
//! gort::scope(|s| {
//!     for n in 0..10 {
//!         let path = dir.join(format!("{n}.txt"));
//!         s.spawn(move || fs::write(path, format!("number {n}")).unwrap());
//!     }
//! });
//! assert_eq!(fs::read_dir(&dir)?.count(), 10);
//! assert_eq!(fs::read_to_string(dir.join("7.txt"))?, "number 7");
//! fs::remove_dir_all(&dir)?;
//! # Ok::<(), std::io::Error>(())
//! ```

mod dir;
mod file;
mod open;
mod paths;
mod ring;
mod transfer;
mod turn;

pub(crate) use turn::disk;

pub use dir::{DirBuilder, DirEntry, ReadDir};
pub use file::File;
pub use open::OpenOptions;
pub use paths::{
    canonicalize, chown, copy, create_dir, create_dir_all, exists, fchown, hard_link, lchown, metadata, read, read_dir,
    read_link, read_to_string, remove_dir, remove_dir_all, remove_file, rename, set_permissions, symlink,
    symlink_metadata, write,
};
pub use std::fs::{FileTimes, FileType, Metadata, Permissions, TryLockError};

//! How a call that may wait for a disk gets its turn.
//!
//! Such calls are of one class, so that a slow disk holds some threads and not all. What may wait for somebody else, the other end of a named pipe or
//! the holder of a lock, must not be in it: with all permits held by readers that wait for a writer, the writer could not even open the pipe.

use crate::blocking::{BlockingClass, blocking_class, blocking_send};
use crate::context::ambient;
use crate::sync::OnceLock;
use crate::{runtime, sched, spawn, sys};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// More wait for one another in the kernel.
const MOST: usize = 64;

/// Half of the threads are left to others.
fn class() -> &'static BlockingClass {
    static CLASS: OnceLock<BlockingClass> = OnceLock::new();
    CLASS.get_or_init(|| blocking_class("gort::fs", (runtime::max_threads() / 2).clamp(1, MOST)))
}

/// The beginning of every call: an error if the ambient context has ended. The root's end does not count: files are what a program saves itself in.
#[inline]
pub(super) fn begin() -> io::Result<()> {
    if let Some(g) = spawn::me() {
        sched::begin_call(g);
    }
    ambient::check_but_root().map(drop)
}

/// Runs `f`, which waits for a disk at most, in its turn.
#[track_caller]
pub(crate) fn disk<R>(f: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
    begin()?;
    if spawn::me().is_none() {
        return f();
    }
    match ambient::but_root() {
        None => class().run(f),
        Some(ctx) => class().run_ctx(&ctx, f)?,
    }
}

/// Runs `f`, which may wait for somebody: in bound mode on a thread of its own, since who it waits for may be on the goroutine's.
#[track_caller]
pub(super) fn somebody<R: Send>(f: impl FnOnce() -> io::Result<R> + Send) -> io::Result<R> {
    begin()?;
    blocking_send(f)
}

/// Runs `f`, which opens what is at the `paths`.
#[track_caller]
pub(super) fn opening<R: Send>(paths: &[&Path], f: impl FnOnce() -> io::Result<R> + Send) -> io::Result<R> {
    if spawn::me().is_none() {
        return disk(f);
    }
    let mut f = Some(f);
    let opened = disk(|| match f.take_if(|_| paths.iter().all(|path| is_disk(path))) {
        Some(f) => f().map(Some),
        None => Ok(None),
    })?;
    match (opened, f) {
        (Some(opened), _) => Ok(opened),
        (None, Some(f)) => somebody(f),
        (None, None) => unreachable!("it was called, or is still there"),
    }
}

/// Whether opening `path` waits for a disk at most; also if there is nothing.
fn is_disk(path: &Path) -> bool {
    std::fs::metadata(path).map_or(true, |metadata| sys::file::is_disk(metadata.mode()))
}

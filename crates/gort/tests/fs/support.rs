//! What several areas need.

use std::io::{Error, ErrorKind};
use std::time::Duration;

pub(crate) use crate::common::draws::Draws;
pub(crate) use crate::common::library::Scratch;
pub(crate) use crate::common::rounds;

/// Yields until `condition` holds; the test's time limit ends it if it never does.
pub(crate) fn wait_until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        gort::sleep(Duration::from_micros(100));
    }
}

/// Asserts that `result` is an error of this kind.
#[track_caller]
pub(crate) fn assert_error<T: std::fmt::Debug>(result: Result<T, Error>, kind: ErrorKind) {
    match result {
        Err(error) if error.kind() == kind => {}
        other => panic!("expected an error of kind {kind:?}, got {other:?}"),
    }
}

/// What the disk has of the file is not in the page cache any more, as far as the kernel does as it is told.
pub(crate) fn forget(file: &std::fs::File) {
    use std::os::fd::AsRawFd;
    file.sync_all().unwrap();
    // SAFETY: takes numbers.
    assert_eq!(unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) }, 0);
}

/// A named pipe.
pub(crate) fn make_fifo(path: &std::path::Path) {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: a live string that ends.
    assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
}

/// The states of goroutines that wait for a call: in a marked section, or in bound mode for another thread.
const IN_CALL: [&str; 2] = ["[syscall", "[blocking section"];

/// How many goroutines wait for a call.
pub(crate) fn in_calls() -> usize {
    let dump = gort::runtime::dump();
    IN_CALL.iter().map(|state| dump.matches(state).count()).sum()
}

/// Whether this one does.
pub(crate) fn is_in_call(id: gort::GoroutineId) -> bool {
    let (dump, head) = (gort::runtime::dump(), format!("goroutine {id} "));
    let line = dump.lines().find(|line| line.starts_with(&head));
    line.is_some_and(|line| IN_CALL.iter().any(|state| line.contains(state)))
}

//! What a listener says when connections wait because there is no room for them: once in the life of the process.

use crate::sys::limits;
use std::fmt;
use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

/// Says on stderr why the listener at `at` accepts nobody, and the way out.
#[cold]
pub(super) fn say_no_room(at: io::Result<impl fmt::Display>, error: &io::Error) {
    static SAID: AtomicBool = AtomicBool::new(false);
    // Relaxed: only who says it is decided.
    if SAID.swap(true, Relaxed) {
        return;
    }
    let way_out = match error.raw_os_error() {
        Some(libc::EMFILE) => match limits::descriptors() {
            Ok(limits) if limits.soft >= limits.hard => format!(
                "this process may open {} descriptors, and that is the hard limit: its parent, or limits.conf, must raise it",
                limits.hard
            ),
            Ok(limits) => format!(
                "this process may open {} descriptors: raise the limit (ulimit -n), up to {}",
                limits.soft, limits.hard
            ),
            Err(_) => "raise the limit on descriptors (ulimit -n)".to_owned(),
        },
        Some(libc::ENFILE) => "the system's limit is /proc/sys/fs/file-max".to_owned(),
        _ => "the system is short of memory for sockets".to_owned(),
    };
    let at = at.map_or_else(|_| "a listener".to_owned(), |addr| addr.to_string());
    // In one piece, whatever others write meanwhile.
    let line =
        format!("gort: accept on {at}: {error}; connections wait until there is room; {way_out}; this is said once\n");
    crate::sys::fault::write_stderr(line.as_bytes());
}

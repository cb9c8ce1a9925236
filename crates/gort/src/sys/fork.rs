//! Whether this process is the child of a fork that has not been followed by exec, in which nothing of gort can run (`sched::forked`).

use super::fault::write_stderr;
use super::raw;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

static IS_CHILD: AtomicBool = AtomicBool::new(false);

/// This process is such a child. Async-signal-safe.
pub(crate) fn note_child() {
    // Relaxed: the child has one thread; what it starts later comes after.
    IS_CHILD.store(true, Relaxed);
}

/// Whether it is.
#[inline(always)]
pub(crate) fn is_child() -> bool {
    // Relaxed: see `note_child`.
    IS_CHILD.load(Relaxed)
}

/// Ends the process if it is such a child.
#[inline]
pub(crate) fn refuse_child() {
    if is_child() {
        refuse();
    }
}

#[cold]
fn refuse() -> ! {
    write_stderr(
        b"gort: this process was made by fork without exec, and only the thread that forked is left in it: goroutines cannot run here, nor \
        anything of gort that waits. Let it exec or end (_exit), or use std::process::Command\n",
    );
    loop {
        // SAFETY: ends the process.
        unsafe { raw::syscall1(libc::SYS_exit_group, 2) }.ok();
    }
}

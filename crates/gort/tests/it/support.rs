//! What several areas need.

pub(crate) use crate::common::{needs_migration, rounds, scaled};

/// Yields until `condition` holds; the test's time limit ends it if it never does.
pub(crate) fn wait_until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        gort::yield_now();
    }
}

/// Number of the kernel's thread.
pub(crate) fn os_thread() -> i64 {
    // SAFETY: gettid has no preconditions.
    unsafe { libc::syscall(libc::SYS_gettid) }
}

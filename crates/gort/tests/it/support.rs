//! What several areas need.

pub(crate) use crate::common::{rounds, scaled};

/// Yields until `condition` holds; the test's time limit ends it if it never does.
pub(crate) fn wait_until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        gort::yield_now();
    }
}

/// Waits until a goroutine's state in a dump begins with `words`.
pub(crate) fn wait_for_state<T>(handle: &gort::JoinHandle<T>, words: &str) {
    let start = format!("goroutine {} ", handle.goroutine().id());
    let state = format!("[{words}");
    wait_until(|| {
        let dump = gort::runtime::dump();
        dump.lines().any(|line| line.starts_with(&start) && line.contains(&state))
    });
}

/// Number of the kernel's thread.
pub(crate) fn os_thread() -> i64 {
    // SAFETY: gettid has no preconditions.
    unsafe { libc::syscall(libc::SYS_gettid) }
}

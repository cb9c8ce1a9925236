//! Channels and `select!`. The names in capitals are acceptance cases.

mod bad_days;
mod blocking;
mod close;
mod fairness;
mod fan;
mod select;
mod stress;
mod threads;
mod timed;

/// Waits until a goroutine's state in a dump begins with `words`.
fn wait_for_state<T>(handle: &gort::JoinHandle<T>, words: &str) {
    let start = format!("goroutine {} ", handle.goroutine().id());
    let state = format!("[{words}");
    crate::support::wait_until(|| {
        let dump = gort::runtime::dump();
        dump.lines().any(|line| line.starts_with(&start) && line.contains(&state))
    });
}

//! Timers and clocks: the acceptance cases TM, and what `gort::time` promises besides.

mod accuracy;
mod after_func;
mod interval;
mod past;
mod stress;
mod ticker;
mod timer;

use crate::support::scaled;
use std::time::Duration;

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Runs a case whose times may be disturbed by a loaded machine with a base duration, and twice that if it fails, up to ten seconds.
fn with_retries(mut base: Duration, mut case: impl FnMut(Duration) -> Result<(), String>) {
    loop {
        match case(base) {
            Ok(()) => return,
            Err(why) if base * 2 > Duration::from_secs(10) => panic!("with a base of {base:?}: {why}"),
            Err(_) => base *= 2,
        }
    }
}

/// Waits for `limit` at most, scaled.
fn received_within<T>(receiver: &gort::chan::Receiver<T>, limit: Duration) -> T {
    receiver.recv_timeout(scaled(limit)).unwrap_or_else(|_| panic!("nothing within {limit:?}"))
}

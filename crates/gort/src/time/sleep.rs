//! Sleeping.

use crate::sched;
use crate::sys::clock;
use std::panic::Location;
use std::time::Instant;

pub use crate::spawn::sleep;

/// Sleeps until `deadline`, or returns at once if that has passed.
///
/// Parks the goroutine; blocks a plain thread. Never early.
///
/// # Examples
/// ```
/// use std::time::{Duration, Instant};
/// let deadline = Instant::now() + Duration::from_millis(2);
/// gort::time::sleep_until(deadline);
/// assert!(Instant::now() >= deadline);
/// ```
#[track_caller]
pub fn sleep_until(deadline: Instant) {
    let site = Location::caller();
    match crate::spawn::me() {
        Some(g) => {
            sched::begin_call(g);
            sched::sleep_until(g, clock::deadline_ns(deadline), site);
        }
        None => {
            while let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
                std::thread::sleep(left);
            }
        }
    }
}

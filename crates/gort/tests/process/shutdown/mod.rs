//! `runtime::shutdown`: what it refuses, wakes, waits for and leaves, and the starts after it.

mod callers;
mod kinds;
mod repeats;
mod rule;
mod threads;

use crate::child::Test;
use crate::support::{threads, wait_until};
use gort::runtime::{Left, shutdown};
use std::time::{Duration, Instant};

/// A deadline that is not meant to come.
const LONG: Duration = Duration::from_secs(15);

/// Shuts down and expects nothing to be left: no goroutine, no thread of the runtime's.
#[track_caller]
fn shut_down_clean() {
    let left = shutdown(Instant::now() + crate::support::scaled(LONG));
    assert!(left.is_empty(), "{left}\n{}", gort::runtime::dump());
    wait_for_no_threads();
}

/// The names of the runtime's threads, as the kernel knows them.
fn own_threads() -> Vec<String> {
    threads().into_values().map(|thread| thread.name).filter(|name| name.starts_with("gort-")).collect()
}

/// Waits until the runtime has no thread. One that has been joined is to be seen a moment longer.
fn wait_for_no_threads() {
    wait_until(|| own_threads().is_empty());
}

/// Waits until the runtime has only the threads that this has kept.
fn wait_for_kept_threads(left: &Left) {
    wait_until(|| own_threads().len() == left.threads());
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("the descriptors of this process").count()
}

/// The names of those left, in order.
fn names(left: &Left) -> Vec<&str> {
    let mut names: Vec<_> = left.goroutines().iter().map(|goroutine| goroutine.name().unwrap_or("?")).collect();
    names.sort_unstable();
    names
}

fn named(name: &str) -> gort::Builder {
    gort::Builder::new().name(name.to_owned())
}

/// Runs the case with 1, 2 and 4 Ps.
#[track_caller]
fn at_procs(this: Test, case: &str) {
    for procs in ["1", "2", "4"] {
        this.case(case).env("GORT_MAXPROCS", procs).run().exited(0);
    }
}

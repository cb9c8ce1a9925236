//! What every test program needs. Each takes what it uses.
#![allow(dead_code)]

pub(crate) mod draws;
pub(crate) mod library;

use std::time::Duration;

/// Rounds of a race-shaped case: the full number in a release build, a tenth in a debug build, and a fortieth there if each park is made a change of
/// threads, which takes as long as a hundred parks.
pub(crate) fn rounds(full: usize) -> usize {
    let are_moved = || std::env::var("GORT_PERTURB").is_ok_and(|kinds| kinds.contains("move"));
    match () {
        () if !cfg!(debug_assertions) => full,
        () if are_moved() => (full / 40).max(1),
        () => (full / 10).max(1),
    }
}

/// True, and says so on stderr, if this process runs in bound mode, in which the calling test cannot hold for this reason. The table in
/// docs/SOUNDNESS.md has all of them.
#[track_caller]
pub(crate) fn needs_migration(reason: &str) -> bool {
    needs_migration_if(gort::runtime::mode() == gort::runtime::Mode::Bound, reason)
}

/// The same for a test whose children run in bound mode.
#[track_caller]
pub(crate) fn needs_migration_if(is_bound: bool, reason: &str) -> bool {
    if is_bound {
        let line = format!("skipped in bound mode, {}: {reason}\n", std::panic::Location::caller());
        std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()).expect("standard error is open");
    }
    is_bound
}

/// What this C library says of an error number; each has words of its own.
pub(crate) fn words_of(errno: i32) -> String {
    std::io::Error::from_raw_os_error(errno).to_string()
}

/// Upper time bounds are multiplied by `GORT_TEST_SCALE`.
pub(crate) fn scaled(limit: Duration) -> Duration {
    let scale = std::env::var("GORT_TEST_SCALE").ok().and_then(|text| text.parse().ok()).unwrap_or(1.0);
    limit.mul_f64(scale)
}

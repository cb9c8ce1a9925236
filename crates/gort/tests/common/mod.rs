//! What every test program needs. Each takes what it uses.
#![allow(dead_code)]

use std::time::Duration;

/// Rounds of a race-shaped case: the full number in a release build, a tenth in a debug build.
pub(crate) fn rounds(full: usize) -> usize {
    if cfg!(debug_assertions) { (full / 10).max(1) } else { full }
}

/// Upper time bounds are multiplied by `GORT_TEST_SCALE`.
pub(crate) fn scaled(limit: Duration) -> Duration {
    let scale = std::env::var("GORT_TEST_SCALE").ok().and_then(|text| text.parse().ok()).unwrap_or(1.0);
    limit.mul_f64(scale)
}

//! Contexts: the acceptance cases CX-01 to CX-07, and what `gort::context` promises besides.

mod after_func;
mod ambient;
mod errors;
mod reach;
mod tree;

use std::time::Duration;

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// What CX-07 allows between a cancellation and its effect.
fn soon() -> Duration {
    crate::support::scaled(ms(50))
}

//! Runs a model: under loom in every interleaving within a bound, otherwise many times on real threads.
//!
//! A model is a closure that builds its words, starts two or three threads and says at the end what must hold. So every
//! model is a stress test, too, on the hardware at hand and with the real constants.

#[cfg(gort_loom)]
pub(crate) use loom::{
    sync::{Arc, Condvar, Mutex},
    thread,
};
#[cfg(not(gort_loom))]
pub(crate) use std::{
    sync::{Arc, Condvar, Mutex},
    thread,
};

/// Every interleaving with at most `preemptions` preemptions; `LOOM_MAX_PREEMPTIONS` overrides it.
#[cfg(gort_loom)]
pub(crate) fn check(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(preemptions);
    builder.check(model);
}

/// The same closure on real threads, for a quarter of a second.
#[cfg(not(gort_loom))]
pub(crate) fn check(_preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let rounds = if cfg!(miri) { 3 } else { 3000 };
    let start = std::time::Instant::now();
    for _ in 0..rounds {
        model();
        if start.elapsed() > std::time::Duration::from_millis(250) {
            return;
        }
    }
}

//! Counters of one P: written by its owner with plain stores, summed by readers.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// A number that only one thread at a time raises.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds `more`. Relaxed load and store instead of a read-modify-write: there is one writer, and hand-overs of the P order the writers.
    #[inline(always)]
    pub(crate) fn add(&self, more: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(more), Relaxed);
    }

    /// As [`add`](Self::add); whoever reads the new number by [`get_published`](Self::get_published) sees what the writer did before.
    #[inline(always)]
    pub(crate) fn publish(&self, more: u64) {
        // Release: pairs with the Acquire in `get_published`.
        self.0.store(self.0.load(Relaxed).wrapping_add(more), Release);
    }

    #[inline]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// See [`publish`](Self::publish).
    pub(crate) fn get_published(&self) -> u64 {
        self.0.load(Acquire)
    }
}

/// What a P has done.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Switches to a goroutine. Sysmon tells by it whether one has used up its slice.
    pub(crate) runs: Counter,
    /// Looks for work with nothing in its own queue.
    pub(crate) dry: Counter,
    pub(crate) spawned: Counter,
    pub(crate) ended: Counter,
    pub(crate) parks: Counter,
    pub(crate) yields: Counter,
    pub(crate) steals: Counter,
    pub(crate) polls: Counter,
    pub(crate) events: Counter,
    pub(crate) moves: Counter,
}

impl Counters {
    pub(crate) const fn new() -> Self {
        Self {
            runs: Counter::new(),
            dry: Counter::new(),
            spawned: Counter::new(),
            ended: Counter::new(),
            parks: Counter::new(),
            yields: Counter::new(),
            steals: Counter::new(),
            polls: Counter::new(),
            events: Counter::new(),
            moves: Counter::new(),
        }
    }
}

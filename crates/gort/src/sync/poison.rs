//! Poison, by std's rule: who panics while it holds a lock leaves what the lock guards in doubt.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{LockResult, PoisonError};
use std::thread;

/// The mark on a lock.
#[derive(Debug)]
pub(super) struct Poison(AtomicBool);

/// What a guard remembers: whether its holder was already panicking when it locked, as a destructor does that runs during unwinding.
#[derive(Debug)]
pub(super) struct Before {
    was_panicking: bool,
}

impl Poison {
    pub(super) const fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// The lock has just been taken.
    #[inline(always)]
    pub(super) fn begin(&self) -> Before {
        Before { was_panicking: thread::panicking() }
    }

    /// The lock is about to be given back.
    #[inline(always)]
    pub(super) fn end(&self, before: &Before) {
        if !before.was_panicking && thread::panicking() {
            // Relaxed: written and read by holders, whom the lock orders. Whoever asks without holding it gets a picture.
            self.0.store(true, Relaxed);
        }
    }

    #[inline(always)]
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Relaxed)
    }

    pub(super) fn clear(&self) {
        self.0.store(false, Relaxed);
    }

    /// `value`, as an error if the mark is set.
    #[inline(always)]
    pub(super) fn check<T>(&self, value: T) -> LockResult<T> {
        if self.is_set() { Err(PoisonError::new(value)) } else { Ok(value) }
    }
}

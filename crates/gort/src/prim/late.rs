//! A value that is set once, early, and read without a check ever after.

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};

/// A slot for a `T` that start-up fills.
pub(crate) struct Late<T> {
    set: AtomicBool,
    value: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: the value is written once, before `set`, and only shared afterwards.
unsafe impl<T: Send + Sync> Sync for Late<T> {}

impl<T> Late<T> {
    pub(crate) const fn new() -> Self {
        Self { set: AtomicBool::new(false), value: UnsafeCell::new(MaybeUninit::uninit()) }
    }

    /// Fills the slot.
    ///
    /// # Safety
    /// Called once.
    pub(crate) unsafe fn set(&self, value: T) {
        debug_assert!(!self.is_set());
        // SAFETY: the caller calls this once and nobody reads before `set`.
        unsafe { (*self.value.get()).write(value) };
        // Release: pairs with the Acquire in `is_set`.
        self.set.store(true, Release);
    }

    pub(crate) fn is_set(&self) -> bool {
        // Acquire: pairs with the Release in `set`.
        self.set.load(Acquire)
    }

    /// The value. The caller knows that start-up is over: it runs on something that start-up made.
    #[inline(always)]
    pub(crate) fn get(&self) -> &T {
        debug_assert!(self.is_set(), "the runtime has not started");
        // SAFETY: goroutines, Ms and everything behind `start::ensure` exist only after `set`, and were published by it.
        unsafe { (*self.value.get()).assume_init_ref() }
    }
}

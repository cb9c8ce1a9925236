//! A word with one owner at a time, at which others may look.
//!
//! To the owner it is a [`Cell`](std::cell::Cell): the moves are plain. Owners follow one another through queues that synchronise; who looks
//! without being the owner gets some value that once was there.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

#[derive(Debug)]
pub(crate) struct Word(AtomicUsize);

impl Word {
    pub(crate) const fn new(value: usize) -> Self {
        Self(AtomicUsize::new(value))
    }

    #[inline(always)]
    pub(crate) fn get(&self) -> usize {
        self.0.load(Relaxed)
    }

    #[inline(always)]
    pub(crate) fn set(&self, value: usize) {
        self.0.store(value, Relaxed);
    }

    /// Two moves, not a read-modify-write: for the owner.
    #[inline(always)]
    pub(crate) fn replace(&self, value: usize) -> usize {
        let before = self.get();
        self.set(value);
        before
    }

    /// Where it is, for the owner.
    #[inline(always)]
    pub(crate) fn as_ptr(&self) -> *mut usize {
        self.0.as_ptr()
    }
}

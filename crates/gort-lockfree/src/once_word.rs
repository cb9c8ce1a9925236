//! Whether something that is to be done once has been done.
//!
//! | state | meaning | left by |
//! |---|---|---|
//! | INCOMPLETE | nobody has begun | the first that comes |
//! | RUNNING | somebody is at it; others wait | its end |
//! | POISONED | it has failed | one that tries all the same |
//! | COMPLETE | it is done | nothing |
//!
//! # The argument
//! **Once.** The state is changed under a lock, in which those who wait stand, too (`crowd`); all of them are told at the end, and look again.
//!
//! **Whoever sees COMPLETE sees what was done**, also without the lock: it is stored with Release after that, and read with Acquire.
//!
//! Models: `once_word/model.rs`.

use core::fmt;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::atomics::{AtomicU32, const_unless_loom};
use crate::crowd;
use crate::mutate::mutated;
use crate::wait_list::{WaitList, Wakes};

#[cfg(test)]
mod model;

const INCOMPLETE: u32 = 0;
const RUNNING: u32 = 1;
const POISONED: u32 = 2;
const COMPLETE: u32 = 3;

/// See the [module's documentation](self).
pub struct OnceWord(AtomicU32);

/// What one finds that looks under the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Nobody has begun.
    Incomplete,
    /// Somebody is at it.
    Running,
    /// Somebody has failed, and nobody has tried again.
    Poisoned,
    /// It is done.
    Complete,
}

impl OnceWord {
    const_unless_loom! {
        /// Nothing has been done.
        pub const fn new() -> Self {
            Self(AtomicU32::new(INCOMPLETE))
        }
    }

    /// True if it is done: what was done is seen.
    #[inline(always)]
    pub fn is_complete(&self) -> bool {
        // Acquire: pairs with the Release in `end`.
        self.0.load(Acquire) == COMPLETE
    }

    /// Where it stands. Under the lock; otherwise a picture.
    pub fn stage(&self) -> Stage {
        // Relaxed: changed under the lock, which shows what was done.
        match self.0.load(Relaxed) {
            INCOMPLETE => Stage::Incomplete,
            RUNNING => Stage::Running,
            POISONED => Stage::Poisoned,
            _ => Stage::Complete,
        }
    }

    /// The caller is at it. Under the lock, if nobody is and it is not done.
    pub fn begin(&self) {
        debug_assert!(matches!(self.stage(), Stage::Incomplete | Stage::Poisoned));
        // Relaxed: under the lock.
        self.0.store(RUNNING, Relaxed);
    }

    /// The caller has done it, or has failed: those who wait are told. Under the lock of their queue.
    pub fn end<W: Wakes>(&self, is_complete: bool, queue: &mut WaitList<W::Id>, ready: &mut W) {
        debug_assert!(self.stage() == Stage::Running);
        // Release: pairs with `is_complete`.
        let order = if mutated!("once_ends_relaxed") { Relaxed } else { Release };
        self.0.store(if is_complete { COMPLETE } else { POISONED }, order);
        if is_complete || !mutated!("once_fails_silently") {
            crowd::tell_all(queue, ready);
        }
    }
}

impl Default for OnceWord {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for OnceWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stage().fmt(f)
    }
}

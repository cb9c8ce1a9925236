//! Whether anybody stands in a queue, readable without its lock: so notifying nobody costs a load.
//!
//! # The argument
//! The mark is written under the queue's lock, and read by a notifier with no order at all. **What must be found is found** because of a third
//! lock, the user's, which guards what the parties wait for: a party marks the queue while it still holds that; a notifier has held it since.
//! So the mark of a party that waits for what the notifier has changed happens before the notifier's look, and the mark is cleared only by
//! one that sees the queue empty, hence not while that party stands there. A notifier that has never held the user's lock may come before a
//! wait or after it, and nobody can tell.
//!
//! Models: `attendance/model.rs`.

use core::fmt;
use core::sync::atomic::Ordering::Relaxed;

use crate::atomics::{AtomicU32, const_unless_loom};
use crate::mutate::mutated;

#[cfg(test)]
mod model;

/// See the [module's documentation](self).
pub struct Attendance(AtomicU32);

impl Attendance {
    const_unless_loom! {
        /// Nobody.
        pub const fn new() -> Self {
            Self(AtomicU32::new(0))
        }
    }

    /// A party stands in the queue now. Under the queue's lock and the user's.
    pub fn note(&self) {
        // Relaxed: the user's lock shows it to those who must see it.
        self.0.store(1, Relaxed);
    }

    /// Somebody has left the queue. Under its lock.
    pub fn left(&self, is_empty: bool) {
        if is_empty || mutated!("attendance_forgets_those_who_stay") {
            // Relaxed: those who were in it have been served; one that comes notes it again, under this lock.
            self.0.store(0, Relaxed);
        }
    }

    /// False: nobody stands there whom the caller would have to find.
    #[inline(always)]
    pub fn is_noted(&self) -> bool {
        // Relaxed: see the module.
        self.0.load(Relaxed) != 0
    }
}

impl Default for Attendance {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Attendance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Attendance").field(&self.is_noted()).finish()
    }
}

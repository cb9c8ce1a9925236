//! One deadline and its one heap item.
//!
//! Deadlines of sockets are moved far more often than they expire. Moving one stores the new time
//! and touches no heap, unless the new time is earlier than the item that is there.
//!
//! # States
//! `until` is what the owner of the deadline wants (ns, 0 = none). `armed` is the time of the one
//! heap item that counts (0 = none); items with another time are stale and dropped when they come
//! up. The words lie in type-stable records, so a stale item may look at a record that serves
//! somebody else by now: it finds another `armed` or an `until` that is not over.
//!
//! - [`TimerWord::set`]: store `until` → fence A → look at `armed`; none, or a later one: arm.
//! - [`TimerWord::fire`]: `armed` from the item's time to 0 → fence B → look at `until`: none, later
//!   (arm again), or over (expired).
//!
//! # The argument
//! **Never late: who set a deadline has an item no later than it.** A and B are SeqCst, so either
//! `set` sees the 0 of `fire` and arms, or `fire` sees the new `until` and arms. Several may set at
//! once; the last stored `until` counts. After its `set`, `armed` is not above it, and only a `fire`
//! raises it, to 0; this `fire` comes after fence A and so looks at the last `until`; if others arm
//! a later time in between, it lowers theirs (`arm_at`, the same as in `set`).
//!
//! **Never early.** `fire` says expired only if an `until` that was set is not above `now`.
//!
//! **Two items of the same time** can exist (armed, lowered, armed again). Either stands for the
//! other; the one that comes second finds `armed` = 0 or armed anew for the same time.
//!
//! What an expiry ends is not settled here: a socket's side is kicked and its waiter looks at the
//! clock itself, and so does a parked goroutine (`wake_word`).
//!
//! Rejected: deleting from the heap when a deadline moves (Go marks, too); a generation per item (an
//! item of an equal time does as well).
//! Models: `timer_word/model.rs`. Source: Go `time.go`, `timer.modify`, `timers.adjust`.

use core::fmt;
use core::sync::atomic::Ordering::Relaxed;

use crate::atomics::{AtomicU64, const_unless_loom, fence_seq_cst};
use crate::mutate::mutated;

#[cfg(test)]
mod model;
#[cfg(all(test, not(gort_loom)))]
mod tests;

/// One deadline. See the [module's documentation](self).
pub struct TimerWord {
    armed: AtomicU64,
    until: AtomicU64,
}

/// What became of a heap item whose time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fired {
    /// Another item stands for this deadline, or none: drop it.
    Stale,
    /// No deadline is set, or somebody else has armed for it: drop it.
    Idle,
    /// The deadline has moved: push an item with this time.
    Rearm(u64),
    /// The deadline is over. It stays set until its waiter clears it.
    Expired,
}

impl TimerWord {
    const_unless_loom! {
        /// No deadline, no item.
        pub const fn new() -> Self {
            Self { armed: AtomicU64::new(0), until: AtomicU64::new(0) }
        }
    }

    /// Sets the deadline. `Some(when)`: the caller must push a heap item (`when`, this word). `None`:
    /// an item that comes up no later is there and will look again.
    ///
    /// `until_ns` must not be 0, see [`clear`](Self::clear).
    #[inline]
    #[must_use = "without the heap item the deadline never comes up"]
    pub fn set(&self, until_ns: u64) -> Option<u64> {
        debug_assert!(until_ns != 0, "TimerWord::set: 0 means none");
        // Relaxed: ordered before the look at `armed` by fence A; the waiter's own order against
        // its timer goes through its `WakeWord` or `SideWord`.
        self.until.store(until_ns, Relaxed);
        // Fence A: pairs with fence B in `fire`.
        if !mutated!("timer_set_no_fence") {
            fence_seq_cst();
        }
        self.arm_at(until_ns)
    }

    /// Makes sure that an item comes up at `when` or before: `Some(when)` if the caller must push it.
    #[inline]
    pub(crate) fn arm_at(&self, when: u64) -> Option<u64> {
        // Relaxed, all of it: `armed` carries no data, and against `until` it is ordered by the
        // fences.
        let mut armed = self.armed.load(Relaxed);
        loop {
            if armed != 0 && (armed <= when || mutated!("timer_never_nearer")) {
                return None;
            }
            match self.armed.compare_exchange_weak(armed, when, Relaxed, Relaxed) {
                Ok(_) => return Some(when),
                Err(now) => armed = now,
            }
        }
    }

    /// Takes the deadline back. Its heap item stays and finds nothing.
    #[inline]
    pub fn clear(&self) {
        // Relaxed: a timer that still sees the old deadline does what it would have done a moment
        // earlier; a kick that comes late is harmless, see `wake_word`.
        self.until.store(0, Relaxed);
    }

    /// The deadline, 0 if none.
    #[inline]
    pub fn until(&self) -> u64 {
        // Relaxed: whoever needs it to be new has synchronised through the waiter's word.
        self.until.load(Relaxed)
    }

    /// An item of time `item_when` came up; it is `now`.
    #[must_use = "a deadline that has moved needs a new item"]
    pub fn fire(&self, item_when: u64, now: u64) -> Fired {
        // Relaxed: ordered before the look at `until` by fence B.
        if self.armed.compare_exchange(item_when, 0, Relaxed, Relaxed).is_err() {
            return Fired::Stale;
        }
        // Fence B: pairs with fence A in `set`.
        if !mutated!("timer_fire_no_fence") {
            fence_seq_cst();
        }
        let until = self.until();
        if until == 0 {
            Fired::Idle
        } else if until <= now {
            Fired::Expired
        } else if mutated!("timer_fire_yields") {
            match self.armed.compare_exchange(0, until, Relaxed, Relaxed) {
                Ok(_) => Fired::Rearm(until),
                Err(_) => Fired::Idle,
            }
        } else {
            self.arm_at(until).map_or(Fired::Idle, Fired::Rearm)
        }
    }

    /// Whether an item of this time would be dropped if it came up now: for sweeping a heap.
    #[inline]
    pub fn is_stale(&self, item_when: u64) -> bool {
        // Relaxed: an item once stale can be meant again only after another one of the same time
        // was pushed.
        self.armed.load(Relaxed) != item_when
    }
}

impl Default for TimerWord {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for TimerWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Relaxed: a picture for people.
        f.debug_struct("TimerWord")
            .field("until_ns", &self.until())
            .field("armed_ns", &self.armed.load(Relaxed))
            .finish()
    }
}

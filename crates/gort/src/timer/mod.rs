//! Timers: heaps of deadlines, one heap per P and one for threads without a P.
//!
//! A heap entry is a hint: "at this time, look at that word". Whether anybody still waits, and until when, is decided by the
//! [`TimerWord`] inside the goroutine's, descriptor's or cell's record when the entry comes up, so moving a deadline later and cancelling it cost one
//! store and leave the heap alone. The protocol is in `gort_lockfree::timer_word`.

pub(crate) mod cell;
mod heap;
mod set;

pub(crate) use cell::{CellRef, Dormant, TimerCell};
pub(crate) use gort_lockfree::timer_word::TimerWord;
pub(crate) use set::{Target, TimerSet};

/// No deadline.
pub(crate) const NEVER: u64 = u64::MAX;

//! The netpoller: descriptors, and turning kernel events into lists of goroutines to ready.
//!
//! It knows no P and no M. Who polls, and when, is the scheduler's business (`sched::idle`, `sched::sysmon`).

mod desc;
mod poll;
mod slab;

pub(crate) use desc::{Desc, Half, Waits};
pub(crate) use gort_lockfree::fd_mutex::Side;
pub(crate) use poll::{Batch, Netpoll};
pub(crate) use slab::{allocate, for_each, is_any_in_use, release};

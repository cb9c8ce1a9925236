//! Time: sleeping, timers, tickers, timeouts.
//!
//! | Go | here |
//! |---|---|
//! | `time.Sleep(d)` | [`sleep`], [`sleep_until`]; [`sleep_ctx`] with a context |
//! | `time.After(d)` | [`after`] |
//! | `time.NewTimer(d)` | [`Timer`] |
//! | `time.NewTicker(d)` | [`Ticker`]; [`Interval`] for a loop of one's own, with a choice of what to do when it is late |
//! | `time.AfterFunc(d, f)` | [`after_func`] |
//! | `context.WithTimeout` around a call | [`timeout`] |
//!
//! Nothing here is ever early, by the monotonic clock, and all of it works on goroutines and on plain threads. How late something is depends on
//! the machine: tens of microseconds where a processor is idle.
//!
//! Timers and tickers receive through [`Receiver`]s, so that they stand in a [`select!`](crate::select) next to channels:
//!
//! ```
//! use gort::time::Timer;
//! use std::time::Duration;
//!
//! let (s, r) = gort::chan::bounded(1);
//! s.send("work").unwrap();
//! let patience = Timer::new(Duration::from_secs(5));
//! gort::select! {
//!     recv(r) -> work => assert_eq!(work, Ok("work")),
//!     recv(patience.c()) -> _ => unreachable!("five seconds are enough"),
//! }
//! assert!(patience.stop());
//! ```
//!
//! [`Receiver`]: crate::chan::Receiver

mod after_func;
mod interval;
mod sleep;
mod ticker;
mod timer;

pub use crate::chan::after;
pub use after_func::{AfterFunc, after_func};
pub use interval::{Interval, MissedTick, interval};
pub use sleep::{sleep, sleep_ctx, sleep_until, timeout};
pub use ticker::Ticker;
pub use timer::Timer;

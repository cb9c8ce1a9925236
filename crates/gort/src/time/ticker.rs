//! A timer that sends a message each period.

use crate::chan::alarm::Alarm;
use crate::chan::{self, Receiver};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Sends a message, the moment at which it was due, each period. As Go's `time.Ticker`.
///
/// The ticks keep their distance from the start: one that is received late does not move those after it. Whoever is late by more than a period
/// gets the oldest tick that is due, at once, and none of the others that have passed. After [`stop`](Self::stop) or [`reset`](Self::reset) has
/// returned nobody receives a tick of before.
///
/// # Examples
/// ```
/// use gort::time::Ticker;
/// use std::time::{Duration, Instant};
///
/// let start = Instant::now();
/// let ticker = Ticker::new(Duration::from_millis(2));
/// for _ in 0..3 {
///     ticker.c().recv().unwrap();
/// }
/// assert!(start.elapsed() >= Duration::from_millis(6));
/// ticker.stop();
/// assert!(ticker.c().try_recv().is_err());
/// ```
#[derive(Debug)]
pub struct Ticker {
    alarm: Arc<Alarm>,
    receiver: Receiver<Instant>,
}

impl Ticker {
    /// A ticker of this period; its first tick comes one period from now.
    ///
    /// # Panics
    /// If `period` is zero.
    #[must_use]
    #[track_caller]
    pub fn new(period: Duration) -> Self {
        assert!(!period.is_zero(), "gort::time::Ticker::new: the period is zero");
        let alarm = Arc::new(Alarm::new(period, period));
        Self { receiver: chan::of_alarm(alarm.clone()), alarm }
    }

    /// Where the ticks come from. Clones receive from the same ticker; each tick is received once.
    #[must_use]
    pub fn c(&self) -> &Receiver<Instant> {
        &self.receiver
    }

    /// Stops the ticker: no tick is received any more, until a [`reset`](Self::reset). Does not disconnect the receiver. Never blocks.
    pub fn stop(&self) {
        self.alarm.stop();
    }

    /// Starts anew with this period; the next tick comes one period from now. Never blocks.
    ///
    /// # Panics
    /// If `period` is zero.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// let ticker = gort::time::Ticker::new(Duration::from_secs(60));
    /// ticker.reset(Duration::from_millis(1));
    /// ticker.c().recv().unwrap();
    /// ```
    #[track_caller]
    pub fn reset(&self, period: Duration) {
        assert!(!period.is_zero(), "gort::time::Ticker::reset: the period is zero");
        self.alarm.reset(period, period);
    }
}

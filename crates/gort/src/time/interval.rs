//! A loop's own clock.

use super::sleep_until;
use std::time::{Duration, Instant};

/// What an [`Interval`] does about ticks that nobody waited for in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissedTick {
    /// Catches up: each tick there should have been comes, one right after the other, until it is in time again.
    #[default]
    Burst,
    /// Starts over: the next tick comes a period after the late one.
    Delay,
    /// Leaves them out: the next tick comes when it would have come anyway.
    Skip,
}

/// The clock of one loop that does something each period; see [`interval`].
#[derive(Debug)]
pub struct Interval {
    next: Option<Instant>,
    period: Duration,
    missed: MissedTick,
}

/// A clock for a loop: [`tick`](Interval::tick) returns each `period`, the first time one period from now. Ticks that the loop is late for come in
/// a burst, unless [`Interval::missed`] says otherwise.
///
/// As [`Ticker`](super::Ticker), for one user and without a receiver; the difference is the choice.
///
/// # Panics
/// If `period` is zero.
///
/// # Examples
/// ```
/// use gort::time::{MissedTick, interval};
/// use std::time::{Duration, Instant};
///
/// let start = Instant::now();
/// let mut clock = interval(Duration::from_millis(1)).missed(MissedTick::Skip);
/// for _ in 0..3 {
///     clock.tick();
/// }
/// assert!(start.elapsed() >= Duration::from_millis(3));
/// ```
#[must_use]
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    assert!(!period.is_zero(), "gort::time::interval: the period is zero");
    Interval { next: Instant::now().checked_add(period), period, missed: MissedTick::Burst }
}

impl Interval {
    /// Says what becomes of ticks that come too late.
    #[must_use]
    pub fn missed(mut self, policy: MissedTick) -> Self {
        self.missed = policy;
        self
    }

    /// Waits for the next tick, and returns the moment at which it was due. Parks the goroutine; blocks a plain thread.
    ///
    /// A tick beyond the end of time never comes.
    #[track_caller]
    pub fn tick(&mut self) -> Instant {
        let Some(due) = self.next else {
            loop {
                super::sleep(Duration::MAX);
            }
        };
        sleep_until(due);
        let now = Instant::now();
        self.next = match self.missed {
            MissedTick::Burst => due.checked_add(self.period),
            MissedTick::Delay if now.duration_since(due) < self.period => due.checked_add(self.period),
            MissedTick::Delay => now.checked_add(self.period),
            MissedTick::Skip => {
                let into_ns = now.duration_since(due).as_nanos() % self.period.as_nanos();
                // Less than the period, so its seconds fit.
                let into = Duration::new((into_ns / 1_000_000_000) as u64, (into_ns % 1_000_000_000) as u32);
                now.checked_add(self.period - into)
            }
        };
        due
    }

    /// Starts over: the next tick comes one period from now.
    pub fn reset(&mut self) {
        self.next = Instant::now().checked_add(self.period);
    }

    /// The period.
    #[must_use]
    pub fn period(&self) -> Duration {
        self.period
    }
}

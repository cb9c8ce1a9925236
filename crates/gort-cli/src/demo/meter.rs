//! What others notice: something that is due every millisecond, and how late it comes.
//!
//! Lateness counts from when a beat was due. One that holds up the next thousand is charged for each of them, and what has not come at all by the
//! end is as late as it is then: a program that has stopped cannot look good by having little to say.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::actors::Actors;
use crate::load::Latencies;
use crate::report::round;

/// From one beat to the next.
const BEAT: Duration = Duration::from_millis(1);

/// Microseconds; null if nothing was due.
#[derive(Debug, Default, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Half were no later.
    pub p50: Option<f64>,
    /// All but one of a hundred.
    pub p99: Option<f64>,
    /// The latest.
    pub max: Option<f64>,
}

/// What a meter has seen.
#[derive(Debug, Default, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Beats {
    /// Beats that should have come.
    pub due: u64,
    /// Those that did.
    pub came: u64,
    /// How late, those that did not come included.
    pub late_us: Spread,
    /// How long none had come at the end.
    pub silent_us: f64,
}

/// See the module.
#[derive(Debug)]
pub struct Meter {
    /// Held for some instructions by the one that beats, which the end waits for at most that long.
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    came: u32,
    last: Option<Instant>,
    late: Latencies,
}

impl Meter {
    /// Nothing has come.
    pub fn new() -> Meter {
        Meter { seen: Mutex::new(Seen { came: 0, last: None, late: Latencies::new() }) }
    }

    /// Beats from `began` on, by doing `act`, until it is `over`.
    pub fn beat(
        &self,
        actors: Actors,
        began: Instant,
        over: &AtomicBool,
        mut act: impl FnMut() -> io::Result<()>,
    ) -> io::Result<()> {
        for number in 0.. {
            let due = began + BEAT * number;
            // One that is overdue comes at once: a sleep of no time gives way, behind all that are queued, for each of those that were missed.
            let early = due.saturating_duration_since(Instant::now());
            if !early.is_zero() {
                actors.sleep(early);
            }
            // Relaxed: the flag carries no data.
            if over.load(Relaxed) {
                break;
            }
            act()?;
            let mut seen = self.seen();
            let now = Instant::now();
            seen.late.record(now.saturating_duration_since(due));
            (seen.came, seen.last) = (number + 1, Some(now));
        }
        Ok(())
    }

    /// How many beats have come.
    pub fn came(&self) -> u64 {
        self.seen().came.into()
    }

    /// All that was due from `began` to `end`.
    pub fn until(&self, began: Instant, end: Instant) -> Beats {
        let seen = self.seen();
        let due = u32::try_from((end - began).as_nanos() / BEAT.as_nanos()).unwrap_or(u32::MAX);
        let mut late = seen.late.clone();
        for missing in seen.came..due {
            late.record(end.saturating_duration_since(began + BEAT * missing));
        }
        let us = |time: Duration| round(time.as_nanos() as f64 / 1e3);
        let late_us =
            Spread { p50: late.quantile(0.5).map(us), p99: late.quantile(0.99).map(us), max: late.max().map(us) };
        let silent_us = us(end.saturating_duration_since(seen.last.unwrap_or(began)));
        Beats { due: due.max(seen.came).into(), came: seen.came.into(), late_us, silent_us }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_comes_is_as_late_as_the_end() {
        let (meter, began) = (Meter::new(), Instant::now());
        let beats = meter.until(began, began + Duration::from_millis(1000));
        assert_eq!((beats.due, beats.came), (1000, 0));
        assert_eq!(beats.silent_us, 1e6);
        let (p50, p99) = (beats.late_us.p50.unwrap(), beats.late_us.p99.unwrap());
        assert!((p50 / 5e5 - 1.0).abs() < 0.01 && (p99 / 9.9e5 - 1.0).abs() < 0.01, "{beats:?}");
    }

    #[test]
    fn a_beat_that_holds_up_others_makes_them_late_too() {
        let (meter, began, over) = (Meter::new(), Instant::now(), AtomicBool::new(false));
        let mut number = 0;
        meter
            .beat(Actors::Goroutines, began, &over, || {
                number += 1;
                match number {
                    1 => std::thread::sleep(Duration::from_millis(20)),
                    25 => over.store(true, Relaxed),
                    _ => {}
                }
                Ok(())
            })
            .unwrap();
        let beats = meter.until(began, began + Duration::from_millis(25));
        assert_eq!(beats.came, 25);
        assert!(beats.late_us.p50.unwrap() >= 7_000.0, "{beats:?}");
        assert!(beats.late_us.max.unwrap() >= 20_000.0, "{beats:?}");
    }
}

//! Sleeping and timers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gort::time::after_func;
use gort_bench_wire::check::expect;
use gort_bench_wire::lateness::Sleepers;
use gort_bench_wire::timing::{Cost, median, repeat};
use gort_bench_wire::{Call, Outcome};

use crate::{Result, join};

/// `count` goroutines sleep once, each for a random time of at most `longest_ms`. Twice: the second time there are stacks and records.
pub fn timers(call: &Call) -> Result<Outcome> {
    let (count, longest) = (call.number::<usize>("count")?, Duration::from_millis(call.number("longest_ms")?));
    let mut outcome = Outcome::new();
    for round in ["cold", "warm"] {
        let sleepers = Arc::new(Sleepers::new(count, longest));
        let cost = Cost::of(|| -> Result<()> {
            let mut handles = Vec::with_capacity(count);
            for n in 0..count {
                let sleepers = sleepers.clone();
                handles.push(gort::go(move || {
                    let time = sleepers.time(n);
                    let due = Instant::now() + time;
                    gort::sleep(time);
                    sleepers.woke(n, due);
                }));
            }
            handles.into_iter().try_for_each(join)
        })?;
        outcome = sleepers.add_to(outcome, round, cost)?;
    }
    Ok(outcome)
}

/// Beside `pending` timers that do not come up, `count` are armed and cancelled, `batch` at a time; then one is set anew and stopped `count` times.
pub fn arm_cancel(call: &Call) -> Result<Outcome> {
    let (pending, batch) = (call.number::<u64>("pending")?, call.number::<u64>("batch")?);
    let (count, repeats) = (call.number::<u64>("count")?, call.number::<usize>("repeats")?);
    // Among those that wait, not before or behind them all.
    let time = |n: u64| Duration::from_secs(3600) + Duration::from_micros(n * 7919 % 100_000_000);
    let waiting: Vec<_> = (0..pending).map(|n| after_func(time(n), || ())).collect();
    let mut armed = Vec::with_capacity(batch as usize);
    let times = repeat(repeats + 1, || -> Result<()> {
        let mut stopped = 0;
        for first in (0..count).step_by(batch as usize) {
            armed.extend((first..count.min(first + batch)).map(|n| after_func(time(n), || ())));
            stopped += armed.drain(..).filter(|timer| timer.stop()).count();
        }
        Ok(expect("timers cancelled", stopped as u64, count)?)
    })?;
    let timer = after_func(time(0), || ());
    let again = repeat(repeats + 1, || -> Result<()> {
        let stopped = (0..count).filter(|&n| {
            timer.reset(time(n));
            timer.stop()
        });
        Ok(expect("timers stopped", stopped.count() as u64, count)?)
    })?;
    let stopped = waiting.iter().filter(|timer| timer.stop()).count();
    expect("timers that were pending in the end", stopped as u64, pending)?;
    let each = |times: &[f64]| median(&times[1..]) / count as f64;
    Ok(Outcome::new().with("ns", each(&times)).with("reset_ns", each(&again)))
}

//! Sleeping.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gort_bench_wire::lateness::Sleepers;
use gort_bench_wire::timing::Cost;
use gort_bench_wire::{Call, Outcome};
use may::coroutine::sleep;
use may::go;

use crate::{Result, join};

/// `count` coroutines sleep once, each for a random time of at most `longest_ms`. Twice.
pub fn timers(call: &Call) -> Result<Outcome> {
    let (count, longest) = (call.number::<usize>("count")?, Duration::from_millis(call.number("longest_ms")?));
    let mut outcome = Outcome::new();
    for round in ["cold", "warm"] {
        let sleepers = Arc::new(Sleepers::new(count, longest));
        let cost = Cost::of(|| -> Result<()> {
            let mut handles = Vec::with_capacity(count);
            for n in 0..count {
                let sleepers = sleepers.clone();
                handles.push(go!(move || {
                    let time = sleepers.time(n);
                    let due = Instant::now() + time;
                    sleep(time);
                    sleepers.woke(n, due);
                }));
            }
            handles.into_iter().try_for_each(join)
        })?;
        outcome = sleepers.add_to(outcome, round, cost)?;
    }
    Ok(outcome)
}

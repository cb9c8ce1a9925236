//! Sleeping and timers.

use std::future::{Future as _, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use gort_bench_wire::check::expect;
use gort_bench_wire::lateness::Sleepers;
use gort_bench_wire::timing::{Cost, median};
use gort_bench_wire::{Call, Outcome};
use tokio::runtime::Runtime;
use tokio::time::{Sleep, sleep};

use crate::{Result, on_worker};

/// `count` tasks sleep once, each for a random time of at most `longest_ms`. Twice: the second time the allocator has what it needs.
pub fn timers(call: &Call, runtime: &Runtime) -> Result<Outcome> {
    let (count, longest) = (call.number::<usize>("count")?, Duration::from_millis(call.number("longest_ms")?));
    let mut outcome = Outcome::new();
    for round in ["cold", "warm"] {
        let sleepers = Arc::new(Sleepers::new(count, longest));
        let ours = sleepers.clone();
        let cost = Cost::of(|| {
            on_worker(runtime, async move {
                let mut handles = Vec::with_capacity(count);
                for n in 0..count {
                    let sleepers = ours.clone();
                    handles.push(tokio::spawn(async move {
                        let time = sleepers.time(n);
                        let due = Instant::now() + time;
                        sleep(time).await;
                        sleepers.woke(n, due);
                    }));
                }
                for handle in handles {
                    handle.await?;
                }
                Ok(())
            })
        })?;
        outcome = sleepers.add_to(outcome, round, cost)?;
    }
    Ok(outcome)
}

/// Beside `pending` sleeps that do not end, `count` are begun and dropped, `batch` at a time.
pub fn arm_cancel(call: &Call, runtime: &Runtime) -> Result<Outcome> {
    let (pending, batch) = (call.number::<u64>("pending")?, call.number::<u64>("batch")?);
    let (count, repeats) = (call.number::<u64>("count")?, call.number::<usize>("repeats")?);
    on_worker(runtime, async move {
        let time = |n: u64| Duration::from_secs(3600) + Duration::from_micros(n * 7919 % 100_000_000);
        let mut waiting = Vec::new();
        for n in 0..pending {
            waiting.push(begin(time(n)).await?);
        }
        let mut begun = Vec::with_capacity(batch as usize);
        let mut times = Vec::new();
        for _ in 0..=repeats {
            let began = Instant::now();
            let mut dropped = 0;
            for first in (0..count).step_by(batch as usize) {
                for n in first..count.min(first + batch) {
                    begun.push(begin(time(n)).await?);
                }
                dropped += begun.drain(..).filter(|sleep| !sleep.is_elapsed()).count();
            }
            times.push(began.elapsed().as_nanos() as f64);
            expect("sleeps dropped", dropped as u64, count)?;
        }
        let left = waiting.iter().filter(|sleep| !sleep.is_elapsed()).count();
        expect("sleeps that had not ended in the end", left as u64, pending)?;
        Ok(Outcome::new().with("ns", median(&times[1..]) / count as f64))
    })
}

/// A sleep counts only from its first poll on.
async fn begin(time: Duration) -> Result<std::pin::Pin<Box<Sleep>>> {
    let mut sleep = Box::pin(sleep(time));
    let ended = poll_fn(|cx| Poll::Ready(sleep.as_mut().poll(cx).is_ready())).await;
    if ended { Err("a sleep of an hour is over at once".into()) } else { Ok(sleep) }
}

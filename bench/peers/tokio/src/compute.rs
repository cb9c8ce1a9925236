//! Workloads that only compute and switch: spawn and join, wake each other, yield, one mutex for all.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use gort_bench_wire::check::expect;
use gort_bench_wire::timing::{median, repeat};
use gort_bench_wire::{Call, Outcome};
use tokio::runtime::Runtime;
use tokio::sync::{Mutex, Notify};
use tokio::task::yield_now;

use crate::{Result, on_worker};

/// `count` tasks are started, then all of them awaited. The first time is told apart.
pub fn spawn_join(call: &Call, runtime: &Runtime) -> Result<Outcome> {
    let (count, repeats) = (call.number::<usize>("count")?, call.number::<usize>("repeats")?);
    static RAN: AtomicU64 = AtomicU64::new(0);
    let mut before = 0;
    let times = repeat(repeats + 1, || -> Result<()> {
        on_worker(runtime, async move {
            let mut handles = Vec::with_capacity(count);
            for _ in 0..count {
                // Relaxed: a count, read after the joins, which order it.
                handles.push(tokio::spawn(async { RAN.fetch_add(1, Relaxed) }));
            }
            for handle in handles {
                handle.await?;
            }
            Ok(())
        })?;
        let ran = RAN.load(Relaxed);
        expect("tasks that ran", ran - before, count as u64)?;
        before = ran;
        Ok(())
    })?;
    let each = |ns: f64| ns / count as f64;
    Ok(Outcome::new().with("ns", each(median(&times[1..]))).with("cold_ns", each(times[0])))
}

/// Two tasks wake each other in turn, `count` times.
pub fn park_unpark(call: &Call, runtime: &Runtime) -> Result<Outcome> {
    let (count, repeats) = (call.number::<u64>("count")?, call.number::<usize>("repeats")?);
    let times = repeat(repeats + 1, || {
        on_worker(runtime, async move {
            let (first, second) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
            let other = {
                let (first, second) = (first.clone(), second.clone());
                tokio::spawn(async move {
                    let mut rounds = 0;
                    for _ in 0..count {
                        second.notified().await;
                        rounds += 1;
                        first.notify_one();
                    }
                    rounds
                })
            };
            for _ in 0..count {
                second.notify_one();
                first.notified().await;
            }
            Ok(expect("round trips", other.await?, count)?)
        })
    })?;
    Ok(Outcome::new().with("ns", median(&times[1..]) / count as f64))
}

/// `goroutines` tasks give way `count` times each.
pub fn yields(call: &Call, runtime: &Runtime) -> Result<Outcome> {
    let (tasks, count) = (call.number::<usize>("goroutines")?, call.number::<u64>("count")?);
    let repeats = call.number::<usize>("repeats")?;
    let times = repeat(repeats + 1, || {
        on_worker(runtime, async move {
            let mut handles = Vec::with_capacity(tasks);
            for _ in 0..tasks {
                handles.push(tokio::spawn(async move {
                    let mut yields = 0;
                    for _ in 0..count {
                        yield_now().await;
                        yields += 1;
                    }
                    yields
                }));
            }
            let mut yields = 0;
            for handle in handles {
                yields += handle.await?;
            }
            Ok(expect("yields", yields, count * tasks as u64)?)
        })
    })?;
    Ok(Outcome::new().with("ns", median(&times[1..]) / (count * tasks as u64) as f64))
}

/// `goroutines` tasks lock tokio's mutex `count` times each, for an addition.
pub fn mutex(call: &Call, runtime: &Runtime) -> Result<Outcome> {
    let (tasks, count) = (call.number::<usize>("goroutines")?, call.number::<u64>("count")?);
    let repeats = call.number::<usize>("repeats")?;
    let all = count * tasks as u64;
    let times = repeat(repeats + 1, || {
        on_worker(runtime, async move {
            let sum = Arc::new(Mutex::new(0));
            let mut handles = Vec::with_capacity(tasks);
            for _ in 0..tasks {
                let sum = sum.clone();
                handles.push(tokio::spawn(async move {
                    for _ in 0..count {
                        *sum.lock().await += 1;
                    }
                }));
            }
            for handle in handles {
                handle.await?;
            }
            Ok(expect("additions", *sum.lock().await, all)?)
        })
    })?;
    Ok(Outcome::new().with("ns", median(&times[1..]) / all as f64))
}

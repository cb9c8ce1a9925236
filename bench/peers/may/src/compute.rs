//! Workloads that only compute and switch: spawn and join, park and unpark, yield, one mutex for all.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use gort_bench_wire::check::expect;
use gort_bench_wire::timing::{median, repeat};
use gort_bench_wire::{Call, Outcome};
use may::coroutine::{current, park, yield_now};
use may::go;
use may::sync::Mutex;

use crate::{Result, join};

/// `count` coroutines are started, then all of them joined. The first time is told apart.
pub fn spawn_join(call: &Call) -> Result<Outcome> {
    let (count, repeats) = (call.number::<usize>("count")?, call.number::<usize>("repeats")?);
    static RAN: AtomicU64 = AtomicU64::new(0);
    let mut before = 0;
    let times = repeat(repeats + 1, || -> Result<()> {
        let mut handles = Vec::with_capacity(count);
        for _ in 0..count {
            // Relaxed: a count, read after the joins, which order it.
            handles.push(go!(|| RAN.fetch_add(1, Relaxed)));
        }
        for handle in handles {
            join(handle)?;
        }
        let ran = RAN.load(Relaxed);
        expect("coroutines that ran", ran - before, count as u64)?;
        before = ran;
        Ok(())
    })?;
    let each = |ns: f64| ns / count as f64;
    Ok(Outcome::new().with("ns", each(median(&times[1..]))).with("cold_ns", each(times[0])))
}

/// Two coroutines wake each other in turn, `count` times.
pub fn park_unpark(call: &Call) -> Result<Outcome> {
    let (count, repeats) = (call.number::<u64>("count")?, call.number::<usize>("repeats")?);
    let times = repeat(repeats + 1, || -> Result<()> {
        let first = current();
        let second = go!(move || {
            let mut rounds = 0;
            for _ in 0..count {
                park();
                rounds += 1;
                first.unpark();
            }
            rounds
        });
        let other = second.coroutine().clone();
        for _ in 0..count {
            other.unpark();
            park();
        }
        Ok(expect("round trips", join(second)?, count)?)
    })?;
    Ok(Outcome::new().with("ns", median(&times[1..]) / count as f64))
}

/// `goroutines` coroutines give way `count` times each.
pub fn yields(call: &Call) -> Result<Outcome> {
    let (coroutines, count) = (call.number::<usize>("goroutines")?, call.number::<u64>("count")?);
    let repeats = call.number::<usize>("repeats")?;
    let times = repeat(repeats + 1, || -> Result<()> {
        let mut handles = Vec::with_capacity(coroutines);
        for _ in 0..coroutines {
            handles.push(go!(move || {
                let mut yields = 0;
                for _ in 0..count {
                    yield_now();
                    yields += 1;
                }
                yields
            }));
        }
        let mut yields = 0;
        for handle in handles {
            yields += join(handle)?;
        }
        Ok(expect("yields", yields, count * coroutines as u64)?)
    })?;
    Ok(Outcome::new().with("ns", median(&times[1..]) / (count * coroutines as u64) as f64))
}

/// `goroutines` coroutines lock may's mutex `count` times each, for an addition.
pub fn mutex(call: &Call) -> Result<Outcome> {
    let (coroutines, count) = (call.number::<usize>("goroutines")?, call.number::<u64>("count")?);
    let repeats = call.number::<usize>("repeats")?;
    let all = count * coroutines as u64;
    let times = repeat(repeats + 1, || -> Result<()> {
        let sum = Arc::new(Mutex::new(0));
        let mut handles = Vec::with_capacity(coroutines);
        for _ in 0..coroutines {
            let sum = sum.clone();
            handles.push(go!(move || {
                for _ in 0..count {
                    *sum.lock().unwrap() += 1;
                }
            }));
        }
        handles.into_iter().try_for_each(join)?;
        let sum = *sum.lock().map_err(|_| "the mutex is poisoned")?;
        Ok(expect("additions", sum, all)?)
    })?;
    Ok(Outcome::new().with("ns", median(&times[1..]) / all as f64))
}

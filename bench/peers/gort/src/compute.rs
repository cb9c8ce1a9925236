//! Workloads that only compute and switch: spawn and join, park and unpark, yield, malloc and free, one mutex for all.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use gort::sync::Mutex;
use gort_bench_wire::check::expect;
use gort_bench_wire::timing::{median, repeat};
use gort_bench_wire::{Call, Outcome};

use crate::{Result, join};

/// `count` goroutines are started, then all of them joined. The first time is told apart: it also makes stacks and records.
pub fn spawn_join(call: &Call) -> Result<Outcome> {
    let (count, repeats) = (call.number::<usize>("count")?, call.number::<usize>("repeats")?);
    static RAN: AtomicU64 = AtomicU64::new(0);
    let mut before = 0;
    let times = repeat(repeats + 1, || -> Result<()> {
        let mut handles = Vec::with_capacity(count);
        for _ in 0..count {
            // Relaxed: a count, read after the joins, which order it.
            handles.push(gort::go(|| RAN.fetch_add(1, Relaxed)));
        }
        for handle in handles {
            join(handle)?;
        }
        let ran = RAN.load(Relaxed);
        expect("goroutines that ran", ran - before, count as u64)?;
        before = ran;
        Ok(())
    })?;
    let each = |ns: f64| ns / count as f64;
    Ok(Outcome::new().with("ns", each(median(&times[1..]))).with("cold_ns", each(times[0])))
}

/// Two goroutines wake each other in turn, `count` times; a round trip is two parks and two unparks. The first is locked to its thread, or not.
pub fn park_unpark(call: &Call) -> Result<Outcome> {
    let (count, repeats) = (call.number::<u64>("count")?, call.number::<usize>("repeats")?);
    let _locked = (call.number::<u64>("locked")? > 0).then(gort::lock_os_thread);
    let times = repeat(repeats + 1, || -> Result<()> {
        let first = gort::current();
        let second = gort::go(move || {
            let mut rounds = 0;
            for _ in 0..count {
                gort::park();
                rounds += 1;
                first.unpark();
            }
            rounds
        });
        let other = second.goroutine().clone();
        for _ in 0..count {
            other.unpark();
            gort::park();
        }
        Ok(expect("round trips", join(second)?, count)?)
    })?;
    Ok(Outcome::new().with("ns", median(&times[1..]) / count as f64))
}

/// `goroutines` of them give way `count` times each.
pub fn yields(call: &Call) -> Result<Outcome> {
    let (goroutines, count) = (call.number::<usize>("goroutines")?, call.number::<u64>("count")?);
    let repeats = call.number::<usize>("repeats")?;
    let times = repeat(repeats + 1, || -> Result<()> {
        let mut handles = Vec::with_capacity(goroutines);
        for _ in 0..goroutines {
            handles.push(gort::go(move || {
                let mut yields = 0;
                for _ in 0..count {
                    gort::yield_now();
                    yields += 1;
                }
                yields
            }));
        }
        let mut yields = 0;
        for handle in handles {
            yields += join(handle)?;
        }
        Ok(expect("yields", yields, count * goroutines as u64)?)
    })?;
    Ok(Outcome::new().with("ns", median(&times[1..]) / (count * goroutines as u64) as f64))
}

/// Blocks of 64 bytes are allocated and freed in one goroutine, `count` times.
pub fn malloc(call: &Call) -> Result<Outcome> {
    let (count, repeats) = (call.number::<u64>("count")?, call.number::<usize>("repeats")?);
    let in_goroutine = gort::go(move || {
        repeat(repeats + 1, || -> Result<()> {
            let mut sum = 0;
            for n in 0..count {
                let block = black_box(Box::new([n; 8]));
                sum += block[7];
            }
            Ok(expect("sum of what the blocks held", sum, count * (count - 1) / 2)?)
        })
    });
    let times = join(in_goroutine)??;
    Ok(Outcome::new().with("ns", median(&times[1..]) / count as f64))
}

/// `goroutines` of them lock the same mutex `count` times each, for an addition.
pub fn mutex(call: &Call) -> Result<Outcome> {
    let (goroutines, count) = (call.number::<usize>("goroutines")?, call.number::<u64>("count")?);
    let repeats = call.number::<usize>("repeats")?;
    let all = count * goroutines as u64;
    let times = repeat(repeats + 1, || -> Result<()> {
        let sum = Arc::new(Mutex::new(0));
        let mut handles = Vec::with_capacity(goroutines);
        for _ in 0..goroutines {
            let sum = sum.clone();
            handles.push(gort::go(move || {
                for _ in 0..count {
                    *sum.lock().unwrap() += 1;
                }
            }));
        }
        for handle in handles {
            join(handle)?;
        }
        let sum = *sum.lock().map_err(|_| "the mutex is poisoned")?;
        Ok(expect("additions", sum, all)?)
    })?;
    Ok(Outcome::new().with("ns", median(&times[1..]) / all as f64))
}

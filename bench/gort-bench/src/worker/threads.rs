//! The workloads on OS threads, with std alone.

mod files;
mod streams;
mod stuck;
mod waiting;

pub use files::{file_read, file_read_cold, write_dirty};
pub use streams::{copy_file_socket, proxy_splice, udp_batch};
pub use stuck::{blocking_syscall, hog_relay};
pub use waiting::{mutex, pingpong, timers};

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use gort_bench_wire::check::expect;
use gort_bench_wire::memory::Memory;
use gort_bench_wire::timing::{median, repeat};
use gort_bench_wire::{Call, Outcome, process};

use super::number;

pub fn spawn_join(call: &Call) -> Result<Outcome> {
    let (count, repeats) = (number(call, "count")?, number(call, "repeats")?);
    static RAN: AtomicU64 = AtomicU64::new(0);
    let mut before = 0;
    let times = repeat(repeats + 1, || -> Result<()> {
        let mut handles = Vec::with_capacity(count);
        for _ in 0..count {
            // Relaxed: a count, read after the joins, which order it.
            handles.push(thread::Builder::new().spawn(|| RAN.fetch_add(1, Relaxed)).context("cannot start a thread")?);
        }
        for handle in handles {
            join(handle)?;
        }
        let ran = RAN.load(Relaxed);
        expect("threads that ran", ran - before, count as u64)?;
        before = ran;
        Ok(())
    })?;
    let each = |ns: f64| ns / count as f64;
    Ok(Outcome::new().with("ns", each(median(&times[1..]))).with("cold_ns", each(times[0])))
}

pub fn park_unpark(call: &Call) -> Result<Outcome> {
    process::stay_on(number(call, "procs")?)?;
    let (count, repeats) = (number(call, "count")?, number(call, "repeats")?);
    let times = repeat(repeats + 1, || -> Result<()> {
        // Whose turn it is, as threads may wake without an unpark.
        static TURN: AtomicU64 = AtomicU64::new(0);
        TURN.store(0, Relaxed);
        let wait_for = |turn: u64| {
            // Relaxed: park and unpark order it.
            while TURN.load(Relaxed) < turn {
                thread::park();
            }
        };
        let first = thread::current();
        let second = thread::spawn(move || {
            for round in 0..count as u64 {
                wait_for(2 * round + 1);
                TURN.store(2 * round + 2, Relaxed);
                first.unpark();
            }
            count
        });
        for round in 0..count as u64 {
            TURN.store(2 * round + 1, Relaxed);
            second.thread().unpark();
            wait_for(2 * round + 2);
        }
        Ok(expect("round trips", join(second)? as u64, count as u64)?)
    })?;
    Ok(Outcome::new().with("ns", median(&times[1..]) / count as f64))
}

pub fn yields(call: &Call) -> Result<Outcome> {
    process::stay_on(number(call, "procs")?)?;
    let (threads, count, repeats) = (number(call, "goroutines")?, number(call, "count")?, number(call, "repeats")?);
    let times = repeat(repeats + 1, || -> Result<()> {
        let mut handles = Vec::with_capacity(threads);
        for _ in 0..threads {
            let run = move || {
                let mut yields = 0;
                for _ in 0..count {
                    thread::yield_now();
                    yields += 1;
                }
                yields
            };
            handles.push(thread::Builder::new().spawn(run).context("cannot start a thread")?);
        }
        let mut yields = 0;
        for handle in handles {
            yields += join(handle)?;
        }
        Ok(expect("yields", yields, (count * threads) as u64)?)
    })?;
    Ok(Outcome::new().with("ns", median(&times[1..]) / (count * threads) as f64))
}

pub fn malloc(call: &Call) -> Result<Outcome> {
    let (count, repeats) = (number(call, "count")? as u64, number(call, "repeats")?);
    let in_thread = thread::spawn(move || {
        repeat(repeats + 1, || -> Result<()> {
            let mut sum = 0;
            for n in 0..count {
                let block = black_box(Box::new([n; 8]));
                sum += block[7];
            }
            Ok(expect("sum of what the blocks held", sum, count * (count - 1) / 2)?)
        })
    });
    Ok(Outcome::new().with("ns", median(&join(in_thread)??[1..]) / count as f64))
}

pub fn parked(call: &Call) -> Result<Outcome> {
    let count = number(call, "count")?;
    static BEGUN: AtomicU64 = AtomicU64::new(0);
    // 0: wait.
    static GATE: AtomicU64 = AtomicU64::new(0);
    static WOKEN: AtomicU64 = AtomicU64::new(0);
    let before = Memory::of_this_process()?;
    let began = Instant::now();
    let mut handles = Vec::with_capacity(count);
    for _ in 0..count {
        let run = || {
            // Relaxed: counts; park and unpark order the gate, the joins the rest.
            BEGUN.fetch_add(1, Relaxed);
            while GATE.load(Relaxed) == 0 {
                thread::park();
            }
            WOKEN.fetch_add(1, Relaxed);
        };
        let started = thread::Builder::new().spawn(run);
        handles.push(started.with_context(|| format!("cannot start thread {}", handles.len() + 1))?);
    }
    while BEGUN.load(Relaxed) < count as u64 {
        thread::sleep(Duration::from_millis(1));
    }
    let spawned = began.elapsed();
    let held = Memory::of_this_process()?.total() - before.total();

    let began = Instant::now();
    GATE.store(1, Relaxed);
    for handle in &handles {
        handle.thread().unpark();
    }
    for handle in handles {
        join(handle)?;
    }
    let woken = began.elapsed();
    expect("threads that woke", WOKEN.load(Relaxed), count as u64)?;

    let each = |time: Duration| time.as_nanos() as f64 / count as f64;
    Ok(Outcome::new()
        .with("bytes", held as f64 / count as f64)
        .with("spawn_ns", each(spawned))
        .with("wake_ns", each(woken))
        .with("count", count as f64))
}

fn join<T>(handle: thread::JoinHandle<T>) -> Result<T> {
    handle.join().map_err(|_| anyhow!("a thread panicked"))
}

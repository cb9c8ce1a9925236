//! Processors that are taken by threads that compute, and threads that block in the kernel.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use gort_bench_wire::check::expect;
use gort_bench_wire::lateness::Lateness;
use gort_bench_wire::timing::{median, repeat};
use gort_bench_wire::{Call, Outcome, process};

use super::join;
use crate::worker::number;

const TICK: Duration = Duration::from_millis(1);

/// Beside `hogs` that never give way, one thread sleeps for 1 ms and then asks another one, again and again: how late it has the answer.
pub fn hog_relay(call: &Call) -> Result<Outcome> {
    process::stay_on(number(call, "procs")?)?;
    let (hogs, window) = (number(call, "hogs")?, Duration::from_millis(number(call, "window_ms")? as u64));
    let over = Arc::new(AtomicBool::new(false));
    let hogging: Vec<_> = (0..hogs)
        .map(|_| {
            let over = over.clone();
            thread::spawn(move || process::hog(&over))
        })
        .collect();
    let (ask, asked) = sync_channel::<u64>(0);
    let (answer, answers) = sync_channel::<u64>(0);
    let relay = thread::spawn(move || {
        while let Ok(n) = asked.recv() {
            answer.send(n + 1).unwrap();
        }
    });
    let (began, mut late) = (Instant::now(), Lateness::new());
    while began.elapsed() < window {
        let due = Instant::now() + TICK;
        thread::sleep(TICK);
        let n = late.count() as u64;
        ask.send(n)?;
        expect("the answer", answers.recv()?, n + 1)?;
        late.note(due);
    }
    // Relaxed: the joins order their counts.
    over.store(true, Relaxed);
    let seconds = began.elapsed().as_secs_f64();
    drop(ask);
    join(relay)?;
    let mut loops = 0;
    for handle in hogging {
        loops += join(handle)?;
    }
    Ok(late.add_to(Outcome::new())?.with("hog_mloops_per_s", loops as f64 / seconds / 1e6))
}

/// `count` threads block in the kernel at once for `sleep_ms`, while another one wakes every millisecond.
pub fn blocking_syscall(call: &Call) -> Result<Outcome> {
    process::stay_on(number(call, "procs")?)?;
    let (count, time) = (number(call, "count")?, Duration::from_millis(number(call, "sleep_ms")? as u64));
    let over = Arc::new(AtomicBool::new(false));
    let ticker = {
        let over = over.clone();
        thread::spawn(move || -> Result<(Lateness, u64)> {
            let (mut late, mut most) = (Lateness::new(), 0);
            // Relaxed: it may tick once more.
            while !over.load(Relaxed) {
                let due = Instant::now() + TICK;
                thread::sleep(TICK);
                late.note(due);
                most = most.max(process::threads()?);
            }
            Ok((late, most))
        })
    };
    let times = repeat(number(call, "repeats")?, || -> Result<()> {
        let mut handles = Vec::with_capacity(count);
        for _ in 0..count {
            let started = thread::Builder::new().spawn(move || process::nap(time));
            handles.push(started.context("cannot start a thread")?);
        }
        handles.into_iter().try_for_each(join)
    })?;
    over.store(true, Relaxed);
    let (late, most) = join(ticker)??;
    let wall_ms = median(&times) / 1e6;
    let outcome = late.add_to(Outcome::new())?.with("wall_ms", wall_ms);
    Ok(outcome.with("threads", most as f64).with("threads_x_ms", most as f64 * wall_ms))
}

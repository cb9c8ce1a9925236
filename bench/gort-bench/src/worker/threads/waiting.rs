//! Threads that wait for each other, for a lock, for the time.

use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use gort_bench_wire::check::expect;
use gort_bench_wire::lateness::Sleepers;
use gort_bench_wire::timing::{Cost, median, repeat};
use gort_bench_wire::{Call, Outcome, process};

use super::join;
use crate::worker::number;

/// Two threads send a number to and fro through two channels without capacity, `count` times.
pub fn pingpong(call: &Call) -> Result<Outcome> {
    process::stay_on(number(call, "procs")?)?;
    let (count, repeats) = (number(call, "count")? as u64, number(call, "repeats")?);
    let times = repeat(repeats + 1, || -> Result<()> {
        let (ping, pings) = sync_channel::<u64>(0);
        let (pong, pongs) = sync_channel::<u64>(0);
        let other = thread::spawn(move || {
            let mut rounds = 0;
            while let Ok(n) = pings.recv() {
                pong.send(n + 1).unwrap();
                rounds += 1;
            }
            rounds
        });
        for n in 0..count {
            ping.send(n)?;
            expect("the answer", pongs.recv()?, n + 1)?;
        }
        drop(ping);
        Ok(expect("round trips", join(other)?, count)?)
    })?;
    Ok(Outcome::new().with("ns", median(&times[1..]) / count as f64))
}

/// Threads lock the same mutex `count` times each, for an addition.
pub fn mutex(call: &Call) -> Result<Outcome> {
    process::stay_on(number(call, "procs")?)?;
    let (threads, count, repeats) = (number(call, "goroutines")?, number(call, "count")?, number(call, "repeats")?);
    let all = (count * threads) as u64;
    let times = repeat(repeats + 1, || -> Result<()> {
        let sum = Arc::new(Mutex::new(0));
        let adding = (0..threads).map(|_| {
            let sum = sum.clone();
            thread::spawn(move || {
                for _ in 0..count {
                    *sum.lock().unwrap() += 1;
                }
            })
        });
        adding.collect::<Vec<_>>().into_iter().try_for_each(join)?;
        let sum = *sum.lock().map_err(|_| anyhow!("the mutex is poisoned"))?;
        Ok(expect("additions", sum, all)?)
    })?;
    Ok(Outcome::new().with("ns", median(&times[1..]) / all as f64))
}

/// `count` threads sleep once, each for a random time of at most `longest_ms`. Twice.
pub fn timers(call: &Call) -> Result<Outcome> {
    let (count, longest) = (number(call, "count")?, Duration::from_millis(number(call, "longest_ms")? as u64));
    let mut outcome = Outcome::new();
    for round in ["cold", "warm"] {
        let sleepers = Arc::new(Sleepers::new(count, longest));
        let cost = Cost::of(|| -> Result<()> {
            let mut handles = Vec::with_capacity(count);
            for n in 0..count {
                let sleepers = sleepers.clone();
                let run = move || {
                    let time = sleepers.time(n);
                    let due = Instant::now() + time;
                    thread::sleep(time);
                    sleepers.woke(n, due);
                };
                handles.push(thread::Builder::new().spawn(run).context("cannot start a thread")?);
            }
            handles.into_iter().try_for_each(join)
        })?;
        outcome = sleepers.add_to(outcome, round, cost)?;
    }
    Ok(outcome)
}

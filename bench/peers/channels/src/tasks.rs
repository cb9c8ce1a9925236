//! The workloads, on any of the channels.

use std::sync::Arc;
use std::thread;

use gort_bench_wire::check::{Tally, expect};
use gort_bench_wire::timing::{median, repeat};
use gort_bench_wire::{Call, Outcome};

use crate::Result;
use crate::channel::{Channel, Select};

/// Two threads send a number to and fro through two channels without capacity, `count` times.
pub fn pingpong<C: Channel>(call: &Call) -> Result<Outcome> {
    let (count, repeats) = (call.number::<u64>("count")?, call.number::<usize>("repeats")?);
    let times = repeat(repeats + 1, || -> Result<()> {
        let ((ping, pings), (pong, pongs)) = (C::bounded(0), C::bounded(0));
        let other = thread::spawn(move || {
            let mut rounds = 0;
            while let Ok(n) = C::recv(&pings) {
                C::send(&pong, n + 1).unwrap();
                rounds += 1;
            }
            rounds
        });
        for n in 0..count {
            C::send(&ping, n)?;
            expect("the answer", C::recv(&pongs)?, n + 1)?;
        }
        drop(ping);
        Ok(expect("round trips", join(other)?, count)?)
    })?;
    Ok(Outcome::new().with("ns", median(&times[1..]) / count as f64))
}

/// `senders` send `count` values, all together, to `receivers`, through one channel.
pub fn mpmc<C: Channel>(call: &Call) -> Result<Outcome> {
    let (senders, receivers) = (call.number::<u64>("senders")?, call.number::<u64>("receivers")?);
    let (count, capacity) = (call.number::<u64>("count")?, call.number::<usize>("capacity")?);
    let repeats = call.number::<usize>("repeats")?;
    let mut tallies = Vec::new();
    let times = repeat(repeats + 1, || -> Result<()> {
        let (send, receive) = C::bounded(capacity);
        let sending: Vec<_> = (0..senders).map(|first| sender::<C>(&send, first, senders, count)).collect();
        drop(send);
        let receiving: Vec<_> = (0..receivers)
            .map(|_| {
                let receive = receive.clone();
                thread::spawn(move || {
                    let mut tally = Tally::default();
                    while let Ok(n) = C::recv(&receive) {
                        tally.add(n);
                    }
                    tally
                })
            })
            .collect();
        for handle in sending {
            join(handle)?;
        }
        tallies.push(Tally::of_all(receiving.into_iter().map(join).collect::<Result<Vec<_>>>()?));
        Ok(())
    })?;
    tallies.into_iter().try_for_each(|tally| tally.expect_each_once(count))?;
    Ok(Outcome::new().with("ns", median(&times[1..]) / count as f64))
}

/// Two threads send `count` values, all together, through a channel each; one receives from both.
pub fn select2<C: Select>(call: &Call) -> Result<Outcome> {
    let (count, capacity) = (call.number::<u64>("count")?, call.number::<usize>("capacity")?);
    let repeats = call.number::<usize>("repeats")?;
    let mut tallies = Vec::new();
    let times = repeat(repeats + 1, || -> Result<()> {
        let ((send_even, even), (send_odd, odd)) = (C::bounded(capacity), C::bounded(capacity));
        // The originals stay here, as a channel that is closed would always be ready.
        let sending = [(&send_even, 0), (&send_odd, 1)].map(|(send, first)| sender::<C>(send, first, 2, count));
        tallies.push(C::from_two(count, &even, &odd)?);
        sending.into_iter().try_for_each(join)
    })?;
    tallies.into_iter().try_for_each(|tally| tally.expect_each_once(count))?;
    Ok(Outcome::new().with("ns", median(&times[1..]) / count as f64))
}

/// Sends every `step`-th number from `first` on.
fn sender<C: Channel>(send: &C::Sender, first: u64, step: u64, count: u64) -> thread::JoinHandle<()> {
    let send = send.clone();
    thread::spawn(move || (first..count).step_by(step as usize).for_each(|n| C::send(&send, n).unwrap()))
}

/// crossbeam's `select!` with a default, `count` times, on a channel in which there is nothing; in the end there is.
pub fn select_default(call: &Call) -> Result<Outcome> {
    let (count, repeats) = (call.number::<u64>("count")?, call.number::<usize>("repeats")?);
    let (send, receive) = crossbeam_channel::bounded::<u64>(1);
    let look = || {
        crossbeam_channel::select! {
            recv(receive) -> n => n.ok(),
            default => None,
        }
    };
    let times = repeat(repeats + 1, || -> Result<()> {
        let nothing = (0..count).filter(|_| look().is_none()).count();
        Ok(expect("looks that found nothing", nothing as u64, count)?)
    })?;
    send.send(7)?;
    expect("the value that is there", look().unwrap_or(0), 7)?;
    Ok(Outcome::new().with("ns", median(&times[1..]) / count as f64))
}

/// Threads lock parking_lot's mutex `count` times each, for an addition.
pub fn mutex(call: &Call) -> Result<Outcome> {
    let (threads, count) = (call.number::<usize>("goroutines")?, call.number::<u64>("count")?);
    let repeats = call.number::<usize>("repeats")?;
    let all = count * threads as u64;
    let times = repeat(repeats + 1, || -> Result<()> {
        let sum = Arc::new(parking_lot::Mutex::new(0));
        let adding = (0..threads).map(|_| {
            let sum = sum.clone();
            thread::spawn(move || (0..count).for_each(|_| *sum.lock() += 1))
        });
        adding.collect::<Vec<_>>().into_iter().try_for_each(join)?;
        Ok(expect("additions", *sum.lock(), all)?)
    })?;
    Ok(Outcome::new().with("ns", median(&times[1..]) / all as f64))
}

fn join<T>(handle: thread::JoinHandle<T>) -> Result<T> {
    handle.join().map_err(|_| "a thread panicked".into())
}

//! Channels and `select!`.

use gort::chan::{Sender, bounded};
use gort_bench_wire::check::{Tally, expect};
use gort_bench_wire::timing::{median, repeat};
use gort_bench_wire::{Call, Outcome};

use crate::{Result, join};

/// A tree of goroutines, ten below each, down to `leaves` that send their numbers up; each other one sends the sum of its ten.
pub fn skynet(call: &Call) -> Result<Outcome> {
    let (leaves, repeats) = (call.number::<u64>("leaves")?, call.number::<usize>("repeats")?);
    let times = repeat(repeats + 1, || -> Result<()> {
        let (up, root) = bounded(0);
        gort::go(move || node(&up, 0, leaves));
        Ok(expect("sum of all leaves", root.recv()?, leaves * (leaves - 1) / 2)?)
    })?;
    Ok(Outcome::new().with("ms", median(&times[1..]) / 1e6).with("cold_ms", times[0] / 1e6))
}

fn node(up: &Sender<u64>, first: u64, leaves: u64) {
    if leaves == 1 {
        up.send(first).unwrap();
        return;
    }
    let (send, sums) = bounded(0);
    let each = leaves / 10;
    for child in 0..10 {
        let send = send.clone();
        gort::go(move || node(&send, first + child * each, each));
    }
    up.send((0..10).map(|_| sums.recv().unwrap()).sum()).unwrap();
}

/// Two goroutines send a number to and fro through two unbuffered channels, `count` times.
pub fn pingpong(call: &Call) -> Result<Outcome> {
    let (count, repeats) = (call.number::<u64>("count")?, call.number::<usize>("repeats")?);
    let times = repeat(repeats + 1, || -> Result<()> {
        let (ping, pings) = bounded::<u64>(0);
        let (pong, pongs) = bounded::<u64>(0);
        let other = gort::go(move || {
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

/// `senders` send `count` values, all together, to `receivers`, through one channel.
pub fn mpmc(call: &Call) -> Result<Outcome> {
    let (senders, receivers) = (call.number::<u64>("senders")?, call.number::<u64>("receivers")?);
    let (count, capacity) = (call.number::<u64>("count")?, call.number::<usize>("capacity")?);
    let repeats = call.number::<usize>("repeats")?;
    let mut tallies = Vec::new();
    let times = repeat(repeats + 1, || -> Result<()> {
        let (send, receive) = bounded::<u64>(capacity);
        let sending: Vec<_> = (0..senders)
            .map(|first| {
                let send = send.clone();
                gort::go(move || (first..count).step_by(senders as usize).for_each(|n| send.send(n).unwrap()))
            })
            .collect();
        drop(send);
        let receiving: Vec<_> = (0..receivers)
            .map(|_| {
                let receive = receive.clone();
                gort::go(move || {
                    let mut tally = Tally::default();
                    while let Ok(n) = receive.recv() {
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

/// Two goroutines send `count` values, all together, through a channel each; one receives from both.
pub fn select2(call: &Call) -> Result<Outcome> {
    let (count, capacity) = (call.number::<u64>("count")?, call.number::<usize>("capacity")?);
    let repeats = call.number::<usize>("repeats")?;
    let mut tallies = Vec::new();
    let times = repeat(repeats + 1, || -> Result<()> {
        let ((send_even, even), (send_odd, odd)) = (bounded(capacity), bounded(capacity));
        // The originals stay here, as an arm of a channel that is closed would always be ready.
        let sending = [(0, send_even.clone()), (1, send_odd.clone())]
            .map(|(first, send)| gort::go(move || (first..count).step_by(2).for_each(|n| send.send(n).unwrap())));
        let mut tally = Tally::default();
        for _ in 0..count {
            gort::select! {
                recv(even) -> n => tally.add(n?),
                recv(odd) -> n => tally.add(n?),
            }
        }
        tallies.push(tally);
        sending.into_iter().try_for_each(join)
    })?;
    tallies.into_iter().try_for_each(|tally| tally.expect_each_once(count))?;
    Ok(Outcome::new().with("ns", median(&times[1..]) / count as f64))
}

/// `select!` with a default, `count` times, on a channel in which there is nothing; in the end there is.
pub fn select_default(call: &Call) -> Result<Outcome> {
    let (count, repeats) = (call.number::<u64>("count")?, call.number::<usize>("repeats")?);
    let (send, receive) = bounded::<u64>(1);
    let look = || {
        gort::select! {
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

//! Channels, which have no bounds here, and `select!`.

use std::sync::{Arc, Mutex};

use gort_bench_wire::check::{Tally, expect};
use gort_bench_wire::timing::{median, repeat};
use gort_bench_wire::{Call, Outcome};
use may::go;
use may::sync::{mpmc, mpsc};

use crate::{Result, join};

/// A tree of coroutines, ten below each, down to `leaves` that send their numbers up; each other one sends the sum of its ten.
pub fn skynet(call: &Call) -> Result<Outcome> {
    let (leaves, repeats) = (call.number::<u64>("leaves")?, call.number::<usize>("repeats")?);
    let times = repeat(repeats + 1, || -> Result<()> {
        let (up, root) = mpsc::channel();
        go!(move || node(&up, 0, leaves));
        Ok(expect("sum of all leaves", root.recv()?, leaves * (leaves - 1) / 2)?)
    })?;
    Ok(Outcome::new().with("ms", median(&times[1..]) / 1e6).with("cold_ms", times[0] / 1e6))
}

fn node(up: &mpsc::Sender<u64>, first: u64, leaves: u64) {
    if leaves == 1 {
        up.send(first).unwrap();
        return;
    }
    let (send, sums) = mpsc::channel();
    let each = leaves / 10;
    for child in 0..10 {
        let send = send.clone();
        go!(move || node(&send, first + child * each, each));
    }
    up.send((0..10).map(|_| sums.recv().unwrap()).sum()).unwrap();
}

/// Two coroutines send a number to and fro through two channels, `count` times.
pub fn pingpong(call: &Call) -> Result<Outcome> {
    let (count, repeats) = (call.number::<u64>("count")?, call.number::<usize>("repeats")?);
    let times = repeat(repeats + 1, || -> Result<()> {
        let (ping, pings) = mpsc::channel::<u64>();
        let (pong, pongs) = mpsc::channel::<u64>();
        let other = go!(move || {
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
    let (count, repeats) = (call.number::<u64>("count")?, call.number::<usize>("repeats")?);
    let mut tallies = Vec::new();
    let times = repeat(repeats + 1, || -> Result<()> {
        let (send, receive) = mpmc::channel::<u64>();
        let sending: Vec<_> = (0..senders)
            .map(|first| {
                let send = send.clone();
                go!(move || (first..count).step_by(senders as usize).for_each(|n| send.send(n).unwrap()))
            })
            .collect();
        drop(send);
        let receiving: Vec<_> = (0..receivers)
            .map(|_| {
                let receive = receive.clone();
                go!(move || {
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

/// Two coroutines send `count` values, all together, through a channel each; one receives from both.
pub fn select2(call: &Call) -> Result<Outcome> {
    let (count, repeats) = (call.number::<u64>("count")?, call.number::<usize>("repeats")?);
    let mut tallies = Vec::new();
    let times = repeat(repeats + 1, || -> Result<()> {
        let ((send_even, even), (send_odd, odd)) = (mpsc::channel::<u64>(), mpsc::channel::<u64>());
        let sending = [(0, send_even), (1, send_odd)]
            .map(|(first, send)| go!(move || (first..count).step_by(2).for_each(|n| send.send(n).unwrap())));
        // What its arms have received when another one has won is lost. So everything is sent first: then it ends, with too little.
        sending.into_iter().try_for_each(join)?;
        // The arms run in coroutines of their own.
        let tally = Arc::new(Mutex::new(Tally::default()));
        for _ in 0..count {
            received_one(&even, &odd, &tally);
        }
        tallies.push(*tally.lock().map_err(|_| "an arm panicked")?);
        Ok(())
    })?;
    tallies.into_iter().try_for_each(|tally| tally.expect_each_once(count))?;
    Ok(Outcome::new().with("ns", median(&times[1..]) / count as f64))
}

/// `select!` returns from the function it stands in.
fn received_one(even: &mpsc::Receiver<u64>, odd: &mpsc::Receiver<u64>, tally: &Mutex<Tally>) -> usize {
    may::select!(
        n = even.recv() => if let Ok(n) = n { tally.lock().unwrap().add(n) },
        n = odd.recv() => if let Ok(n) = n { tally.lock().unwrap().add(n) }
    )
}

/// `try_recv`, as there is no `select!` with a default, `count` times, on a channel in which there is nothing; in the end there is.
pub fn select_default(call: &Call) -> Result<Outcome> {
    let (count, repeats) = (call.number::<u64>("count")?, call.number::<usize>("repeats")?);
    let (send, receive) = mpsc::channel::<u64>();
    let look = || receive.try_recv().ok();
    let times = repeat(repeats + 1, || -> Result<()> {
        let nothing = (0..count).filter(|_| look().is_none()).count();
        Ok(expect("looks that found nothing", nothing as u64, count)?)
    })?;
    send.send(7)?;
    expect("the value that is there", look().unwrap_or(0), 7)?;
    Ok(Outcome::new().with("ns", median(&times[1..]) / count as f64))
}

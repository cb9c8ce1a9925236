//! Channels and `select!`.

use std::pin::Pin;
use std::time::Duration;

use gort_bench_wire::check::{Tally, expect};
use gort_bench_wire::timing::{median, repeat};
use gort_bench_wire::{Call, Outcome};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::channel::{Channel, Shared};
use crate::{Result, on_worker};

/// A tree of tasks, ten below each, down to `leaves` that send their numbers up; each other one sends the sum of its ten.
pub fn skynet(call: &Call, runtime: &Runtime) -> Result<Outcome> {
    let (leaves, repeats) = (call.number::<u64>("leaves")?, call.number::<usize>("repeats")?);
    let times = repeat(repeats + 1, || {
        on_worker(runtime, async move {
            let (up, mut root) = mpsc::channel(1);
            tokio::spawn(node(up, 0, leaves));
            Ok(expect("sum of all leaves", root.recv().await.ok_or("it sent nothing")?, leaves * (leaves - 1) / 2)?)
        })
    })?;
    Ok(Outcome::new().with("ms", median(&times[1..]) / 1e6).with("cold_ms", times[0] / 1e6))
}

/// Boxed, as it starts itself.
fn node(up: mpsc::Sender<u64>, first: u64, leaves: u64) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        if leaves == 1 {
            up.send(first).await.unwrap();
            return;
        }
        let (send, mut sums) = mpsc::channel(1);
        let each = leaves / 10;
        for child in 0..10 {
            tokio::spawn(node(send.clone(), first + child * each, each));
        }
        let mut sum = 0;
        for _ in 0..10 {
            sum += sums.recv().await.unwrap();
        }
        up.send(sum).await.unwrap();
    })
}

/// Two tasks send a number to and fro through two channels without capacity, `count` times.
pub fn pingpong<C: Channel>(call: &Call, runtime: &Runtime) -> Result<Outcome> {
    let (count, repeats) = (call.number::<u64>("count")?, call.number::<usize>("repeats")?);
    let times = repeat(repeats + 1, || {
        on_worker(runtime, async move {
            let ((ping, mut pings), (pong, mut pongs)) = (C::bounded(0), C::bounded(0));
            let other = tokio::spawn(async move {
                let mut rounds = 0;
                while let Ok(n) = C::recv(&mut pings).await {
                    C::send(&pong, n + 1).await.unwrap();
                    rounds += 1;
                }
                rounds
            });
            for n in 0..count {
                C::send(&ping, n).await?;
                expect("the answer", C::recv(&mut pongs).await?, n + 1)?;
            }
            drop(ping);
            Ok(expect("round trips", other.await?, count)?)
        })
    })?;
    Ok(Outcome::new().with("ns", median(&times[1..]) / count as f64))
}

/// `senders` send `count` values, all together, to `receivers`, through one channel.
pub fn mpmc<C: Shared>(call: &Call, runtime: &Runtime) -> Result<Outcome> {
    let (senders, receivers) = (call.number::<u64>("senders")?, call.number::<u64>("receivers")?);
    let (count, capacity) = (call.number::<u64>("count")?, call.number::<usize>("capacity")?);
    let repeats = call.number::<usize>("repeats")?;
    let mut tallies = Vec::new();
    let times = repeat(repeats + 1, || -> Result<()> {
        let tally = on_worker(runtime, async move {
            let (send, receive) = C::bounded(capacity);
            let sending: Vec<_> = (0..senders).map(|first| sender::<C>(&send, first, senders, count)).collect();
            drop(send);
            let receiving: Vec<_> = (0..receivers)
                .map(|_| {
                    let mut receive = receive.clone();
                    tokio::spawn(async move {
                        let mut tally = Tally::default();
                        while let Ok(n) = C::recv(&mut receive).await {
                            tally.add(n);
                        }
                        tally
                    })
                })
                .collect();
            for handle in sending {
                handle.await?;
            }
            let mut tallies = Vec::new();
            for handle in receiving {
                tallies.push(handle.await?);
            }
            Ok(Tally::of_all(tallies))
        })?;
        tallies.push(tally);
        Ok(())
    })?;
    tallies.into_iter().try_for_each(|tally| tally.expect_each_once(count))?;
    Ok(Outcome::new().with("ns", median(&times[1..]) / count as f64))
}

/// Two tasks send `count` values, all together, through a channel each; one receives from both. Not every channel's `recv` may be dropped before its
/// end: then values are lost.
pub fn select2<C: Channel>(call: &Call, runtime: &Runtime) -> Result<Outcome> {
    let (count, capacity) = (call.number::<u64>("count")?, call.number::<usize>("capacity")?);
    let repeats = call.number::<usize>("repeats")?;
    let mut tallies = Vec::new();
    let times = repeat(repeats + 1, || -> Result<()> {
        let tally = on_worker(runtime, async move {
            let ((send_even, mut even), (send_odd, mut odd)) = (C::bounded(capacity), C::bounded(capacity));
            let sending = [sender::<C>(&send_even, 0, 2, count), sender::<C>(&send_odd, 1, 2, count)];
            let watching = tokio::spawn(async move {
                for handle in sending {
                    handle.await.unwrap();
                }
                sleep(Duration::from_secs(1)).await;
                eprintln!("tokio: values are lost: a second after all were sent, some had not come");
                std::process::exit(1);
            });
            let mut tally = Tally::default();
            for _ in 0..count {
                tokio::select! {
                    n = C::recv(&mut even) => tally.add(n?),
                    n = C::recv(&mut odd) => tally.add(n?),
                }
            }
            watching.abort();
            Ok(tally)
        })?;
        tallies.push(tally);
        Ok(())
    })?;
    tallies.into_iter().try_for_each(|tally| tally.expect_each_once(count))?;
    Ok(Outcome::new().with("ns", median(&times[1..]) / count as f64))
}

/// Sends every `step`-th number from `first` on.
fn sender<C: Channel>(send: &C::Sender, first: u64, step: u64, count: u64) -> JoinHandle<()> {
    let send = send.clone();
    tokio::spawn(async move {
        for n in (first..count).step_by(step as usize) {
            C::send(&send, n).await.unwrap();
        }
    })
}

/// `select!` with a branch that is always ready, `count` times, on a channel in which there is nothing; in the end there is.
pub fn select_default(call: &Call, runtime: &Runtime) -> Result<Outcome> {
    let (count, repeats) = (call.number::<u64>("count")?, call.number::<usize>("repeats")?);
    let times = on_worker(runtime, async move {
        let (send, mut receive) = mpsc::channel(1);
        let mut times = Vec::new();
        for _ in 0..=repeats {
            let began = std::time::Instant::now();
            let mut nothing = 0;
            for _ in 0..count {
                nothing += u64::from(look(&mut receive).await.is_none());
            }
            times.push(began.elapsed().as_nanos() as f64);
            expect("looks that found nothing", nothing, count)?;
        }
        send.send(7).await?;
        expect("the value that is there", look(&mut receive).await.unwrap_or(0), 7)?;
        Ok(times)
    })?;
    Ok(Outcome::new().with("ns", median(&times[1..]) / count as f64))
}

async fn look(receive: &mut mpsc::Receiver<u64>) -> Option<u64> {
    tokio::select! {
        biased;
        n = receive.recv() => n,
        () = std::future::ready(()) => None,
    }
}

//! The border between goroutines and what is outside of the runtime: what it costs to cross, and what a process does that has nothing to do.

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use gort::BlockingClass;
use gort_bench_wire::lateness::Lateness;
use gort_bench_wire::process::switches_of_others;
use gort_bench_wire::timing::{median, repeat};
use gort_bench_wire::{Call, Outcome};

use crate::{Result, join};

/// An idle process that does not come to rest is looked at after so many times.
const MOST_RESTLESS: usize = 6;

static CLASS: BlockingClass = BlockingClass::new("nobody else's", 8);

/// Entering and leaving the runtime, and marked sections that end at once, `count` times each; of each an empty loop's time is taken off.
pub fn border(call: &Call) -> Result<Outcome> {
    let (count, repeats) = (call.number::<u64>("count")?, call.number::<usize>("repeats")?);
    let each = move |work: fn(u64)| -> Result<f64> {
        let times = repeat(repeats + 1, || -> Result<()> {
            work(black_box(count));
            Ok(())
        })?;
        Ok(median(&times[1..]) / count as f64)
    };
    let measured = gort::go(move || -> Result<Outcome> {
        let empty = each(|count| (0..count).for_each(|n| _ = black_box(n)))?;
        let visit = each(gort::__private::visits)?;
        let section = each(|count| (0..count).for_each(|n| _ = gort::blocking(|| black_box(n))))?;
        let nested = each(|count| (0..count).for_each(|n| _ = gort::blocking(|| gort::blocking(|| black_box(n)))))?;
        let class = each(|count| (0..count).for_each(|n| _ = CLASS.run(|| black_box(n))))?;
        Ok(Outcome::new()
            .with("ns", visit - empty)
            .with("blocking_ns", section - empty)
            .with("nested_ns", nested - empty)
            .with("class_ns", class - empty))
    });
    join(measured)?
}

/// A goroutine for each processor blocks its thread for `sleep_ms`, unmarked. Meanwhile a byte goes over loopback and back each millisecond: how late it
/// is.
pub fn asleep(call: &Call) -> Result<Outcome> {
    let time = Duration::from_millis(call.number("sleep_ms")?);
    let listener = gort::net::TcpListener::bind("127.0.0.1:0")?;
    let mut ask = gort::net::TcpStream::connect(listener.local_addr()?)?;
    let (mut answer, _) = listener.accept()?;
    ask.set_nodelay(true)?;
    answer.set_nodelay(true)?;
    let answers = gort::go(move || -> Result<()> {
        let mut byte = [0];
        while answer.read(&mut byte)? > 0 {
            answer.write_all(&byte)?;
        }
        Ok(())
    });
    let end = Instant::now() + time;
    let sleepers: Vec<_> = (0..gort::runtime::max_procs()).map(|_| gort::go(move || thread::sleep(time))).collect();
    let mut late = Lateness::new();
    let mut due = Instant::now();
    while due < end {
        gort::sleep(due.saturating_duration_since(Instant::now()));
        ask.write_all(&[1])?;
        ask.read_exact(&mut [0])?;
        late.note(due);
        due += Duration::from_millis(1);
    }
    drop(ask);
    join(answers)??;
    sleepers.into_iter().try_for_each(join)?;
    Ok(late.add_to(Outcome::new())?)
}

/// A server that answers over loopback, `count` goroutines that yield, sleep and end, and nothing that blocks: how many processors were taken from their
/// threads. Then a server without requests and sleepers: how often the kernel runs a thread of the process, per second.
pub fn idle(call: &Call) -> Result<Outcome> {
    let count = call.number::<usize>("count")?;
    let (settle, window) = (call.number("settle_ms")?, call.number("window_ms")?);
    let listener = gort::net::TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    gort::go(move || -> Result<()> {
        loop {
            let (mut stream, _) = listener.accept()?;
            gort::go(move || -> Result<()> {
                let mut byte = [0];
                while stream.read(&mut byte)? > 0 {
                    stream.write_all(&byte)?;
                }
                Ok(())
            });
        }
    });
    let (give, clients) = gort::chan::unbounded::<gort::net::TcpStream>();
    let clean: Vec<_> = (0..count)
        .map(|_| {
            let clients = clients.clone();
            gort::go(move || -> Result<()> {
                // Two hundred at once may wait for one another in the kernel, which is no clean run.
                let mut client = clients.recv()?;
                for _ in 0..20 {
                    client.write_all(&[1])?;
                    client.read_exact(&mut [0])?;
                    gort::yield_now();
                    gort::sleep(Duration::from_millis(1));
                }
                Ok(())
            })
        })
        .collect();
    let mut connected = Vec::with_capacity(count);
    for _ in 0..count {
        connected.push(gort::net::TcpStream::connect(address)?);
    }
    let before = gort::runtime::metrics().retakes;
    for client in connected {
        give.send(client)?;
    }
    for handle in clean {
        join(handle)??;
    }
    let retakes = gort::runtime::metrics().retakes - before;
    gort::go(|| gort::sleep(Duration::from_secs(1000)));
    let waits = TcpStream::connect(address)?;
    // Looked at from a thread of its own, whose own wakes do not count.
    let (told, looked) = gort::chan::bounded(1);
    let look = thread::spawn(move || -> Result<()> {
        // Until it has come to rest: for so long nothing has happened.
        let mut before = switches_of_others()?;
        for _ in 0..MOST_RESTLESS {
            thread::sleep(Duration::from_millis(settle));
            let now = switches_of_others()?;
            if std::mem::replace(&mut before, now) == now {
                break;
            }
        }
        thread::sleep(Duration::from_millis(window));
        told.send(switches_of_others()?.saturating_sub(before))?;
        Ok(())
    });
    let switches = looked.recv()?;
    look.join().map_err(|_| "the thread that looks has panicked")??;
    drop(waits);
    Ok(Outcome::new().with("retakes", retakes as f64).with("wake_ups_per_s", switches as f64 / (window as f64 / 1e3)))
}

//! Echo under load: one generator for all servers.
//!
//! ```text
//! this process                                             the peer's process
//!   main      starts the server, takes the time   ──────▶    control thread (stdin, stdout)
//!   clients   a thread, an epoll, N connections    ◀─────▶    the server
//! ```
//!
//! Closed loop: each connection has one message in flight and sends the next as soon as the reply is there and found right. The server's CPU time
//! is the kernel's own clock of that process, read at both ends of the window; the requests are those counted in between. System calls are
//! counted after the window, so that counting does not disturb what is measured.

mod client;
mod server;
mod syscalls;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Error, Result, anyhow, bail};
use gort_bench_wire::memory::{Memory, field};
use gort_bench_wire::{Call, Outcome};

use super::number;
use client::{Client, Tally};
use server::Server;

/// What main and clients tell each other.
#[derive(Debug, Default)]
struct Shared {
    phase: AtomicU8,
    /// Replies so far.
    replies: AtomicU64,
    /// A client has ended, with or without an error.
    ended: AtomicBool,
}

// Phases; 0 is warming up.
const WINDOW: u8 = 1;
const AFTER: u8 = 2;
const END: u8 = 3;

/// Not a single reply for so long is a server that hangs.
const SILENCE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(100);
/// For a server that hangs, to say where.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long system calls are counted.
const COUNTING: Duration = Duration::from_millis(700);

/// The state of things at an end of the window.
struct Mark {
    at: Instant,
    replies: u64,
    server_cpu: Duration,
    client_cpu: Duration,
}

pub fn run(call: &Call) -> Result<Outcome> {
    let conns = number(call, "conns")?;
    let millis = |key: &str| call.number(key).map(Duration::from_millis).map_err(Error::msg);
    let (warm_up, window) = (millis("warm_up_ms")?, millis("window_ms")?);
    let count_calls = number(call, "count_calls")? != 0;
    // A hung server is asked for its state by a SIGQUIT to all of us; this process has nothing to say.
    signal_hook::flag::register(signal_hook::consts::SIGQUIT, Arc::default())?;

    let exe = call.text("server").map_err(Error::msg)?;
    let mut server = Server::start(exe, &call.peer, number(call, "procs")?)?;
    let idle = Memory::of(&server.pid().to_string())?;
    let threads: usize = number(call, "client_threads")?;
    let shared = Arc::new(Shared::default());
    let mut clients = Vec::new();
    for first in 0..threads {
        let numbers = (first..conns).step_by(threads);
        clients.push(Client::connect(server.addr(), numbers).context("cannot connect")?);
    }
    let clients = clients.into_iter().map(|client| {
        let shared = shared.clone();
        thread::Builder::new().name("client".into()).spawn(move || {
            let tally = client.run(&shared);
            // Relaxed: only says that joining will not take long.
            shared.ended.store(true, Relaxed);
            tally
        })
    });
    let clients = clients.collect::<std::io::Result<Vec<_>>>().context("cannot start a client")?;
    let measured = measure(&shared, &mut server, warm_up, window, count_calls);
    // Relaxed, here and for the other phases: the clients order nothing by it.
    shared.phase.store(END, Relaxed);
    if measured.is_err() && server.is_running() {
        server.ask_where_it_is();
        thread::sleep(LAST_WORDS);
    }
    // The clients first: what they have to say is the cause of what main noticed.
    let mut tally = Tally::new()?;
    for client in clients {
        tally.add(&client.join().map_err(|_| anyhow!("a client panicked"))??)?;
    }
    let (from, to, outcome) = measured?;
    if tally.silent > 0 {
        bail!("{} of {conns} connections had no reply within {} ms", tally.silent, window.as_millis());
    }

    let held = server.memory_at_peak().total().saturating_sub(idle.total());
    let replies = (to.replies - from.replies) as f64;
    let seconds = (to.at - from.at).as_secs_f64();
    let quantile = |q: f64| tally.latency_ns.value_at_quantile(q) as f64 / 1e3;
    Ok(outcome
        .with("cpu_us_per_req", (to.server_cpu - from.server_cpu).as_secs_f64() * 1e6 / replies)
        .with("rps", replies / seconds)
        .with("p50_us", quantile(0.5))
        .with("p90_us", quantile(0.9))
        .with("p99_us", quantile(0.99))
        .with("p999_us", quantile(0.999))
        .with("max_us", tally.latency_ns.max() as f64 / 1e3)
        .with("requests", replies)
        .with("client_cpu_share", (to.client_cpu - from.client_cpu).as_secs_f64() / seconds)
        .with("server_bytes_per_conn", held as f64 / conns as f64))
}

/// Leads the clients through their phases.
fn measure(
    shared: &Shared,
    server: &mut Server,
    warm_up: Duration,
    window: Duration,
    count_calls: bool,
) -> Result<(Mark, Mark, Outcome)> {
    wait(shared, warm_up)?;
    shared.phase.store(WINDOW, Relaxed);
    let from = mark(shared, server)?;
    wait(shared, window)?;
    let to = mark(shared, server)?;
    shared.phase.store(AFTER, Relaxed);
    if to.replies == from.replies {
        bail!("no reply within the window of {} ms", window.as_millis());
    }
    server.note_memory()?;
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid()))?;
    let mut outcome = Outcome::new().with("server_threads", field(&status, "Threads").unwrap_or(0) as f64);
    if count_calls {
        // Relaxed: a count.
        let replies = || shared.replies.load(Relaxed);
        outcome = match syscalls::per_request(server, replies, || wait(shared, COUNTING)) {
            Ok((calls, how)) => outcome.with("syscalls_per_req", calls).noting("syscalls", how),
            Err(why) => outcome.noting("syscalls", format!("not counted: {why:#}")),
        };
    }
    wait(shared, Duration::ZERO)?;
    Ok((from, to, outcome))
}

fn mark(shared: &Shared, server: &Server) -> Result<Mark> {
    Ok(Mark {
        server_cpu: server.cpu_time()?,
        // Relaxed: a count.
        replies: shared.replies.load(Relaxed),
        at: Instant::now(),
        client_cpu: server::own_cpu_time()?,
    })
}

/// Lets time pass as long as replies come.
fn wait(shared: &Shared, time: Duration) -> Result<()> {
    let began = Instant::now();
    let mut last = (shared.replies.load(Relaxed), began);
    loop {
        if shared.ended.load(Relaxed) {
            bail!("a client ended early");
        }
        let Some(left) = time.checked_sub(began.elapsed()).filter(|left| !left.is_zero()) else { return Ok(()) };
        thread::sleep(left.min(LOOK));
        let replies = shared.replies.load(Relaxed);
        if replies != last.0 {
            last = (replies, Instant::now());
        } else if last.1.elapsed() > SILENCE {
            bail!("the server hangs: no reply for {} s", SILENCE.as_secs());
        }
    }
}

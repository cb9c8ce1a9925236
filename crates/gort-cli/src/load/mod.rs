//! The load generator: a client goroutine per connection, whatever the style of the server.
//!
//! It runs on gort for every style, so that a comparison changes one end only. A load goes through phases (`phase`): all
//! connections are opened and tried first, then a warm-up, then the time that counts, then the end. Clients look at the phase
//! once per request and are never interrupted in one, so every request sent is answered, checked and counted, or counted as an
//! error of some kind (`fault`).
//!
//! Nothing is timed on the client's path. A server that stops answering is found from outside: by `progress` standing still, and
//! at the end by `stop`, which closes what is still waiting and counts it as timed out.

mod client;
mod fault;
mod message;
mod phase;
mod tally;

use std::collections::HashMap;
use std::io;
use std::net::Shutdown;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Error, Result};
use gort::net::TcpStream;

use crate::place::Place;

use fault::Faults;
pub use fault::{Fault, sentence, sentences};
use message::Pattern;
use phase::PhaseWord;
pub use tally::Latencies;
use tally::Tally;

/// Connections being opened at once: below any listener's backlog, else the kernel drops the surplus and tries again a second later.
const CONNECTING: u32 = 64;

/// What is asked of the server.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where it listens; connections are spread over all.
    pub places: Vec<Place>,
    /// Connections.
    pub conns: u32,
    /// Bytes of a message.
    pub size: usize,
    /// Requests per second over all connections; none: as fast as replies come.
    pub rate: Option<u64>,
}

/// A load under way.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    plan: Plan,
    pattern: Pattern,
    phase: PhaseWord,
    tally: Tally,
    faults: Faults,
    /// Connections the server took, whatever became of them.
    opened: AtomicU64,
    /// Connections that have had their first reply.
    connected: AtomicU64,
    /// Clients that have begun and not ended.
    clients: AtomicU64,
    /// What this process could not get, the first time: there is no load of the size asked for.
    shortage: OnceLock<String>,
    /// Streams of all clients, to be closed under those that wait for ever.
    streams: Mutex<HashMap<u32, Arc<TcpStream>>>,
}

/// How far a load is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Connections the server took, whatever became of them.
    pub opened: u64,
    /// Connections open and tried.
    pub connected: u64,
    /// Connections that failed or were lost.
    pub lost: u64,
    /// Requests answered since the start.
    pub requests: u64,
}

/// What was measured.
#[derive(Debug)]
pub struct Outcome {
    /// Requests answered in the measured time.
    pub requests: u64,
    /// Their latencies.
    pub latencies: Latencies,
    /// Errors of the whole run by kind, each with an example.
    pub faults: Vec<(Fault, u64, String)>,
    /// Connections that were there at the end, and had no reply in time.
    pub silent: u64,
}

impl Load {
    /// Begins to connect.
    pub fn start(plan: Plan) -> Load {
        let shared = Arc::new(Shared {
            pattern: Pattern::new(plan.size),
            phase: PhaseWord::new(),
            tally: Tally::new(),
            faults: Faults::default(),
            opened: AtomicU64::new(0),
            connected: AtomicU64::new(0),
            clients: AtomicU64::new(u64::from(plan.conns)),
            shortage: OnceLock::new(),
            streams: Mutex::new(HashMap::new()),
            plan,
        });
        // Each connector opens its share one after another, which bounds the connections being opened without anybody counting.
        let connectors = CONNECTING.min(shared.plan.conns);
        for first in 0..connectors {
            let mine = shared.clone();
            let connector = gort::Builder::new().spawn(move || {
                (first..mine.plan.conns).step_by(connectors as usize).for_each(|n| client::begin(&mine, n))
            });
            if let Err(e) = connector {
                shared.run_short("a goroutine that opens connections", &e);
            }
        }
        Load { shared }
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        Progress {
            // Relaxed: shown to people and compared with itself; nothing is read on the strength of it.
            opened: self.shared.opened.load(Relaxed),
            connected: self.shared.connected.load(Relaxed),
            lost: self.shared.faults.total(),
            requests: self.shared.tally.answered(),
        }
    }

    /// Fails if a goroutine could not be started.
    pub fn check(&self) -> Result<()> {
        self.shared.shortage.get().map_or(Ok(()), |words| Err(Error::msg(words.clone())))
    }

    /// Errors so far by kind, each with an example.
    pub fn faults(&self) -> Vec<(Fault, u64, String)> {
        self.shared.faults.by_kind()
    }

    /// Lets the clients go, who have waited since their connection was tried; nothing is recorded yet.
    pub fn warm_up(&self) {
        self.shared.phase.warm_up(Instant::now());
    }

    /// From now on requests count.
    pub fn measure(&self) {
        self.shared.phase.measure();
    }

    /// Requests count no more; the load goes on, so that the server can be looked at under it.
    pub fn cool_down(&self) {
        self.shared.phase.cool_down();
    }

    /// Ends the clients, those still waiting for a reply after `patience` by closing their connections.
    pub fn stop(self, patience: Duration) -> Outcome {
        self.shared.phase.stop();
        let mut silent = 0;
        if !self.wait_for_clients(patience) {
            let late: Vec<_> = self.shared.streams().drain().collect();
            silent = late.len() as u64;
            for (_, stream) in &late {
                self.shared.faults.count(Fault::TimedOut, || format!("no reply {patience:?} after the end"));
                let _ = stream.shutdown(Shutdown::Both);
            }
            self.wait_for_clients(Duration::from_secs(2));
        }
        let latencies = self.shared.tally.latencies();
        Outcome { requests: latencies.count(), latencies, faults: self.shared.faults.by_kind(), silent }
    }

    fn wait_for_clients(&self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        // Relaxed: a client counts itself out as its last deed, behind the locks through which its results are read.
        while self.shared.clients.load(Relaxed) > 0 {
            if Instant::now() >= until {
                return false;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        true
    }
}

impl Shared {
    /// Keeps what to say of the first shortage; the main thread finds it.
    fn run_short(&self, what: &str, e: &io::Error) {
        let words = || format!("cannot start {what}: {e}\n  way out:   raise that limit, or ask for fewer --conns");
        self.shortage.get_or_init(words);
    }

    fn streams(&self) -> std::sync::MutexGuard<'_, HashMap<u32, Arc<TcpStream>>> {
        // Nothing in here can panic half-way, so a poisoned lock still guards a whole map.
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

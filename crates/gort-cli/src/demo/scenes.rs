//! The situations: what is done to the processors while a ticker and an echo pair want to go on.
//!
//! Nothing here says anything to gort that the situation does not say: a loop is a loop, `std::thread::sleep` blocks the thread. Plain threads play
//! the same by the same code (`actors`).

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gort::BlockingClass;

use super::actors::{Actors, Connection};
use super::c;
use crate::args::Situation;
use crate::measure;

/// Those who want the mutex of `locks`.
const CONTENDERS: usize = 50;
/// Calls at once in `threads`, how long each takes, and how many the limit lets in.
const CALLS: usize = 400;
const CALL: Duration = Duration::from_millis(10);
static DATABASE: BlockingClass = BlockingClass::new("a database", 32);
/// Requests at once in the second half of `procs`, and how long the far end takes for each.
const CLIENTS: usize = 64;
const FAR: Duration = Duration::from_millis(2);
/// What is computed in one go in `procs`: some 20 ms.
const CHUNK: u32 = if cfg!(debug_assertions) { 500_000 } else { 20_000_000 };

/// Counts by name, shared by whoever plays.
#[derive(Debug, Clone, Default)]
pub struct Counts(Arc<Mutex<BTreeMap<&'static str, Arc<AtomicU64>>>>);

impl Counts {
    /// The count of this name, 0 at first.
    pub fn of(&self, name: &'static str) -> Arc<AtomicU64> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).entry(name).or_default().clone()
    }

    /// All of them.
    pub fn all(&self) -> BTreeMap<String, u64> {
        let counts = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Relaxed: pictures.
        counts.iter().map(|(name, count)| ((*name).to_owned(), count.load(Relaxed))).collect()
    }
}

/// Begins the situation on `procs` processors; it lasts until the process ends, or for `time` where it has parts.
pub fn begin(situation: Situation, actors: Actors, procs: usize, time: Duration) -> io::Result<Counts> {
    let counts = Counts::default();
    match situation {
        Situation::Hogs => hogs(actors, procs, &counts)?,
        Situation::Blocking => blocking(actors, procs, time, &counts)?,
        Situation::Ffi => ffi(actors, procs, &counts)?,
        Situation::Locks => locks(actors, &counts)?,
        Situation::Threads => threads(&counts),
        Situation::Procs => work(procs, time, &counts)?,
        // Played by `stage` itself, and by `files`.
        Situation::Deadlock | Situation::Files => {}
    }
    Ok(counts)
}

/// An endless loop for each processor.
fn hogs(actors: Actors, procs: usize, counts: &Counts) -> io::Result<()> {
    let loops = counts.of("endless_loops");
    for _ in 0..procs {
        let loops = loops.clone();
        actors.go(move || {
            loops.fetch_add(1, Relaxed);
            loop {
                std::hint::spin_loop();
            }
        })?;
    }
    Ok(())
}

/// For each processor: one that sleeps in `std::thread::sleep` to the end, one in `read(2)` on a pipe that nobody writes to, and one that naps
/// again and again.
fn blocking(actors: Actors, procs: usize, time: Duration, counts: &Counts) -> io::Result<()> {
    let (sleeps, reads, naps) = (counts.of("long_sleeps"), counts.of("reads"), counts.of("naps_of_10ms"));
    for _ in 0..procs {
        let (mut pipe, silent) = io::pipe()?;
        let (sleeps, reads, naps) = (sleeps.clone(), reads.clone(), naps.clone());
        actors.go(move || {
            sleeps.fetch_add(1, Relaxed);
            std::thread::sleep(time);
        })?;
        actors.go(move || {
            reads.fetch_add(1, Relaxed);
            let _ = pipe.read(&mut [0]);
            drop(silent);
        })?;
        actors.go(move || {
            loop {
                std::thread::sleep(Duration::from_millis(10));
                naps.fetch_add(1, Relaxed);
                actors.sleep(Duration::from_millis(10));
            }
        })?;
    }
    Ok(())
}

/// A function of C, called bare, marked, and through a class.
fn ffi(actors: Actors, procs: usize, counts: &Counts) -> io::Result<()> {
    let (bare, marked, limited) = (counts.of("calls_bare"), counts.of("calls_marked"), counts.of("calls_limited"));
    let class = Arc::new(gort::blocking_class("a C library", procs));
    for _ in 0..2 * procs {
        let (bare, marked, limited, class) = (bare.clone(), marked.clone(), limited.clone(), class.clone());
        actors.go(move || again_and_again(actors, &bare, || c::ask_the_server(20)))?;
        actors.go(move || again_and_again(actors, &marked, || gort::blocking(|| c::ask_the_server(20))))?;
        actors.go(move || again_and_again(actors, &limited, || class.run(|| c::ask_the_server(20))))?;
    }
    Ok(())
}

fn again_and_again(actors: Actors, count: &AtomicU64, call: impl Fn()) {
    loop {
        call();
        count.fetch_add(1, Relaxed);
        actors.sleep(Duration::from_millis(5));
    }
}

/// One holds a `std::sync::Mutex` while it waits for an answer from the network; fifty others want that mutex.
fn locks(actors: Actors, counts: &Counts) -> io::Result<()> {
    let (reads, turns) = (counts.of("reads_under_the_lock"), counts.of("turns_of_the_fifty"));
    let mut client = actors.far_end(move |_| actors.sleep(Duration::from_millis(2)))?.connect()?;
    let mutex = Arc::new(Mutex::new(()));
    let theirs = mutex.clone();
    actors.go(move || {
        loop {
            let guard = mutex.lock();
            if client.write_all(&[1]).and_then(|()| client.read_exact(&mut [0])).is_err() {
                return;
            }
            reads.fetch_add(1, Relaxed);
            drop(guard);
            actors.sleep(Duration::from_millis(1));
        }
    })?;
    for _ in 0..CONTENDERS {
        let (mutex, turns) = (theirs.clone(), turns.clone());
        actors.go(move || {
            loop {
                drop(mutex.lock());
                turns.fetch_add(1, Relaxed);
                actors.sleep(Duration::from_millis(1));
            }
        })?;
    }
    Ok(())
}

/// Hundreds of calls that block, at once: first a limited number at a time, then all.
fn threads(counts: &Counts) {
    let limited = [counts.of("limited_ms"), counts.of("limited_threads")];
    let free = [counts.of("unlimited_ms"), counts.of("unlimited_threads")];
    gort::go(move || {
        round(&limited, || DATABASE.run(|| std::thread::sleep(CALL)));
        round(&free, || gort::blocking(|| std::thread::sleep(CALL)));
    });
}

/// All calls once. Their threads stay for a while, so that they can be counted afterwards.
fn round([wall_ms, threads]: &[Arc<AtomicU64>; 2], call: impl Fn() + Clone + Send + 'static) {
    let began = Instant::now();
    let calls: Vec<_> = (0..CALLS).map(|_| gort::go(call.clone())).collect();
    for call in calls {
        let _ = call.join();
    }
    wall_ms.store(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX).max(1), Relaxed);
    threads.store(measure::threads(), Relaxed);
}

/// For half of `time` computing only, for the other half requests that wait for a far end.
fn work(procs: usize, time: Duration, counts: &Counts) -> io::Result<()> {
    let (computed, answered) = (counts.of("cpu_bound"), counts.of("io_bound"));
    let far_end = Actors::Goroutines.far_end(|_| gort::sleep(FAR))?;
    let clients: Vec<Connection> = (0..CLIENTS).map(|_| far_end.connect()).collect::<io::Result<_>>()?;
    let half = Instant::now() + time / 2;
    // As many as would keep the next larger number of processors busy.
    for _ in 0..2 * procs.max(2) {
        let computed = computed.clone();
        gort::go(move || {
            while Instant::now() < half {
                for n in 0..CHUNK {
                    std::hint::black_box(n);
                }
                computed.fetch_add(1, Relaxed);
                gort::yield_now();
            }
        });
    }
    for mut client in clients {
        let answered = answered.clone();
        gort::go(move || -> io::Result<()> {
            gort::sleep(half.saturating_duration_since(Instant::now()));
            loop {
                client.write_all(&[1])?;
                client.read_exact(&mut [0])?;
                answered.fetch_add(1, Relaxed);
            }
        });
    }
    Ok(())
}

//! Everything that thread identity has to stand, all at once, for as long as one likes; then every count must be back to its start.
//!
//! ```text
//! cargo test -p gort --test mixture                                    some seconds, as part of all tests
//! GORT_PERTURB=move cargo test --release -p gort --test mixture -- --seconds 1800 --moves 10000000
//! ```
//!
//! Parties of goroutines, each with an illness of its own, run side by side ([`parties`]), while the number of processors changes. After a fifth of the
//! time they all stop, and once more at its end, not before there were so many forced moves: in between neither goroutines, threads, descriptors nor memory may have grown.

#[path = "../common/mod.rs"]
mod common;
mod parties;

use common::library::allocated;
use gort::runtime::metrics;
use parties::PARTIES;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::{Duration, Instant};

/// What may remain in caches: those of the allocator, of processors, of libc.
const SLACK_BYTES: usize = 4 << 20;

fn main() -> ExitCode {
    match Length::parse(std::env::args().skip(1)) {
        Ok(length) => gort::go(move || run(length)).join().unwrap_or(ExitCode::FAILURE),
        Err(problem) => {
            eprintln!("mixture: {problem} (usage: mixture [--seconds N] [--moves N])");
            ExitCode::from(2)
        }
    }
}

/// How long it runs at least.
#[derive(Clone, Copy)]
struct Length {
    time: Duration,
    forced_moves: u64,
}

impl Length {
    /// What a test runner passes besides (filters, `--nocapture`) has no meaning here.
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut length = Self { time: Duration::from_secs(3), forced_moves: 0 };
        while let Some(argument) = arguments.next() {
            if !["--seconds", "--moves"].contains(&argument.as_str()) {
                continue;
            }
            let value = arguments.next().unwrap_or_default();
            let number = value.parse().ok().filter(|number| (1..=1_000_000_000).contains(number));
            let number = number.ok_or_else(|| format!("{argument}: {value:?} is no number from 1 to 1000000000"))?;
            match argument.as_str() {
                "--seconds" => length.time = Duration::from_secs(number),
                _ => length.forced_moves = number,
            }
        }
        let moves = std::env::var("GORT_PERTURB").is_ok_and(|kinds| kinds.contains("move"));
        if length.forced_moves > 0 && !moves {
            return Err("--moves: nobody is moved without GORT_PERTURB=move".into());
        }
        Ok(length)
    }
}

/// What has to be the same before and after.
#[derive(Clone, Copy, Debug)]
struct Counts {
    goroutines: u64,
    threads: u64,
    descriptors: usize,
    mappings: usize,
    allocated: usize,
    resident: usize,
}

impl Counts {
    /// Waits until nothing changes any more, then counts.
    fn at_rest() -> Self {
        let begun = Instant::now();
        while metrics().goroutines > 1 && begun.elapsed() < Duration::from_secs(20) {
            gort::sleep(Duration::from_millis(10));
        }
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
        let pages: usize = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
        Self {
            goroutines: metrics().goroutines,
            threads: metrics().threads,
            descriptors: std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count),
            mappings: std::fs::read_to_string("/proc/self/maps").map_or(0, |maps| maps.lines().count()),
            allocated: allocated(),
            resident: pages * 4096,
        }
    }
}

/// How many threads more than before may be left: what happened to be needed last is kept.
const MORE_THREADS: u64 = 8;
/// And how many mappings: those of such threads, and slots of stacks where a guard is one. A round that loses one does so thousands of times.
const MORE_MAPPINGS: usize = 256;

fn run(Length { time, forced_moves }: Length) -> ExitCode {
    println!("mixture: {} parties for {} s, {}", PARTIES.len(), time.as_secs(), gort::runtime::mode());
    let rounds: Arc<Vec<AtomicU64>> = Arc::new(PARTIES.iter().map(|_| AtomicU64::new(0)).collect());
    let mut failed = phase(time / 5, 0, &rounds);
    let before = Counts::at_rest();
    failed |= phase(time * 4 / 5, forced_moves, &rounds);
    // Threads that nobody needs leave by themselves, when they have been idle for ten seconds.
    let begun = Instant::now();
    while metrics().threads > before.threads + MORE_THREADS && begun.elapsed() < Duration::from_secs(40) {
        gort::sleep(Duration::from_millis(100));
    }
    let after = Counts::at_rest();

    for (party, rounds) in PARTIES.iter().zip(rounds.iter()) {
        let rounds = rounds.load(SeqCst);
        // A party that did nothing has proved nothing.
        failed |= rounds == 0 && (party.can_run)();
        println!("{rounds:>10} {}", party.name);
    }
    let Counts { goroutines, threads, descriptors, mappings, allocated, resident } = after;
    println!("{:>10} forced moves, {} goroutines in all", metrics().forced_moves, metrics().created);
    println!("goroutines   {} -> {goroutines}", before.goroutines);
    println!("threads      {} -> {threads}", before.threads);
    println!("descriptors  {} -> {descriptors}", before.descriptors);
    println!("mappings     {} -> {mappings}", before.mappings);
    println!("allocated    {} -> {allocated} KiB", before.allocated >> 10, allocated = allocated >> 10);
    println!("resident     {} -> {resident} KiB", before.resident >> 10, resident = resident >> 10);
    let has_grown = goroutines > 1
        || descriptors > before.descriptors
        || threads > before.threads + MORE_THREADS
        || mappings > before.mappings + MORE_MAPPINGS
        || allocated > before.allocated + SLACK_BYTES
        || resident > before.resident + 4 * SLACK_BYTES;
    println!("mixture: {}", if failed || has_grown { "FAILED" } else { "ok" });
    if failed || has_grown { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// All parties side by side for this time, and until there have been so many moves. True: one has failed.
fn phase(time: Duration, forced_moves: u64, rounds: &Arc<Vec<AtomicU64>>) -> bool {
    let stop = Arc::new(AtomicBool::new(false));
    let running: Vec<_> = (0..PARTIES.len())
        .map(|index| {
            let (stop, rounds) = (stop.clone(), rounds.clone());
            gort::go(move || {
                while !stop.load(SeqCst) && (PARTIES[index].round)() {
                    rounds[index].fetch_add(1, SeqCst);
                }
            })
        })
        .collect();
    let (begun, before) = (Instant::now(), gort::runtime::max_procs());
    for procs in [2, 1, 4, 3].into_iter().cycle() {
        let left = time.saturating_sub(begun.elapsed());
        let has_failed = running.iter().any(|party| party.is_finished() && !stop.load(SeqCst));
        if left.is_zero() && (metrics().forced_moves >= forced_moves || has_failed) {
            break;
        }
        gort::runtime::set_max_procs(procs);
        gort::sleep(Duration::from_millis(300).min(left.max(Duration::from_millis(10))));
    }
    stop.store(true, SeqCst);
    let failed = running.into_iter().map(gort::JoinHandle::join).filter(Result::is_err).count() > 0;
    gort::runtime::set_max_procs(before);
    failed
}

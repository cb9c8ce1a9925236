//! The measurements of one allocator, each in a process of its own.
//!
//! ```text
//! allocator-<name> <bare|wrapped> <goroutines>     prints one JSON object
//! ```
//!
//! Every goroutine allocates and frees 25 blocks of 16 to 976 bytes, one at a time, and parks. When all are there, the memory is read. Then
//! they do the same again and again, with a yield after each round, and are timed. Before that a crowd of as many does it without the
//! blocks: it pays for the stacks, and its time for the switches is subtracted.

use std::alloc::{GlobalAlloc, Layout};
use std::hint::black_box;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use gort_bench_wire::Outcome;
use gort_bench_wire::memory::Memory;

/// Blocks of a round.
const BLOCKS: usize = 25;
/// Timed blocks for each run, at least.
const TIMED: usize = 5_000_000;
/// Where a run gives up: an allocator that keeps this much for so few goroutines has no figure.
const MOST_BYTES: u64 = 4 << 30;

/// One executable's allocator, with gort's in front of it or without, as the first argument says.
#[derive(Debug)]
pub struct Either<A> {
    wrapped: gort::alloc::Global<Shared<A>>,
    /// 0: not yet known.
    which: AtomicU8,
}

#[derive(Debug)]
struct Shared<A>(A);

// SAFETY: passed on.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Shared<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: passed on.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: passed on.
        unsafe { self.0.dealloc(block, layout) }
    }
}

const BARE: u8 = 1;
const WRAPPED: u8 = 2;

impl<A> Either<A> {
    /// For a static.
    pub const fn new(allocator: A) -> Self {
        Self { wrapped: gort::alloc::Global::new(Shared(allocator)), which: AtomicU8::new(0) }
    }

    #[inline(always)]
    fn is_wrapped(&self) -> bool {
        // Relaxed, both: every thread finds the same.
        match self.which.load(Relaxed) {
            0 => self.find_out(),
            which => which == WRAPPED,
        }
    }

    /// Allocates nothing, since it is asked by the first allocation.
    #[cold]
    fn find_out(&self) -> bool {
        let mut line = [0; 4096];
        let read = rustix::fs::open("/proc/self/cmdline", rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty())
            .and_then(|file| rustix::io::read(&file, &mut line));
        let argument = line[..read.unwrap_or(0)].split(|&byte| byte == 0).nth(1);
        let is_wrapped = argument != Some(b"bare");
        self.which.store(if is_wrapped { WRAPPED } else { BARE }, Relaxed);
        is_wrapped
    }
}

// SAFETY: the same of two allocators for the life of the process.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Either<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: passed on.
        unsafe {
            match self.is_wrapped() {
                true => self.wrapped.alloc(layout),
                false => self.wrapped.inner().alloc(layout),
            }
        }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: passed on.
        unsafe {
            match self.is_wrapped() {
                true => self.wrapped.dealloc(block, layout),
                false => self.wrapped.inner().dealloc(block, layout),
            }
        }
    }
}

/// `main` of each executable.
pub fn run() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let count = match arguments.as_slice() {
        [which, count] if which == "bare" || which == "wrapped" => count.parse().unwrap_or(0),
        _ => 0,
    };
    if count == 0 {
        eprintln!("usage: <bare|wrapped> <goroutines>; started by the command `allocators` of this package");
        return ExitCode::from(2);
    }
    match gort::go(move || measure(count)).join() {
        Ok(Ok(outcome)) => match outcome.print() {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Ok(Err(why)) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
        Err(_) => ExitCode::FAILURE,
    }
}

fn allocate_a_little() {
    for n in 0..BLOCKS {
        drop(black_box(Vec::<u8>::with_capacity(black_box(16 + 40 * n))));
    }
}

/// One crowd: what each of it holds after a round, and nanoseconds for each further round.
fn crowd(count: usize, rounds: usize, allocates: bool) -> Result<(f64, f64), String> {
    static BEGUN: AtomicUsize = AtomicUsize::new(0);
    // Relaxed, here and below: counts, which joins and parks order.
    BEGUN.store(0, Relaxed);
    let memory = || Memory::of_this_process().map(Memory::total).map_err(|error| error.to_string());
    let before = memory()?;
    let mut handles = Vec::with_capacity(count);
    for n in 0..count {
        handles.push(gort::go(move || {
            if allocates {
                allocate_a_little();
            }
            BEGUN.fetch_add(1, Relaxed);
            gort::park();
            for _ in 0..rounds {
                if allocates {
                    allocate_a_little();
                }
                gort::yield_now();
            }
        }));
        if n % 1000 == 999 {
            wait_until(|| BEGUN.load(Relaxed) == n + 1);
            if memory()? > MOST_BYTES {
                return Err(format!("more than 4 GiB at {} goroutines", n + 1));
            }
        }
    }
    wait_until(|| BEGUN.load(Relaxed) == count && gort::runtime::metrics().waiting >= count as u64);
    let bytes = memory()?.saturating_sub(before) as f64 / count as f64;
    let begun = Instant::now();
    handles.iter().for_each(|handle| handle.goroutine().unpark());
    for handle in handles {
        handle.join().map_err(|_| "a goroutine panicked")?;
    }
    Ok((bytes, begun.elapsed().as_nanos() as f64 / (count * rounds) as f64))
}

fn wait_until(mut done: impl FnMut() -> bool) {
    while !done() {
        gort::sleep(Duration::from_millis(1));
    }
}

fn measure(count: usize) -> Result<Outcome, String> {
    let rounds = (TIMED / BLOCKS / count).clamp(5, 50_000);
    // The first crowd pays for stacks; what allocates is the second.
    let (plain_bytes, plain) = crowd(count, rounds, false)?;
    let (bytes, round) = crowd(count, rounds, true)?;
    Ok(Outcome::new()
        .with("ns", (round - plain).max(0.0) / BLOCKS as f64)
        .with("goroutine_bytes", plain_bytes)
        .with("allocator_bytes", bytes))
}

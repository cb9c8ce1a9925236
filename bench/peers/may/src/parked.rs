//! Many parked coroutines: what each takes of memory, how long they take to start and to wake.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use gort_bench_wire::check::expect;
use gort_bench_wire::memory::Memory;
use gort_bench_wire::{Call, Outcome};
use may::coroutine::{park, sleep};
use may::go;

use crate::{Result, join};

pub fn parked(call: &Call) -> Result<Outcome> {
    let count = call.number::<u64>("count")?;
    static BEGUN: AtomicU64 = AtomicU64::new(0);
    static WOKEN: AtomicU64 = AtomicU64::new(0);
    let before = Memory::of_this_process()?;
    let began = Instant::now();
    let mut handles = Vec::with_capacity(count as usize);
    for _ in 0..count {
        handles.push(go!(|| {
            // Relaxed: counts; the joins below order them.
            BEGUN.fetch_add(1, Relaxed);
            park();
            WOKEN.fetch_add(1, Relaxed);
        }));
    }
    while BEGUN.load(Relaxed) < count {
        sleep(Duration::from_millis(1));
    }
    let spawned = began.elapsed();
    let held = Memory::of_this_process()?.total() - before.total();

    let began = Instant::now();
    for handle in &handles {
        handle.coroutine().unpark();
    }
    handles.into_iter().try_for_each(join)?;
    let woken = began.elapsed();
    expect("coroutines that woke", WOKEN.load(Relaxed), count)?;

    let each = |time: Duration| time.as_nanos() as f64 / count as f64;
    Ok(Outcome::new()
        .with("bytes", held as f64 / count as f64)
        .with("spawn_ns", each(spawned))
        .with("wake_ns", each(woken))
        .with("count", count as f64))
}

//! Many parked goroutines: what each takes of memory, how long they take to start and to wake.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use gort_bench_wire::check::expect;
use gort_bench_wire::memory::{Memory, mappings};
use gort_bench_wire::{Call, Outcome};

use crate::{Result, join};

pub fn parked(call: &Call) -> Result<Outcome> {
    let count = call.number::<u64>("count")?;
    static BEGUN: AtomicU64 = AtomicU64::new(0);
    static WOKEN: AtomicU64 = AtomicU64::new(0);
    // The runtime's own share is no goroutine's.
    join(gort::go(|| ()))?;
    let before = Memory::of_this_process()?;
    let began = Instant::now();
    let mut handles = Vec::new();
    handles.try_reserve_exact(count as usize)?;
    for _ in 0..count {
        handles.push(gort::Builder::new().spawn(|| {
            // Relaxed: counts; the joins below order them, and `metrics` decides who is parked.
            BEGUN.fetch_add(1, Relaxed);
            gort::park();
            WOKEN.fetch_add(1, Relaxed);
        })?);
    }
    while BEGUN.load(Relaxed) < count {
        gort::sleep(Duration::from_millis(1));
    }
    let spawned = began.elapsed();
    while gort::runtime::metrics().waiting < count {
        gort::sleep(Duration::from_millis(1));
    }
    let held = Memory::of_this_process()?.total() - before.total();
    let mappings = mappings()? as f64;
    let most = fs::read_to_string("/proc/sys/vm/max_map_count")?.trim().parse::<f64>()?;

    let began = Instant::now();
    for handle in &handles {
        handle.goroutine().unpark();
    }
    for handle in handles {
        join(handle)?;
    }
    let woken = began.elapsed();
    expect("goroutines that woke", WOKEN.load(Relaxed), count)?;

    let each = |time: Duration| time.as_nanos() as f64 / count as f64;
    Ok(Outcome::new()
        .with("bytes", held as f64 / count as f64)
        .with("spawn_ns", each(spawned))
        .with("wake_ns", each(woken))
        .with("count", count as f64)
        .with("mappings_share", mappings / most)
        .noting("mappings", format!("{mappings} of at most {most}")))
}

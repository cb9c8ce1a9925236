//! Many waiting tasks: what each takes of memory, how long they take to start and to wake.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use gort_bench_wire::check::expect;
use gort_bench_wire::memory::Memory;
use gort_bench_wire::{Call, Outcome};
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::{Result, on_worker};

pub fn parked(call: &Call, runtime: &Runtime) -> Result<Outcome> {
    let count = call.number::<u64>("count")?;
    on_worker(runtime, run(count))
}

async fn run(count: u64) -> Result<Outcome> {
    static BEGUN: AtomicU64 = AtomicU64::new(0);
    static WOKEN: AtomicU64 = AtomicU64::new(0);
    let before = Memory::of_this_process()?;
    let began = Instant::now();
    let gate = Arc::new(Notify::new());
    let mut handles = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let gate = gate.clone();
        handles.push(tokio::spawn(async move {
            // It counts as waiting from here on.
            let open = gate.notified();
            // Relaxed: counts; the joins below order them.
            BEGUN.fetch_add(1, Relaxed);
            open.await;
            WOKEN.fetch_add(1, Relaxed);
        }));
    }
    while BEGUN.load(Relaxed) < count {
        sleep(Duration::from_millis(1)).await;
    }
    let spawned = began.elapsed();
    let held = Memory::of_this_process()?.total() - before.total();

    let began = Instant::now();
    gate.notify_waiters();
    for handle in handles {
        handle.await?;
    }
    let woken = began.elapsed();
    expect("tasks that woke", WOKEN.load(Relaxed), count)?;

    let each = |time: Duration| time.as_nanos() as f64 / count as f64;
    Ok(Outcome::new()
        .with("bytes", held as f64 / count as f64)
        .with("spawn_ns", each(spawned))
        .with("wake_ns", each(woken))
        .with("count", count as f64))
}

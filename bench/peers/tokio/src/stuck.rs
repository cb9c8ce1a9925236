//! Workers that are taken: by tasks that compute and never give way, by calls that block in the kernel.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use gort_bench_wire::check::expect;
use gort_bench_wire::lateness::Lateness;
use gort_bench_wire::process::{hog, nap, threads};
use gort_bench_wire::timing::{median, repeat};
use gort_bench_wire::{Call, Outcome};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::{Result, on_worker};

const TICK: Duration = Duration::from_millis(1);

/// Beside `hogs` that never give way, one task sleeps for 1 ms and then asks another one, again and again: how late it has the answer.
pub fn hog_relay(call: &Call, runtime: &Runtime) -> Result<Outcome> {
    let (hogs, window) = (call.number::<u64>("hogs")?, Duration::from_millis(call.number("window_ms")?));
    let over = Arc::new(AtomicBool::new(false));
    let hogging: Vec<_> = (0..hogs)
        .map(|_| {
            let over = over.clone();
            runtime.spawn(async move { hog(&over) })
        })
        .collect();
    on_worker(runtime, async move {
        let (ask, mut asked) = mpsc::channel::<u64>(1);
        let (answer, mut answers) = mpsc::channel::<u64>(1);
        let relay = tokio::spawn(async move {
            while let Some(n) = asked.recv().await {
                answer.send(n + 1).await.unwrap();
            }
        });
        let (began, mut late) = (Instant::now(), Lateness::new());
        while began.elapsed() < window {
            let due = Instant::now() + TICK;
            sleep(TICK).await;
            let n = late.count() as u64;
            ask.send(n).await?;
            expect("the answer", answers.recv().await.unwrap_or(0), n + 1)?;
            late.note(due);
        }
        // Relaxed: the joins order their counts.
        over.store(true, Relaxed);
        let seconds = began.elapsed().as_secs_f64();
        drop(ask);
        relay.await?;
        let mut loops = 0;
        for handle in hogging {
            loops += handle.await?;
        }
        Ok(late.add_to(Outcome::new())?.with("hog_mloops_per_s", loops as f64 / seconds / 1e6))
    })
}

/// `count` tasks block in the kernel at once for `sleep_ms`, on the threads that tokio has for that, while another one wakes every millisecond.
pub fn blocking_syscall(call: &Call, runtime: &Runtime) -> Result<Outcome> {
    let (count, time) = (call.number::<u64>("count")?, Duration::from_millis(call.number("sleep_ms")?));
    let over = Arc::new(AtomicBool::new(false));
    let ticker = {
        let over = over.clone();
        runtime.spawn(async move {
            let (mut late, mut most) = (Lateness::new(), 0);
            // Relaxed: it may tick once more.
            while !over.load(Relaxed) {
                let due = Instant::now() + TICK;
                sleep(TICK).await;
                late.note(due);
                most = most.max(threads()?);
            }
            Result::Ok((late, most))
        })
    };
    let times = repeat(call.number("repeats")?, || {
        on_worker(runtime, async move {
            let handles: Vec<_> = (0..count).map(|_| spawn_blocking(move || nap(time))).collect();
            for handle in handles {
                handle.await?;
            }
            Ok(())
        })
    })?;
    over.store(true, Relaxed);
    let (late, most) = runtime.block_on(ticker)??;
    let wall_ms = median(&times) / 1e6;
    let outcome = late.add_to(Outcome::new())?.with("wall_ms", wall_ms);
    Ok(outcome.with("threads", most as f64).with("threads_x_ms", most as f64 * wall_ms))
}

//! Processors that are taken: by goroutines that compute and never give way, by calls that block in the kernel.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use gort::chan::bounded;
use gort_bench_wire::check::expect;
use gort_bench_wire::lateness::Lateness;
use gort_bench_wire::process::{hog, nap, threads};
use gort_bench_wire::timing::{median, repeat};
use gort_bench_wire::{Call, Outcome};

use crate::{Result, join};

const TICK: Duration = Duration::from_millis(1);

/// Beside `hogs` that never give way, one goroutine sleeps for 1 ms and then asks another one, again and again: how late it has the answer.
pub fn hog_relay(call: &Call) -> Result<Outcome> {
    let (hogs, window) = (call.number::<u64>("hogs")?, Duration::from_millis(call.number("window_ms")?));
    let over = Arc::new(AtomicBool::new(false));
    let hogging: Vec<_> = (0..hogs)
        .map(|_| {
            let over = over.clone();
            gort::go(move || hog(&over))
        })
        .collect();
    let (ask, asked) = bounded::<u64>(0);
    let (answer, answers) = bounded::<u64>(0);
    let relay = gort::go(move || {
        while let Ok(n) = asked.recv() {
            answer.send(n + 1).unwrap();
        }
    });
    let (began, mut late) = (Instant::now(), Lateness::new());
    while began.elapsed() < window {
        let due = Instant::now() + TICK;
        gort::sleep(TICK);
        let n = late.count() as u64;
        ask.send(n)?;
        expect("the answer", answers.recv()?, n + 1)?;
        late.note(due);
    }
    // Relaxed: the joins order their counts.
    over.store(true, Relaxed);
    let seconds = began.elapsed().as_secs_f64();
    drop(ask);
    join(relay)?;
    let mut loops = 0;
    for handle in hogging {
        loops += join(handle)?;
    }
    Ok(late.add_to(Outcome::new())?.with("hog_mloops_per_s", loops as f64 / seconds / 1e6))
}

/// `count` goroutines block in the kernel at once for `sleep_ms`, while another one wakes every millisecond. Then once more without telling gort.
pub fn blocking_syscall(call: &Call) -> Result<Outcome> {
    let (count, time) = (call.number::<u64>("count")?, Duration::from_millis(call.number("sleep_ms")?));
    let over = Arc::new(AtomicBool::new(false));
    let ticker = {
        let over = over.clone();
        gort::go(move || -> Result<(Lateness, u64)> {
            let (mut late, mut most) = (Lateness::new(), 0);
            // Relaxed: it may tick once more.
            while !over.load(Relaxed) {
                let due = Instant::now() + TICK;
                gort::sleep(TICK);
                late.note(due);
                most = most.max(threads()?);
            }
            Ok((late, most))
        })
    };
    let times = repeat(call.number("repeats")?, || all_nap(count, move || gort::blocking(|| nap(time))))?;
    over.store(true, Relaxed);
    let (late, most) = join(ticker)??;
    let unmarked = repeat(1, || all_nap(count, move || nap(time)))?;
    let wall_ms = median(&times) / 1e6;
    Ok(late
        .add_to(Outcome::new())?
        .with("wall_ms", wall_ms)
        .with("threads", most as f64)
        .with("threads_x_ms", most as f64 * wall_ms)
        .with("unmarked_ms", unmarked[0] / 1e6))
}

fn all_nap(count: u64, nap: impl Fn() + Clone + Send + 'static) -> Result<()> {
    let mut handles = Vec::with_capacity(count as usize);
    for _ in 0..count {
        handles.push(gort::Builder::new().spawn(nap.clone())?);
    }
    handles.into_iter().try_for_each(join)
}

//! Somebody whose time has come, beside goroutines that compute for some milliseconds and give way.

use crate::child;
use crate::support::{is_perturbed, ms, needs_migration};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::{Duration, Instant};

/// Four compute for 5 ms each on one P. Who has slept for 1 ms is next after the one that computes, not after up to eight of them: in most sleeps, for the
/// monitor, which sees that it is late, may be late itself.
#[test]
fn who_is_late_does_not_wait_for_many_that_give_way() {
    let this = child::of(|_| {
        static OVER: AtomicBool = AtomicBool::new(false);
        static RUNS: AtomicU64 = AtomicU64::new(0);
        let compute = || {
            while !OVER.load(Relaxed) {
                let began = Instant::now();
                while began.elapsed() < ms(5) {
                    std::hint::spin_loop();
                }
                RUNS.fetch_add(1, Relaxed);
                gort::yield_now();
            }
        };
        let all: Vec<_> = (0..4).map(|_| gort::go(compute)).collect();
        let sleeps = gort::go(|| {
            let mut others = [0; 31].map(|_: u64| {
                let before = RUNS.load(Relaxed);
                gort::sleep(ms(1));
                RUNS.load(Relaxed) - before
            });
            others.sort_unstable();
            OVER.store(true, Relaxed);
            others
        });
        let others = sleeps.join().unwrap();
        assert!(others[15] <= 2, "runs of others in each sleep: {others:?}");
        all.into_iter().for_each(|one| one.join().unwrap());
    });
    if needs_migration("who sleeps may have begun on another thread") || is_perturbed() {
        return;
    }
    this.case("").env("GORT_MAXPROCS", "1").run().exited(0);
}

/// A thousand sleep for 1 ms and compute for some microseconds, which is several times what one P can do, so that somebody is late all the time. New
/// ones still begin, and who gives way has turns, also beside two that keep handing over to each other.
#[test]
fn who_is_late_all_the_time_does_not_starve_the_others() {
    let this = child::of(|_| {
        static OVER: AtomicBool = AtomicBool::new(false);
        let all: Vec<_> = (0..1000)
            .map(|_| {
                gort::go(|| {
                    while !OVER.load(Relaxed) {
                        gort::sleep(ms(1));
                        let began = Instant::now();
                        while began.elapsed() < Duration::from_micros(5) {
                            std::hint::spin_loop();
                        }
                    }
                })
            })
            .collect();
        let (ping, pings) = gort::chan::bounded(0);
        let (pong, pongs) = gort::chan::bounded(0);
        let asks = gort::go(move || {
            while !OVER.load(Relaxed) {
                ping.send(()).unwrap();
                pongs.recv().unwrap();
            }
        });
        let answers = gort::go(move || pings.iter().for_each(|()| pong.send(()).unwrap()));
        // All that were made before have begun by then: the queue is one.
        let gives_way = gort::go(|| (0..50).for_each(|_| gort::yield_now()));
        gives_way.join().unwrap();
        gort::go(|| {}).join().unwrap();
        OVER.store(true, Relaxed);
        all.into_iter().chain([asks, answers]).for_each(|one| one.join().unwrap());
    });
    this.case("").env("GORT_MAXPROCS", "1").run().exited(0);
}

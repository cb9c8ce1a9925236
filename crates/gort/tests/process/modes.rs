//! Settings that change how the runtime works inside: without membarrier, without retakes, perturbed.

use crate::child;
use crate::support::{ms, needs_migration, pipe, read_byte, scaled, wait_until, write_byte};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::{Duration, Instant};

/// Hogs on every P; others go on meanwhile. Then blocked threads, marked and unmarked, and others go on meanwhile. Everybody is counted.
pub(crate) fn stuck_threads_lose_their_procs() {
    let procs = gort::runtime::max_procs();
    let ran = Arc::new(AtomicUsize::new(0));
    let others = |count: usize| {
        for _ in 0..count {
            let ran = ran.clone();
            gort::go(move || {
                gort::sleep(ms(1));
                ran.fetch_add(1, SeqCst);
            })
            .join()
            .unwrap();
        }
    };
    let before = gort::runtime::metrics().retakes;
    let stop = Arc::new(AtomicBool::new(false));
    let hogs: Vec<_> = (0..procs)
        .map(|_| {
            let stop = stop.clone();
            gort::go(move || {
                let mut spins = 0_u64;
                while !stop.load(SeqCst) {
                    std::hint::spin_loop();
                    spins += 1;
                }
                spins
            })
        })
        .collect();
    others(15);
    stop.store(true, SeqCst);
    hogs.into_iter().for_each(|hog| assert!(hog.join().unwrap() > 0));
    assert!(gort::runtime::metrics().retakes > before, "no P was taken from a hog");

    for marked in [true, false] {
        let before = gort::runtime::metrics().retakes;
        let (reader, writer) = pipe();
        let blocked: Vec<_> = (0..procs + 1)
            .map(|_| gort::go(move || if marked { gort::blocking(|| read_byte(reader)) } else { read_byte(reader) }))
            .collect();
        others(15);
        blocked.iter().for_each(|_| write_byte(writer));
        blocked.into_iter().for_each(|handle| handle.join().unwrap());
        assert!(gort::runtime::metrics().retakes > before, "no P was taken from a blocked thread");
    }
    // Taken while it goes in and out of the runtime: sections of about as long as the monitor waits.
    let sections: Vec<_> = (0..8)
        .map(|_| {
            gort::go(|| {
                let mut sum = 0_u64;
                for round in 0..100 {
                    gort::blocking(|| std::thread::sleep(Duration::from_micros(round % 40)));
                    sum += gort::go(move || round).join().unwrap();
                }
                sum
            })
        })
        .collect();
    sections.into_iter().for_each(|handle| assert_eq!(handle.join().unwrap(), 4950));
    assert_eq!(ran.load(SeqCst), 45);
    assert_eq!(gort::runtime::metrics().goroutines, 1);
}

/// `GORT_MEMBARRIER=off`, the path of systems without it, and the other one: the owner protocol holds on both.
#[test]
fn procs_are_retaken_with_and_without_membarrier() {
    let this = child::of(|_| child::gort_main(stuck_threads_lose_their_procs));
    if needs_migration("goroutines that have begun on a blocked thread wait for it") {
        return;
    }
    for membarrier in ["off", "on"] {
        for procs in ["1", "2", "4"] {
            let child = this.case("").env("GORT_MEMBARRIER", membarrier).env("GORT_MAXPROCS", procs);
            child.run().exited(0).never_says("gort: ");
        }
    }
}

/// `GORT_RETAKE=off` does what it says: a hog keeps its P until it ends, however long others wait.
#[test]
fn without_retakes_a_hog_keeps_its_proc() {
    let this = child::of(|case| {
        let start = Instant::now();
        let (running, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let hog = gort::go({
            let (running, seen) = (running.clone(), seen.clone());
            move || {
                running.store(true, SeqCst);
                let until = Instant::now() + ms(300);
                while Instant::now() < until {
                    std::hint::spin_loop();
                }
                seen.load(SeqCst)
            }
        });
        while !running.load(SeqCst) {
            std::thread::yield_now();
        }
        let other = gort::go({
            let seen = seen.clone();
            move || {
                seen.fetch_add(1, SeqCst);
            }
        });
        let seen_by_hog = hog.join().unwrap();
        other.join().unwrap();
        assert_eq!(
            (seen_by_hog, gort::runtime::metrics().retakes > 0),
            if case == "off" { (0, false) } else { (1, true) }
        );
        assert!(start.elapsed() < scaled(Duration::from_secs(5)));
    });
    for retake in ["off", "on"] {
        this.case(retake).env("GORT_RETAKE", retake).env("GORT_MAXPROCS", "1").run().exited(0);
    }
}

/// A perturbed run says so and with which seed, once; forced moves happen.
#[test]
fn a_perturbed_run_prints_its_seed() {
    let this = child::of(|_| {
        let handles: Vec<_> = (0..100_u64)
            .map(|n| {
                gort::go(move || {
                    (0..20).for_each(|_| gort::yield_now());
                    n
                })
            })
            .collect();
        assert_eq!(handles.into_iter().map(|handle| handle.join().unwrap()).sum::<u64>(), 4950);
        println!("moves {}", gort::runtime::metrics().forced_moves);
    });
    if crate::support::is_only_bound() {
        println!("skipped: nobody can be moved here");
        return;
    }
    let all = this
        .case("")
        .env("GORT_PERTURB", "yield,steal,move,wake")
        .env("GORT_SEED", "0x2A")
        .env("GORT_MODE", "migrating");
    let ended = all.run();
    ended.exited(0).says_once("gort: perturbing (yield,steal,move,wake), replay with GORT_SEED=42\n");
    assert!(ended.value("moves").parse::<u64>().unwrap() > 0, "{ended}");

    let drawn: Vec<_> = (0..2)
        .map(|_| {
            let ended = this.case("").env("GORT_PERTURB", "wake").run();
            ended.exited(0).says_once("gort: perturbing (wake), replay with GORT_SEED=");
            assert_eq!(ended.value("moves"), "0");
            ended
                .err
                .split_once("GORT_SEED=")
                .and_then(|(_, rest)| rest.split_whitespace().next()?.parse::<u64>().ok())
                .unwrap()
        })
        .collect();
    assert_ne!(drawn[0], drawn[1], "each run draws its own seed");
}

/// HF-03, the part with one P, which nobody takes from a goroutine here: one of ten that spin runs, the others could.
#[test]
fn of_ten_that_spin_on_one_p_one_runs() {
    let this = child::of(|_| {
        let stop = Arc::new(AtomicBool::new(false));
        let spinning: Vec<_> = (0..10)
            .map(|_| {
                let stop = stop.clone();
                gort::go(move || while !stop.load(Relaxed) {})
            })
            .collect();
        wait_until(|| gort::runtime::metrics().running > 0);
        for _ in 0..100 {
            let metrics = gort::runtime::metrics();
            assert_eq!((metrics.running, metrics.runnable, metrics.created), (1, 9, 10), "{metrics:?}");
        }
        stop.store(true, Relaxed);
        spinning.into_iter().for_each(|handle| handle.join().unwrap());
    });
    this.case("").env("GORT_RETAKE", "off").env("GORT_MAXPROCS", "1").run().exited(0);
}

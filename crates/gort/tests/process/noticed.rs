//! Calls that block for about as long as the monitor sleeps while nothing is wrong. Each is a new one at every look; they have to be noticed all
//! the same. In a process of its own, in which nobody has blocked for a while.

use crate::child;
use crate::meanwhile::{Echo, Meanwhile};
use crate::support::{is_perturbed, needs_migration, pipe, read_byte, write_byte};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

/// As long as the longest round of the monitor.
const ROUND: Duration = Duration::from_millis(10);

/// Some traffic, and nothing that blocks: the monitor's rounds become as long as they get.
fn calm() -> Meanwhile {
    let meanwhile = Meanwhile::start();
    meanwhile.wait_for(100);
    meanwhile
}

/// On two processors the calls would follow each other, two at a time.
#[test]
fn a_crowd_of_calls_as_long_as_the_monitors_round_is_noticed() {
    let this = child::of(|case| {
        let nap = || std::thread::sleep(ROUND);
        let (is_marked, _meanwhile) = (case == "marked", calm());
        let calls: Vec<_> =
            (0..100).map(|_| gort::go(move || if is_marked { gort::blocking(nap) } else { nap() })).collect();
        calls.into_iter().for_each(|call| call.join().unwrap());
        let retakes = gort::runtime::metrics().retakes;
        println!("retakes {retakes}");
        assert!(retakes >= 10, "{retakes} of a hundred");
    });
    if needs_migration("goroutines that have begun on a blocked thread wait for it") {
        return;
    }
    for case in ["marked", "unmarked"] {
        println!("{}", this.case(case).env("GORT_MAXPROCS", "2").run().exited(0).value("retakes"));
    }
}

/// One goroutine naps in the kernel half of the time; the other processor has nothing to do but wait for the network, and does.
#[test]
fn the_network_is_polled_while_one_goroutine_naps_and_a_proc_is_idle() {
    const NAPS: u64 = 40;
    let this = child::of(|_| {
        let _meanwhile = calm();
        let (naps, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let napping = {
            let (naps, over) = (naps.clone(), over.clone());
            gort::go(move || {
                for _ in 0..NAPS {
                    naps.fetch_add(1, SeqCst);
                    std::thread::sleep(ROUND);
                    naps.fetch_add(1, SeqCst);
                    gort::sleep(ROUND);
                }
                over.store(true, SeqCst);
            })
        };
        let asking = gort::go(move || {
            let (mut echo, mut count) = (Echo::start(), 0);
            while !over.load(SeqCst) {
                let before = naps.load(SeqCst);
                echo.once();
                // Odd: it naps, and has napped all the time.
                count += u64::from(before % 2 == 1 && naps.load(SeqCst) == before);
            }
            count
        });
        napping.join().unwrap();
        let count = asking.join().unwrap();
        println!("echoes {count}");
        // By the monitor's polls alone it would be some three for each nap, for which the ticker is to be thanked.
        assert!(is_perturbed() || count > 15 * NAPS, "{count} echoes during {NAPS} naps");
    });
    if needs_migration("goroutines that have begun on a blocked thread wait for it") {
        return;
    }
    println!("{}", this.case("").env("GORT_MAXPROCS", "2").run().exited(0).value("echoes"));
}

/// A thread in the kernel keeps a processor at which nobody queues, while four goroutines share the other one: they get both.
#[test]
fn a_processor_is_taken_for_those_who_queue_at_another_one() {
    let this = child::of(|_| {
        let (reader, writer) = pipe();
        let stuck = gort::go(move || read_byte(reader));
        let turns = Arc::new(AtomicU64::new(0));
        let sharing: Vec<_> = (0..4)
            .map(|_| {
                let turns = turns.clone();
                gort::go(move || {
                    while turns.fetch_add(1, SeqCst) < 400_000 {
                        gort::yield_now();
                    }
                })
            })
            .collect();
        sharing.into_iter().for_each(|handle| handle.join().unwrap());
        let retakes = gort::runtime::metrics().retakes_in_kernel;
        assert!(retakes >= 1, "three goroutines waited for a processor that nobody used");
        write_byte(writer);
        stuck.join().unwrap();
    });
    if needs_migration("goroutines that have begun on a blocked thread wait for it") {
        return;
    }
    this.case("").env("GORT_MAXPROCS", "2").run().exited(0);
}

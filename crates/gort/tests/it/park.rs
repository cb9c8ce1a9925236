//! park, unpark, park_timeout.

use crate::support::rounds;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::{Duration, Instant};

/// SC-14. One token, not a count; a timed park without one is not short; no wake-up is lost in a race.
#[gort::test(procs = [1, 2, 4])]
fn the_token_is_one_and_no_wake_up_is_lost() {
    let me = gort::current();
    me.unpark();
    me.unpark();
    gort::park();
    let started = Instant::now();
    gort::park_timeout(Duration::from_millis(10));
    assert!(started.elapsed() >= Duration::from_millis(10), "{:?}", started.elapsed());

    let count = rounds(10_000);
    let turns = Arc::new(AtomicUsize::new(0));
    let waiter = gort::go({
        let turns = turns.clone();
        move || {
            for _ in 0..count {
                gort::park();
                turns.fetch_add(1, Release);
            }
        }
    });
    let parked = waiter.goroutine();
    for round in 0..count {
        // Races with the park: the waiter may be anywhere between its last turn and the next park.
        parked.unpark();
        while turns.load(Acquire) == round {
            gort::yield_now();
        }
    }
    waiter.join().unwrap();
}

/// The same with a plain thread on either end.
#[gort::test(procs = [1, 2, 4])]
fn threads_and_goroutines_unpark_each_other() {
    let count = rounds(20_000);
    let (introduce, introduced) = std::sync::mpsc::channel();
    let goroutine = gort::current();
    let thread = std::thread::spawn(move || {
        introduce.send(gort::current()).unwrap();
        for _ in 0..count {
            gort::park();
            goroutine.unpark();
        }
    });
    let partner = introduced.recv().unwrap();
    for _ in 0..count {
        partner.unpark();
        gort::park();
    }
    gort::blocking_send(|| thread.join().unwrap());
}

/// A stale timer of an earlier timed park neither ends a later park nor is mistaken for a token.
#[gort::test(procs = [1, 2, 4])]
fn a_timer_left_behind_ends_nothing() {
    let waiter = gort::go(|| {
        gort::park_timeout(Duration::from_millis(5));
        gort::park();
        gort::sleep(Duration::from_millis(2));
        Instant::now()
    });
    waiter.goroutine().unpark();
    gort::sleep(Duration::from_millis(20));
    assert!(!waiter.is_finished(), "the second park had no token");
    let unparked = Instant::now();
    waiter.goroutine().unpark();
    assert!(waiter.join().unwrap() >= unparked + Duration::from_millis(2));
}

/// An unpark of a goroutine that has ended reaches nobody, whoever uses its record now.
#[gort::test(procs = [1, 2, 4])]
fn unparking_the_dead_is_harmless() {
    for _ in 0..rounds(1000) {
        let dead = gort::go(|| ());
        let goroutine = dead.goroutine();
        dead.join().unwrap();
        let heir = gort::go(|| {
            let started = Instant::now();
            gort::park_timeout(Duration::from_micros(200));
            started.elapsed()
        });
        goroutine.unpark();
        assert!(heir.join().unwrap() >= Duration::from_micros(200));
    }
}

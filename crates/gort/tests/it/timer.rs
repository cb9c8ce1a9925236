//! Sleeping.

use crate::support::{rounds, scaled};
use std::time::{Duration, Instant};

/// Never early, many at once, woken in time.
#[gort::test(procs = [1, 2, 4])]
fn a_thousand_sleeps_of_different_lengths_are_never_early() {
    let handles: Vec<_> = (0..1000_u64)
        .map(|n| {
            gort::go(move || {
                let pause = Duration::from_micros(n * 37 % 20_000);
                let started = Instant::now();
                gort::sleep(pause);
                started.elapsed().checked_sub(pause).expect("a sleep is never early")
            })
        })
        .collect();
    let mut late: Vec<_> = handles.into_iter().map(|handle| handle.join().unwrap()).collect();
    late.sort_unstable();
    assert!(late[500] < scaled(Duration::from_millis(20)), "half are later than {:?}", late[500]);
}

/// Timers of a P whose goroutines are all parked are minded by whoever runs.
#[gort::test(procs = [1, 2, 4])]
fn a_sleeper_wakes_while_another_goroutine_only_yields() {
    let sleeper = gort::go(|| {
        for _ in 0..rounds(100) {
            gort::sleep(Duration::from_millis(1));
        }
    });
    while !sleeper.is_finished() {
        gort::yield_now();
    }
    sleeper.join().unwrap();
}

/// A zero sleep gives way and returns.
#[gort::test(procs = [1, 2, 4])]
fn a_zero_sleep_is_a_yield() {
    let other = gort::go(|| 1);
    while !other.is_finished() {
        gort::sleep(Duration::ZERO);
    }
    assert_eq!(other.join().unwrap(), 1);
}

/// The longest sleep there is does not overflow: it ends with the test only because nobody joins it.
#[gort::test(procs = [1, 2, 4])]
fn an_endless_timed_park_ends_by_its_token() {
    let waiter = gort::go(|| gort::park_timeout(Duration::MAX));
    waiter.goroutine().unpark();
    waiter.join().unwrap();
}

/// A long sleep ends in time in a process that does nothing else: whoever polls or sleeps knows of it, however often they take turns.
#[gort::test(procs = [1, 2, 4])]
fn a_sleep_longer_than_everybodys_patience_ends_in_time() {
    let pause = Duration::from_millis(1600);
    for _ in 0..2 {
        let started = Instant::now();
        gort::go(move || gort::sleep(pause)).join().unwrap();
        let late = started.elapsed().checked_sub(pause).expect("a sleep is never early");
        assert!(late < scaled(Duration::from_millis(500)), "{late:?} late");
    }
}

//! The condition variable: order, deadlines, and mutual wake-ups of goroutines and threads.

use super::{mixed, wait_for_waiters};
use crate::support::rounds;
use gort::sync::{Condvar, Mutex};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a dump says of a party that waits for a condition variable.
const WAITS: &str = "sync.Cond.Wait";

struct Shared<T> {
    state: Mutex<T>,
    changed: Condvar,
}

fn shared<T>(state: T) -> Arc<Shared<T>> {
    Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() })
}

/// SY-04, first part. A notification wakes exactly one, the one that has waited longest.
#[gort::test(procs = [1, 2, 4])]
fn notify_one_wakes_the_one_that_has_waited_longest() {
    let shared = shared(Vec::new());
    let mut goroutines = Vec::new();
    for generation in 0..100 {
        let theirs = shared.clone();
        goroutines.push(gort::go(move || {
            let guard = theirs.state.lock().unwrap();
            theirs.changed.wait(guard).unwrap().push(generation);
        }));
        wait_for_waiters(generation + 1, WAITS);
    }
    for generation in 0..100 {
        shared.changed.notify_one();
        goroutines.remove(0).join().unwrap();
        let woken = shared.state.lock().unwrap();
        assert_eq!(woken.len(), generation + 1, "one at a time");
        assert_eq!(woken.last(), Some(&generation), "in order of arrival");
    }
    shared.changed.notify_one();
}

/// SY-04, second part. A broadcast wakes all 200, each once per round.
#[gort::test(procs = [1, 2, 4])]
fn notify_all_wakes_everyone_once_per_round() {
    const ROUNDS: usize = 5;
    const COUNT: usize = 200;
    struct State {
        round: usize,
        arrived: usize,
        woken: usize,
    }
    let shared = shared(State { round: 0, arrived: 0, woken: 0 });
    let goroutines: Vec<_> = (0..COUNT)
        .map(|_| {
            let shared = shared.clone();
            gort::go(move || {
                for round in 0..ROUNDS {
                    let mut state = shared.state.lock().unwrap();
                    state.arrived += 1;
                    while state.round == round {
                        state = shared.changed.wait(state).unwrap();
                    }
                    state.woken += 1;
                }
            })
        })
        .collect();
    for round in 1..=ROUNDS {
        loop {
            let mut state = shared.state.lock().unwrap();
            if state.arrived == COUNT * round {
                // All of them wait: they arrive and wait under one lock.
                state.round = round;
                shared.changed.notify_all();
                break;
            }
            drop(state);
            gort::yield_now();
        }
        while shared.state.lock().unwrap().woken < COUNT * round {
            gort::yield_now();
        }
    }
    for goroutine in goroutines {
        goroutine.join().unwrap();
    }
    assert_eq!(shared.state.lock().unwrap().woken, COUNT * ROUNDS);
}

/// SY-07 for condition variables: 1e5 hand-overs round a ring of goroutines and threads.
#[gort::test(procs = [1, 2, 4], timeout = 120)]
fn goroutines_and_threads_hand_the_turn_round() {
    let turns = rounds(100_000);
    let shared = shared(0_usize);
    let theirs = shared.clone();
    mixed(4, move |index| {
        for round in 0..turns / 4 {
            let turn = theirs.state.lock().unwrap();
            let mut turn = theirs.changed.wait_while(turn, |turn| *turn != round * 4 + index).unwrap();
            *turn += 1;
            theirs.changed.notify_all();
        }
    });
    assert_eq!(*shared.state.lock().unwrap(), turns / 4 * 4);
}

/// A wait ends by its time and not before; the mutex is locked again, and poison reaches who comes back.
#[gort::test(procs = [1, 2, 4])]
fn a_wait_with_a_limit_ends_by_it() {
    let shared = shared(0);
    let started = Instant::now();
    let limit = Duration::from_millis(5);
    let (guard, result) = shared.changed.wait_timeout(shared.state.lock().unwrap(), limit).unwrap();
    assert!(result.timed_out() && started.elapsed() >= limit);
    assert!(shared.state.try_lock().is_err(), "locked again");
    let (guard, result) = shared.changed.wait_timeout_while(guard, Duration::MAX, |state| *state != 0).unwrap();
    assert!(!result.timed_out());
    drop(guard);

    let theirs = shared.clone();
    let waiter = gort::go(move || theirs.changed.wait(theirs.state.lock().unwrap()).is_err());
    wait_for_waiters(1, WAITS);
    let theirs = shared.clone();
    gort::go(move || {
        let _guard = theirs.state.lock().unwrap();
        theirs.changed.notify_one();
        panic!("on purpose");
    })
    .join()
    .unwrap_err();
    assert!(waiter.join().unwrap(), "it comes back to a poisoned mutex");
}

/// Every notification made for somebody who waits reaches somebody who stays, although others leave all the time.
#[gort::test(procs = [1, 2, 4], timeout = 120)]
fn a_notification_is_not_lost_with_a_waiter_that_leaves() {
    let items = rounds(20_000);
    let shared = shared((0_usize, 0_usize));
    let theirs = shared.clone();
    mixed(6, move |index| {
        if index < 2 {
            for _ in 0..items {
                theirs.state.lock().unwrap().0 += 1;
                // One notification for one item: if it went to one that leaves, a patient one would wait for ever.
                theirs.changed.notify_one();
            }
            theirs.state.lock().unwrap().1 += 1;
            theirs.changed.notify_all();
            return;
        }
        let mut state = theirs.state.lock().unwrap();
        loop {
            if state.0 > 0 {
                state.0 -= 1;
            } else if state.1 == 2 {
                return;
            } else if index < 4 {
                state = theirs.changed.wait_timeout(state, Duration::from_micros(20)).unwrap().0;
            } else {
                state = theirs.changed.wait(state).unwrap();
            }
        }
    });
    assert_eq!(shared.state.lock().unwrap().0, 0);
}

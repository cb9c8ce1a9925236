//! The semaphore: weights, turns, and permits that go on if a waiter leaves.

use super::{are_waiting, mixed, wait_for_waiters, with_longer_and_longer_limit};
use crate::support::rounds;
use gort::sync::Semaphore;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

const WAITS: &str = "semacquire";

/// SY-08, hammer. Never more than there are, whatever is asked for; waiters leave at all times, and no permit is lost with one.
#[gort::test(procs = [1, 2, 4], timeout = 120)]
fn there_are_never_more_permits_than_there_are() {
    const TOTAL: usize = 5;
    let each = rounds(20_000);
    let shared = Arc::new((Semaphore::new(TOTAL), AtomicUsize::new(0)));
    let theirs = shared.clone();
    mixed(6, move |index| {
        for round in 0..each {
            let count = (index + round) % TOTAL + 1;
            let permit = match round % 4 {
                0 => theirs.0.try_acquire(count),
                1 => theirs.0.acquire_timeout(count, Duration::from_micros((round % 16) as u64)),
                _ => Some(theirs.0.acquire(count)),
            };
            if let Some(permit) = permit {
                assert!(theirs.1.fetch_add(count, Relaxed) + count <= TOTAL);
                if round % 32 == 0 {
                    gort::yield_now();
                }
                theirs.1.fetch_sub(permit.count(), Relaxed);
            }
        }
    });
    assert_eq!(shared.0.available(), TOTAL);
    assert!(shared.0.try_acquire(TOTAL).is_some(), "nobody waits");
}

/// SY-08. The truth table of trying: true, false, true, false.
#[gort::test(procs = [1, 2, 4])]
fn the_truth_table_of_trying() {
    let semaphore = Semaphore::new(2);
    let first = semaphore.try_acquire(1);
    assert!(first.is_some() && semaphore.try_acquire(2).is_none());
    let second = semaphore.try_acquire(1);
    assert!(second.is_some() && semaphore.try_acquire(1).is_none());
    assert!(semaphore.try_acquire(3).is_none());
    drop((first, second));
    assert_eq!(semaphore.available(), 2);
}

/// SY-08. A request larger than the total is in nobody's way; without a limit it is a panic, since it would never end.
#[gort::test(procs = [1, 2, 4])]
fn a_request_that_can_never_be_met_blocks_no_other() {
    let semaphore = Arc::new(Semaphore::new(2));
    let theirs = semaphore.clone();
    let started = Instant::now();
    let large = gort::go(move || theirs.acquire_timeout(3, Duration::from_millis(50)).is_none());
    while !large.is_finished() {
        drop(semaphore.acquire(2));
        gort::sleep(Duration::from_millis(1));
    }
    assert!(large.join().unwrap() && started.elapsed() >= Duration::from_millis(50));
    let payload = catch_unwind(AssertUnwindSafe(|| drop(semaphore.acquire(3)))).unwrap_err();
    let text = payload.downcast::<String>().unwrap();
    assert_eq!(*text, "Semaphore::acquire: 3 permits are wanted, and there are 2 in all");
}

/// SY-08. Releasing more than is held panics, and changes nothing.
#[gort::test(procs = [1, 2, 4])]
fn releasing_more_than_is_held_panics() {
    let semaphore = Arc::new(Semaphore::new(3));
    assert!(catch_unwind(AssertUnwindSafe(|| semaphore.release(1))).is_err());
    semaphore.acquire(2).forget();
    semaphore.clone().acquire_owned(1).forget();
    assert_eq!(Arc::strong_count(&semaphore), 1);
    let payload = catch_unwind(AssertUnwindSafe(|| semaphore.release(4))).unwrap_err();
    let text = payload.downcast::<String>().unwrap();
    assert_eq!(*text, "Semaphore::release: 4 permits are released, and 3 are held");
    semaphore.release(3);
    assert_eq!(semaphore.available(), 3);
}

/// Who waits for many is not passed by those who want few, and is followed by them at once if it leaves.
#[gort::test(procs = [1, 2, 4])]
fn a_large_request_keeps_its_turn_and_leaves_without_a_trace() {
    let semaphore = Arc::new(Semaphore::new(3));
    let held = semaphore.acquire(2);
    with_longer_and_longer_limit(|limit| {
        let theirs = semaphore.clone();
        let large = gort::go(move || theirs.acquire_timeout(3, limit).is_some());
        while !are_waiting(1, WAITS) && !large.is_finished() {
            gort::yield_now();
        }
        let passed = semaphore.try_acquire(1).is_some();
        let theirs = semaphore.clone();
        let small = gort::go(move || drop(theirs.acquire(1)));
        while !are_waiting(2, WAITS) && !large.is_finished() {
            gort::yield_now();
        }
        let was_seen = !large.is_finished();
        assert!(!large.join().unwrap());
        small.join().unwrap();
        assert!(!(was_seen && passed), "one is free, but somebody waits");
        was_seen
    });
    let theirs = semaphore.clone();
    let large = gort::go(move || theirs.acquire_timeout(3, Duration::MAX).is_some());
    wait_for_waiters(1, WAITS);
    drop(held);
    assert!(large.join().unwrap());
}

/// Ten thousand wait for one permit, and each has it once.
#[gort::test(procs = [1, 2, 4], timeout = 120)]
fn ten_thousand_waiters_are_served() {
    let shared = Arc::new((Semaphore::new(1), AtomicUsize::new(0)));
    let held = shared.0.acquire(1);
    let goroutines: Vec<_> = (0..10_000)
        .map(|_| {
            let shared = shared.clone();
            gort::go(move || {
                let _permit = shared.0.acquire(1);
                // Two steps: lost unless alone.
                shared.1.store(shared.1.load(Relaxed) + 1, Relaxed);
            })
        })
        .collect();
    wait_for_waiters(10_000, WAITS);
    drop(held);
    for goroutine in goroutines {
        goroutine.join().unwrap();
    }
    assert_eq!(shared.1.load(Relaxed), 10_000);
}

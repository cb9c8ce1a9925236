//! The read-write lock: exclusion, who waits for whom, poison, deadlines.

use super::{are_waiting, mixed, wait_for_waiters, with_longer_and_longer_limit};
use crate::support::rounds;
use gort::sync::RwLock;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::{Arc, TryLockError};
use std::time::{Duration, Instant};

const WRITER: &str = "sync.RWMutex.Lock";
const READER: &str = "sync.RWMutex.RLock";

/// SY-03, first part. Any number of readers hold it at once.
#[gort::test(procs = [1, 4])]
fn readers_hold_it_together() {
    for count in 1..=10 {
        let lock = Arc::new(RwLock::new(()));
        let inside = Arc::new(AtomicUsize::new(0));
        let readers: Vec<_> = (0..count)
            .map(|_| {
                let (lock, inside) = (lock.clone(), inside.clone());
                gort::go(move || {
                    let _guard = lock.read().unwrap();
                    inside.fetch_add(1, Release);
                    while inside.load(Acquire) < count {
                        gort::yield_now();
                    }
                })
            })
            .collect();
        for reader in readers {
            reader.join().unwrap();
        }
    }
}

/// SY-03, second part. The activity counter (a reader adds 1, a writer 10 000) never shows a mix.
#[gort::test(procs = [1, 4, 10], timeout = 120)]
fn readers_and_writers_exclude_each_other() {
    let each = rounds(1000);
    for readers in 1..=10 {
        let lock = Arc::new(RwLock::new(()));
        let activity = Arc::new(AtomicUsize::new(0));
        let goroutines: Vec<_> = (0..readers + 2)
            .map(|index| {
                let (lock, activity) = (lock.clone(), activity.clone());
                gort::go(move || {
                    for _ in 0..each {
                        if index < 2 {
                            let _guard = lock.write().unwrap();
                            assert_eq!(activity.fetch_add(10_000, Relaxed), 0);
                            for _ in 0..100 {
                                std::hint::spin_loop();
                            }
                            assert_eq!(activity.fetch_sub(10_000, Relaxed), 10_000);
                        } else {
                            let _guard = lock.read().unwrap();
                            assert!(activity.fetch_add(1, Relaxed) < 10_000);
                            for _ in 0..100 {
                                std::hint::spin_loop();
                            }
                            activity.fetch_sub(1, Relaxed);
                        }
                    }
                })
            })
            .collect();
        for goroutine in goroutines {
            goroutine.join().unwrap();
        }
    }
}

/// SY-03, third part. What can be tried with success, and when.
#[gort::test(procs = [1, 2, 4])]
fn the_truth_table_of_trying() {
    let lock = Arc::new(RwLock::new(0));
    let reading = lock.try_read().unwrap();
    assert!(lock.try_read().is_ok() && lock.try_write().is_err());
    let theirs = lock.clone();
    let writer = gort::go(move || *theirs.write().unwrap() += 1);
    wait_for_waiters(1, WRITER);
    assert!(lock.try_read().is_err(), "a writer waits, and a reader does not pass it");
    drop(reading);
    writer.join().unwrap();
    let writing = lock.try_write().unwrap();
    assert!(matches!(lock.try_read(), Err(TryLockError::WouldBlock)) && lock.try_write().is_err());
    drop(writing);
    assert_eq!(*lock.read().unwrap(), 1);
}

/// A stream of readers that never leaves the lock free does not keep a writer out.
#[gort::test(procs = [1, 2, 4])]
fn a_writer_is_not_starved_by_readers() {
    let lock = Arc::new(RwLock::new(0_usize));
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let lock = lock.clone();
            gort::go(move || {
                loop {
                    let guard = lock.read().unwrap();
                    if *guard == 10 {
                        return;
                    }
                    gort::yield_now();
                }
            })
        })
        .collect();
    for _ in 0..10 {
        *lock.write().unwrap() += 1;
    }
    for reader in readers {
        reader.join().unwrap();
    }
}

/// A writer that gives up lets the readers pass that stood behind it.
#[gort::test(procs = [1, 2, 4])]
fn readers_behind_a_writer_that_gives_up_are_let_in() {
    let lock = Arc::new(RwLock::new(0));
    let reading = lock.read().unwrap();
    with_longer_and_longer_limit(|limit| {
        let theirs = lock.clone();
        let started = Instant::now();
        let impatient = gort::go(move || theirs.write_timeout(limit).is_err());
        while !are_waiting(1, WRITER) && !impatient.is_finished() {
            gort::yield_now();
        }
        let theirs = lock.clone();
        let behind = gort::go(move || *theirs.read().unwrap());
        while !are_waiting(1, READER) && !impatient.is_finished() {
            gort::yield_now();
        }
        let was_seen = !impatient.is_finished();
        assert!(impatient.join().unwrap() && started.elapsed() >= limit);
        assert_eq!(behind.join().unwrap(), 0, "while the first reader still reads");
        was_seen
    });
    assert!(lock.try_read().is_ok());
    drop(reading);
}

/// SY-07 for the read-write lock: goroutines and threads, with deadlines that pass.
#[gort::test(procs = [1, 2, 4], timeout = 120)]
fn goroutines_and_threads_share_a_lock_and_leave_at_all_times() {
    let each = rounds(20_000);
    let lock = Arc::new(RwLock::new((0_usize, 0_usize)));
    let written = Arc::new(AtomicUsize::new(0));
    let (theirs, count) = (lock.clone(), written.clone());
    mixed(6, move |index| {
        for round in 0..each {
            let brief = Duration::from_micros((round % 16) as u64);
            match (index + round) % 5 {
                0 | 1 => {
                    let guard = if round % 2 == 0 { theirs.write().ok() } else { theirs.write_timeout(brief).ok() };
                    if let Some(mut guard) = guard {
                        guard.0 += 1;
                        if round % 64 == 0 {
                            gort::yield_now();
                        }
                        guard.1 += 1;
                        count.fetch_add(1, Relaxed);
                    }
                }
                2 => {
                    if let Ok(guard) = theirs.read_timeout(brief) {
                        assert_eq!(guard.0, guard.1);
                    }
                }
                _ => {
                    let guard = theirs.read().unwrap();
                    assert_eq!(guard.0, guard.1);
                }
            }
        }
    });
    assert_eq!(lock.read().unwrap().0, written.load(Relaxed));
    assert!(lock.try_write().is_ok(), "nobody holds it, nobody waits");
}

/// A thousand readers and writers, parked in one queue, are all served.
#[gort::test(procs = [1, 2, 4])]
fn a_long_queue_of_both_kinds_is_served() {
    let lock = Arc::new(RwLock::new(0_usize));
    let writing = lock.write().unwrap();
    let goroutines: Vec<_> = (0..1000)
        .map(|index| {
            let lock = lock.clone();
            gort::go(move || {
                if index % 10 == 0 {
                    *lock.write().unwrap() += 1;
                } else {
                    drop(lock.read().unwrap());
                }
            })
        })
        .collect();
    wait_for_waiters(100, WRITER);
    wait_for_waiters(900, READER);
    drop(writing);
    for goroutine in goroutines {
        goroutine.join().unwrap();
    }
    assert_eq!(*lock.read().unwrap(), 100);
}

/// A panic of a writer poisons, one of a reader does not.
#[gort::test(procs = [1, 2, 4])]
fn a_writers_panic_poisons_and_a_readers_does_not() {
    let lock = Arc::new(RwLock::new(1));
    let theirs = lock.clone();
    gort::go(move || {
        let _guard = theirs.read().unwrap();
        panic!("on purpose");
    })
    .join()
    .unwrap_err();
    assert!(!lock.is_poisoned() && lock.try_write().is_ok());
    let theirs = lock.clone();
    gort::go(move || {
        *theirs.write().unwrap() = 2;
        let _guard = theirs.write().unwrap();
        panic!("on purpose");
    })
    .join()
    .unwrap_err();
    assert!(lock.is_poisoned());
    assert_eq!(**lock.read().unwrap_err().get_ref(), 2);
    assert!(lock.write().is_err() && lock.read_timeout(Duration::ZERO).is_err());
    lock.clear_poison();
    assert_eq!(*lock.read().unwrap(), 2);
}

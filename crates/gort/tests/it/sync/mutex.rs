//! The mutex: exclusion, fairness, poison, deadlines.

use super::{mixed, wait_for_waiters};
use crate::support::{needs_migration, rounds, wait_until};
use gort::sync::Mutex;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, TryLockError};
use std::time::{Duration, Instant};

/// What a dump says of a party that waits for a mutex.
const WAITS: &str = "sync.Mutex.Lock";

/// SY-01. `try_lock` fails when held and works when free; ten goroutines do 1000 mixed rounds.
#[gort::test(procs = [1, 2, 4])]
fn a_mutex_is_held_by_one_at_a_time() {
    let mutex = Arc::new(Mutex::new(0_usize));
    let guard = mutex.try_lock().unwrap();
    assert!(matches!(mutex.try_lock(), Err(TryLockError::WouldBlock)));
    drop(guard);
    drop(mutex.try_lock().unwrap());

    let locked = Arc::new(AtomicUsize::new(0));
    let goroutines: Vec<_> = (0..10)
        .map(|_| {
            let (mutex, locked) = (mutex.clone(), locked.clone());
            gort::go(move || {
                for round in 0..1000 {
                    let guard = if round % 3 == 0 { mutex.try_lock().ok() } else { Some(mutex.lock().unwrap()) };
                    if let Some(mut guard) = guard {
                        // Two steps, with others running in between: lost unless alone.
                        let before = *guard;
                        if round % 50 == 0 {
                            gort::yield_now();
                        }
                        *guard = before + 1;
                        locked.fetch_add(1, Relaxed);
                    }
                }
            })
        })
        .collect();
    for goroutine in goroutines {
        goroutine.join().unwrap();
    }
    assert_eq!(*mutex.lock().unwrap(), locked.load(Relaxed));
}

/// SY-07. A goroutine's unlock wakes a thread and the reverse: 1e5 strict turns.
#[gort::test(procs = [1, 2, 4], timeout = 120)]
fn goroutines_and_threads_share_a_mutex() {
    let each = rounds(100_000) / 4;
    let mutex = Arc::new(Mutex::new(0_usize));
    let theirs = mutex.clone();
    mixed(4, move |index| {
        for round in 0..each {
            let mut guard = theirs.lock().unwrap();
            let before = *guard;
            if round % 64 == index {
                gort::yield_now();
            }
            *guard = before + 1;
        }
    });
    assert_eq!(*mutex.lock().unwrap(), each * 4);
}

/// Each unlock with a waiter parked: the other kind is woken every time.
#[gort::test(procs = [1, 2, 4])]
fn an_unlock_wakes_the_other_kind() {
    let mutex = Arc::new(Mutex::new(0_usize));
    for from_thread in [false, true] {
        let guard = mutex.lock().unwrap();
        let theirs = mutex.clone();
        let add = move || *theirs.lock().unwrap() += 1;
        if from_thread {
            let thread = std::thread::Builder::new().name("test-plain".into()).spawn(add).unwrap();
            wait_for_waiters(1, WAITS);
            drop(guard);
            gort::blocking_send(|| thread.join().unwrap());
        } else {
            let goroutine = gort::go(add);
            wait_for_waiters(1, WAITS);
            drop(guard);
            goroutine.join().unwrap();
        }
    }
    assert_eq!(*mutex.lock().unwrap(), 2);
}

/// SY-02, first half. A panic with the guard held poisons; what is locked during unwinding, and let go before its end, is not poisoned.
#[gort::test(procs = [1, 2, 4])]
fn a_panic_while_locked_poisons_as_in_std() {
    let mutex = Arc::new(Mutex::new(1));
    let theirs = mutex.clone();
    let panicked = gort::go(move || {
        let mut guard = theirs.lock().unwrap();
        *guard = 2;
        panic!("on purpose");
    });
    panicked.join().unwrap_err();
    assert!(mutex.is_poisoned());
    assert_eq!(**mutex.lock().unwrap_err().get_ref(), 2);
    assert!(matches!(mutex.try_lock(), Err(TryLockError::Poisoned(_))));
    assert!(matches!(mutex.lock_timeout(Duration::ZERO), Err(TryLockError::Poisoned(_))));
    assert!(format!("{mutex:?}").contains("poisoned: true"), "{mutex:?}");
    mutex.clear_poison();
    assert_eq!(*mutex.lock().unwrap(), 2);
    let mut mutex = Arc::into_inner(mutex).unwrap();
    *mutex.get_mut().unwrap() = 3;
    assert_eq!(mutex.into_inner().unwrap(), 3);
}

/// SY-02, second half. A destructor that runs during unwinding locks another mutex, waits for it parked, and may move meanwhile.
#[gort::test(procs = [1, 2, 4])]
fn a_destructor_may_wait_for_a_mutex_while_its_goroutine_unwinds() {
    if needs_migration("std counts panics by thread") {
        return;
    }
    struct LocksWhenDropped(Arc<Mutex<Vec<usize>>>, usize);
    impl Drop for LocksWhenDropped {
        fn drop(&mut self) {
            assert!(std::thread::panicking());
            self.0.lock().unwrap().push(self.1);
            assert!(std::thread::panicking(), "the panic is the goroutine's, wherever it goes on");
        }
    }
    let mutex = Arc::new(Mutex::new(Vec::new()));
    let guard = mutex.lock().unwrap();
    let goroutines: Vec<_> = (0..8)
        .map(|index| {
            let mutex = mutex.clone();
            gort::go(move || {
                let _locks = LocksWhenDropped(mutex, index);
                panic!("on purpose");
            })
        })
        .collect();
    wait_for_waiters(8, WAITS);
    assert!(!std::thread::panicking());
    drop(guard);
    for goroutine in goroutines {
        goroutine.join().unwrap_err();
    }
    let mut seen = mutex.lock().unwrap().clone();
    seen.sort_unstable();
    assert_eq!(seen, (0..8).collect::<Vec<_>>());
    assert!(!mutex.is_poisoned(), "it was locked by those who panicked already");
}

/// A panic that is caught inside the critical section does not poison.
#[gort::test(procs = [1, 2, 4])]
fn a_panic_caught_while_locked_does_not_poison() {
    let mutex = Mutex::new(());
    let guard = mutex.lock().unwrap();
    catch_unwind(AssertUnwindSafe(|| panic!("on purpose"))).unwrap_err();
    drop(guard);
    assert!(!mutex.is_poisoned());
}

/// A wait with a deadline is not short, leaves nothing behind, and takes what becomes free in time.
#[gort::test(procs = [1, 2, 4])]
fn a_wait_with_a_deadline_ends_by_it_or_by_the_lock() {
    let mutex = Arc::new(Mutex::new(0));
    let guard = mutex.lock().unwrap();
    let started = Instant::now();
    let late = mutex.lock_timeout(Duration::from_millis(5));
    assert!(matches!(late, Err(TryLockError::WouldBlock)));
    assert!(started.elapsed() >= Duration::from_millis(5));
    assert!(mutex.lock_deadline(Instant::now()).is_err());
    let theirs = mutex.clone();
    let patient = gort::go(move || *theirs.lock_timeout(Duration::MAX).unwrap() += 1);
    wait_for_waiters(1, WAITS);
    drop(guard);
    patient.join().unwrap();
    assert_eq!(*mutex.lock_deadline(started).unwrap(), 1, "free is free, whatever the time");
}

/// Waiters leave at all times, and no unlock is lost with one of them.
#[gort::test(procs = [1, 2, 4], timeout = 120)]
fn an_unlock_is_not_lost_with_a_waiter_that_leaves() {
    let each = rounds(20_000);
    let mutex = Arc::new(Mutex::new(0_usize));
    let locked = Arc::new(AtomicUsize::new(0));
    let (theirs, count) = (mutex.clone(), locked.clone());
    mixed(6, move |index| {
        for round in 0..each {
            let guard = match (index + round) % 3 {
                0 => theirs.lock_timeout(Duration::from_nanos((round % 32) as u64 * 500)).ok(),
                1 => theirs.lock_timeout(Duration::from_micros(1)).ok(),
                _ => Some(theirs.lock().unwrap()),
            };
            if let Some(mut guard) = guard {
                *guard += 1;
                if round % 16 == 0 {
                    gort::yield_now();
                }
                count.fetch_add(1, Relaxed);
            }
        }
    });
    assert_eq!(*mutex.lock().unwrap(), locked.load(Relaxed));
    assert!(mutex.try_lock().is_ok(), "nobody holds it, nobody waits");
}

/// One that has waited for a millisecond gets the mutex next, although others take it again and again without a pause.
#[gort::test(procs = [1, 2, 4])]
fn a_starved_waiter_gets_the_mutex() {
    let mutex = Arc::new(Mutex::new(()));
    let stop = Arc::new(AtomicBool::new(false));
    let greedy: Vec<_> = (0..2)
        .map(|_| {
            let (mutex, stop) = (mutex.clone(), stop.clone());
            gort::go(move || {
                while !stop.load(Acquire) {
                    let _guard = mutex.lock().unwrap();
                    let started = Instant::now();
                    while started.elapsed() < Duration::from_micros(100) {
                        std::hint::spin_loop();
                    }
                }
            })
        })
        .collect();
    for _ in 0..20 {
        drop(mutex.lock().unwrap());
    }
    stop.store(true, Release);
    for goroutine in greedy {
        goroutine.join().unwrap();
    }
}

/// Ten thousand goroutines wait at once; each gets its turn, in order of arrival since nobody else comes.
#[gort::test(procs = [1, 2, 4], timeout = 120)]
fn ten_thousand_waiters_are_served() {
    let mutex = Arc::new(Mutex::new(0_usize));
    let guard = mutex.lock().unwrap();
    let goroutines: Vec<_> = (0..10_000)
        .map(|_| {
            let mutex = mutex.clone();
            gort::go(move || *mutex.lock().unwrap() += 1)
        })
        .collect();
    wait_for_waiters(10_000, WAITS);
    drop(guard);
    for goroutine in goroutines {
        goroutine.join().unwrap();
    }
    assert_eq!(*mutex.lock().unwrap(), 10_000);
}

/// A guard that lives in a thread-local unlocks when its thread, or goroutine, ends, also with waiters there.
#[gort::test(procs = [1, 2, 4])]
fn a_guard_alive_at_the_end_of_a_thread_unlocks() {
    if needs_migration("thread-locals are shared by the goroutines of a thread") {
        return;
    }
    static MUTEX: Mutex<usize> = Mutex::new(0);
    thread_local! {
        static KEPT: std::cell::RefCell<Option<gort::sync::MutexGuard<'static, usize>>> =
            const { std::cell::RefCell::new(None) };
    }
    let before = *MUTEX.lock().unwrap();
    for on_thread in [true, false] {
        let held = Arc::new(AtomicBool::new(false));
        let may_end = Arc::new(AtomicBool::new(false));
        let body = {
            let (held, may_end) = (held.clone(), may_end.clone());
            move || {
                KEPT.with(|kept| *kept.borrow_mut() = Some(MUTEX.lock().unwrap()));
                held.store(true, Release);
                while !may_end.load(Acquire) {
                    gort::yield_now();
                }
            }
        };
        let thread = if on_thread {
            Some(std::thread::Builder::new().name("test-plain".into()).spawn(body).unwrap())
        } else {
            drop(gort::go(body));
            None
        };
        wait_until(|| held.load(Acquire));
        let waiter = gort::go(|| *MUTEX.lock().unwrap() += 1);
        wait_for_waiters(1, WAITS);
        may_end.store(true, Release);
        waiter.join().unwrap();
        if let Some(thread) = thread {
            gort::blocking_send(|| thread.join().unwrap());
        }
    }
    assert_eq!(*MUTEX.lock().unwrap(), before + 2);
}

/// A guard that is never dropped keeps the mutex locked; who waits with a deadline comes back.
#[gort::test(procs = [1, 2, 4])]
fn a_forgotten_guard_keeps_the_mutex_locked() {
    let mutex = Arc::new(Mutex::new(()));
    let theirs = mutex.clone();
    gort::go(move || std::mem::forget(theirs.lock())).join().unwrap();
    assert!(mutex.try_lock().is_err());
    assert!(mutex.lock_timeout(Duration::from_millis(1)).is_err());
    assert!(!mutex.is_poisoned());
}

//! What is done once: `Once`, `OnceLock`, `LazyLock`.

use super::{mixed, wait_for_waiters};
use crate::support::{rounds, wait_until};
use gort::sync::{LazyLock, Mutex, Once, OnceLock, Pool, RwLock};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::Duration;

/// What a dump says of a party that waits for another's initialisation.
const WAITS: &str = "sync.Once.Do";

/// SY-05, first part. The function runs once among ten callers of both kinds, and each of them returns after it is done.
#[gort::test(procs = [1, 2, 4])]
fn it_runs_once_and_all_return_after_it() {
    for _ in 0..rounds(200) {
        let shared = Arc::new((Once::new(), AtomicUsize::new(0)));
        let theirs = shared.clone();
        mixed(10, move |_| {
            theirs.0.call_once(|| {
                gort::yield_now();
                // Relaxed, and two steps: the `Once` must have ordered them.
                theirs.1.store(theirs.1.load(Relaxed) + 1, Relaxed);
            });
            assert_eq!(theirs.1.load(Relaxed), 1);
        });
        assert!(shared.0.is_completed());
    }
}

/// Parked callers are all told when it is done, and `wait` does not run anything itself.
#[gort::test(procs = [1, 2, 4])]
fn those_who_wait_are_told_when_it_is_done() {
    let shared = Arc::new((Once::new(), AtomicBool::new(false), AtomicUsize::new(0)));
    let goroutines: Vec<_> = (0..1000)
        .map(|index| {
            let shared = shared.clone();
            gort::go(move || match index {
                1 => shared.0.wait_force(),
                2 => shared.0.wait(),
                _ => shared.0.call_once(|| {
                    // Asleep, not yielding: most of the others are in the global queue, and a local one that yields goes before them.
                    while !shared.1.load(Acquire) {
                        gort::sleep(Duration::from_millis(1));
                    }
                    shared.2.fetch_add(1, Relaxed);
                }),
            })
        })
        .collect();
    wait_for_waiters(999, WAITS);
    shared.1.store(true, Release);
    for goroutine in goroutines {
        goroutine.join().unwrap();
    }
    assert_eq!(shared.2.load(Relaxed), 1);
}

/// SY-05, second part. A panic reaches its caller; the `Once` is poisoned until it is forced.
#[gort::test(procs = [1, 2, 4])]
fn a_panic_poisons_until_somebody_forces_it() {
    let once = Arc::new(Once::new());
    let may_panic = Arc::new(AtomicBool::new(false));
    let (theirs, may) = (once.clone(), may_panic.clone());
    let first = gort::go(move || {
        theirs.call_once(|| {
            wait_until(|| may.load(Acquire));
            panic!("on purpose");
        });
    });
    let waiting: Vec<_> = (0..3)
        .map(|index| {
            // The first caller may be anybody before it runs; these come when it does.
            wait_until(|| format!("{once:?}").contains("Running"));
            let once = once.clone();
            gort::go(move || if index == 0 { once.wait() } else { once.call_once(|| ()) })
        })
        .collect();
    wait_for_waiters(3, WAITS);
    may_panic.store(true, Release);
    assert_eq!(*first.join().unwrap_err().downcast::<&str>().unwrap(), "on purpose");
    for waiter in waiting {
        waiter.join().unwrap_err();
    }
    assert!(catch_unwind(AssertUnwindSafe(|| once.call_once(|| ()))).is_err());
    assert!(!once.is_completed());
    once.call_once_force(|state| assert!(state.is_poisoned()));
    once.call_once(|| unreachable!("it is done"));
    once.wait();
}

/// A `OnceLock` is written once; a panic leaves it empty for the next one; what is in it is dropped once.
#[gort::test(procs = [1, 2, 4])]
fn a_once_lock_is_written_once() {
    let drops = Arc::new(());
    let cell = Arc::new(OnceLock::<(usize, Arc<()>)>::new());
    assert!(catch_unwind(AssertUnwindSafe(|| cell.get_or_init(|| panic!("on purpose")))).is_err());
    assert!(cell.get().is_none());
    let theirs = cell.clone();
    let waits = gort::go(move || theirs.wait().0);
    wait_for_waiters(1, WAITS);
    let (theirs, token) = (cell.clone(), drops.clone());
    mixed(6, move |index| {
        let value = theirs.get_or_init(|| (index, token.clone()));
        assert_eq!(theirs.set((99, token.clone())).unwrap_err().0, 99);
        assert!(value.0 < 6);
    });
    assert_eq!(waits.join().unwrap(), cell.get().unwrap().0);
    let mut cell = Arc::into_inner(cell).unwrap();
    let copy = cell.clone();
    assert!(cell.take().is_some() && cell.get().is_none() && copy.get().is_some());
    assert!(format!("{cell:?}").contains("<uninit>"));
    drop(copy);
    assert_eq!(Arc::strong_count(&drops), 1);
}

/// SY-05 for the value form. A `LazyLock` makes its value once; if that panics, every later look does.
#[gort::test(procs = [1, 2, 4])]
fn a_lazy_lock_makes_its_value_once_or_never() {
    let count = Arc::new(AtomicUsize::new(0));
    let theirs = count.clone();
    let lazy = Arc::new(LazyLock::new(move || {
        gort::yield_now();
        theirs.fetch_add(1, Relaxed) + 1
    }));
    assert!(format!("{lazy:?}").contains("<uninit>"));
    let seen = lazy.clone();
    mixed(6, move |_| assert_eq!(**seen, 1));
    assert_eq!((count.load(Relaxed), format!("{lazy:?}").as_str()), (1, "LazyLock(1)"));

    let broken: LazyLock<u8> = LazyLock::new(|| panic!("on purpose"));
    for look in 0..3 {
        let payload = catch_unwind(AssertUnwindSafe(|| *broken)).unwrap_err();
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap();
        assert_eq!(text == "on purpose", look == 0, "{text}");
    }
}

/// What lies in a cell may borrow what ends before the cell does, as with std's: nothing of gort's looks at a value that it drops.
#[test]
fn a_value_may_borrow_what_ends_before_the_cell() {
    let (once, mutex, rwlock) = (OnceLock::new(), Mutex::new(""), RwLock::new(""));
    let pool = Pool::new(|| "");
    let text = String::from("short-lived");
    once.set(&text[..]).unwrap();
    *mutex.lock().unwrap() = &text;
    *rwlock.write().unwrap() = &text;
    pool.put(&text);
    assert_eq!(once.get(), Some(&"short-lived"));
}

//! The pool.

use crate::support::rounds;
use gort::sync::Pool;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

/// SY-09. What is got was put, or is new.
#[gort::test(procs = [1, 2, 4])]
fn get_returns_what_was_put_or_a_new_one() {
    let pool = Pool::new(|| 0);
    assert_eq!(pool.get(), 0);
    pool.put(1);
    pool.put(2);
    let mut got = [pool.get(), pool.get(), pool.get()];
    got.sort_unstable();
    assert_eq!(got, [0, 1, 2]);
    pool.put(3);
    pool.clear();
    assert_eq!(pool.get(), 0);
}

/// What is too much is dropped, and so is what is left at the end; each thing once.
#[gort::test(procs = [1, 2, 4])]
fn nothing_that_was_put_is_leaked() {
    let token = Arc::new(());
    let pool = Pool::new(|| token.clone());
    for _ in 0..10_000 {
        pool.put(token.clone());
    }
    assert!(Arc::strong_count(&token) < 2000, "{}", Arc::strong_count(&token));
    drop(pool);
    assert_eq!(Arc::strong_count(&token), 1);
}

/// SY-09, stress. Ten goroutines, 1e6 times: never one item with two holders.
#[gort::test(procs = [1, 2, 4], timeout = 120)]
fn no_item_has_two_holders() {
    let each = rounds(1_000_000);
    let pool = Arc::new(Pool::new(|| Box::new(AtomicUsize::new(0))));
    let goroutines: Vec<_> = (0..10)
        .map(|index| {
            let pool = pool.clone();
            gort::go(move || {
                for round in 0..each {
                    let item = pool.get();
                    assert_eq!(item.swap(index + 1, SeqCst), 0, "it has another holder");
                    if round % 1024 == 0 {
                        gort::yield_now();
                    }
                    assert_eq!(item.load(Relaxed), index + 1);
                    item.store(0, Relaxed);
                    pool.put(item);
                }
            })
        })
        .collect();
    for goroutine in goroutines {
        goroutine.join().unwrap();
    }
}

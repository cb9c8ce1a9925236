//! Scopes.

use crate::support::{needs_migration, rounds};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// CX-10. A scope borrows, waits for all, also when its body panics, and reports a child's panic after all have ended.
#[gort::test(procs = [1, 2, 4])]
fn a_scope_waits_for_all_it_has_started_whatever_happens() {
    for _ in 0..rounds(200) {
        let mut words = vec![String::from("a"); 8];
        let total = AtomicUsize::new(0);
        gort::scope(|s| {
            for word in &mut words {
                let total = &total;
                s.spawn(move || {
                    gort::yield_now();
                    word.push('b');
                    total.fetch_add(word.len(), Relaxed);
                    // A child starts children of the same scope.
                    s.spawn(move || total.fetch_add(1, Relaxed));
                });
            }
        });
        assert_eq!(total.load(Relaxed), 24);
        assert!(words.iter().all(|word| word == "ab"));
    }

    let ended = AtomicUsize::new(0);
    let body = catch_unwind(AssertUnwindSafe(|| {
        gort::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    gort::sleep(Duration::from_millis(5));
                    ended.fetch_add(1, Relaxed);
                });
            }
            std::panic::resume_unwind(Box::new("body"));
        })
    }));
    assert_eq!(*body.unwrap_err().downcast::<&str>().unwrap(), "body");
    assert_eq!(ended.load(Relaxed), 4);

    let child = catch_unwind(AssertUnwindSafe(|| {
        gort::scope(|s| {
            s.spawn(|| std::panic::resume_unwind(Box::new("child")));
            s.spawn(|| {
                gort::sleep(Duration::from_millis(5));
                ended.fetch_add(1, Relaxed);
            });
        })
    }));
    assert_eq!(*child.unwrap_err().downcast::<&str>().unwrap(), "a scoped goroutine panicked");
    assert_eq!(ended.load(Relaxed), 5);
}

/// A joined child's panic is the joiner's business, not the scope's.
#[gort::test(procs = [1, 2, 4])]
fn a_joined_panic_does_not_end_the_scope() {
    gort::scope(|s| {
        let fails = s.spawn(|| std::panic::resume_unwind(Box::new(3)));
        assert_eq!(*fails.join().unwrap_err().downcast::<i32>().unwrap(), 3);
        assert_eq!(s.spawn(|| 4).join().unwrap(), 4);
    });
}

/// The scope works on a plain thread too.
#[gort::test(procs = [1, 2, 4])]
fn a_plain_thread_may_open_a_scope() {
    let thread = std::thread::spawn(|| {
        let mut sum = 0;
        let parts = [1, 2, 3];
        gort::scope(|s| sum = parts.iter().map(|part| s.spawn(move || part * 2)).map(|h| h.join().unwrap()).sum());
        sum
    });
    assert_eq!(gort::blocking_send(|| thread.join().unwrap()), 12);
}

/// A result that nobody takes, whose destructor touches a thread-local whose destructor parks: the scope still counts its goroutine.
#[gort::test(procs = [1, 2, 4])]
fn a_scope_counts_a_goroutine_that_parks_after_its_last_result() {
    if needs_migration("thread-locals are shared by the goroutines of a thread") {
        return;
    }
    struct ParksLater;
    impl Drop for ParksLater {
        fn drop(&mut self) {
            gort::go(|| ()).join().unwrap();
            gort::sleep(Duration::from_micros(50));
        }
    }
    thread_local!(static LATE: std::cell::RefCell<Option<ParksLater>> = const { std::cell::RefCell::new(None) });
    struct TouchesThreadLocal;
    impl Drop for TouchesThreadLocal {
        fn drop(&mut self) {
            LATE.set(Some(ParksLater));
        }
    }
    for _ in 0..rounds(100) {
        gort::scope(|s| drop(s.spawn(|| TouchesThreadLocal)));
        drop(gort::go(|| TouchesThreadLocal));
    }
}

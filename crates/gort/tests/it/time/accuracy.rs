//! Never early, in order, not too late.

use super::{ms, with_retries};
use crate::support::{rounds, scaled};
use gort::time::{after, sleep, sleep_until};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// TM-01.
#[gort::test(procs = [1, 2, 4])]
fn a_sleep_is_never_early_although_signals_arrive() {
    extern "C" fn ignore(_: libc::c_int) {}
    // SAFETY: the handler does nothing; SIGCHLD has no meaning for this process.
    unsafe { libc::signal(libc::SIGCHLD, ignore as *const () as libc::sighandler_t) };
    let start = Instant::now();
    let sleepers: Vec<_> = (0..4)
        .map(|_| {
            gort::go(|| {
                let start = Instant::now();
                sleep(ms(100));
                start.elapsed()
            })
        })
        .collect();
    let ring = after(ms(100));
    while start.elapsed() < ms(50) {
        // SAFETY: sends a signal that has a handler to this process.
        unsafe { libc::kill(libc::getpid(), libc::SIGCHLD) };
        sleep(ms(5));
    }
    for sleeper in sleepers {
        assert!(sleeper.join().unwrap() >= ms(100));
    }
    let due = ring.recv().unwrap();
    assert!(due >= start + ms(100) && Instant::now() >= due);
}

/// A thread without the runtime's help, and an instant that has passed.
#[gort::test(procs = [1, 2, 4])]
fn sleep_until_is_exact_below_on_goroutines_and_threads() {
    let nap = || {
        let deadline = Instant::now() + ms(3);
        sleep_until(deadline);
        assert!(Instant::now() >= deadline);
        sleep_until(deadline);
        assert!(Instant::now() >= deadline);
    };
    nap();
    std::thread::spawn(nap).join().unwrap();
}

/// TM-02. The issue is drift: each is set when the one before has come.
#[gort::test(procs = [1, 2, 4])]
fn ten_waits_in_sequence_add_up() {
    let start = Instant::now();
    for _ in 0..10 {
        after(ms(100)).recv().unwrap();
    }
    let took = start.elapsed();
    assert!(took >= ms(1000) && took < scaled(ms(3000)), "took {took:?}");
}

/// TM-03.
#[gort::test(procs = [1, 2, 4])]
fn waits_end_in_the_order_of_their_times() {
    const SLOTS: [u32; 13] = [5, 3, 6, 6, 6, 1, 1, 2, 7, 9, 4, 8, 0];
    with_retries(ms(20), |delta| {
        let order = Mutex::new(Vec::new());
        gort::scope(|scope| {
            for slot in SLOTS {
                let (order, ring) = (&order, after(slot * delta));
                scope.spawn(move || {
                    ring.recv().unwrap();
                    order.lock().unwrap().push(slot);
                });
            }
        });
        let order = order.into_inner().unwrap();
        if order.is_sorted() { Ok(()) } else { Err(format!("{order:?}")) }
    });
}

/// TM-10.
#[gort::test(procs = [1, 2, 4])]
fn a_zero_sleep_between_channel_operations_and_dumps_hangs_nothing() {
    let (s, r) = gort::chan::bounded(0);
    let dumper = gort::go(|| {
        for _ in 0..rounds(50) {
            assert!(!gort::runtime::dump().is_empty());
        }
    });
    let echo = gort::go(move || r.iter().inspect(|_| sleep(Duration::ZERO)).count());
    for n in 0..100 {
        sleep(Duration::ZERO);
        s.send(n).unwrap();
        sleep(Duration::ZERO);
    }
    drop(s);
    assert_eq!(echo.join().unwrap(), 100);
    dumper.join().unwrap();
}

//! `after_func`.

use super::{ms, received_within};
use crate::support::{rounds, scaled, wait_until};
use gort::time::{after, after_func, sleep};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

/// TM-04.
#[gort::test(procs = [1, 2, 4])]
fn what_is_stopped_at_once_never_happens() {
    let timer = gort::time::Timer::new(ms(50));
    let called = Arc::new(AtomicUsize::new(0));
    let theirs = called.clone();
    let call = after_func(ms(150), move || {
        theirs.fetch_add(1, SeqCst);
    });
    assert!(timer.stop() && call.stop());
    after(ms(200)).recv().unwrap();
    assert!(timer.c().try_recv().is_err());
    assert_eq!(called.load(SeqCst), 0);
    assert!(!timer.stop() && !call.stop());
}

/// TM-06. Each call starts the next, and then takes its time.
#[gort::test(procs = [1, 2, 4])]
fn calls_run_on_goroutines_of_their_own() {
    fn chain(left: u32, done: gort::chan::Sender<()>, running: Arc<AtomicUsize>) {
        after_func(Duration::ZERO, move || {
            running.fetch_add(1, SeqCst);
            if left == 0 {
                done.send(()).unwrap();
            } else {
                chain(left - 1, done, running.clone());
                sleep(ms(1000));
            }
            running.fetch_sub(1, SeqCst);
        });
    }
    let start = Instant::now();
    let (s, r) = gort::chan::bounded(1);
    let running = Arc::new(AtomicUsize::new(0));
    chain(9, s, running.clone());
    r.recv().unwrap();
    assert!(start.elapsed() < scaled(ms(5000)), "one waited for the other");
    // The census after the test wants all of them gone.
    while running.load(SeqCst) > 0 {
        sleep(ms(10));
    }
}

/// TM-09. Stopped from wherever the goroutine is by then.
#[gort::test(procs = [1, 2, 4])]
fn a_hundred_calls_are_stopped_in_time() {
    let called = Arc::new(AtomicUsize::new(0));
    let goroutines: Vec<_> = (0..100)
        .map(|_| {
            let called = called.clone();
            gort::go(move || {
                let start = Instant::now();
                let call = after_func(ms(2000), move || {
                    called.fetch_add(1, SeqCst);
                });
                sleep(ms(1000));
                (call.stop(), start.elapsed())
            })
        })
        .collect();
    let mut missed = 0;
    for goroutine in goroutines {
        let (was_stopped, took) = goroutine.join().unwrap();
        // On a machine that stood still for a second there was nothing to prevent.
        assert!(was_stopped || took >= ms(2000));
        missed += usize::from(!was_stopped);
    }
    sleep(ms(2000));
    assert_eq!(called.load(SeqCst), missed);
}

/// TM-11.
#[gort::test(procs = [1, 2, 4])]
fn a_panic_in_a_call_concerns_nobody_else() {
    let (s, r) = gort::chan::bounded(1);
    after_func(Duration::ZERO, || panic!("on purpose: the report above belongs to a passing test"));
    after_func(ms(5), move || s.send(()).unwrap());
    received_within(&r, Duration::from_secs(5));
    assert!(after_func(Duration::from_secs(60), || ()).stop());
}

/// The result of a stop is the truth, whichever comes first; likewise that of a reset.
#[gort::test(procs = [1, 2, 4])]
fn a_call_happens_once_or_was_prevented() {
    for round in 0..rounds(3000) as u64 {
        let called = Arc::new(AtomicUsize::new(0));
        let theirs = called.clone();
        let pause = Duration::from_micros(round % 50);
        let call = after_func(pause, move || {
            theirs.fetch_add(1, SeqCst);
        });
        sleep(pause);
        // A reset that fails says that it has been called, or is about to be: either way it will have been.
        let will_be = round % 2 == 1 || !call.stop();
        if round % 2 == 1 {
            call.reset(Duration::ZERO);
        }
        if will_be {
            wait_until(|| called.load(SeqCst) == 1);
            assert!(!call.stop());
        }
        drop(call);
        assert_eq!(called.load(SeqCst), usize::from(will_be));
    }
}

/// The function is dropped with the last of those who could have it called, and when it has been called.
#[gort::test(procs = [1, 2, 4])]
fn a_function_that_is_not_called_is_dropped() {
    let token = Arc::new(());
    // More than a record holds without a box, and less.
    let (big, small) = ([7_u8; 200], token.clone());
    let large = token.clone();
    let first = after_func(Duration::from_secs(60), move || drop((big, large)));
    let second = after_func(Duration::from_secs(60), move || drop(small));
    assert_eq!(Arc::strong_count(&token), 3);
    assert!(first.stop() && second.stop());
    assert_eq!(Arc::strong_count(&token), 3, "a reset may want it");
    drop((first, second));
    assert_eq!(Arc::strong_count(&token), 1);
    let called = token.clone();
    after_func(Duration::ZERO, move || drop(called));
    wait_until(|| Arc::strong_count(&token) == 1);
}

/// Moved back and forth, it comes at the last time that was set, and not before.
#[gort::test(procs = [1, 2, 4])]
fn a_reset_is_never_early() {
    let mut moved = 0;
    for round in 0..rounds(300) as u64 {
        let (s, r) = gort::chan::bounded(1);
        // Some that cannot come before they are moved, however slow the machine is.
        let first = if round % 4 == 0 { Duration::from_secs(3600) } else { Duration::from_micros(300) };
        let call = after_func(first, move || s.send(Instant::now()).unwrap());
        sleep(Duration::from_micros(round % 300));
        let later = Instant::now() + ms(2);
        let is_later = call.reset(Duration::from_secs(3600)) && call.reset(ms(2));
        let came = r.recv().unwrap();
        assert!(!is_later || came >= later, "{:?} early", later - came);
        moved += usize::from(is_later);
    }
    assert!(moved > 0);
}

/// From a plain thread, while nobody else does anything.
#[gort::test(procs = [1, 2, 4])]
fn a_thread_may_set_a_call() {
    let (s, r) = gort::chan::bounded(1);
    let start = Instant::now();
    std::thread::spawn(move || after_func(ms(20), move || s.send(Instant::now()).unwrap())).join().unwrap();
    assert!(r.recv().unwrap() >= start + ms(20));
}

/// A far away time is no overflow.
#[gort::test(procs = [1, 2, 4])]
fn a_call_at_the_end_of_time_can_be_stopped() {
    let call = after_func(Duration::MAX, || ());
    assert!(call.reset(Duration::MAX) && call.stop());
}

//! `Timer`.

use super::{ms, received_within, with_retries};
use crate::support::{rounds, wait_until};
use gort::time::{Timer, sleep};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

/// TM-05.
#[gort::test(procs = [1, 2, 4])]
fn a_timer_that_is_reset_goes_off_at_the_new_time_and_not_before() {
    with_retries(ms(20), |d| {
        let start = Instant::now();
        let timer = Timer::new(2 * d);
        sleep(d);
        let was_active = timer.reset(3 * d);
        if start.elapsed() >= 2 * d {
            return Err("too slow to say".into());
        }
        assert!(was_active);
        let reset_at = Instant::now();
        sleep(2 * d);
        let early = timer.c().try_recv();
        assert!(early.is_err() || reset_at.elapsed() >= 3 * d - ms(1), "went off at its old time");
        if early.is_err() && timer.c().recv_timeout(2 * d).is_err() {
            return Err("late".into());
        }
        assert!(!timer.reset(d), "it had gone off");
        assert!(timer.stop());
        Ok(())
    });
}

/// The message of before is gone once `stop` or `reset` has returned, also if it was due.
#[gort::test(procs = [1, 2, 4])]
fn nobody_receives_a_stale_message() {
    for _ in 0..rounds(2000) {
        let timer = Timer::new(Duration::from_micros(1));
        while !timer.c().is_full() {
            gort::yield_now();
        }
        let reset_at = Instant::now();
        assert!(timer.reset(ms(1)), "due, and not received");
        let due = timer.c().recv().unwrap();
        assert!(due >= reset_at + ms(1) && Instant::now() >= due);
        assert!(!timer.stop());
        timer.reset(Duration::ZERO);
        assert!(timer.stop());
        assert!(timer.c().try_recv().unwrap_err().is_empty());
    }
}

/// Of a stop and a receive at once exactly one has the message.
#[gort::test(procs = [1, 2, 4])]
fn either_stop_prevents_the_message_or_it_is_received() {
    for round in 0..rounds(2000) as u64 {
        let timer = Arc::new(Timer::new(Duration::from_micros(round % 100)));
        let stopped = Arc::new(AtomicBool::new(false));
        let (theirs, over) = (timer.clone(), stopped.clone());
        let receiver = gort::go(move || {
            loop {
                let over = over.load(SeqCst);
                if theirs.c().recv_timeout(Duration::from_micros(10)).is_ok() {
                    return true;
                }
                if over {
                    return false;
                }
            }
        });
        sleep(Duration::from_micros(round % 100));
        let was_stopped = timer.stop();
        stopped.store(true, SeqCst);
        assert_ne!(was_stopped, receiver.join().unwrap());
    }
}

/// Whoever waits already waits for the new time: for an earlier one, a later one, and after a stop.
#[gort::test(procs = [1, 2, 4])]
fn a_reset_reaches_those_who_wait() {
    let timer = Timer::new(Duration::from_secs(3600));
    for _ in 0..rounds(200) {
        let receiver = timer.c().clone();
        let waiter = gort::go(move || receiver.recv().unwrap());
        gort::yield_now();
        timer.reset(ms(1));
        let due = waiter.join().unwrap();
        assert!(Instant::now() >= due);
        timer.reset(Duration::from_secs(3600));
    }
    timer.stop();
    let receiver = timer.c().clone();
    let (s, r) = gort::chan::bounded(1);
    let waiter = gort::go(move || {
        gort::select! {
            recv(receiver) -> due => s.send(due.is_ok()).unwrap(),
        }
    });
    wait_until(|| gort::runtime::dump().contains("select"));
    timer.reset(Duration::ZERO);
    assert!(received_within(&r, Duration::from_secs(5)));
    waiter.join().unwrap();
}

/// A plain thread waits for a timer as a goroutine does.
#[gort::test(procs = [1, 2, 4])]
fn a_thread_receives_from_a_timer_that_a_goroutine_resets() {
    let timer = Arc::new(Timer::new(Duration::MAX));
    let theirs = timer.clone();
    let thread = std::thread::spawn(move || theirs.c().recv().unwrap());
    sleep(ms(2));
    assert!(!timer.reset(ms(1)), "one that never goes off is not active");
    assert!(Instant::now() <= thread.join().unwrap() + Duration::from_secs(5));
}

//! Channels and the clock: timeouts, `after`, `tick`.

use crate::support::{rounds, scaled};
use gort::chan::{RecvTimeoutError, SendTimeoutError, after, at, bounded, never, tick};
use gort::select;
use std::time::{Duration, Instant};

/// CH-11. Senders that come at once or after the timeout: every message arrives, timeouts are seen.
#[gort::test(procs = [1, 2, 4], timeout = 60)]
fn a_timed_receive_sees_the_message_or_the_timeout_and_never_both() {
    const TIMEOUT: Duration = Duration::from_millis(5);
    for senders in [2, 8] {
        let each = 30;
        let (s, r) = bounded(0);
        // One timeout at least, however the senders of a busy machine fall.
        assert_eq!(r.recv_timeout(TIMEOUT), Err(RecvTimeoutError::Timeout));
        for sender in 0..senders {
            let s = s.clone();
            gort::go(move || {
                for i in 0..each {
                    // As good as random for the receiver, the same in every run.
                    if (i * 7 + sender * 5) % 3 == 0 {
                        gort::sleep(2 * TIMEOUT);
                    }
                    s.send(sender * each + i).unwrap();
                }
            });
        }
        drop(s);
        let mut seen = vec![0; senders * each];
        loop {
            let asked = Instant::now();
            match r.recv_timeout(TIMEOUT) {
                Ok(message) => seen[message] += 1,
                Err(RecvTimeoutError::Timeout) => {
                    assert!(asked.elapsed() >= TIMEOUT);
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        assert!(seen.iter().all(|&times| times == 1), "{seen:?}");
    }
}

/// CH-11. Both sides give up at about the same time: a value was either received or given back.
#[gort::test(procs = [1, 2, 4])]
fn a_value_is_received_or_given_back_when_both_sides_time_out() {
    let count = rounds(20_000);
    for capacity in [0, 1] {
        let (s, r) = bounded(capacity);
        let sender = gort::go(move || {
            let mut sent = Vec::new();
            for i in 0..count {
                match s.send_timeout(i, Duration::from_micros((i % 5) as u64 * 20)) {
                    Ok(()) => sent.push(i),
                    Err(SendTimeoutError::Timeout(value)) => assert_eq!(value, i),
                    Err(SendTimeoutError::Disconnected(_)) => unreachable!("the receiver stays"),
                }
            }
            sent
        });
        let mut received = Vec::new();
        loop {
            match r.recv_timeout(Duration::from_micros((received.len() % 7) as u64 * 15)) {
                Ok(value) => received.push(value),
                Err(RecvTimeoutError::Timeout) => gort::yield_now(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        assert_eq!(sender.join().unwrap(), received);
    }
}

/// CH-12. A timer that loses leaves nothing behind, whether or not the `select!` had to wait.
#[gort::test(procs = [1, 2, 4], timeout = 60)]
fn timers_that_lose_leave_nothing_behind() {
    const HOUR: Duration = Duration::from_secs(3600);
    let count = rounds(100_000);
    let turn = |count: usize| {
        let (s, r) = bounded(1);
        for i in 0..count {
            s.send(i).unwrap();
            select! {
                recv(r) -> value => assert_eq!(value, Ok(i)),
                recv(after(HOUR)) -> _ => unreachable!("an hour"),
            }
        }
        let (s, r) = bounded(0);
        let sender = gort::go(move || (0..count).for_each(|i| s.send(i).unwrap()));
        for i in 0..count {
            select! {
                recv(r) -> value => assert_eq!(value, Ok(i)),
                recv(after(HOUR)) -> _ => unreachable!("an hour"),
                default(HOUR) => unreachable!("an hour"),
            }
        }
        sender.join().unwrap();
    };
    turn(count / 10);
    let before = resident_pages();
    turn(count);
    assert_eq!(gort::__private::pending_timers(), 0, "a timer that has lost is still to come up");
    let grown = resident_pages().saturating_sub(before);
    // An entry of the timers' heap has 16 bytes at least: two for each round would be 390 pages in a debug build.
    assert!(grown < 200, "{grown} pages");
}

fn resident_pages() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse().unwrap()
}

/// `default(timeout)` is never early; a past deadline is an immediate answer.
#[gort::test(procs = [1, 2, 4])]
fn timeouts_are_never_early_and_past_deadlines_are_over() {
    let (s, r) = bounded::<u8>(0);
    for micros in [0, 1, 50, 1000, 5000] {
        let timeout = Duration::from_micros(micros);
        let asked = Instant::now();
        select! {
            recv(r) -> _ => unreachable!("nobody sends"),
            send(s, 1) -> _ => unreachable!("nobody receives"),
            default(timeout) => assert!(asked.elapsed() >= timeout),
        }
        let asked = Instant::now();
        assert_eq!(r.recv_timeout(timeout), Err(RecvTimeoutError::Timeout));
        assert!(asked.elapsed() >= timeout);
        let asked = Instant::now();
        assert_eq!(s.send_timeout(1, timeout), Err(SendTimeoutError::Timeout(1)));
        assert!(asked.elapsed() >= timeout);
    }
    let past = Instant::now() - Duration::from_millis(1);
    assert_eq!(r.recv_deadline(past), Err(RecvTimeoutError::Timeout));
    assert_eq!(s.send_deadline(1, past), Err(SendTimeoutError::Timeout(1)));
    assert_eq!(at(past).recv(), Ok(past));
    // Beyond the end of time is no deadline.
    let sender = gort::go(move || s.send_timeout(5, Duration::MAX));
    assert_eq!(r.recv_timeout(Duration::MAX), Ok(5));
    sender.join().unwrap().unwrap();
}

/// `after` is received once, by one of those who wait; `tick` goes on; `never` does not come.
#[gort::test(procs = [1, 2, 4])]
fn clocks_are_received_as_often_as_they_are_due() {
    let due = Instant::now() + Duration::from_millis(10);
    let timer = at(due);
    let waiting = [timer.clone(), timer.clone()]
        .map(|timer| gort::go(move || timer.recv_timeout(scaled(Duration::from_millis(200)))));
    let received = waiting.map(|party| party.join().unwrap());
    assert!(Instant::now() >= due);
    assert_eq!(received.iter().filter(|received| **received == Ok(due)).count(), 1, "{received:?}");
    assert_eq!(received.iter().filter(|received| **received == Err(RecvTimeoutError::Timeout)).count(), 1);

    let (started, period) = (Instant::now(), Duration::from_millis(3));
    let ticks = tick(period);
    for i in 1..=5 {
        select! {
            recv(ticks) -> when => assert!(when.unwrap() >= started + period * i),
            recv(never::<u8>()) -> _ => unreachable!("never"),
        }
        assert!(started.elapsed() >= period * i);
    }
}

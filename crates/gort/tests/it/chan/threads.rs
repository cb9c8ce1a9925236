//! Plain OS threads at either end.

use crate::support::rounds;
use gort::chan::{RecvError, bounded, unbounded};
use gort::select;
use std::thread;

/// CH-10. A goroutine and a plain thread, both directions, waiting on either side.
#[gort::test(procs = [1, 2, 4], timeout = 60)]
fn a_thread_and_a_goroutine_exchange_values_both_ways() {
    for capacity in [0, 1, 100] {
        let count = rounds(100_000);
        let (to_thread, from_goroutine) = bounded(capacity);
        let (to_goroutine, from_thread) = bounded(capacity);
        let other = thread::spawn(move || {
            for i in from_goroutine {
                to_goroutine.send(i).unwrap();
            }
        });
        let sender = gort::go(move || (0..count).for_each(|i| to_thread.send(i).unwrap()));
        assert!(from_thread.iter().eq(0..count));
        sender.join().unwrap();
        gort::blocking_send(|| other.join().unwrap());
    }
}

/// CH-10. Two plain threads.
#[gort::test(procs = [1, 2, 4])]
fn two_threads_exchange_values() {
    for capacity in [0, 1, 100] {
        let count = rounds(20_000);
        let (s, r) = bounded(capacity);
        let sender = thread::spawn(move || (0..count).for_each(|i| s.send(i).unwrap()));
        let receiver = thread::spawn(move || assert!(r.iter().eq(0..count)));
        gort::blocking_send(|| {
            sender.join().unwrap();
            receiver.join().unwrap();
        });
    }
}

/// A thread's `select!` with threads and goroutines on the other side.
#[gort::test(procs = [1, 2, 4])]
fn a_threads_select_serves_threads_and_goroutines() {
    let count = rounds(10_000);
    let (s1, r1) = bounded(0);
    let (s2, r2) = bounded(2);
    let (result, results) = unbounded();
    let feeder = thread::spawn(move || (0..count).for_each(|i| s1.send(i).unwrap()));
    gort::go(move || (0..count).for_each(|i| s2.send(i).unwrap()));
    let selecting = thread::spawn(move || {
        let mut next = [0, 0];
        let mut open = [true, true];
        while open != [false, false] {
            let (at, value) = match open {
                [true, true] => select! {
                    recv(r1) -> value => (0, value),
                    recv(r2) -> value => (1, value),
                },
                [true, false] => (0, r1.recv()),
                _ => (1, r2.recv()),
            };
            match value {
                Ok(value) => {
                    assert_eq!(value, next[at]);
                    next[at] += 1;
                }
                Err(RecvError) => open[at] = false,
            }
        }
        result.send(next).unwrap();
    });
    assert_eq!(results.recv(), Ok([count, count]));
    gort::blocking_send(|| {
        feeder.join().unwrap();
        selecting.join().unwrap();
    });
}

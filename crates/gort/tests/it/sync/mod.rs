//! Locks, groups and the other meeting points.

mod condvar;
mod err_group;
mod meeting;
mod mutex;
mod once;
mod pool;
mod rwlock;
mod semaphore;
mod stress;

use std::sync::Arc;
use std::time::{Duration, Instant};

/// Runs `count` bodies at once, half of them on goroutines and half on plain threads, and waits for all.
fn mixed<F: Fn(usize) + Send + Sync + 'static>(count: usize, body: F) {
    let body = Arc::new(body);
    let mut goroutines = Vec::new();
    let mut threads = Vec::new();
    for index in 0..count {
        let body = body.clone();
        if index % 2 == 0 {
            goroutines.push(gort::go(move || body(index)));
        } else {
            let named = std::thread::Builder::new().name("test-plain".into());
            threads.push(named.spawn(move || body(index)).unwrap());
        }
    }
    for goroutine in goroutines {
        goroutine.join().unwrap();
    }
    gort::blocking_send(|| {
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

/// Waits until `count` goroutines or threads wait for `reason`. A dump is a big thing to take: a pause between two.
fn wait_for_waiters(count: usize, reason: &str) {
    loop {
        let looked = Instant::now();
        if are_waiting(count, reason) {
            return;
        }
        // A dump of many takes milliseconds: half of the time is left to those who are waited for.
        gort::sleep(looked.elapsed().max(Duration::from_micros(200)));
    }
}

fn are_waiting(count: usize, reason: &str) -> bool {
    gort::runtime::dump().to_string().matches(reason).count() >= count
}

/// The case of a waiter whose limit passes while it is looked at: `attempt` gets the limit, and returns false if the waiter had left before it
/// was seen (on a busy machine). Then the limit is doubled, up to ten seconds.
fn with_longer_and_longer_limit(attempt: impl Fn(Duration) -> bool) {
    let mut limit = Duration::from_millis(20);
    while !attempt(limit) {
        limit *= 2;
        assert!(limit < Duration::from_secs(10), "the waiter was never seen");
    }
}

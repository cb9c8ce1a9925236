//! Locks, groups and the other meeting points.

mod condvar;
mod err_group;
mod meeting;
mod mutex;
mod once;
mod pool;
mod rwlock;
mod semaphore;

use std::sync::Arc;

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
    gort::blocking(|| {
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

/// Waits until `count` goroutines or threads wait for `reason`. A dump is a big thing to take: a pause between two.
fn wait_for_waiters(count: usize, reason: &str) {
    while gort::runtime::dump().to_string().matches(reason).count() < count {
        gort::sleep(std::time::Duration::from_micros(200));
    }
}

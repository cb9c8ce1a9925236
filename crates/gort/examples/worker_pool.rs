//! A pool of workers: jobs in one channel, results in another, a bound on both.
//!
//! `cargo run --release --example worker_pool`

use gort::chan::bounded;
use std::time::{Duration, Instant};

struct Job {
    id: u32,
    takes: Duration,
}

#[gort::main]
fn main() {
    const WORKERS: usize = 20;
    const JOBS: u32 = 100;
    let (jobs, todo) = bounded::<Job>(WORKERS);
    let (done, results) = bounded(WORKERS);
    let start = Instant::now();

    for worker in 0..WORKERS {
        let (todo, done) = (todo.clone(), done.clone());
        gort::go(move || {
            for job in todo {
                gort::sleep(job.takes); // a request, a query, a file …
                done.send((job.id, worker)).unwrap();
            }
        });
    }
    drop((todo, done));

    gort::go(move || {
        for id in 0..JOBS {
            // Waits while all workers are busy: nothing piles up.
            jobs.send(Job { id, takes: Duration::from_millis(10) }).unwrap();
        }
    });

    let mut by_worker = [0; WORKERS];
    for (_job, worker) in results {
        by_worker[worker] += 1;
    }
    println!("{JOBS} jobs of 10 ms by {WORKERS} workers took {:?}", start.elapsed());
    println!("jobs by worker: {by_worker:?}");
    assert_eq!(by_worker.iter().sum::<u32>(), JOBS);
}

//! A rate limit: a ticker gives out permits, a bucket keeps some for bursts; whoever wants to work takes one first.
//!
//! `cargo run --release --example rate_limit`

use gort::chan::{Receiver, bounded};
use std::time::{Duration, Instant};

/// Permits: `burst` at once, then one each `period`. Those that nobody takes are lost once the bucket is full.
fn limiter(period: Duration, burst: usize) -> Receiver<()> {
    let (bucket, permits) = bounded(burst);
    for _ in 0..burst {
        bucket.send(()).unwrap();
    }
    gort::go(move || {
        for _tick in gort::chan::tick(period) {
            if bucket.try_send(()).is_err_and(|error| error.is_disconnected()) {
                return; // nobody works any more
            }
        }
    });
    permits
}

#[gort::main]
fn main() {
    const REQUESTS: usize = 12;
    let permits = limiter(Duration::from_millis(20), 3);
    let start = Instant::now();
    gort::scope(|s| {
        for request in 0..REQUESTS {
            let permits = &permits;
            s.spawn(move || {
                permits.recv().unwrap();
                println!("request {request:2} after {:3} ms", start.elapsed().as_millis());
            });
        }
    });
    // Three at once, nine at the ticker's pace.
    assert!(start.elapsed() >= Duration::from_millis(20 * 8));
}

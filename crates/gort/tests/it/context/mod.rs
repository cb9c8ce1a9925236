//! Contexts: the acceptance cases CX-01 to CX-07, and what `gort::context` promises besides.

mod after_func;
mod ambient;
mod errors;
mod locks;
mod reach;
mod tree;

use crate::support::{wait_for_state, wait_until};
use gort::context::{Context, Ended, background};
use std::sync::Arc;
use std::time::{Duration, Instant};

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// What CX-07 allows between a cancellation and its effect.
fn soon() -> Duration {
    crate::support::scaled(ms(50))
}

/// How many goroutines and threads wait for `reason` now; the test's own thread is one that joins.
fn waiting(reason: &str) -> usize {
    gort::runtime::dump().matches(&format!("[{reason}")).count()
}

/// Runs `wait` on a goroutine, and on a thread; cancels once a dump shows it parked for `reason`, and sees it end soon.
fn is_reached<R: Send + 'static>(reason: &str, wait: impl Fn(Context) -> R + Send + Sync + 'static, check: impl Fn(R)) {
    let wait = Arc::new(wait);
    for on_thread in [false, true] {
        let (ctx, cancel) = background().with_cancel();
        let (s, r) = gort::chan::bounded(1);
        let before = waiting(reason);
        let wait = wait.clone();
        let body = move || s.send((wait(ctx), Instant::now())).unwrap();
        let goroutine = if on_thread {
            std::thread::spawn(body);
            None
        } else {
            Some(gort::go(body))
        };
        match &goroutine {
            Some(goroutine) => wait_for_state(goroutine, reason),
            None => wait_until(|| waiting(reason) > before),
        }
        let cancelled_at = Instant::now();
        cancel.cancel();
        let (outcome, ended_at) = r.recv_timeout(Duration::from_secs(20)).expect("not reached");
        let took = ended_at.saturating_duration_since(cancelled_at);
        assert!(took < soon(), "took {took:?}");
        check(outcome);
        if let Some(goroutine) = goroutine {
            goroutine.join().unwrap();
        }
    }
}

/// The same for a wait that says why it has ended; and its context's deadline ends it, too, not before it comes.
fn is_bounded<R: 'static>(reason: &str, wait: impl Fn(&Context) -> Result<R, Ended> + Send + Sync + 'static) {
    let wait = Arc::new(wait);
    let theirs = wait.clone();
    is_reached(
        reason,
        move |ctx| theirs(&ctx).map(drop),
        |outcome| assert!(outcome.expect_err("nobody was to let it pass").is_cancelled()),
    );
    let start = Instant::now();
    let (ctx, _) = background().with_timeout(ms(3));
    let why = wait(&ctx).err().expect("nobody was to let it pass");
    assert!(why.is_deadline_exceeded() && start.elapsed() >= ms(3), "{why:?} after {:?}", start.elapsed());
    let start = Instant::now();
    assert!(wait(&ctx).is_err(), "it has ended before");
    assert!(start.elapsed() < soon());
}

//! Deadlines that have passed, by a little or by as much as the clock can show: over at once, everywhere, and what is there is had all the same.

use gort::context::background;
use gort::sync::{Barrier, Condvar, Mutex, Notify, Once, OnceLock, RwLock, Semaphore, WaitGroup};
use std::time::{Duration, Instant};

/// Just past, and the earliest moments of the clock.
fn pasts() -> impl Iterator<Item = Instant> {
    let now = Instant::now();
    let mut early = now;
    // As far back as it goes: by halves.
    let mut step = Duration::from_secs(1 << 62);
    while step > Duration::from_nanos(1) {
        match early.checked_sub(step) {
            Some(earlier) => early = earlier,
            None => step /= 2,
        }
    }
    [now, now - Duration::from_millis(1), early].into_iter()
}

#[gort::test(procs = [1, 2, 4])]
fn waits_until_then_are_over() {
    for past in pasts() {
        let (s, r) = gort::chan::bounded::<u8>(0);
        assert!(r.recv_deadline(past).unwrap_err().is_timeout());
        assert!(s.send_deadline(1, past).unwrap_err().is_timeout());
        assert!(gort::chan::Select::new().select_deadline(past).is_err());
        assert_eq!(gort::chan::at(past).recv(), Ok(past));
        gort::time::sleep_until(past);

        let (mutex, lock) = (Mutex::new(()), RwLock::new(()));
        let (held, written) = (mutex.lock().unwrap(), lock.write().unwrap());
        assert!(mutex.lock_deadline(past).is_err());
        assert!(lock.read_deadline(past).is_err() && lock.write_deadline(past).is_err());
        drop((held, written));
        assert!(mutex.lock_deadline(past).is_ok(), "free is free, whatever the time");
        let (_, result) = Condvar::new().wait_deadline(mutex.lock().unwrap(), past).unwrap();
        assert!(result.timed_out());

        let semaphore = Semaphore::new(1);
        let permit = semaphore.acquire(1);
        assert!(semaphore.acquire_deadline(1, past).is_none());
        drop(permit);
        assert!(semaphore.acquire_deadline(1, past).is_some());
        let group = WaitGroup::new();
        assert!(group.wait_deadline(past));
        group.add(1);
        assert!(!group.wait_deadline(past));
        group.done();
        assert!(!Notify::new().wait_deadline(past));
        assert!(Barrier::new(2).wait_deadline(past).is_none());
        assert!(!Once::new().wait_deadline(past));
        assert!(OnceLock::<u8>::new().wait_deadline(past).is_none());

        let mut parked = gort::go(gort::park);
        assert!(!parked.wait_deadline(past));
        parked.goroutine().unpark();
        parked.join().unwrap();
    }
}

#[gort::test(procs = [1, 2, 4])]
fn a_context_that_ends_then_has_ended() {
    for past in pasts() {
        let (ctx, cancel) = background().with_deadline(past);
        assert_eq!(ctx.deadline(), Some(past));
        cancel.cancel();
        assert!(ctx.err().unwrap().is_deadline_exceeded());
        let (below, _cancel) = ctx.with_timeout(Duration::MAX);
        assert!(below.err().unwrap().is_deadline_exceeded());
        assert!(gort::time::sleep_ctx(&below, Duration::MAX).unwrap_err().is_deadline_exceeded());
    }
}

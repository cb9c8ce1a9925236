//! CX-07 for what `gort::sync` has, and for blocking sections: a cancellation reaches who waits, and what it has waited for can be used afterwards
//! as if it had never come.

use super::{is_bounded, ms, soon, waiting};
use crate::support::{wait_for_state, wait_until};
use gort::BlockingClass;
use gort::context::background;
use gort::sync::{
    Barrier, Condvar, ErrGroup, LockCtxError, Mutex, Notify, Once, OnceLock, RwLock, Semaphore, WaitGroup,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::{Duration, Instant};

/// The context's part of a lock's outcome.
fn ended<G>(outcome: Result<G, LockCtxError<G>>) -> Result<(), gort::context::Ended> {
    match outcome {
        Ok(_) => Ok(()),
        Err(LockCtxError::Ended(why)) => Err(why),
        Err(LockCtxError::Poisoned(_)) => panic!("nobody poisons it"),
    }
}

/// CX-07, mutex.
#[gort::test(procs = [1, 2, 4])]
fn a_wait_for_a_mutex_ends() {
    let mutex = Arc::new(Mutex::new(0));
    let guard = mutex.lock().unwrap();
    let theirs = mutex.clone();
    is_bounded("sync.Mutex.Lock", move |ctx| ended(theirs.lock_ctx(ctx)));
    assert!(mutex.try_lock().is_err(), "still ours");
    drop(guard);
    let (ctx, cancel) = background().with_cancel();
    cancel.cancel();
    *mutex.lock_ctx(&ctx).expect("free is free, whatever the context") += 1;
    assert_eq!(*mutex.try_lock().unwrap(), 1);
}

/// CX-07, read-write lock, either side; a writer that leaves lets the readers behind it pass.
#[gort::test(procs = [1, 2, 4])]
fn waits_for_a_read_write_lock_end() {
    let lock = Arc::new(RwLock::new(0));
    let writing = lock.write().unwrap();
    let theirs = lock.clone();
    is_bounded("sync.RWMutex.RLock", move |ctx| ended(theirs.read_ctx(ctx)));
    drop(writing);
    let reading = lock.read().unwrap();
    let theirs = lock.clone();
    is_bounded("sync.RWMutex.Lock", move |ctx| ended(theirs.write_ctx(ctx)));

    let (ctx, cancel) = background().with_cancel();
    let (one, other) = (lock.clone(), lock.clone());
    let writer = gort::go(move || ended(one.write_ctx(&ctx)));
    wait_until(|| waiting("sync.RWMutex.Lock") > 0);
    let reader = gort::go(move || *other.read().unwrap());
    wait_until(|| waiting("sync.RWMutex.RLock") > 0);
    cancel.cancel();
    assert_eq!(reader.join().unwrap(), 0, "while the first reader still reads");
    assert!(writer.join().unwrap().is_err());
    drop(reading);
    *lock.try_write().unwrap() += 1;
}

/// CX-07, condition variable: the mutex is locked again, and a notification made meanwhile is not lost.
#[gort::test(procs = [1, 2, 4])]
fn a_wait_for_a_condition_ends() {
    let shared = Arc::new((Mutex::new(0), Condvar::new()));
    let theirs = shared.clone();
    is_bounded("sync.Cond.Wait", move |ctx| {
        let (guard, outcome) = theirs.1.wait_ctx(theirs.0.lock().unwrap(), ctx).unwrap();
        assert!(theirs.0.try_lock().is_err() && *guard == 0, "locked again");
        outcome
    });
    let theirs = shared.clone();
    is_bounded("sync.Cond.Wait", move |ctx| {
        theirs.1.wait_while_ctx(theirs.0.lock().unwrap(), ctx, |state| *state == 0).unwrap().1
    });
    let (ctx, cancel) = background().with_cancel();
    let theirs = shared.clone();
    let waits = gort::go(move || {
        let (guard, outcome) = theirs.1.wait_while_ctx(theirs.0.lock().unwrap(), &ctx, |state| *state == 0).unwrap();
        outcome.expect("the condition has ceased to hold, and that wins");
        *guard
    });
    wait_until(|| waiting("sync.Cond.Wait") > 0);
    let mut state = shared.0.lock().unwrap();
    cancel.cancel();
    *state = 7;
    drop(state);
    shared.1.notify_one();
    assert_eq!(waits.join().unwrap(), 7);
}

/// CX-07, semaphore: the permits that it did not get are there.
#[gort::test(procs = [1, 2, 4])]
fn a_wait_for_permits_ends() {
    let semaphore = Arc::new(Semaphore::new(3));
    let held = semaphore.acquire(2);
    let theirs = semaphore.clone();
    is_bounded("semacquire", move |ctx| theirs.acquire_ctx(2, ctx).map(drop));
    let theirs = semaphore.clone();
    is_bounded("semacquire", move |ctx| theirs.clone().acquire_owned_ctx(2, ctx));
    let theirs = semaphore.clone();
    is_bounded("semacquire", move |ctx| theirs.acquire_ctx(4, ctx).map(drop));
    let payload = catch_unwind(AssertUnwindSafe(|| semaphore.acquire_ctx(4, &background().without_cancel()).map(drop)))
        .unwrap_err();
    let text = payload.downcast::<String>().unwrap();
    assert_eq!(*text, "Semaphore::acquire: 4 permits are wanted, and there are 3 in all");
    drop(held);
    assert_eq!(semaphore.available(), 3);
    assert!(semaphore.acquire_deadline(3, Instant::now()).is_some());
}

/// CX-07, wait group.
#[gort::test(procs = [1, 2, 4])]
fn a_wait_for_a_group_ends() {
    let group = WaitGroup::new();
    group.add(1);
    let theirs = group.clone();
    is_bounded("sync.WaitGroup.Wait", move |ctx| theirs.wait_ctx(ctx));
    assert!(!group.wait_deadline(Instant::now()));
    group.done();
    group.wait();
}

/// CX-07, barrier: who has left has not come, and the round needs somebody else.
#[gort::test(procs = [1, 2, 4])]
fn a_wait_at_a_barrier_ends() {
    let barrier = Arc::new(Barrier::new(2));
    let theirs = barrier.clone();
    is_bounded("barrier wait", move |ctx| theirs.wait_ctx(ctx));
    let theirs = barrier.clone();
    let other = gort::go(move || theirs.wait().is_leader());
    wait_until(|| waiting("barrier wait") > 0);
    assert!(barrier.wait().is_leader() && !other.join().unwrap());
}

/// CX-07, notify.
#[gort::test(procs = [1, 2, 4])]
fn a_wait_for_a_notification_ends() {
    let notify = Arc::new(Notify::new());
    let theirs = notify.clone();
    is_bounded("notify wait", move |ctx| theirs.wait_ctx(ctx));
    notify.notify_one();
    let (ctx, cancel) = background().with_cancel();
    cancel.cancel();
    notify.wait_ctx(&ctx).expect("one was remembered, and that wins");
    assert!(!notify.wait_deadline(Instant::now()));
}

/// CX-07, what is done once: the wait for it.
#[gort::test(procs = [1, 2, 4])]
fn a_wait_for_something_done_once_ends() {
    let once = Arc::new(Once::new());
    let cell = Arc::new(OnceLock::new());
    let theirs = once.clone();
    is_bounded("sync.Once.Do", move |ctx| theirs.wait_ctx(ctx));
    let theirs = cell.clone();
    is_bounded("sync.Once.Do", move |ctx| theirs.wait_ctx(ctx).copied());
    assert!(!once.wait_timeout(ms(1)) && cell.wait_timeout(ms(1)).is_none());
    once.call_once(|| ());
    cell.set(7).unwrap();
    let (ctx, cancel) = background().with_cancel();
    cancel.cancel();
    once.wait_ctx(&ctx).unwrap();
    assert_eq!(cell.wait_ctx(&ctx).unwrap(), &7);
    let poisoned = Once::new();
    assert!(catch_unwind(AssertUnwindSafe(|| poisoned.call_once(|| panic!("on purpose")))).is_err());
    let payload = catch_unwind(AssertUnwindSafe(|| poisoned.wait_ctx(&ctx))).unwrap_err();
    assert_eq!(*payload.downcast::<&str>().unwrap(), "Once::wait: the function has panicked");
}

/// CX-07, a blocking class: the permit that it did not get is there.
#[gort::test(procs = [1, 2, 4])]
fn a_wait_for_a_blocking_class_ends() {
    static CLASS: BlockingClass = BlockingClass::new("cx07", 1);
    CLASS.run(|| {
        is_bounded("blocking class", |ctx| CLASS.run_ctx(ctx, || unreachable!("there is no permit")));
        is_bounded("blocking class", |ctx| CLASS.run_detached(ctx, || unreachable!("there is no permit")));
    });
    assert_eq!((CLASS.try_run(|| 7), CLASS.metrics().waiting), (Some(7), 0));
}

/// CX-07, a blocking section: the wait for it ends, and it goes on to its own end.
#[gort::test(procs = [1, 2, 4])]
fn a_wait_for_a_blocking_section_ends_and_the_section_goes_on() {
    assert_eq!(gort::blocking_ctx(&background(), || 7).unwrap(), 7);
    let caught = catch_unwind(|| gort::blocking_ctx(&background(), || std::panic::resume_unwind(Box::new(3))));
    assert_eq!(*caught.unwrap_err().downcast::<i32>().unwrap(), 3);
    let (token, begun) = (Arc::new(()), Arc::new(AtomicUsize::new(0)));
    let may_end = Arc::new(AtomicBool::new(false));
    let (ctx, cancel) = background().with_cancel();
    let section = || {
        let (ctx, token, begun, may_end) = (ctx.clone(), token.clone(), begun.clone(), may_end.clone());
        move || {
            let body = move || {
                begun.fetch_add(1, Release);
                while !may_end.load(Acquire) {
                    std::thread::sleep(Duration::from_micros(200));
                }
                token
            };
            (gort::blocking_ctx(&ctx, body), Instant::now())
        }
    };
    let (goroutine, thread) = (gort::go(section()), std::thread::spawn(section()));
    wait_until(|| begun.load(Acquire) == 2);
    wait_for_state(&goroutine, "join");
    let cancelled_at = Instant::now();
    cancel.cancel();
    for (outcome, ended_at) in [goroutine.join().unwrap(), gort::blocking_send(|| thread.join().unwrap())] {
        assert!(outcome.unwrap_err().is_cancelled());
        let took = ended_at.saturating_duration_since(cancelled_at);
        assert!(took < soon(), "took {took:?}");
    }
    assert_eq!(Arc::strong_count(&token), 3, "both are still under way");
    may_end.store(true, Release);
    // Their results are dropped where they end.
    wait_until(|| Arc::strong_count(&token) == 1);
    let (ctx, cancel) = background().with_cancel();
    cancel.cancel();
    assert!(gort::blocking_ctx(&ctx, || unreachable!("never begun")).unwrap_err().is_cancelled());
}

/// A scope's own wait is no matter of contexts: it lasts until its goroutines have ended.
#[gort::test(procs = [1, 2, 4])]
fn a_scope_waits_whatever_the_context() {
    let (ctx, cancel) = background().with_cancel();
    let (may_end, has_ended) = (AtomicBool::new(false), AtomicBool::new(false));
    ctx.run(|| {
        gort::scope(|scope| {
            let mut child = scope.spawn(|| {
                wait_until(|| may_end.load(Acquire));
                gort::sleep(ms(5));
                has_ended.store(true, Release);
            });
            cancel.cancel();
            assert!(child.wait_ctx(&ctx).unwrap_err().is_cancelled());
            assert!(!child.wait_timeout(Duration::ZERO) && !child.wait_deadline(Instant::now()));
            may_end.store(true, Release);
        });
    });
    assert!(has_ended.load(Acquire));
}

/// CX-08, with the context itself: cancelled by the first error, which is its cause, while the others still run; also when wait returns.
#[gort::test(procs = [1, 2, 4])]
fn a_group_ends_its_context() {
    let (parent, cancel) = background().with_cancel();
    let (group, ctx) = ErrGroup::with_context(None, &parent);
    for _ in 0..3 {
        let ctx = ctx.clone();
        group.go(move || match ctx.sleep(Duration::MAX) {
            Ok(()) => Ok(()),
            Err(_) => Err("stopped".to_owned()),
        });
    }
    group.go(|| Err("first".to_owned()));
    assert_eq!(group.wait(), Err("first".to_owned()));
    assert_eq!(ctx.cause().unwrap().to_string(), "first");
    assert!(parent.err().is_none());

    let (group, ctx) = ErrGroup::<String>::with_context(Some(2), &parent);
    assert!(ctx.err().is_none());
    group.go(|| Ok(()));
    group.wait().unwrap();
    assert!(ctx.err().unwrap().is_cancelled(), "when wait returns");

    let (group, ctx) = ErrGroup::with_context(None, &parent);
    group.go(move || {
        let start = Instant::now();
        let why = ctx.sleep(Duration::MAX).unwrap_err();
        assert!(start.elapsed() < Duration::from_secs(20) && why.is_cancelled());
        Err("by the parent")
    });
    cancel.cancel();
    let start = Instant::now();
    assert!(group.wait().is_err());
    assert!(start.elapsed() < soon());
}

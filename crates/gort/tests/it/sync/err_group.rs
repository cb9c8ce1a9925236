//! Groups with one result.

use crate::support::wait_until;
use gort::sync::ErrGroup;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex};

/// CX-08. The first error is the result, whatever comes after it; without one all is well, and the group can be used again.
#[gort::test(procs = [1, 2, 4])]
fn wait_returns_the_first_error() {
    let group = ErrGroup::new();
    assert_eq!(group.wait(), Ok(()));
    for results in [[Ok(()), Ok(())], [Ok(()), Err(1)], [Err(2), Err(3)]] {
        let failed = Arc::new(AtomicBool::new(false));
        for (index, result) in results.into_iter().enumerate() {
            let failed = failed.clone();
            group.go(move || {
                // The second one comes second.
                if index == 0 {
                    failed.store(true, Release);
                } else {
                    wait_until(|| failed.load(Acquire));
                    for _ in 0..10 {
                        gort::yield_now();
                    }
                }
                result
            });
        }
        let expected: Vec<_> = results.into_iter().filter(Result::is_err).collect();
        let got = group.wait();
        assert!(expected.is_empty() && got.is_ok() || expected.contains(&got), "{got:?}");
    }
}

/// CX-08, what a context will hang on. The end is told at the first error, while others still run, with that error, and otherwise when wait returns.
#[gort::test(procs = [1, 2, 4])]
fn the_end_is_told_once_with_the_first_error() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let theirs = told.clone();
    let group = ErrGroup::with_end(None, move |error: Option<&&str>| theirs.lock().unwrap().push(error.copied()));
    let seen = told.clone();
    group.go(move || {
        wait_until(|| !seen.lock().unwrap().is_empty());
        Err("second")
    });
    group.go(|| Err("first"));
    assert_eq!(group.wait(), Err("first"));
    assert_eq!(*told.lock().unwrap(), [Some("first")]);

    let theirs = told.clone();
    let group = ErrGroup::with_end(Some(2), move |error: Option<&&str>| theirs.lock().unwrap().push(error.copied()));
    group.go(|| Ok(()));
    group.wait().unwrap();
    assert_eq!(*told.lock().unwrap(), [Some("first"), None]);
}

/// Of many that fail at once, the one that is told is the one that is returned.
#[gort::test(procs = [1, 2, 4])]
fn what_is_told_is_what_is_returned() {
    for _ in 0..200 {
        let told = Arc::new(AtomicUsize::new(0));
        let theirs = told.clone();
        let group = ErrGroup::with_end(None, move |error| theirs.store(*error.unwrap(), Relaxed));
        for number in 1..=8 {
            group.go(move || Err(number));
        }
        assert_eq!(group.wait(), Err(told.load(Relaxed)));
    }
}

/// CX-09. With a limit of 10 never more than 10 of 1025 run.
#[gort::test(procs = [1, 2, 4])]
fn a_limit_is_never_passed() {
    let group = ErrGroup::<()>::with_limit(10);
    let (running, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    for _ in 0..1025 {
        let (running, done) = (running.clone(), done.clone());
        group.go(move || {
            assert!(running.fetch_add(1, Relaxed) < 10);
            gort::yield_now();
            running.fetch_sub(1, Relaxed);
            done.fetch_add(1, Relaxed);
            Ok(())
        });
    }
    group.wait().unwrap();
    assert_eq!(done.load(Relaxed), 1025);
}

/// CX-09. `try_go` is false when the group is full, and always with a limit of 0; `go` then panics instead of waiting for ever.
#[gort::test(procs = [1, 2, 4])]
fn try_go_is_false_when_the_group_is_full() {
    let group = ErrGroup::<()>::with_limit(1);
    let may_end = Arc::new(AtomicBool::new(false));
    let theirs = may_end.clone();
    assert!(group.try_go(move || {
        wait_until(|| theirs.load(Acquire));
        Ok(())
    }));
    assert!(!group.try_go(|| unreachable!("the group is full")));
    may_end.store(true, Release);
    group.wait().unwrap();
    assert!(group.try_go(|| Ok(())));
    group.wait().unwrap();

    let closed = ErrGroup::<()>::with_limit(0);
    assert!(!closed.try_go(|| Ok(())));
    let payload = catch_unwind(AssertUnwindSafe(|| closed.go(|| Ok(())))).unwrap_err();
    assert_eq!(*payload.downcast::<&str>().unwrap(), "ErrGroup::go: the limit is 0");
}

/// A panic is a failure: the others are told, and wait panics with it after all have ended.
#[gort::test(procs = [1, 2, 4])]
fn a_panic_of_the_group_reaches_who_waits() {
    let stop = Arc::new(AtomicBool::new(false));
    let (theirs, ended) = (stop.clone(), Arc::new(AtomicBool::new(false)));
    let group = ErrGroup::<()>::with_end(None, move |error| {
        assert!(error.is_none());
        theirs.store(true, Release);
    });
    let (theirs, end) = (stop.clone(), ended.clone());
    group.go(move || {
        wait_until(|| theirs.load(Acquire));
        end.store(true, Release);
        Ok(())
    });
    group.go(|| panic!("on purpose"));
    let payload = catch_unwind(AssertUnwindSafe(|| group.wait())).unwrap_err();
    assert_eq!(*payload.downcast::<&str>().unwrap(), "on purpose");
    assert!(ended.load(Acquire));
}

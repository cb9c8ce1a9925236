//! `Context::after_func`.

use super::ms;
use crate::support::{rounds, wait_until};
use gort::context::background;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

/// CX-05.
#[gort::test(procs = [1, 2, 4])]
fn a_function_runs_once_on_a_goroutine_of_its_own_after_the_end() {
    let (s, r) = gort::chan::unbounded();
    let (ctx, cancel) = background().with_cancel();
    let (theirs, sender) = (ctx.clone(), s.clone());
    let me = gort::current().id();
    let call = ctx.after_func(move || sender.send((gort::current().id() != me, theirs.err().is_some())).unwrap());
    assert!(r.try_recv().is_err());
    cancel.cancel();
    assert_eq!(r.recv(), Ok((true, true)));
    assert!(!call.stop(), "it has run");
    let sender = s.clone();
    ctx.after_func(move || sender.send((true, true)).unwrap());
    assert_eq!(r.recv(), Ok((true, true)), "at once, since it has ended");
    drop((s, call));
    assert!(r.recv().is_err(), "and never again");
}

/// CX-05, for a deadline that nobody waits for or looks at.
#[gort::test(procs = [1, 2, 4])]
fn a_function_runs_when_the_deadline_comes() {
    let start = Instant::now();
    let (s, r) = gort::chan::bounded(1);
    let (ctx, _) = background().with_timeout(ms(5));
    let (child, _) = ctx.with_cancel();
    child.after_func(move || s.send(Instant::now()).unwrap());
    drop((ctx, child));
    assert!(r.recv().unwrap() >= start + ms(5));
}

/// CX-05, the result of `stop`.
#[gort::test(procs = [1, 2, 4])]
fn stop_is_true_only_if_it_has_prevented_the_run() {
    for round in 0..rounds(3000) {
        let calls = Arc::new(AtomicUsize::new(0));
        let (ctx, cancel) = background().with_timeout(Duration::from_micros(200));
        let theirs = calls.clone();
        let call = ctx.after_func(move || {
            theirs.fetch_add(1, SeqCst);
        });
        let canceller = (round % 2 == 0).then(|| gort::go(move || cancel.cancel()));
        if round % 3 == 0 {
            gort::yield_now();
        }
        let was_prevented = call.stop();
        assert!(!call.stop());
        if let Some(canceller) = canceller {
            canceller.join().unwrap();
        }
        if was_prevented {
            drop(call);
            assert_eq!(Arc::strong_count(&calls), 1, "the function is gone");
            assert_eq!(calls.load(SeqCst), 0);
        } else {
            wait_until(|| calls.load(SeqCst) == 1);
        }
    }
}

/// A function outlives the handles of its context, and ends with the ancestor that can still end it.
#[gort::test(procs = [1, 2, 4])]
fn a_function_moves_up_when_its_context_is_dropped() {
    let (root, cancel) = background().with_cancel();
    let calls = Arc::new(AtomicUsize::new(0));
    let theirs = calls.clone();
    {
        let (child, _) = root.with_cancel();
        let (grandchild, _) = child.with_cancel();
        grandchild.after_func(move || {
            theirs.fetch_add(1, SeqCst);
        });
    }
    assert_eq!(root.child_count(), 1);
    cancel.cancel();
    wait_until(|| calls.load(SeqCst) == 1);
}

/// A function that nothing can have called any more is dropped.
#[gort::test(procs = [1, 2, 4])]
fn a_function_is_dropped_with_the_last_that_could_end_its_context() {
    let token = Arc::new(());
    for keeps_context in [true, false] {
        let theirs = token.clone();
        let (ctx, cancel) = background().with_cancel();
        ctx.after_func(move || drop(theirs));
        if keeps_context {
            drop(cancel);
            assert_eq!(Arc::strong_count(&token), 2);
            drop(ctx);
        } else {
            drop(ctx);
            assert_eq!(Arc::strong_count(&token), 2);
            drop(cancel);
        }
        assert_eq!(Arc::strong_count(&token), 1);
    }
    let theirs = token.clone();
    let call = background().after_func(move || drop(theirs));
    assert!(call.stop());
    assert_eq!(Arc::strong_count(&token), 1);
}

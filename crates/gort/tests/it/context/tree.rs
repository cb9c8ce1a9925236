//! Parents, children, deadlines, values.

use super::ms;
use crate::support::{rounds, wait_until};
use gort::context::{Context, Key, background};
use std::sync::Arc;
use std::sync::Barrier;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

static NAME: Key<String> = Key::new("name");
static NUMBER: Key<u32> = Key::new("number");
static OTHER_NUMBER: Key<u32> = Key::new("number");

/// CX-01.
#[gort::test(procs = [1, 2, 4])]
fn a_parent_ends_all_its_descendants_and_a_child_only_itself() {
    let (parent, cancel) = background().with_cancel();
    let named = parent.with_value(&NAME, "x".to_owned());
    let (child, cancel_child) = parent.with_cancel();
    let (through_value, _) = named.with_timeout(Duration::from_secs(3600));
    let (grandchild, _) = through_value.with_cancel();
    cancel_child.cancel();
    assert!(child.err().unwrap().is_cancelled());
    for alive in [&parent, &named, &through_value, &grandchild] {
        assert!(alive.err().is_none());
        assert!(alive.done().try_recv().unwrap_err().is_empty());
    }
    cancel.cancel();
    for ended in [&parent, &named, &through_value, &grandchild] {
        assert!(ended.err().unwrap().is_cancelled());
        assert!(ended.done().try_recv().unwrap_err().is_disconnected());
    }
    let (late, _) = grandchild.with_cancel();
    assert!(late.err().unwrap().is_cancelled(), "born cancelled");
    assert_eq!(through_value.value(&NAME).unwrap(), "x");
}

/// CX-02.
#[gort::test(procs = [1, 2, 4])]
fn a_parent_forgets_children_that_have_ended_or_are_gone() {
    let (parent, cancel) = background().with_cancel();
    assert_eq!(parent.child_count(), 0);
    let (first, cancel_first) = parent.with_cancel();
    let (second, _) = parent.with_timeout(Duration::from_secs(3600));
    let (third, _) = parent.with_deadline(Instant::now() + ms(2));
    let call = parent.after_func(|| ());
    assert!(parent.child_count() >= 3);
    cancel_first.cancel();
    assert!(call.stop());
    drop(second);
    wait_until(|| third.err().is_some());
    assert_eq!(parent.child_count(), 0);
    drop((first, third));
    for _ in 0..rounds(10_000) {
        let (child, _) = parent.with_cancel();
        let _grandchild = child.with_cancel();
    }
    assert_eq!(parent.child_count(), 0);
    cancel.cancel();
    assert_eq!(parent.child_count(), 0);
}

/// CX-03.
#[gort::test(procs = [1, 2, 4])]
fn the_earliest_deadline_of_the_chain_counts() {
    let far = Instant::now() + Duration::from_secs(3600);
    let (outer, _) = background().with_deadline(far);
    let (inner, _) = outer.with_deadline(far + ms(1));
    assert_eq!(inner.deadline(), Some(far));
    let near = Instant::now() + ms(3);
    let (nearest, _) = inner.with_deadline(near);
    let (below, cancel_below) = nearest.with_cancel();
    assert_eq!(below.deadline(), Some(near));
    assert!(below.err().is_none() || Instant::now() >= near);
    assert!(below.done().recv().is_err());
    assert!(Instant::now() >= near, "early");
    assert!(below.err().unwrap().is_deadline_exceeded() && nearest.err().unwrap().is_deadline_exceeded());
    assert!(inner.err().is_none());
    cancel_below.cancel();
    assert!(below.err().unwrap().is_deadline_exceeded(), "a cancel that comes too late changes nothing");
    let (past, _) = background().with_deadline(Instant::now());
    assert!(past.err().unwrap().is_deadline_exceeded());
    let (cancelled, cancel) = background().with_cancel();
    cancel.cancel();
    let (child, _) = cancelled.with_timeout(Duration::from_secs(3600));
    assert!(child.err().unwrap().is_cancelled());
    assert!(child.done().try_recv().unwrap_err().is_disconnected());
}

/// Whoever cancels after the deadline has passed comes too late, although nobody has noticed the deadline yet.
#[gort::test(procs = [1, 2, 4])]
fn an_unnoticed_deadline_is_a_deadline_all_the_same() {
    let (ctx, cancel) = background().with_timeout(Duration::ZERO);
    cancel.cancel();
    assert!(ctx.err().unwrap().is_deadline_exceeded());
}

/// The longest timeout is none, and nothing overflows.
#[gort::test(procs = [1, 2, 4])]
fn a_timeout_beyond_the_end_of_time_is_no_limit() {
    let (ctx, cancel) = background().with_timeout(Duration::MAX);
    assert!(ctx.deadline().is_none() && ctx.err().is_none());
    cancel.cancel();
    assert!(ctx.err().unwrap().is_cancelled());
}

#[gort::test(procs = [1, 2, 4])]
fn values_are_found_by_their_key_and_hidden_by_later_ones() {
    let ctx = background().with_value(&NUMBER, 1).with_value(&OTHER_NUMBER, 2);
    let hidden = ctx.with_value(&NUMBER, 3);
    assert_eq!((ctx.value(&NUMBER), ctx.value(&OTHER_NUMBER)), (Some(&1), Some(&2)));
    assert_eq!((hidden.value(&NUMBER), hidden.value(&OTHER_NUMBER)), (Some(&3), Some(&2)));
    assert!(ctx.value(&NAME).is_none());
    assert!(format!("{ctx:?}").contains("number"));
}

/// CX-06, first half.
#[gort::test(procs = [1, 2, 4])]
fn a_hundred_children_are_cancelled_at_once() {
    for _ in 0..rounds(50) {
        let (root, _cancel) = background().with_cancel();
        let mut children: Vec<(Context, _)> = vec![];
        for n in 0..100 {
            // A tree as well as a crowd.
            let parent = if n % 3 == 0 { &root } else { &children[n / 3].0 };
            let child = parent.with_cancel();
            children.push(child);
        }
        let goroutines: Vec<_> = children
            .iter()
            .map(|(ctx, cancel)| {
                let (ctx, cancel) = (ctx.clone(), cancel.clone());
                gort::go(move || {
                    cancel.cancel();
                    assert!(ctx.done().recv().is_err());
                })
            })
            .collect();
        for goroutine in goroutines {
            goroutine.join().unwrap();
        }
        assert!(children.iter().all(|(ctx, _)| ctx.err().is_some()));
        assert_eq!(root.child_count(), 0);
        assert!(root.err().is_none());
    }
}

/// CX-06, second half: whoever is told by the parent cancels the child, while the parent tells the child.
#[gort::test(procs = [1, 2, 4])]
fn cancels_from_above_and_from_below_do_not_wait_for_each_other() {
    for _ in 0..rounds(2000) {
        let (parent, cancel) = background().with_cancel();
        let (child, cancel_child) = parent.with_cancel();
        let theirs = parent.clone();
        let below = gort::go(move || {
            assert!(theirs.done().recv().is_err());
            cancel_child.cancel();
        });
        let above = gort::go(move || cancel.cancel());
        assert!(child.done().recv().is_err());
        above.join().unwrap();
        below.join().unwrap();
    }
}

/// Children are made, dropped and given functions by threads and goroutines while the parent ends: each is told.
#[gort::test(procs = [1, 2, 4])]
fn a_child_made_while_its_parent_ends_ends() {
    for _ in 0..rounds(200) {
        let (parent, cancel) = background().with_cancel();
        let calls = Arc::new(AtomicUsize::new(0));
        let start = Arc::new(Barrier::new(2));
        let (theirs, counted, started) = (parent.clone(), calls.clone(), start.clone());
        let thread = std::thread::spawn(move || {
            started.wait();
            let mut made = vec![];
            for _ in 0..50 {
                let (child, _) = theirs.with_cancel();
                let counted = counted.clone();
                child.after_func(move || {
                    counted.fetch_add(1, SeqCst);
                });
                made.push(child);
                // Its function moves to the parent.
                made.truncate(40);
            }
            made
        });
        start.wait();
        cancel.cancel();
        let made = thread.join().unwrap();
        assert!(made.iter().all(|child| child.err().is_some()));
        wait_until(|| calls.load(SeqCst) == 50);
    }
}

/// As long as memory: neither ending nor dropping recurses.
#[gort::test(procs = [1, 2, 4])]
fn a_chain_of_a_hundred_thousand_contexts_ends_and_is_dropped() {
    let (root, cancel) = background().with_cancel();
    let mut last = root.with_value(&NUMBER, 0);
    for n in 0..rounds(100_000) as u32 {
        last = last.with_cancel().0.with_value(&NUMBER, n);
    }
    assert!(last.err().is_none());
    let mut dropped = root.clone();
    for n in 0..rounds(100_000) as u32 {
        dropped = dropped.with_cancel().0.with_value(&NUMBER, n);
    }
    drop(dropped);
    cancel.cancel();
    assert!(last.err().unwrap().is_cancelled());
}

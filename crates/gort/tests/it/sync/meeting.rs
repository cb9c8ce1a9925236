//! Barrier, WaitGroup, Notify.

use super::{mixed, wait_for_waiters};
use crate::support::rounds;
use gort::sync::{Barrier, Notify, WaitGroup};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// SY-09. One leader per round; nobody is ahead; the barrier is used again.
#[gort::test(procs = [1, 2, 4])]
fn a_barrier_has_one_leader_per_round() {
    const PARTIES: usize = 6;
    let turns = rounds(1000);
    let shared = Arc::new((Barrier::new(PARTIES), AtomicUsize::new(0), AtomicUsize::new(0)));
    let theirs = shared.clone();
    mixed(PARTIES, move |_| {
        for turn in 1..=turns {
            theirs.1.fetch_add(1, Relaxed);
            let is_leader = theirs.0.wait().is_leader();
            assert!(theirs.1.load(Relaxed) >= turn * PARTIES, "somebody has passed too early");
            theirs.2.fetch_add(usize::from(is_leader), Relaxed);
            // The second barrier keeps the next turn apart from the check above.
            theirs.0.wait();
            assert_eq!(theirs.2.load(Relaxed), turn);
            theirs.0.wait();
        }
    });
    assert!(Barrier::new(0).wait().is_leader());
}

/// SY-06, first part. Sixteen parties meet through two groups, eight times.
#[gort::test(procs = [1, 2, 4])]
fn two_wait_groups_make_a_barrier() {
    const COUNT: usize = 16;
    let (first, second) = (WaitGroup::new(), WaitGroup::new());
    for _ in 0..8 {
        first.add(COUNT);
        second.add(COUNT);
        let exited = Arc::new(AtomicUsize::new(0));
        let goroutines: Vec<_> = (0..COUNT)
            .map(|_| {
                let (first, second, exited) = (first.clone(), second.clone(), exited.clone());
                gort::go(move || {
                    first.done();
                    second.wait();
                    exited.fetch_add(1, Relaxed);
                })
            })
            .collect();
        first.wait();
        for _ in 0..COUNT {
            assert_eq!(exited.load(Relaxed), 0, "released too early");
            second.done();
        }
        for goroutine in goroutines {
            goroutine.join().unwrap();
        }
        assert_eq!(exited.load(Relaxed), COUNT);
    }
}

/// SY-06, second part. Below zero is a panic that names the call, and so is a sum that is too large.
#[gort::test(procs = [1, 2, 4])]
fn a_wait_group_below_zero_panics() {
    let group = WaitGroup::new();
    group.add(1);
    group.done();
    let payload = catch_unwind(AssertUnwindSafe(|| group.done())).unwrap_err();
    assert_eq!(*payload.downcast::<&str>().unwrap(), "WaitGroup::done: more is done than was added");
    group.add(1);
    assert!(catch_unwind(AssertUnwindSafe(|| group.add(usize::MAX))).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| group.add(isize::MAX as usize))).is_err());
    group.done();
    group.wait();
}

/// SY-06, third part. After the wait the effects of both that were waited for can be seen.
#[gort::test(procs = [1, 2, 4])]
fn what_was_done_before_is_seen_after_the_wait() {
    for _ in 0..1000 {
        let group = WaitGroup::new();
        let effects = Arc::new([const { AtomicUsize::new(0) }; 2]);
        for index in 0..2 {
            let effects = effects.clone();
            drop(group.go(move || effects[index].store(1, Relaxed)));
        }
        group.wait();
        assert_eq!(effects.each_ref().map(|effect| effect.load(Relaxed)), [1, 1]);
    }
}

/// SY-07 for wait groups: threads and goroutines wait for each other; a limit passes, a panic counts as done.
#[gort::test(procs = [1, 2, 4])]
fn a_wait_group_serves_both_kinds() {
    let group = WaitGroup::new();
    group.add(1);
    let started = Instant::now();
    assert!(!group.wait_timeout(Duration::from_millis(2)) && started.elapsed() >= Duration::from_millis(2));
    let theirs = group.clone();
    let waits = gort::go(move || mixed(100, move |_| theirs.wait()));
    wait_for_waiters(100, "sync.WaitGroup.Wait");
    group.go(|| panic!("on purpose")).join().unwrap_err();
    assert!(format!("{group:?}").contains("count: 1"), "{group:?}");
    group.done();
    waits.join().unwrap();
    assert!(group.wait_timeout(Duration::ZERO));
}

/// SY-07 for wait groups: 1e5 hand-overs round a ring of goroutines and threads, each of whom waits for a group of its own.
#[gort::test(procs = [1, 2, 4], timeout = 120)]
fn wait_groups_hand_the_turn_round() {
    const PARTIES: usize = 4;
    let turns = rounds(100_000) / PARTIES;
    let shared = Arc::new(([const { AtomicUsize::new(0) }; PARTIES], [(); PARTIES].map(|()| WaitGroup::new())));
    shared.1.iter().for_each(|group| group.add(1));
    let theirs = shared.clone();
    let ring = gort::go(move || {
        mixed(PARTIES, move |index| {
            let (counts, groups) = (&theirs.0, &theirs.1);
            for turn in 0..turns {
                if turn % 2 == 0 {
                    groups[index].wait();
                } else {
                    while !groups[index].wait_timeout(Duration::from_micros(50)) {}
                }
                // Relaxed: the groups must have ordered it.
                assert_eq!(counts[(index + PARTIES - 1) % PARTIES].load(Relaxed), turn + usize::from(index > 0));
                counts[index].store(turn + 1, Relaxed);
                groups[index].add(1);
                groups[(index + 1) % PARTIES].done();
            }
        });
    });
    shared.1[0].done();
    ring.join().unwrap();
    assert!(shared.0.iter().all(|count| count.load(Relaxed) == turns));
}

/// SY-09. A notification before the wait is remembered, once.
#[gort::test(procs = [1, 2, 4])]
fn notify_one_before_the_wait_is_remembered_once() {
    let notify = Arc::new(Notify::new());
    notify.notify_one();
    notify.notify_one();
    notify.wait();
    assert!(!notify.wait_timeout(Duration::ZERO));
    notify.notify_all();
    assert!(!notify.wait_timeout(Duration::ZERO), "only for those who wait");

    let theirs = notify.clone();
    let waits = gort::go(move || mixed(20, move |_| theirs.wait()));
    wait_for_waiters(20, "notify wait");
    notify.notify_all();
    waits.join().unwrap();
    assert!(!notify.wait_timeout(Duration::ZERO), "nothing is left");
}

/// A notification is not lost with a waiter that leaves: it goes to the next, or is remembered.
#[gort::test(procs = [1, 2, 4], timeout = 120)]
fn a_notification_goes_to_the_next_if_its_waiter_leaves() {
    let turns = rounds(20_000);
    let shared = Arc::new((Notify::new(), Notify::new()));
    let theirs = shared.clone();
    mixed(4, move |index| match index {
        // Ping and pong between a goroutine and a thread: one lost notification and both wait for ever.
        0 => (0..turns).for_each(|_| {
            theirs.0.notify_one();
            while !theirs.1.wait_timeout(Duration::from_micros(5)) {}
        }),
        1 => (0..turns).for_each(|_| {
            theirs.0.wait();
            theirs.1.notify_one();
        }),
        // Stand in the queue for a moment, and pass on what they happen to get.
        _ => (0..turns / 4).for_each(|_| {
            if theirs.0.wait_timeout(Duration::from_nanos(300)) {
                theirs.0.notify_one();
            }
        }),
    });
    assert!(!shared.0.wait_timeout(Duration::ZERO) && !shared.1.wait_timeout(Duration::ZERO));
}

//! Every primitive with goroutines and threads, deadlines and cancellations at once: permits are conserved, nobody is left waiting, and what was
//! made for a party that leaves goes to another.

use super::mixed;
use crate::support::{Cancellers, Contexts, Dice, rounds};
use gort::sync::{Barrier, Condvar, LockCtxError, Mutex, Notify, Once, OnceLock, RwLock, Semaphore, WaitGroup};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::Instant;

/// Runs `count` parties, half of them threads, each with dice and contexts of its own.
fn parties(count: usize, body: impl Fn(usize, &mut Dice, &Contexts) + Send + Sync + 'static) {
    let cancellers = Cancellers::start();
    let contexts = Mutex::new(vec![cancellers.contexts(); count]);
    mixed(count, move |index| {
        let mine = contexts.lock().unwrap().pop().unwrap();
        body(index, &mut Dice::of(index), &mine);
    });
    cancellers.stop();
}

/// What an attempt with a limit has come to.
fn or_late<G>(outcome: Result<G, LockCtxError<G>>) -> Option<G> {
    match outcome {
        Ok(guard) => Some(guard),
        Err(LockCtxError::Ended(_)) => None,
        Err(LockCtxError::Poisoned(_)) => panic!("nobody poisons it"),
    }
}

#[gort::test(procs = [1, 2, 4], timeout = 120)]
fn a_mutex_is_held_by_one_and_left_by_all() {
    let each = rounds(10_000);
    let shared = Arc::new((Mutex::new(0_usize), AtomicUsize::new(0)));
    let theirs = shared.clone();
    parties(6, move |_, dice, contexts| {
        for round in 0..each {
            let guard = match dice.roll(5) {
                0 => Some(theirs.0.lock().unwrap()),
                1 => theirs.0.try_lock().ok(),
                2 => theirs.0.lock_timeout(dice.micros()).ok(),
                3 => theirs.0.lock_deadline(Instant::now() + dice.micros()).ok(),
                _ => or_late(theirs.0.lock_ctx(&contexts.brief(dice))),
            };
            if let Some(mut guard) = guard {
                // Two steps, with others running in between: lost unless alone.
                let before = *guard;
                if round % 16 == 0 {
                    gort::yield_now();
                }
                *guard = before + 1;
                theirs.1.fetch_add(1, Relaxed);
            }
        }
    });
    assert_eq!(*shared.0.try_lock().expect("nobody holds it, nobody waits"), shared.1.load(Relaxed));
}

#[gort::test(procs = [1, 2, 4], timeout = 120)]
fn a_read_write_lock_is_whole_for_readers_and_left_by_all() {
    let each = rounds(10_000);
    let shared = Arc::new((RwLock::new((0_usize, 0_usize)), AtomicUsize::new(0)));
    let theirs = shared.clone();
    parties(6, move |_, dice, contexts| {
        for round in 0..each {
            if dice.roll(3) == 0 {
                let guard = match dice.roll(5) {
                    0 => Some(theirs.0.write().unwrap()),
                    1 => theirs.0.try_write().ok(),
                    2 => theirs.0.write_timeout(dice.micros()).ok(),
                    3 => theirs.0.write_deadline(Instant::now() + dice.micros()).ok(),
                    _ => or_late(theirs.0.write_ctx(&contexts.brief(dice))),
                };
                if let Some(mut guard) = guard {
                    guard.0 += 1;
                    if round % 16 == 0 {
                        gort::yield_now();
                    }
                    guard.1 += 1;
                    theirs.1.fetch_add(1, Relaxed);
                }
            } else {
                let guard = match dice.roll(5) {
                    0 => Some(theirs.0.read().unwrap()),
                    1 => theirs.0.try_read().ok(),
                    2 => theirs.0.read_timeout(dice.micros()).ok(),
                    3 => theirs.0.read_deadline(Instant::now() + dice.micros()).ok(),
                    _ => or_late(theirs.0.read_ctx(&contexts.brief(dice))),
                };
                if let Some(guard) = guard {
                    let first = guard.0;
                    if round % 16 == 0 {
                        gort::yield_now();
                    }
                    assert_eq!((guard.0, guard.1), (first, first));
                }
            }
        }
    });
    let writing = shared.0.try_write().expect("nobody holds it, nobody waits");
    assert_eq!(writing.0, shared.1.load(Relaxed));
}

#[gort::test(procs = [1, 2, 4], timeout = 120)]
fn a_semaphore_keeps_its_permits() {
    const TOTAL: usize = 5;
    let each = rounds(10_000);
    let shared = Arc::new((Arc::new(Semaphore::new(TOTAL)), AtomicUsize::new(0)));
    let theirs = shared.clone();
    parties(6, move |_, dice, contexts| {
        let (semaphore, held) = (&theirs.0, &theirs.1);
        for round in 0..each {
            let count = dice.roll(TOTAL) + 1;
            let is_taken = || assert!(held.fetch_add(count, Relaxed) + count <= TOTAL, "more than there are");
            let permit = match dice.roll(6) {
                0 => Some(semaphore.acquire(count)),
                1 => semaphore.try_acquire(count),
                2 => semaphore.acquire_timeout(count, dice.micros()),
                3 => semaphore.acquire_deadline(count, Instant::now() + dice.micros()),
                4 => semaphore.acquire_ctx(count, &contexts.brief(dice)).ok(),
                // More than there are in all.
                _ => semaphore.acquire_ctx(TOTAL + 1, &contexts.brief(dice)).ok(),
            };
            if let Some(permit) = permit {
                assert_eq!(permit.count(), count);
                is_taken();
                if round % 16 == 0 {
                    gort::yield_now();
                }
                held.fetch_sub(count, Relaxed);
            } else if let Ok(permit) = semaphore.clone().acquire_owned_ctx(count, &contexts.brief(dice)) {
                is_taken();
                held.fetch_sub(count, Relaxed);
                drop(permit);
            }
        }
    });
    assert_eq!(shared.0.available(), TOTAL);
    assert!(shared.0.try_acquire(TOTAL).is_some(), "nobody waits");
}

#[gort::test(procs = [1, 2, 4], timeout = 120)]
fn a_notification_for_one_who_leaves_a_condition_reaches_another() {
    #[derive(Default)]
    struct State {
        items: usize,
        ended: usize,
    }
    let items = rounds(10_000);
    let shared = Arc::new((Mutex::new(State::default()), Condvar::new()));
    let theirs = shared.clone();
    parties(8, move |index, dice, contexts| {
        let (state, changed) = (&theirs.0, &theirs.1);
        if index < 2 {
            for _ in 0..items {
                // So few that those who take them wait most of the time.
                while state.lock().unwrap().items > 2 {
                    gort::yield_now();
                }
                state.lock().unwrap().items += 1;
                // One notification for one item: if it went to one that leaves, a patient one would wait for ever.
                changed.notify_one();
            }
            state.lock().unwrap().ended += 1;
            changed.notify_all();
            return;
        }
        let mut guard = state.lock().unwrap();
        loop {
            if guard.items > 0 {
                guard.items -= 1;
            } else if guard.ended == 2 {
                return;
            } else if index < 4 {
                guard = changed.wait(guard).unwrap();
            } else {
                let waits = |state: &mut State| state.items == 0 && state.ended < 2;
                guard = match dice.roll(4) {
                    0 => changed.wait_timeout(guard, dice.micros()).unwrap().0,
                    1 => changed.wait_timeout_while(guard, dice.micros(), waits).unwrap().0,
                    2 => changed.wait_ctx(guard, &contexts.brief(dice)).unwrap().0,
                    _ => changed.wait_while_ctx(guard, &contexts.brief(dice), waits).unwrap().0,
                };
            }
        }
    });
    assert_eq!(shared.0.try_lock().unwrap().items, 0);
}

/// One token goes round: who gets it passes it on, who leaves had none.
#[gort::test(procs = [1, 2, 4], timeout = 120)]
fn a_notification_is_one_whoever_leaves() {
    let turns = rounds(20_000);
    let shared = Arc::new((Notify::new(), AtomicUsize::new(0), AtomicUsize::new(0)));
    shared.0.notify_one();
    let theirs = shared.clone();
    parties(6, move |index, dice, contexts| {
        let (notify, taken, holders) = (&theirs.0, &theirs.1, &theirs.2);
        while taken.load(Relaxed) < turns {
            let is_mine = match dice.roll(4) {
                // A patient one on either side; the last token is passed on to it.
                _ if index < 2 => {
                    notify.wait();
                    true
                }
                0 | 1 => notify.wait_timeout(dice.micros()),
                2 => notify.wait_deadline(Instant::now() + dice.micros()),
                _ => notify.wait_ctx(&contexts.brief(dice)).is_ok(),
            };
            if is_mine {
                assert_eq!(holders.fetch_add(1, Relaxed), 0, "there is one token");
                taken.fetch_add(1, Relaxed);
                holders.fetch_sub(1, Relaxed);
                notify.notify_one();
            }
        }
    });
    assert!(shared.0.wait_deadline(Instant::now()), "it is there in the end");
    assert!(!shared.0.wait_deadline(Instant::now()), "once");
}

#[gort::test(procs = [1, 2, 4], timeout = 120)]
fn who_waits_for_a_group_sees_what_was_done_or_is_late() {
    for _ in 0..rounds(200) {
        let (group, effects) = (WaitGroup::new(), Arc::new(AtomicUsize::new(0)));
        group.add(4);
        let (theirs, effect) = (group.clone(), effects.clone());
        parties(8, move |index, dice, contexts| {
            if index < 4 {
                if dice.roll(2) == 0 {
                    gort::sleep(dice.micros());
                }
                // Relaxed: the group must have ordered it.
                effect.fetch_add(1, Relaxed);
                return theirs.done();
            }
            loop {
                let is_done = match dice.roll(4) {
                    0 => {
                        theirs.wait();
                        true
                    }
                    1 => theirs.wait_timeout(dice.micros()),
                    2 => theirs.wait_deadline(Instant::now() + dice.micros()),
                    _ => theirs.wait_ctx(&contexts.brief(dice)).is_ok(),
                };
                if is_done {
                    return assert_eq!(effect.load(Relaxed), 4);
                }
            }
        });
        assert!(group.wait_timeout(std::time::Duration::ZERO));
    }
}

/// Whoever comes and goes, each round lets exactly as many pass as the barrier is for, one of them as the leader.
#[gort::test(procs = [1, 2, 4], timeout = 120)]
fn a_barrier_lets_whole_rounds_pass_whoever_leaves() {
    const SIZE: usize = 3;
    let turns = rounds(5_000);
    let shared = Arc::new((Barrier::new(SIZE), AtomicUsize::new(0), AtomicUsize::new(0)));
    let theirs = shared.clone();
    parties(7, move |_, dice, contexts| {
        let (barrier, passed, leaders) = (&theirs.0, &theirs.1, &theirs.2);
        for _ in 0..turns {
            let result = match dice.roll(3) {
                0 => barrier.wait_timeout(dice.micros()),
                1 => barrier.wait_deadline(Instant::now() + dice.micros()),
                _ => barrier.wait_ctx(&contexts.brief(dice)).ok(),
            };
            if let Some(result) = result {
                passed.fetch_add(1, Relaxed);
                leaders.fetch_add(usize::from(result.is_leader()), Relaxed);
            }
        }
    });
    let (passed, leaders) = (shared.1.load(Relaxed), shared.2.load(Relaxed));
    assert!(leaders > 0);
    assert_eq!(passed, leaders * SIZE);
    // Nobody is counted who has left.
    let (theirs, leaders) = (shared.clone(), Arc::new(AtomicUsize::new(0)));
    let led = leaders.clone();
    mixed(SIZE, move |_| {
        led.fetch_add(usize::from(theirs.0.wait().is_leader()), Relaxed);
    });
    assert_eq!(leaders.load(Relaxed), 1);
}

/// Some attempts panic; then somebody else tries. Whoever comes back successfully sees what was done, once.
#[gort::test(procs = [1, 2, 4], timeout = 120)]
fn something_is_done_once_whoever_panics_or_leaves() {
    for round in 0..rounds(200) {
        let shared = Arc::new((Once::new(), OnceLock::new(), AtomicUsize::new(0), AtomicUsize::new(0)));
        let theirs = shared.clone();
        let failures = round % 3;
        parties(8, move |index, dice, contexts| {
            let (once, cell, attempts, effect) = (&theirs.0, &theirs.1, &theirs.2, &theirs.3);
            let attempt = || {
                gort::yield_now();
                if attempts.fetch_add(1, Relaxed) < failures {
                    resume_unwind(Box::new("on purpose"));
                }
                // Relaxed, and two steps: the `Once` must have ordered them.
                effect.store(effect.load(Relaxed) + 1, Relaxed);
            };
            while !once.is_completed() {
                if index < 4 {
                    let _ = catch_unwind(AssertUnwindSafe(|| once.call_once_force(|_| attempt())));
                    continue;
                }
                // May find it poisoned, which is a panic.
                let _ = catch_unwind(AssertUnwindSafe(|| match dice.roll(3) {
                    0 => once.wait_timeout(dice.micros()),
                    1 => once.wait_deadline(Instant::now() + dice.micros()),
                    _ => once.wait_ctx(&contexts.brief(dice)).is_ok(),
                }));
            }
            assert_eq!(effect.load(Relaxed), 1);
            if index < 4 {
                cell.get_or_init(|| index);
            } else {
                let found = loop {
                    let found = match dice.roll(3) {
                        0 => cell.wait_timeout(dice.micros()),
                        1 => cell.wait_deadline(Instant::now() + dice.micros()),
                        _ => cell.wait_ctx(&contexts.brief(dice)).ok(),
                    };
                    if let Some(found) = found {
                        break *found;
                    }
                };
                assert!(found < 4);
            }
        });
    }
}

/// Joins with limits, of goroutines that end at about that time; and sections that block.
#[gort::test(procs = [1, 2, 4], timeout = 120)]
fn a_join_ends_by_its_limit_or_by_the_end() {
    let each = rounds(2_000);
    parties(4, move |_, dice, contexts| {
        for round in 0..each {
            let pause = dice.micros() / 4;
            let mut handle = gort::go(move || {
                if round % 2 == 0 {
                    gort::sleep(pause);
                }
                round
            });
            let is_done = match dice.roll(3) {
                0 => handle.wait_timeout(dice.micros()),
                1 => handle.wait_deadline(Instant::now() + dice.micros()),
                _ => handle.wait_ctx(&contexts.brief(dice)).is_ok(),
            };
            assert!(!is_done || handle.is_finished());
            assert_eq!(handle.join().unwrap(), round);
            if round % 16 == 0 {
                let begun = Arc::new(AtomicUsize::new(0));
                let theirs = begun.clone();
                let section = move || theirs.fetch_add(1, Release) + 1;
                if let Ok(count) = gort::blocking_ctx(&contexts.brief(dice), section) {
                    assert_eq!((count, begun.load(Acquire)), (1, 1));
                }
            }
        }
    });
}

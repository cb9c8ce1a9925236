//! `join` arms of a `select!`.

use super::wait_for_state;
use crate::support::{rounds, wait_until};
use gort::chan::{Receiver, bounded, unbounded};
use gort::{JoinHandle, select, select_biased};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;
use std::time::Duration;

/// Runs `body` as a goroutine and on a plain thread.
fn by_both(body: fn()) {
    gort::go(body).join().unwrap();
    let thread = thread::spawn(body);
    gort::blocking_send(|| thread.join().unwrap());
}

#[gort::test(procs = [1, 2, 4])]
fn a_join_arm_waits_for_the_end_and_has_the_result() {
    by_both(|| {
        let (_s, never) = bounded::<u8>(0);
        let (go, gone) = bounded::<()>(0);
        let mut fine = gort::go(move || gone.recv().map(|()| "fine"));
        let parked = fine.goroutine();
        gort::go(move || {
            // It has ended before it is looked at, or while the other waits.
            go.send(()).unwrap();
        });
        select! {
            recv(never) -> _ => unreachable!("nobody sends"),
            join(fine) -> result => assert_eq!(result.unwrap(), Ok("fine")),
        }
        assert_eq!(fine.goroutine().id(), parked.id());
        let mut fails = gort::go(|| -> u8 { resume_unwind(Box::new("no luck")) });
        select! {
            join(fails) -> result => assert_eq!(*result.unwrap_err().downcast::<&str>().unwrap(), "no luck"),
        }
    });
}

/// Whoever waits has parked before the goroutine ends.
#[gort::test(procs = [1, 2, 4])]
fn the_end_wakes_a_select_that_is_parked() {
    for _ in 0..rounds(200) {
        let (s, r) = bounded::<()>(0);
        let (_other, others) = bounded::<()>(0);
        let mut ends = gort::go(move || assert!(r.recv().is_err()));
        let selecting = gort::go(move || {
            select! {
                recv(others) -> _ => unreachable!("nobody sends"),
                join(ends) -> result => result.unwrap(),
            }
        });
        wait_for_state(&selecting, "select");
        drop(s);
        selecting.join().unwrap();
    }
}

/// A value and an end come at about the same time: one of them wins, and the other is still there.
fn race(r: &Receiver<usize>, mut handle: JoinHandle<usize>, round: usize) {
    select! {
        recv(r) -> value => {
            assert_eq!(value, Ok(round));
            assert_eq!(handle.join().unwrap(), round);
        }
        join(handle) -> result => {
            assert_eq!(result.unwrap(), round);
            assert_eq!(r.recv(), Ok(round));
        }
    }
}

#[gort::test(procs = [1, 2, 4], timeout = 60)]
fn a_join_arm_that_loses_keeps_its_handle_and_one_that_wins_loses_no_value() {
    for capacity in [0, 1] {
        by_both(if capacity == 0 { || many_races(0) } else { || many_races(1) });
    }
}

fn many_races(capacity: usize) {
    let (s, r) = bounded(capacity);
    let rounds = rounds(1000);
    let sender = gort::go(move || (0..rounds).for_each(|round| s.send(round).unwrap()));
    for round in 0..rounds {
        let handle = gort::go(move || {
            (0..round % 4).for_each(|_| gort::yield_now());
            round
        });
        race(&r, handle, round);
    }
    sender.join().unwrap();
}

#[gort::test(procs = [1, 2, 4])]
fn a_limit_ends_a_select_with_a_join_and_the_handle_can_be_joined() {
    by_both(|| {
        let mut parked = gort::go(|| {
            gort::park();
            7
        });
        select! {
            join(parked) -> _ => unreachable!("it is parked"),
            default => (),
        }
        for _ in 0..3 {
            select! {
                join(parked) -> _ => unreachable!("it is parked"),
                default(Duration::from_millis(1)) => (),
            }
            assert!(!parked.wait_timeout(Duration::from_micros(100)));
        }
        parked.goroutine().unpark();
        wait_until(|| parked.is_finished());
        select! {
            join(parked) -> result => assert_eq!(result.unwrap(), 7),
            default => unreachable!("it has ended"),
        }
    });
}

/// Each result is taken once, in whatever order they end; a handle without its result is never ready.
#[gort::test(procs = [1, 2, 4])]
fn a_loop_takes_every_result_once() {
    for _ in 0..rounds(1000) {
        let (s, r) = unbounded();
        let start = |number: usize| {
            gort::go(move || {
                (0..number % 3).for_each(|_| gort::yield_now());
                number
            })
        };
        let (mut a, mut b, mut c) = (start(1), start(2), start(3));
        for _ in 0..3 {
            select! {
                join(a) -> result => s.send(result.unwrap()).unwrap(),
                join(b) -> result => s.send(result.unwrap()).unwrap(),
                join(c) -> result => s.send(result.unwrap()).unwrap(),
            }
        }
        let mut all: Vec<_> = r.try_iter().collect();
        all.sort_unstable();
        assert_eq!(all, [1, 2, 3]);
        select! {
            join(a) -> _ => unreachable!("it has been taken"),
            join(b) -> _ => unreachable!("it has been taken"),
            default(Duration::from_micros(1)) => (),
        }
        assert!(a.is_finished() && a.wait_timeout(Duration::ZERO));
    }
}

#[gort::test(procs = [1])]
fn a_result_that_an_arm_has_taken_is_not_joined_for() {
    let mut handle = gort::go(|| ());
    let id = handle.goroutine().id();
    select_biased! {
        join(handle) -> result => result.unwrap(),
    }
    let panic = catch_unwind(AssertUnwindSafe(|| handle.join())).unwrap_err();
    let text = panic.downcast::<String>().unwrap();
    assert_eq!(*text, format!("join: a `join` arm of a select! has taken the result of goroutine {id}"));
}

/// Operands are evaluated once, a temporary lives until the body is over, and each of two that are ready has its chance.
#[gort::test(procs = [1, 2, 4])]
fn handles_behind_references_and_temporaries_and_fair_chances() {
    fn first(handle: &mut JoinHandle<u8>) -> u8 {
        select! {
            join(*handle) -> result => result.unwrap(),
        }
    }
    assert_eq!(first(&mut gort::go(|| 3)), 3);
    let mut started = 0;
    let mut start = || {
        started += 1;
        gort::go(|| 4)
    };
    select! {
        join(start()) -> result => assert_eq!(result.unwrap(), 4),
    }
    assert_eq!(started, 1);
    let mut wins = [0; 2];
    let (s, r) = unbounded();
    for _ in 0..400 {
        let mut handles = [gort::go(|| ())];
        wait_until(|| handles[0].is_finished());
        s.send(()).unwrap();
        select! {
            join(handles[0]) -> result => {
                wins[0] += 1;
                result.unwrap();
            }
            recv(r) -> value => {
                wins[1] += 1;
                value.unwrap();
            }
        }
    }
    // One in 10^20 would be outside if both are as likely.
    assert!(wins[0] > 100 && wins[1] > 100, "{wins:?}");
}

#[gort::test(procs = [1, 2, 4])]
fn a_scoped_handle_is_joined_by_an_arm_and_its_panic_goes_there() {
    let mut number = 1;
    gort::scope(|s| {
        let mut borrows = s.spawn(|| {
            number += 1;
            number
        });
        select! {
            join(borrows) -> result => assert_eq!(result.unwrap(), 2),
        }
        let mut fails = s.spawn(|| -> u8 { resume_unwind(Box::new("no luck")) });
        select! {
            join(fails) -> result => assert!(result.is_err()),
        }
        let mut waits = s.spawn(gort::park);
        select! {
            join(waits) -> _ => unreachable!("it is parked"),
            default(Duration::from_micros(10)) => waits.goroutine().unpark(),
        }
    });
    assert_eq!(number, 2);
}

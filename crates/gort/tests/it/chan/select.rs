//! `select!` and `Select`: exactly one operation happens, and the others leave no trace.

use crate::support::{rounds, wait_until};
use gort::chan::{Receiver, RecvError, Select, Sender, TryRecvError, bounded, never, unbounded};
use gort::{select, select_biased};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::Duration;

/// CH-06. Four channels, each with a plain sender and receiver; and one goroutine that sends on all and one that receives from all by one
/// `select!`, in which an operation that has done its part is switched off.
#[gort::test(procs = [1, 2, 4], timeout = 60)]
fn selects_and_plain_operations_share_channels_and_lose_nothing() {
    let count = rounds(100_000);
    let channels = [0, 0, 2, 3].map(bounded::<usize>);
    let mut parties = Vec::new();
    for (s, r) in channels.clone() {
        parties.push(gort::go(move || (0..count).for_each(|i| s.send(i).unwrap())));
        parties.push(gort::go(move || (0..count).for_each(|_| assert!(r.recv().is_ok()))));
    }
    let senders = channels.clone().map(|(s, _)| s);
    parties.push(gort::go(move || {
        // Nobody receives from this one: a send that never is ready.
        let (off, _off) = bounded(0);
        let mut left = [count; 4];
        while left != [0; 4] {
            let on = |at: usize| if left[at] > 0 { &senders[at] } else { &off };
            let at = select! {
                send(on(0), 0) -> sent => sent.map(|()| 0),
                send(on(1), 1) -> sent => sent.map(|()| 1),
                send(on(2), 2) -> sent => sent.map(|()| 2),
                send(on(3), 3) -> sent => sent.map(|()| 3),
            };
            left[at.unwrap()] -= 1;
        }
    }));
    let receivers = channels.clone().map(|(_, r)| r);
    parties.push(gort::go(move || {
        let off = never();
        let mut left = [count; 4];
        while left != [0; 4] {
            let on = |at: usize| if left[at] > 0 { &receivers[at] } else { &off };
            let at = select! {
                recv(on(0)) -> value => value.map(|_| 0),
                recv(on(1)) -> value => value.map(|_| 1),
                recv(on(2)) -> value => value.map(|_| 2),
                recv(on(3)) -> value => value.map(|_| 3),
            };
            left[at.unwrap()] -= 1;
        }
    }));
    parties.into_iter().for_each(|party| party.join().unwrap());
    assert!(channels.iter().all(|(s, r)| s.is_empty() && r.try_recv() == Err(TryRecvError::Empty)));
}

/// CH-13. With `default` it does not wait, and `default` loses against whatever is ready.
#[gort::test(procs = [1, 2, 4])]
fn a_select_with_default_never_waits() {
    let (s, r) = bounded(0);
    let (s1, r1) = bounded(1);
    for i in 0..rounds(10_000) {
        select! {
            recv(r) -> _ => unreachable!("nobody sends"),
            send(s, ()) -> _ => unreachable!("nobody receives"),
            default => (),
        }
        select! {
            send(s1, i) -> sent => sent.unwrap(),
            default => unreachable!("there is room"),
        }
        select! {
            send(s1, i) -> _ => unreachable!("there is none"),
            default => (),
        }
        select! {
            recv(r1) -> value => assert_eq!(value, Ok(i)),
            default => unreachable!("there is a value"),
        }
        select! {
            default => (),
        }
    }
}

/// CH-13. What a losing operation would have sent stays, and is not even made.
#[gort::test(procs = [1, 2, 4])]
fn a_value_is_made_and_moved_only_if_its_operation_wins() {
    let make = |made: &mut usize| {
        *made += 1;
        *made
    };
    for capacity in [0, 1] {
        let (s, r) = bounded(capacity);
        let (ready, is_ready) = bounded(1);
        (0..capacity).for_each(|_| s.send(0).unwrap());
        let mut made = 0;
        let kept = String::from("kept");
        let (strings, _strings) = bounded(0);
        for _ in 0..rounds(1000) {
            ready.send(()).unwrap();
            select! {
                send(s, make(&mut made)) -> _ => unreachable!("no room"),
                send(strings, kept) -> _ => unreachable!("nobody receives"),
                recv(is_ready) -> token => token.unwrap(),
            }
            select! {
                send(s, make(&mut made)) -> _ => unreachable!("no room"),
                default(Duration::from_micros(1)) => (),
            }
        }
        assert_eq!((made, kept.as_str()), (0, "kept"));
        r.try_iter().for_each(drop);
        let receiver = gort::go(move || (r.recv(), r));
        select! {
            send(s, make(&mut made)) -> sent => sent.unwrap(),
            recv(is_ready) -> _ => unreachable!("nobody sends"),
        }
        assert_eq!((made, receiver.join().unwrap().0), (1, Ok(1)));
    }
}

fn panicking(payload: usize) -> usize {
    resume_unwind(Box::new(payload))
}

/// A value's expression that panics, or leaves, gives its turn to the next.
#[gort::test(procs = [1, 2, 4])]
fn a_turn_that_is_not_used_goes_to_the_next() {
    for capacity in [0, 1, 3] {
        for round in 0..rounds(1000) {
            let (s, r) = bounded(capacity);
            let receiver = gort::go({
                let r = r.clone();
                move || r.recv()
            });
            (0..round % 3).for_each(|_| gort::yield_now());
            let caught = catch_unwind(AssertUnwindSafe(|| {
                select! {
                    send(s, panicking(round)) -> _ => unreachable!("it panics"),
                }
            }));
            assert_eq!(*caught.unwrap_err().downcast::<usize>().unwrap(), round);
            #[allow(clippy::never_loop)]
            loop {
                select! {
                    send(s, if receiver.is_finished() { 0 } else { break }) -> _ => unreachable!("it leaves"),
                }
            }
            assert!(!receiver.is_finished());
            s.send(7).unwrap();
            assert_eq!(receiver.join().unwrap(), Ok(7));
            // All of the room is there again.
            (0..capacity).for_each(|i| s.try_send(i).unwrap());
            assert!(s.try_send(0).unwrap_err().is_full());
            assert!(r.try_iter().eq(0..capacity));
        }
    }
}

/// Two `select!`s that meet on a channel, each also looking elsewhere: exactly one operation on either side.
#[gort::test(procs = [1, 2, 4])]
fn two_selects_meet_and_exactly_one_operation_happens() {
    let count = rounds(20_000);
    let (s1, r1) = bounded::<usize>(0);
    let (s2, r2) = bounded::<usize>(0);
    let run = |s: Sender<usize>, r: Receiver<usize>| {
        move || {
            let (mut sent, mut received) = (0, 0);
            while sent < count || received < count {
                if sent == count {
                    assert_eq!(r.recv(), Ok(received));
                    received += 1;
                } else if received == count {
                    s.send(sent).unwrap();
                    sent += 1;
                } else {
                    select! {
                        send(s, sent) -> done => { done.unwrap(); sent += 1; }
                        recv(r) -> value => { assert_eq!(value, Ok(received)); received += 1; }
                    }
                }
            }
        }
    };
    let one = gort::go(run(s1, r2));
    let other = gort::go(run(s2, r1));
    one.join().unwrap();
    other.join().unwrap();
}

/// Two values that are sent while a `select!` is about to wait do not overtake each other.
#[gort::test(procs = [2, 4], timeout = 120)]
fn values_that_come_while_a_select_begins_to_wait_keep_their_order() {
    let count = rounds(20_000);
    for capacity in [2, usize::MAX] {
        let (s, r) = bounded(capacity);
        let (_other, nothing) = bounded::<()>(0);
        let begun = Arc::new(AtomicUsize::new(0));
        let sender = gort::go({
            let begun = begun.clone();
            move || {
                for round in 1..=count {
                    for spin in 1.. {
                        if begun.load(Acquire) == round {
                            break;
                        }
                        // Where both run on one processor after all.
                        if spin % 1000 == 0 {
                            gort::yield_now();
                        }
                    }
                    (0..round % 128).for_each(|_| std::hint::spin_loop());
                    s.send(2 * round).unwrap();
                    s.send(2 * round + 1).unwrap();
                }
            }
        });
        for round in 1..=count {
            begun.store(round, Release);
            let first = select! {
                recv(r) -> value => value,
                recv(nothing) -> _ => unreachable!("nobody sends"),
            };
            assert_eq!((first, r.recv()), (Ok(2 * round), Ok(2 * round + 1)));
        }
        sender.join().unwrap();
    }
}

/// While a value moves from one channel to the other, one of the two always has it: no look at both finds none.
#[gort::test(procs = [1, 2, 4])]
fn a_select_with_default_does_not_miss_a_value_that_moves() {
    let count = rounds(50_000);
    let (s1, r1) = unbounded();
    let (s2, r2) = unbounded();
    let (start, started) = bounded(0);
    let (end, ended) = bounded(0);
    let mover = gort::go({
        let r1 = r1.clone();
        move || {
            for () in started {
                s2.send(0).unwrap();
                let _ = r1.try_recv();
                end.send(()).unwrap();
            }
        }
    });
    for _ in 0..count {
        s1.send(0).unwrap();
        start.send(()).unwrap();
        select! {
            recv(r1) -> value => value.unwrap(),
            recv(r2) -> value => value.unwrap(),
            default => unreachable!("one of the two has a value"),
        };
        ended.recv().unwrap();
        r1.try_iter().chain(r2.try_iter()).for_each(|_| ());
    }
    drop(start);
    mover.join().unwrap();
}

/// Of several operations that can go on each is chosen about as often; `select_biased!` takes the first.
#[gort::test(procs = [1, 2, 4])]
fn the_choice_is_random_unless_it_is_biased() {
    let channels: [_; 5] = std::array::from_fn(|_| unbounded());
    let count = 10_000;
    for (s, _) in &channels {
        (0..count).for_each(|i| s.send(i).unwrap());
    }
    let mut chosen = [0; 5];
    for _ in 0..count {
        let at = select! {
            recv(channels[0].1) -> _ => 0,
            recv(channels[1].1) -> _ => 1,
            recv(channels[2].1) -> _ => 2,
            recv(channels[3].1) -> _ => 3,
            recv(channels[4].1) -> _ => 4,
        };
        chosen[at] += 1;
    }
    // The standard deviation is 40.
    assert!(chosen.iter().all(|&times| (1600..2400).contains(&times)), "{chosen:?}");
    for (_, r) in &channels {
        select_biased! {
            recv(r) -> value => assert!(value.is_ok()),
            recv(channels[0].1) -> _ => unreachable!("the first is ready"),
        }
    }
}

/// `Select::ready` only looks: those that look at both ends of one channel wait, and none wakes another for nothing.
#[gort::test(procs = [1, 2, 4])]
fn those_who_only_look_do_not_keep_each_other_awake() {
    let (s, r) = bounded::<usize>(0);
    let look = |at_sender: bool, at_receiver: bool| {
        let (s, r) = (s.clone(), r.clone());
        gort::go(move || {
            let mut select = Select::new();
            if at_sender {
                select.send(&s);
            }
            if at_receiver {
                select.recv(&r);
            }
            select.ready()
        })
    };
    let [one, both, all] = [look(true, false), look(true, true), look(true, true)];
    let other = look(false, true);
    [&one, &both, &all, &other].into_iter().for_each(|party| super::wait_for_state(party, "select"));
    let before = gort::runtime::metrics().parks;
    gort::sleep(Duration::from_millis(20));
    let parks = gort::runtime::metrics().parks - before;
    assert!(parks < 20, "{parks} parks although nothing happens");
    // Somebody who receives tells all who look at the sender, and the other way round.
    let receiver = gort::go({
        let r = r.clone();
        move || r.recv()
    });
    assert!([one, both, all].into_iter().all(|party| party.join().unwrap() == 0));
    s.send(1).unwrap();
    assert_eq!(receiver.join().unwrap(), Ok(1));
    let sender = gort::go(move || s.send(2));
    assert_eq!(other.join().unwrap(), 0);
    assert_eq!(r.recv(), Ok(2));
    sender.join().unwrap().unwrap();
}

/// A `Select` of a number of operations known at run time.
#[gort::test(procs = [1, 2, 4])]
fn a_dynamic_select_serves_a_hundred_channels() {
    let count = rounds(20_000);
    let channels: Vec<_> = (0..100).map(|at| bounded(at % 3)).collect();
    for (s, _) in &channels {
        let s = s.clone();
        gort::go(move || (0..count / 100).for_each(|i| s.send(i).unwrap()));
    }
    let receivers: Vec<_> = channels.into_iter().map(|(_, r)| r).collect();
    let mut next = vec![0; 100];
    let mut select = Select::new();
    for r in &receivers {
        select.recv(r);
    }
    let mut open = 100;
    while open > 0 {
        let operation = select.select();
        let at = operation.index();
        match operation.recv(&receivers[at]) {
            Ok(value) => {
                assert_eq!(value, next[at]);
                next[at] += 1;
            }
            Err(RecvError) => {
                select.remove(at);
                open -= 1;
            }
        }
    }
    assert!(next.into_iter().all(|received| received == count / 100));
}

/// In a channel with room nobody waits for a value that is being made: a receiver's limit holds, and it can be closed.
#[gort::test(procs = [1, 2, 4])]
fn a_receiver_does_not_wait_for_a_value_that_has_a_place() {
    let (s, r) = bounded(1);
    let receiver = r.clone();
    let late = gort::go(move || receiver.recv_timeout(Duration::from_millis(50)));
    super::wait_for_state(&late, "chan receive");
    select! {
        // The value is there once the receiver has left.
        send(s, { wait_until(|| late.is_finished()); assert!(r.try_recv().is_err()); 7 }) -> sent => sent.unwrap(),
    }
    assert!(late.join().unwrap().unwrap_err().is_timeout());
    assert_eq!(r.try_recv(), Ok(7));

    let ended = gort::go(move || r.recv());
    super::wait_for_state(&ended, "chan receive");
    select! {
        send(s, { s.close().unwrap(); wait_until(|| ended.is_finished()); 8 }) -> sent => assert_eq!(sent.unwrap_err().into_inner(), 8),
    }
    assert_eq!(ended.join().unwrap(), Err(RecvError));
}

/// The value of a turn goes to who waits when it is made, and a turn that is given back is the next one's.
#[gort::test(procs = [1, 2, 4])]
fn a_place_that_is_reserved_serves_whoever_waits() {
    fn refuse() -> i32 {
        resume_unwind(Box::new("on purpose"))
    }
    let (s, r) = bounded(1);
    let receiver = r.clone();
    let waits = gort::go(move || receiver.recv());
    super::wait_for_state(&waits, "chan receive");
    let other = s.clone();
    select! {
        // A plain send meets the receiver meanwhile; the place stays ours.
        send(s, { other.send(1).unwrap(); assert_eq!(waits.join().unwrap(), Ok(1)); assert!(other.try_send(2).is_err()); 3 }) -> sent => sent.unwrap(),
    }
    assert_eq!(r.try_recv(), Ok(3));

    let receiver = r.clone();
    let waits = gort::go(move || receiver.recv());
    super::wait_for_state(&waits, "chan receive");
    let unused = catch_unwind(AssertUnwindSafe(|| {
        select! {
            send(s, refuse()) -> _ => unreachable!("there was no value"),
        }
    }));
    assert!(unused.is_err());
    s.send(4).unwrap();
    assert_eq!(waits.join().unwrap(), Ok(4));
    s.try_send(5).unwrap();
    assert_eq!(r.recv(), Ok(5));
}

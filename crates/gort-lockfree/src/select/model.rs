//! Models of a select: two queues, peers that serve them, somebody who calls it off, another select. Loom reports a deadlock, and a cell that
//! is used without its lock or before it was handed over.

use core::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
// Not loom's: dropping one while a deadlock that loom found unwinds would abort the process.
use std::sync::Arc;
use std::vec::Vec;

use super::wait;
use crate::atomics::Cell;
use crate::claim::{Claim, Party};
use crate::model::{Id, Mutex, ReadyList, Sleeper, check, thread};
use crate::wait_list::{TOLD, WaitList, Waiter, Want};

/// A channel: a ring without end, and those who wait at either side. A sender that waits has its value in its slot.
struct Channel(Mutex<Inner>);

struct Inner {
    ring: VecDeque<u32>,
    senders: WaitList<Id>,
    receivers: WaitList<Id>,
    has_ended: bool,
}

/// What an arm of a select does with its channel.
#[derive(Clone, Copy)]
enum Arm<'a> {
    Send(&'a Channel, u32),
    Receive(&'a Channel),
    /// Waits to hear of the end.
    End(&'a Channel),
}

/// What one attempt to wait leaves on the stack. Here it stays until the model's end, so that a mutated walk does no worse than fail.
struct Attempt {
    claim: Claim,
    nodes: [Waiter<Id>; 2],
    slots: [Cell<u32>; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Sent,
    Received(u32),
    Ended,
}

impl Channel {
    fn new() -> Self {
        let (senders, receivers) = (WaitList::new(), WaitList::new());
        Self(Mutex::new(Inner { ring: VecDeque::new(), senders, receivers, has_ended: false }))
    }

    fn with<R>(&self, f: impl FnOnce(&mut Inner, &mut ReadyList) -> R) -> R {
        let mut ready = ReadyList::new();
        let mut inner = self.0.lock().unwrap();
        let result = f(&mut inner, &mut ready);
        drop(inner);
        ready.ready_all();
        result
    }

    /// Gives `value` to who waits, or leaves it.
    fn send(&self, value: u32) {
        self.with(|inner, ready| {
            if !give(inner, value, ready) {
                inner.ring.push_back(value);
            }
        });
    }

    fn end(&self) {
        self.with(|inner, ready| {
            inner.has_ended = true;
            inner.receivers.tell(ready);
        });
    }

    fn assert_left(&self, ring: &[u32]) {
        let inner = self.0.lock().unwrap();
        assert!(inner.senders.is_empty() && inner.receivers.is_empty(), "somebody still stands in a queue");
        assert!(inner.ring.iter().eq(ring), "{:?} instead of {ring:?}", inner.ring);
    }
}

fn give(inner: &mut Inner, value: u32, ready: &mut ReadyList) -> bool {
    let Some(receiver) = inner.receivers.take(ready) else { return false };
    // SAFETY: a receiver's slot is a cell of its attempt, which stays.
    unsafe { (*receiver.slot().cast::<Cell<u32>>()).set(value) };
    receiver.finish(0, ready);
    true
}

impl Arm<'_> {
    fn channel(&self) -> &Channel {
        match self {
            Self::Send(channel, _) | Self::Receive(channel) | Self::End(channel) => channel,
        }
    }

    /// Goes on if it can at once.
    fn attempt(&self) -> Option<Outcome> {
        self.channel().with(|inner, ready| match self {
            Self::Send(_, value) => give(inner, *value, ready).then_some(Outcome::Sent),
            Self::Receive(_) => {
                let value = inner.ring.pop_front().or_else(|| {
                    let sender = inner.senders.take(ready)?;
                    // SAFETY: a sender's slot is a cell of its attempt, which stays.
                    let value = unsafe { (*sender.slot().cast::<Cell<u32>>()).get() };
                    sender.finish(0, ready);
                    Some(value)
                });
                value.map(Outcome::Received)
            }
            Self::End(_) => inner.has_ended.then_some(Outcome::Ended),
        })
    }

    /// Stands in its queue, unless it can go on at once after all.
    fn enlist(&self, node: &Waiter<Id>, claim: &Claim) -> bool {
        self.channel().with(|inner, _| {
            let can_go_on = match self {
                Self::Send(..) => inner.receivers.has_other(claim),
                Self::Receive(_) => !inner.ring.is_empty() || inner.senders.has_other(claim),
                Self::End(_) => inner.has_ended,
            };
            if !can_go_on {
                // SAFETY: node and claim are of an attempt, which stays.
                unsafe { self.queue(inner).push(node) };
            }
            can_go_on
        })
    }

    fn delist(&self, node: &Waiter<Id>) {
        self.channel().with(|inner, _| self.queue(inner).remove(node));
    }

    fn queue<'i>(&self, inner: &'i mut Inner) -> &'i mut WaitList<Id> {
        match self {
            Self::Send(..) => &mut inner.senders,
            Self::Receive(_) | Self::End(_) => &mut inner.receivers,
        }
    }
}

/// The first of two that can be done, by the walk that `gort::select!` takes. `None`: the party is late.
fn select(arms: [Arm<'_>; 2], party: &Sleeper, attempts: &RefCell<Vec<Rc<Attempt>>>) -> Option<Outcome> {
    loop {
        if let Some(outcome) = arms.iter().find_map(Arm::attempt) {
            return Some(outcome);
        }
        if party.is_late() {
            return None;
        }
        let attempt = Rc::new(Attempt {
            claim: Claim::new(),
            nodes: [Waiter::new(), Waiter::new()],
            slots: [Cell::new(0), Cell::new(0)],
        });
        for (at, arm) in arms.iter().enumerate() {
            let want = if matches!(arm, Arm::End(_)) { Want::News } else { Want::Value };
            if let Arm::Send(_, value) = arm {
                attempt.slots[at].set(*value);
            }
            let slot = (&raw const attempt.slots[at]).cast_mut().cast();
            attempt.nodes[at].set(party.id(), &attempt.claim, at as u32, want, slot);
        }
        let end = wait(
            &attempt.claim,
            2,
            |at| arms[at].enlist(&attempt.nodes[at], &attempt.claim),
            || party,
            |at| arms[at].delist(&attempt.nodes[at]),
        );
        for (arm, node) in arms.iter().zip(&attempt.nodes) {
            let is_linked = arm.channel().with(|inner, _| arm.queue(inner).is_member(node));
            assert!(!is_linked, "the walk has left a node in a queue");
        }
        let outcome = end.filter(|end| end.outcome != TOLD).map(|end| match arms[end.case as usize] {
            Arm::Send(..) => Outcome::Sent,
            _ => Outcome::Received(attempt.slots[end.case as usize].get()),
        });
        attempts.borrow_mut().push(attempt);
        if outcome.is_some() {
            return outcome;
        }
    }
}

/// Two channels, and two parties.
struct World {
    channels: [Channel; 2],
    parties: [Sleeper; 2],
}

impl World {
    fn new() -> Arc<Self> {
        Arc::new(Self { channels: [Channel::new(), Channel::new()], parties: [Sleeper::new(), Sleeper::new()] })
    }

    fn in_thread<T: Send + 'static>(
        self: &Arc<Self>,
        act: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> thread::JoinHandle<T> {
        let world = self.clone();
        thread::spawn(move || act(&world))
    }
}

#[test]
fn of_two_givers_one_wins_and_the_other_ones_value_stays() {
    check(3, || {
        let (world, attempts) = (World::new(), RefCell::default());
        let [a, b] = &world.channels;
        let givers = [0, 1].map(|at| world.in_thread(move |world| world.channels[at].send(at as u32 + 1)));
        let got = select([Arm::Receive(a), Arm::Receive(b)], &world.parties[0], &attempts);
        for giver in givers {
            giver.join().unwrap();
        }
        match got {
            Some(Outcome::Received(1)) => (a.assert_left(&[]), b.assert_left(&[2])),
            Some(Outcome::Received(2)) => (a.assert_left(&[1]), b.assert_left(&[])),
            other => panic!("{other:?}"),
        };
    });
}

#[test]
fn a_select_that_gives_up_has_got_nothing_and_one_that_has_got_something_does_not() {
    check(2, || {
        let (world, attempts) = (World::new(), RefCell::default());
        let [a, b] = &world.channels;
        let givers = [0, 1].map(|at| world.in_thread(move |world| world.channels[at].send(at as u32 + 1)));
        let timer = world.in_thread(|world| world.parties[0].make_late());
        let got = select([Arm::Receive(a), Arm::Receive(b)], &world.parties[0], &attempts);
        for one in givers.into_iter().chain([timer]) {
            one.join().unwrap();
        }
        match got {
            Some(Outcome::Received(1)) => (a.assert_left(&[]), b.assert_left(&[2])),
            Some(Outcome::Received(2)) => (a.assert_left(&[1]), b.assert_left(&[])),
            None => (a.assert_left(&[1]), b.assert_left(&[2])),
            other => panic!("{other:?}"),
        };
    });
}

/// As when a context ends: who waits is told, and looks again.
#[test]
fn a_select_hears_of_the_end_or_receives_what_was_sent() {
    check(3, || {
        let (world, attempts) = (World::new(), RefCell::default());
        let [a, b] = &world.channels;
        let giver = world.in_thread(|world| world.channels[0].send(1));
        let ender = world.in_thread(|world| world.channels[1].end());
        let got = select([Arm::Receive(a), Arm::End(b)], &world.parties[0], &attempts);
        giver.join().unwrap();
        ender.join().unwrap();
        match got {
            Some(Outcome::Received(1)) => a.assert_left(&[]),
            Some(Outcome::Ended) => a.assert_left(&[1]),
            other => panic!("{other:?}"),
        }
        b.assert_left(&[]);
    });
}

/// Each could serve the other in either channel: exactly one value changes hands, and neither waits for ever.
#[test]
fn two_selects_that_meet_do_one_and_the_same_thing() {
    check(4, || {
        let (world, attempts) = (World::new(), RefCell::default());
        let [a, b] = &world.channels;
        let other = world.in_thread(|world| {
            let (attempts, [a, b]) = (RefCell::default(), &world.channels);
            let outcome = select([Arm::Receive(a), Arm::Send(b, 2)], &world.parties[1], &attempts);
            (outcome, Kept(attempts.into_inner()))
        });
        let mine = select([Arm::Send(a, 1), Arm::Receive(b)], &world.parties[0], &attempts);
        let (theirs, _kept) = other.join().unwrap();
        match (mine, theirs) {
            (Some(Outcome::Sent), Some(Outcome::Received(1))) | (Some(Outcome::Received(2)), Some(Outcome::Sent)) => {}
            other => panic!("{other:?}"),
        }
        a.assert_left(&[]);
        b.assert_left(&[]);
    });
}

/// The attempts of a thread, for another to drop.
struct Kept(#[expect(dead_code, reason = "only kept")] Vec<Rc<Attempt>>);

// SAFETY: nobody uses them any more.
unsafe impl Send for Kept {}

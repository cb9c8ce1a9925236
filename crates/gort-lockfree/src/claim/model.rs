//! Models of a waiter in two queues: one giver wins, its value arrives whole, nobody's is lost.

use core::sync::atomic::Ordering::Relaxed;

use super::{Claim, End, State};
use crate::atomics::AtomicU32;
use crate::model::{Arc, check, thread};

/// A waiter on its stack: the claim, and a slot of two words that are written by who wins.
struct Waiter {
    claim: Claim,
    slot: [AtomicU32; 2],
}

impl Waiter {
    fn new() -> Arc<Self> {
        Arc::new(Self { claim: Claim::new(), slot: [AtomicU32::new(0), AtomicU32::new(0)] })
    }

    /// A giver: hands `case + 1` over, if the waiter still wants something.
    fn give(&self, case: u32) -> bool {
        if !self.claim.take(case) {
            return false;
        }
        // Relaxed: the claim must have ordered it.
        for word in &self.slot {
            assert_eq!(word.swap(case + 1, Relaxed), 0, "two givers write one slot");
        }
        self.claim.finish(case as u8);
        true
    }

    fn got(&self) -> [u32; 2] {
        self.slot.each_ref().map(|word| word.load(Relaxed))
    }
}

fn giver(waiter: &Arc<Waiter>, case: u32) -> thread::JoinHandle<bool> {
    let waiter = waiter.clone();
    thread::spawn(move || waiter.give(case))
}

#[test]
fn of_two_givers_one_wins_and_the_value_arrives_whole() {
    check(4, || {
        let waiter = Waiter::new();
        let givers = [giver(&waiter, 0), giver(&waiter, 1)];
        if let State::Done(End { case, outcome }) = waiter.claim.state() {
            assert_eq!(u32::from(outcome), case);
            assert_eq!(waiter.got(), [case + 1; 2], "the wait ended before the value was there");
        }
        let won = givers.map(|giver| giver.join().unwrap());
        let State::Done(End { case, .. }) = waiter.claim.state() else { panic!("nobody won") };
        assert_eq!(won, [case == 0, case == 1]);
        assert_eq!(waiter.got(), [case + 1; 2]);
    });
}

#[test]
fn a_waiter_that_gives_up_has_got_nothing() {
    check(4, || {
        let waiter = Waiter::new();
        let giver = giver(&waiter, 0);
        let gave_up = waiter.claim.take(7);
        if gave_up {
            assert_eq!(waiter.got(), [0; 2]);
            waiter.claim.finish(0);
        }
        assert_eq!(giver.join().unwrap(), !gave_up);
        assert_eq!(waiter.got(), if gave_up { [0; 2] } else { [1; 2] });
    });
}

//! Models of a party that waits: no lost wake-up by token or timer, readied once, nobody else's.

use core::sync::atomic::Ordering::Relaxed;

use super::WakeWord;
use crate::atomics::AtomicU64;
use crate::model::{Arc, check, thread};
use crate::timer_word::{Fired, TimerWord};

const ID: u64 = 7;

/// A party, its timer, and a word that others write before they wake it.
struct Party {
    word: WakeWord,
    timer: TimerWord,
    said: AtomicU64,
}

impl Party {
    fn new() -> Arc<Self> {
        let party = Self { word: WakeWord::new(), timer: TimerWord::new(), said: AtomicU64::new(0) };
        party.word.reset(ID);
        Arc::new(party)
    }

    /// Says something, then wakes by a token.
    fn say_and_unpark(&self) -> bool {
        // Relaxed: the unpark publishes it.
        self.said.store(1, Relaxed);
        self.word.unpark(ID)
    }
}

fn in_thread<T: Send + 'static>(party: &Arc<Party>, act: fn(&Party) -> T) -> thread::JoinHandle<T> {
    let party = party.clone();
    thread::spawn(move || act(&party))
}

#[test]
fn an_unpark_between_the_look_and_the_commit_is_not_lost() {
    check(4, || {
        let party = Party::new();
        let readied = in_thread(&party, |party| party.word.unpark(ID));
        let parked = !party.word.take_token() && party.word.commit_park();
        assert_eq!(parked, readied.join().unwrap(), "parked and nobody readied it, or the other way round");
        assert!(parked == party.word.take_token() || !parked, "an unpark that ends a park leaves its token");
    });
}

#[test]
fn what_was_written_before_a_second_unpark_is_seen_or_the_token_is_there_again() {
    check(4, || {
        let party = Party::new();
        assert!(!party.word.unpark(ID));
        let second = in_thread(&party, Party::say_and_unpark);
        let mut parked = false;
        while party.said.load(Relaxed) == 0 && !parked {
            parked = !party.word.take_token() && party.word.commit_park();
        }
        assert_eq!(parked, second.join().unwrap(), "parked for ever although all has been said");
    });
}

#[test]
fn of_an_unpark_and_a_timer_exactly_one_readies_and_the_token_stays() {
    check(4, || {
        let party = Party::new();
        assert!(party.word.commit_park());
        let unparked = in_thread(&party, |party| party.word.unpark(ID));
        let kicked = in_thread(&party, |party| party.word.kick());
        let (unparked, kicked) = (unparked.join().unwrap(), kicked.join().unwrap());
        assert!(unparked != kicked, "readied by both or by none");
        assert!(party.word.take_token(), "the unpark left its token either way");
    });
}

#[test]
fn a_timer_that_comes_up_before_the_commit_is_not_lost() {
    const DUE: u64 = 10;
    check(4, || {
        let party = Party::new();
        assert_eq!(party.timer.set(DUE), Some(DUE));
        // Its item comes up: `said` is the clock.
        let timer = in_thread(&party, |party| {
            party.said.store(DUE, Relaxed);
            party.timer.fire(DUE, DUE) == Fired::Expired && party.word.kick()
        });
        let mut pushed = None;
        let asleep = loop {
            if party.said.load(Relaxed) >= DUE {
                break false;
            }
            pushed = party.timer.set(DUE).or(pushed);
            if party.word.commit_sleep() {
                break true;
            }
        };
        let readied = timer.join().unwrap();
        let pending = pushed.is_some_and(|when| !party.timer.is_stale(when));
        assert!(!asleep || readied || pending, "asleep with no item pending");
        assert!(asleep || !readied, "readied while running");
    });
}

#[test]
fn a_sleep_is_not_ended_by_a_token_and_does_not_lose_it() {
    check(4, || {
        let party = Party::new();
        let unparked = in_thread(&party, |party| party.word.unpark(ID));
        assert!(party.word.commit_sleep());
        assert!(party.word.kick(), "a token that comes during a sleep does not hinder its timer");
        assert!(!unparked.join().unwrap(), "an unpark readied a sleeper");
        assert!(party.word.take_token());
    });
}

#[test]
fn an_unpark_of_the_last_user_of_a_record_never_readies_the_next() {
    check(4, || {
        let party = Party::new();
        let late = in_thread(&party, |party| party.word.unpark(ID));
        party.word.reset(ID + 1);
        assert!(party.word.commit_park(), "a token for somebody else");
        assert!(!late.join().unwrap(), "the wrong one was readied");
        assert!(party.word.unpark(ID + 1));
    });
}

//! A socket's side, step by step.

use core::num::NonZeroU64;

use super::{SideWord, Try};

const WAITER: u64 = 0x7fff_ffff_ffc0;

fn waiter() -> Option<NonZeroU64> {
    NonZeroU64::new(WAITER)
}

#[test]
fn a_woken_reader_tries_once_and_a_short_read_lets_it_park_without_a_call() {
    let side = SideWord::new();
    assert_eq!(side.begin_try(), Try::Go);
    assert!(side.commit(WAITER) && side.has_waiter());
    assert_eq!(side.event(false), waiter());
    assert_eq!(side.event(false), None, "it was taken");
    assert_eq!(side.begin_try(), Try::Go, "the second event came while nobody waited");
    side.set_drained();
    assert_eq!(side.begin_try(), Try::Drained);
    assert!(side.commit(WAITER));
    assert_eq!(side.kick(), waiter());
    assert_eq!(side.begin_try(), Try::Go, "a woken reader tries, whatever woke it");
}

#[test]
fn an_event_after_a_short_read_counts_more_than_drained() {
    let side = SideWord::new();
    assert_eq!(side.begin_try(), Try::Go);
    assert_eq!(side.event(false), None);
    side.set_drained();
    assert!(!side.commit(WAITER));
    assert_eq!(side.begin_try(), Try::Go);
    assert!(side.commit(WAITER));
}

#[test]
fn once_an_end_was_seen_a_short_read_proves_nothing() {
    for sticky_event in [false, true] {
        let side = SideWord::new();
        side.set_drained();
        if sticky_event {
            assert_eq!(side.event(true), None);
        } else {
            side.set_always_try();
        }
        assert_eq!(side.begin_try(), Try::Go);
        side.set_drained();
        assert_eq!(side.begin_try(), Try::Go);
        assert!(side.commit(WAITER));
        assert_eq!(side.event(true), waiter());
        side.set_drained();
        assert_eq!(side.begin_try(), Try::Go);
    }
}

#[test]
fn a_closed_side_takes_no_waiter_and_says_so() {
    let side = SideWord::new();
    assert!(side.commit(WAITER));
    assert_eq!(side.close(), waiter());
    assert_eq!(side.close(), None);
    assert!(side.is_closed() && !side.has_waiter());
    assert!(!side.commit(WAITER));
    assert_eq!(side.begin_try(), Try::Closed);
    assert_eq!((side.event(true), side.kick()), (None, None));
    assert_eq!(side.begin_try(), Try::Closed);
    side.reset();
    assert_eq!(side.begin_try(), Try::Go);
}

#[test]
fn an_event_for_the_last_user_of_a_slot_costs_the_next_one_try() {
    let side = SideWord::new();
    assert_eq!(side.close(), None);
    side.reset();
    assert_eq!(side.event(true), None, "late");
    assert!(!side.commit(WAITER), "one round in vain");
    assert_eq!(side.begin_try(), Try::Go);
    assert!(side.commit(WAITER));
}

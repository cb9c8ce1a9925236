//! The timer word, step by step.

use super::{Fired, TimerWord};

#[test]
fn a_deadline_moved_later_needs_no_item_and_one_moved_nearer_does() {
    let timer = TimerWord::new();
    assert_eq!(timer.set(100), Some(100));
    assert_eq!(timer.set(300), None);
    assert_eq!(timer.set(100), None);
    assert_eq!(timer.set(50), Some(50));
    assert_eq!(timer.until(), 50);
    assert!(timer.is_stale(100) && !timer.is_stale(50));
}

#[test]
fn an_item_comes_up_as_what_has_become_of_its_deadline() {
    let timer = TimerWord::new();
    assert_eq!(timer.fire(7, 100), Fired::Stale);
    assert_eq!(timer.set(100), Some(100));
    assert_eq!(timer.fire(100, 100), Fired::Expired);
    assert_eq!(timer.until(), 100, "it stays until its waiter clears it");
    assert_eq!(timer.fire(100, 100), Fired::Stale);
    assert_eq!(timer.set(200), Some(200));
    assert_eq!(timer.set(300), None);
    assert_eq!(timer.fire(200, 200), Fired::Rearm(300));
    assert_eq!(timer.fire(200, 300), Fired::Stale);
    timer.clear();
    assert_eq!(timer.fire(300, 300), Fired::Idle);
    assert_eq!(timer.fire(300, 300), Fired::Stale);
}

#[test]
fn a_cleared_deadline_set_again_uses_the_item_that_is_there() {
    let timer = TimerWord::new();
    assert_eq!(timer.set(100), Some(100));
    timer.clear();
    assert_eq!(timer.set(120), None);
    assert_eq!(timer.fire(100, 110), Fired::Rearm(120));
    assert_eq!(timer.fire(120, 119), Fired::Rearm(120), "never early");
    assert_eq!(timer.fire(120, 120), Fired::Expired);
}

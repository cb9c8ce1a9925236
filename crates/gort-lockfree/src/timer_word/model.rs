//! Models of a deadline: whatever was set last has an item in the heap, no later than it.

use super::{Fired, TimerWord};
use crate::model::{Arc, check, thread};

/// The time of the item that is in the heap when a model starts, and the time it is.
const NOW: u64 = 10;

/// A deadline at `NOW` with its item in the heap.
fn due() -> Arc<TimerWord> {
    let timer = Arc::new(TimerWord::new());
    assert_eq!(timer.set(NOW), Some(NOW));
    timer
}

/// The item at `NOW` comes up; returns the item to push.
fn fire(timer: &TimerWord) -> Option<u64> {
    match timer.fire(NOW, NOW) {
        Fired::Rearm(when) => Some(when),
        Fired::Stale | Fired::Idle | Fired::Expired => None,
    }
}

fn in_thread(timer: &Arc<TimerWord>, act: fn(&TimerWord) -> Option<u64>) -> thread::JoinHandle<Option<u64>> {
    let timer = timer.clone();
    thread::spawn(move || act(&timer))
}

/// At the end an item that counts is among those pushed, and it is not too late.
fn assert_pending(timer: &TimerWord, pushed: &[Option<u64>]) {
    let item = pushed.iter().flatten().copied().find(|&when| !timer.is_stale(when));
    let item = item.unwrap_or_else(|| panic!("no item stands for {timer:?}, pushed {pushed:?}"));
    assert!(item <= timer.until(), "the item at {item} is too late for {timer:?}");
}

#[test]
fn a_deadline_moved_while_its_item_comes_up_has_an_item() {
    check(4, || {
        let timer = due();
        let fired = in_thread(&timer, fire);
        let set = timer.set(20);
        assert_pending(&timer, &[set, fired.join().unwrap()]);
    });
}

#[test]
fn a_deadline_cleared_and_set_anew_while_its_item_comes_up_has_an_item() {
    check(4, || {
        let timer = due();
        let fired = in_thread(&timer, fire);
        timer.clear();
        let set = timer.set(20);
        assert_pending(&timer, &[set, fired.join().unwrap()]);
    });
}

#[test]
fn of_two_who_set_at_once_the_last_has_an_item_in_time() {
    check(4, || {
        let timer = due();
        let fired = in_thread(&timer, fire);
        let other = in_thread(&timer, |timer| timer.set(30));
        let set = timer.set(20);
        assert_pending(&timer, &[set, other.join().unwrap(), fired.join().unwrap()]);
    });
}

#[test]
fn a_deadline_moved_nearer_is_not_overtaken_by_the_old_item() {
    check(4, || {
        let timer = Arc::new(TimerWord::new());
        let first = timer.set(30);
        // It is long past: a late look at the old item.
        let fired = in_thread(&timer, |timer| match timer.fire(30, 5) {
            Fired::Rearm(when) => Some(when),
            Fired::Expired => panic!("early"),
            Fired::Stale | Fired::Idle => None,
        });
        let set = timer.set(20);
        assert_pending(&timer, &[first, set, fired.join().unwrap()]);
    });
}

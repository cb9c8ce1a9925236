//! The inbox of one M, alone.

use core::cell::Cell;
use core::ptr::{self, NonNull};
use std::format;
use std::vec::Vec;

use super::Inbox;

struct Item(Cell<*mut Item>, usize);

fn push(inbox: &Inbox<Item>, item: &Item) -> bool {
    inbox.push(NonNull::from(item), |next| item.0.set(next))
}

fn take(inbox: &Inbox<Item>) -> Vec<usize> {
    let mut taken = Vec::new();
    inbox.take(|item| {
        // SAFETY: the tests' items outlive the inbox.
        let item = unsafe { item.as_ref() };
        taken.push(item.1);
        item.0.get()
    });
    taken
}

#[test]
fn an_m_sleeps_only_if_nothing_has_come_and_is_told_once() {
    let items = [0, 1, 2].map(|n| Item(Cell::new(ptr::null_mut()), n));
    let inbox = Inbox::new();
    assert!(!inbox.has_news() && !inbox.is_filled());
    assert!(!push(&inbox, &items[0]), "the M is awake");
    assert!(!inbox.sleep() && inbox.is_filled());
    assert_eq!(take(&inbox), [0]);
    assert!(inbox.sleep());
    assert!(inbox.has_news() && !inbox.is_filled());
    assert_eq!(format!("{inbox:?}"), "Inbox { filled: false, asleep: true }");
    assert!(push(&inbox, &items[1]) && !push(&inbox, &items[2]), "woken once");
    assert_eq!(take(&inbox), [2, 1]);
    assert!(take(&inbox).is_empty() && inbox.sleep());
    assert!(take(&inbox).is_empty(), "an M that was woken for something else");
    assert!(!push(&inbox, &items[0]), "it is awake");
}

//! Order, leaving, news.

use core::ptr;
use std::vec::Vec;

use super::*;
use crate::claim::End;

/// Notes who was kicked.
#[derive(Default)]
struct Kicked(Vec<usize>);

impl Wakes for Kicked {
    type Id = usize;

    fn kick(&mut self, id: usize) {
        self.0.push(id);
    }
}

#[test]
fn parties_come_out_in_order_and_leave_from_anywhere() {
    for leaver in 0..4 {
        let nodes: Vec<Waiter<usize>> = (0..4).map(Waiter::alone).collect();
        let mut list = WaitList::new();
        for node in &nodes {
            // SAFETY: all nodes are taken out below.
            unsafe { list.push(node) };
        }
        list.remove(&nodes[leaver]);
        assert!(!list.is_member(&nodes[leaver]));
        for at in (0..4).filter(|at| *at != leaver) {
            assert_eq!(list.pop(), Some(at));
            assert!(!list.is_member(&nodes[at]));
        }
        assert_eq!(list.pop(), None);
    }
}

#[test]
fn who_goes_back_to_the_front_is_the_next() {
    let nodes: Vec<Waiter<usize>> = (0..3).map(Waiter::alone).collect();
    let mut list = WaitList::new();
    // SAFETY: all nodes are taken out below.
    unsafe {
        list.push_front(&nodes[1]);
        list.push(&nodes[2]);
        list.push_front(&nodes[0]);
    }
    assert!((0..3).all(|at| list.pop() == Some(at)) && list.is_empty());
}

#[test]
fn who_has_been_served_elsewhere_is_passed_over_and_news_are_told_on_the_way() {
    let claims: Vec<Claim> = (0..4).map(|_| Claim::new()).collect();
    let nodes: Vec<Waiter<usize>> = (0..4).map(|_| Waiter::new()).collect();
    let wants = [Want::Value, Want::News, Want::Value, Want::News];
    let mut list = WaitList::new();
    for (at, node) in nodes.iter().enumerate() {
        node.set(at, &claims[at], at as u32, wants[at], ptr::null_mut());
        // SAFETY: all nodes are taken out below.
        unsafe { list.push(node) };
    }
    assert!(claims[0].take(9), "served elsewhere");
    assert!(list.has_other(&claims[0]) && !list.has_other(&claims[2]));
    let mut kicked = Kicked::default();
    let taken = list.take(&mut kicked).unwrap();
    assert_eq!(claims[1].state(), State::Done(End { case: 1, outcome: TOLD }));
    assert_eq!(claims[2].state(), State::Taken);
    taken.finish(5, &mut kicked);
    assert_eq!(claims[2].state(), State::Done(End { case: 2, outcome: 5 }));
    assert!(!list.is_empty());
    list.tell(&mut kicked);
    assert_eq!(claims[3].state(), State::Done(End { case: 3, outcome: TOLD }));
    assert!(list.is_empty() && list.take(&mut kicked).is_none());
    assert_eq!(kicked.0, [1, 2, 3]);
}

//! The run queue on one thread, and on several for a while; all interleavings of a few steps are in `model.rs`.

use core::ptr::{self, NonNull};
use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::{Relaxed, Release};
use std::thread;
use std::vec::Vec;

use super::{CAP, Full, LocalQueue};
use crate::atomics::AtomicU32;

/// The items are addresses in an array, told apart by their index.
type Item = AtomicU32;

fn items(count: usize) -> Vec<Item> {
    (0..count as u32).map(AtomicU32::new).collect()
}

/// A queue as its owner sees it. Each test has one owner: the thread that made it.
struct Owned<'a> {
    queue: &'a LocalQueue<Item>,
    items: &'a [Item],
}

impl Owned<'_> {
    fn push(&self, i: usize) -> Result<(), Full> {
        // SAFETY: this thread owns the queue.
        unsafe { self.queue.push(NonNull::from(&self.items[i])) }
    }

    fn pop(&self) -> Option<usize> {
        // SAFETY: this thread owns the queue.
        unsafe { self.queue.pop() }.map(|item| self.index(item))
    }

    fn set_next(&self, i: usize) -> Option<usize> {
        // SAFETY: this thread owns the queue.
        unsafe { self.queue.set_next(NonNull::from(&self.items[i])) }.map(|item| self.index(item))
    }

    fn take_next(&self) -> Option<usize> {
        // SAFETY: this thread owns the queue.
        unsafe { self.queue.take_next() }.map(|item| self.index(item))
    }

    fn drain_half(&self) -> Vec<usize> {
        let mut drained = Vec::new();
        // SAFETY: this thread owns the queue.
        let count = unsafe { self.queue.drain_half(|item| drained.push(self.index(item))) };
        assert_eq!(count, drained.len());
        drained
    }

    /// Steals for this queue.
    fn steal_from(&self, victim: &LocalQueue<Item>, with_next: bool) -> Option<usize> {
        // SAFETY: this thread owns the queue.
        unsafe { victim.steal_into(self.queue, with_next) }.map(|item| self.index(item))
    }

    fn index(&self, item: NonNull<Item>) -> usize {
        // SAFETY: only items of the array are queued.
        unsafe { item.as_ref() }.load(Relaxed) as usize
    }

    fn pop_all(&self) -> Vec<usize> {
        core::iter::from_fn(|| self.pop()).collect()
    }
}

/// SC-04. Go: runtime/proc_test, TestSchedLocalQueueSteal.
#[test]
fn stealing_takes_half_at_every_fill_level_and_loses_nothing() {
    let items = items(CAP);
    for fill in (0..CAP).step_by(if cfg!(miri) { 51 } else { 1 }) {
        let queues = [LocalQueue::new(), LocalQueue::new()];
        let [victim, thief] = [0, 1].map(|i| Owned { queue: &queues[i], items: &items });
        (0..fill).for_each(|i| victim.push(i).unwrap());
        let mut stolen: Vec<usize> = thief.steal_from(victim.queue, true).into_iter().collect();
        stolen.extend(thief.pop_all());
        let kept = victim.pop_all();
        assert!(stolen.len() == fill / 2 || stolen.len() == fill / 2 + 1, "{} of {fill} were stolen", stolen.len());
        let mut all = [stolen, kept].concat();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..fill), "an item was lost or doubled at fill level {fill}");
    }
}

/// SC-05. Go: runtime/proc_test, TestSchedLocalQueueEmpty. Every interleaving of one round is in `model.rs`.
#[test]
fn a_queue_that_always_holds_something_is_never_seen_empty() {
    let rounds = if cfg!(miri) { 100 } else { 100_000 };
    let items = items(2);
    let queue = LocalQueue::new();
    let owned = Owned { queue: &queue, items: &items };
    let done = AtomicBool::new(false);
    owned.push(0).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Relaxed) {
                assert!(!queue.is_empty(), "seen empty while an item moved between the run-next slot and the ring");
            }
        });
        // What is queued stays there until the other one is.
        let mut queued = 0;
        for round in 0..rounds {
            let other = 1 - queued;
            if round & 1 == 0 {
                if let Some(kicked) = owned.set_next(other) {
                    owned.push(kicked).unwrap();
                }
            } else {
                owned.push(other).unwrap();
            }
            // By turns the newcomer goes or stays, from either place.
            let taken = owned.take_next().or_else(|| owned.pop()).expect("two are queued");
            queued = 1 - taken;
        }
        done.store(true, Relaxed);
    });
}

#[test]
fn the_ring_is_first_in_first_out_and_says_when_it_is_full() {
    let items = items(CAP + 1);
    let queue = LocalQueue::new();
    let owned = Owned { queue: &queue, items: &items };
    // Three laps, begun at different places.
    for _ in 0..3 {
        assert!(queue.is_empty());
        (0..CAP).for_each(|i| owned.push(i).unwrap());
        assert_eq!(owned.push(CAP), Err(Full));
        assert_eq!(queue.ring_len(), CAP);
        assert!(owned.pop_all().into_iter().eq(0..CAP));
        owned.push(0).unwrap();
        assert_eq!(owned.pop(), Some(0));
    }
}

#[test]
fn draining_half_takes_the_oldest_in_order() {
    let items = items(CAP);
    let queue = LocalQueue::new();
    let owned = Owned { queue: &queue, items: &items };
    assert!(owned.drain_half().is_empty());
    (0..CAP).for_each(|i| owned.push(i).unwrap());
    assert!(owned.drain_half().into_iter().eq(0..CAP / 2));
    assert!(owned.pop_all().into_iter().eq(CAP / 2..CAP));
}

#[test]
fn the_run_next_slot_kicks_out_what_it_held() {
    let items = items(2);
    let queue = LocalQueue::new();
    let owned = Owned { queue: &queue, items: &items };
    assert_eq!(owned.set_next(0), None);
    assert_eq!((queue.len(), queue.ring_len(), queue.is_empty()), (1, 0, false));
    assert_eq!(owned.set_next(1), Some(0));
    assert_eq!(owned.take_next(), Some(1));
    assert_eq!(owned.take_next(), None);
    assert!(queue.is_empty());
}

#[test]
fn a_thief_takes_the_run_next_slot_only_if_asked_to_and_the_ring_is_empty() {
    let items = items(2);
    let queues = [LocalQueue::new(), LocalQueue::new()];
    let [victim, thief] = [0, 1].map(|i| Owned { queue: &queues[i], items: &items });
    victim.set_next(0);
    assert_eq!(thief.steal_from(victim.queue, false), None);
    victim.push(1).unwrap();
    assert_eq!(thief.steal_from(victim.queue, true), Some(1));
    assert_eq!(thief.steal_from(victim.queue, true), Some(0));
    assert_eq!(thief.steal_from(victim.queue, true), None);
}

#[test]
fn a_thief_takes_no_more_than_it_has_room_for() {
    let items = items(2 * CAP);
    let queues = [LocalQueue::new(), LocalQueue::new()];
    let [victim, thief] = [0, 1].map(|i| Owned { queue: &queues[i], items: &items });
    (0..CAP).for_each(|i| victim.push(i).unwrap());
    (CAP..2 * CAP - 3).for_each(|i| thief.push(i).unwrap());
    assert_eq!(thief.steal_from(victim.queue, false), Some(2), "room for three, the third is handed over");
    assert_eq!((victim.queue.ring_len(), thief.queue.ring_len()), (CAP - 3, CAP - 1));
    thief.push(2 * CAP - 1).unwrap();
    assert_eq!(thief.steal_from(victim.queue, false), None);
}

#[test]
fn peeking_shows_what_will_be_popped() {
    let items = items(3);
    let queue = LocalQueue::new();
    let owned = Owned { queue: &queue, items: &items };
    (0..3).for_each(|i| owned.push(i).unwrap());
    owned.pop();
    assert!(ptr::eq(queue.peek(0), &items[1]) && ptr::eq(queue.peek(1), &items[2]));
    assert!(queue.peek(2).is_null() && queue.peek(CAP as u32).is_null());
}

#[test]
fn nothing_is_lost_or_doubled_while_two_thieves_rob_a_busy_owner() {
    let count = if cfg!(miri) { 400 } else { 200_000 };
    let items = items(count);
    let taken: Vec<AtomicU32> = (0..count).map(|_| AtomicU32::new(0)).collect();
    let take = |i: usize| assert_eq!(taken[i].fetch_add(1, Relaxed), 0, "item {i} was taken twice");
    let queue = LocalQueue::new();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mine = LocalQueue::new();
                let thief = Owned { queue: &mine, items: &items };
                while !done.load(Relaxed) {
                    if let Some(i) = thief.steal_from(&queue, true) {
                        take(i);
                        thief.pop_all().into_iter().for_each(take);
                    } else {
                        thread::yield_now();
                    }
                }
            });
        }
        let owner = Owned { queue: &queue, items: &items };
        for i in 0..count {
            let to_ring = if i % 7 == 0 { owner.set_next(i) } else { Some(i) };
            if let Some(i) = to_ring {
                while owner.push(i).is_err() {
                    owner.drain_half().into_iter().for_each(take);
                }
            }
            if i % 3 == 0 {
                owner.take_next().or_else(|| owner.pop()).into_iter().for_each(take);
            }
        }
        owner.take_next().into_iter().for_each(take);
        owner.pop_all().into_iter().for_each(take);
        done.store(true, Release);
    });
    assert!(taken.iter().all(|taken| taken.load(Relaxed) == 1), "an item was lost");
}

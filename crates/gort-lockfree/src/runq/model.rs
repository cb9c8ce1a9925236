//! Models of the run queue: nothing is lost or handed out twice, and empty is one consistent reading.

use core::ptr::NonNull;
use core::sync::atomic::Ordering::Relaxed;

use super::{CAP, LocalQueue};
use crate::atomics::AtomicU32;
use crate::model::{Arc, check, thread};

/// What is queued: written before the push, counted by who takes it.
struct Item {
    written: AtomicU32,
    taken: AtomicU32,
}

/// A queue and all items that will go through it; the functions of the owner are called by the main thread only.
struct World {
    queue: LocalQueue<Item>,
    items: [Item; CAP + 4],
}

impl World {
    fn new(filled: usize) -> Arc<Self> {
        let items = core::array::from_fn(|_| Item { written: AtomicU32::new(0), taken: AtomicU32::new(0) });
        let world = Arc::new(World { queue: LocalQueue::new(), items });
        (0..filled).for_each(|i| assert!(world.push(i), "room was expected"));
        world
    }

    fn item(&self, i: usize) -> NonNull<Item> {
        self.items[i].written.store(1, Relaxed);
        NonNull::from(&self.items[i])
    }

    fn push(&self, i: usize) -> bool {
        // SAFETY: the main thread plays the owner.
        unsafe { self.queue.push(self.item(i)) }.is_ok()
    }

    /// What the scheduler does for a goroutine that is to run next.
    fn put_next(&self, i: usize) {
        // SAFETY: the main thread plays the owner.
        if let Some(kicked) = unsafe { self.queue.set_next(self.item(i)) } {
            // SAFETY: as above.
            unsafe { self.queue.push(kicked) }.expect("room was expected");
        }
    }

    fn take(&self, item: Option<NonNull<Item>>) -> bool {
        // SAFETY: all items live in the world, which the caller borrows.
        let Some(item) = item.map(|item| unsafe { item.as_ref() }) else { return false };
        assert_eq!(item.written.load(Relaxed), 1, "taken before its contents were visible");
        assert_eq!(item.taken.fetch_add(1, Relaxed), 0, "taken twice");
        true
    }

    fn pop(&self) -> bool {
        // SAFETY: the main thread plays the owner.
        self.take(unsafe { self.queue.pop() })
    }

    fn take_next(&self) -> bool {
        // SAFETY: the main thread plays the owner.
        self.take(unsafe { self.queue.take_next() })
    }

    /// A thief's whole visit: steals, and uses up what it stole.
    fn rob(&self, with_next: bool) {
        let mine = LocalQueue::new();
        // SAFETY: the thief owns its queue.
        if self.take(unsafe { self.queue.steal_into(&mine, with_next) }) {
            // SAFETY: as above.
            while self.take(unsafe { mine.pop() }) {}
        }
    }

    /// Uses up the rest; then the first `count` items were taken once each.
    fn finish(&self, count: usize) {
        while self.take_next() || self.pop() {}
        for (i, item) in self.items[..count].iter().enumerate() {
            assert_eq!(item.taken.load(Relaxed), 1, "item {i} was lost");
        }
    }
}

fn thief(world: &Arc<World>, with_next: bool) -> thread::JoinHandle<()> {
    let world = world.clone();
    thread::spawn(move || world.rob(with_next))
}

#[test]
fn an_item_is_taken_once_while_one_steals_and_the_owner_goes_round_the_ring() {
    check(4, || {
        let world = World::new(CAP - 1);
        let thief = thief(&world, false);
        assert!(world.pop() || CAP == 4);
        assert!(world.push(CAP - 1) && world.push(CAP));
        world.pop();
        thief.join().unwrap();
        world.finish(CAP + 1);
    });
}

#[test]
fn an_item_pushed_while_one_steals_is_complete_when_it_is_taken() {
    check(4, || {
        let world = World::new(0);
        let thief = thief(&world, true);
        assert!(world.push(0));
        world.put_next(1);
        assert!(world.push(2));
        thief.join().unwrap();
        world.finish(3);
    });
}

#[test]
fn two_thieves_and_the_owner_share_without_loss() {
    check(3, || {
        let world = World::new(3);
        let thieves = [thief(&world, false), thief(&world, false)];
        world.pop();
        thieves.into_iter().for_each(|thief| thief.join().unwrap());
        world.finish(3);
    });
}

#[test]
fn draining_half_against_a_thief_loses_nothing() {
    check(4, || {
        let world = World::new(CAP);
        let thief = thief(&world, false);
        while !world.push(CAP) {
            // SAFETY: the main thread plays the owner.
            unsafe { world.queue.drain_half(|item| assert!(world.take(Some(item)))) };
        }
        thief.join().unwrap();
        world.finish(CAP + 1);
    });
}

#[test]
fn the_run_next_slot_is_taken_once_by_owner_or_thief() {
    check(4, || {
        let world = World::new(0);
        world.put_next(0);
        let thief = thief(&world, true);
        world.take_next();
        world.put_next(1);
        world.take_next();
        thief.join().unwrap();
        world.finish(2);
    });
}

/// SC-05, every interleaving: one moves items between the run-next slot and the ring, the other never sees it empty.
#[test]
fn a_queue_that_always_holds_something_is_never_seen_empty() {
    for (first_next, second_next) in [(false, false), (false, true), (true, false), (true, true)] {
        check(4, move || {
            let world = World::new(0);
            let put = |i, next| if next { world.put_next(i) } else { assert!(world.push(i)) };
            put(0, first_next);
            let asked = {
                let world = world.clone();
                thread::spawn(move || assert!(!world.queue.is_empty(), "seen empty: {first_next} {second_next}"))
            };
            put(1, second_next);
            assert!(world.take_next() || world.pop());
            asked.join().unwrap();
            world.finish(2);
        });
    }
}

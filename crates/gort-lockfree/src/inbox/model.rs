//! Models of the inbox: whatever comes is taken by an M that is awake, or the M is woken, once, and gets a P.

use core::ptr::{self, NonNull};
use core::sync::atomic::Ordering::Relaxed;

use super::Inbox;
use crate::atomics::{AtomicPtr, AtomicU32};
use crate::model::{Arc, Mutex, check, thread};

/// What is pushed: written before the push, counted by who takes it. Relaxed: the inbox must do.
struct Item {
    written: AtomicU32,
    taken: AtomicU32,
    link: AtomicPtr<Item>,
}

struct World {
    inbox: Inbox<Item>,
    items: [Item; 3],
    /// What the M writes before it sleeps.
    listed: AtomicU32,
}

impl World {
    fn new() -> Arc<Self> {
        let item =
            || Item { written: AtomicU32::new(0), taken: AtomicU32::new(0), link: AtomicPtr::new(ptr::null_mut()) };
        let items = core::array::from_fn(|_| item());
        Arc::new(Self { inbox: Inbox::new(), items, listed: AtomicU32::new(0) })
    }

    fn push(&self, i: usize) -> bool {
        let item = &self.items[i];
        item.written.store(1, Relaxed);
        self.inbox.push(NonNull::from(item), |next| item.link.store(next, Relaxed))
    }

    /// Takes everything; newest first, as numbers of items.
    fn take(&self) -> std::vec::Vec<usize> {
        let mut taken = std::vec::Vec::new();
        self.inbox.take(|item| {
            // SAFETY: all items live in the world, which the caller borrows.
            let item = unsafe { item.as_ref() };
            assert_eq!(item.written.load(Relaxed), 1, "taken before its contents were visible");
            assert_eq!(item.taken.fetch_add(1, Relaxed), 0, "taken twice");
            taken.push(self.items.iter().position(|one| ptr::eq(one, item)).unwrap());
            item.link.load(Relaxed)
        });
        taken
    }

    /// The M: looks, and sleeps if nothing is there. True: it sleeps.
    fn rest(&self) -> bool {
        if !self.take().is_empty() {
            return false;
        }
        self.listed.store(1, Relaxed);
        self.inbox.sleep()
    }

    /// As `push`; a pusher that must wake the M has to find it on its list.
    fn push_and_look(&self, i: usize) -> bool {
        let wakes = self.push(i);
        assert!(!wakes || self.listed.load(Relaxed) == 1, "the M sleeps, and what it wrote before is not seen");
        wakes
    }
}

fn pusher(world: &Arc<World>, i: usize) -> thread::JoinHandle<bool> {
    let world = world.clone();
    thread::spawn(move || world.push_and_look(i))
}

#[test]
fn what_comes_while_the_m_goes_to_sleep_is_seen_by_one_of_both() {
    check(4, || {
        let world = World::new();
        let woken = pusher(&world, 0);
        let sleeps = world.rest();
        let woken = woken.join().unwrap();
        assert!(!sleeps || woken, "it came, and the M sleeps");
        // Whoever woke it, it takes.
        let late = world.take();
        assert!(late == [0] || !sleeps, "it came and is not there");
    });
}

#[test]
fn of_two_pushers_one_wakes_and_the_m_finds_both() {
    check(4, || {
        let world = World::new();
        assert!(world.rest());
        let pushers = [pusher(&world, 0), pusher(&world, 1)];
        let woken = pushers.map(|pusher| pusher.join().unwrap());
        assert!(woken[0] != woken[1], "an M that sleeps is woken once");
        let mut taken = world.take();
        taken.sort_unstable();
        assert_eq!(taken, [0, 1]);
    });
}

#[test]
fn what_comes_while_the_m_takes_is_whole_and_in_order() {
    check(4, || {
        let world = World::new();
        let two = thread::spawn({
            let world = world.clone();
            move || (world.push(0), world.push(1))
        });
        let one = pusher(&world, 2);
        let mut taken = world.take();
        taken.reverse();
        two.join().unwrap();
        one.join().unwrap();
        let mut late = world.take();
        late.reverse();
        taken.extend(late);
        let place = |i| taken.iter().position(|&one| one == i).expect("an item was lost");
        assert!(place(0) < place(1), "one pusher's items change places");
        assert_eq!((taken.len(), place(2) < 3), (3, true));
    });
}

/// What the scheduler's lock guards here.
#[derive(Default)]
struct Central {
    idle_ps: u32,
    /// On the list of Ms without work.
    m_idle: bool,
    /// On the list of Ms that have work and no P.
    m_wants: bool,
    /// A P was handed to the M, which is on no list any more.
    m_handed: bool,
}

impl Central {
    /// Whoever gives up a P: an M that wants one has it first.
    fn lay_down(&mut self) {
        if core::mem::take(&mut self.m_wants) {
            self.m_handed = true;
        } else {
            self.idle_ps += 1;
        }
    }

    /// Whoever was told to wake the M.
    fn aim(&mut self) {
        if !core::mem::take(&mut self.m_idle) {
            // It is on its way already, and takes before it sleeps again.
        } else if self.idle_ps > 0 {
            self.idle_ps -= 1;
            self.m_handed = true;
        } else {
            self.m_wants = true;
        }
    }
}

/// The M gives up its P while an item comes and another M takes that P and gives it up again: in the end the M has a P.
#[test]
fn an_m_to_which_something_has_come_gets_a_p() {
    check(3, || {
        let world = World::new();
        let central = Arc::new(Mutex::new(Central::default()));
        let aimed = thread::spawn({
            let (world, central) = (world.clone(), central.clone());
            move || {
                if world.push(0) {
                    central.lock().unwrap().aim();
                }
            }
        });
        let other = thread::spawn({
            let central = central.clone();
            move || {
                let mut guard = central.lock().unwrap();
                if guard.idle_ps > 0 {
                    guard.idle_ps -= 1;
                    drop(guard);
                    central.lock().unwrap().lay_down();
                }
            }
        });
        let mut has_p = true;
        if world.take().is_empty() {
            let mut guard = central.lock().unwrap();
            if world.inbox.sleep() {
                guard.m_idle = true;
                guard.lay_down();
                has_p = false;
            }
        }
        aimed.join().unwrap();
        other.join().unwrap();
        let guard = central.lock().unwrap();
        assert!(has_p || guard.m_handed, "it came, and the M has no P");
        assert!(guard.idle_ps == u32::from(!has_p && !guard.m_handed), "a P was lost or made");
    });
}

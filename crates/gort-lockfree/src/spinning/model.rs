//! Models of waking: whatever is queued is found by somebody who gives up, or somebody is woken for it.

use core::sync::atomic::Ordering::Relaxed;

use super::Spinning;
use crate::atomics::AtomicU32;
use crate::model::{Arc, Mutex, check, thread};

/// The counts, and a queue: 1 while a goroutine is in it. Relaxed: the fences must do.
struct World {
    counts: Spinning,
    queued: AtomicU32,
}

impl World {
    fn new(idle_ps: u32, spinning: u32) -> Arc<Self> {
        let world = World { counts: Spinning::new(), queued: AtomicU32::new(0) };
        (0..idle_ps).for_each(|_| world.counts.p_idle());
        (0..spinning).for_each(|_| assert!(world.counts.try_spin(u32::MAX)));
        Arc::new(world)
    }

    /// A producer. True: it wakes somebody.
    fn produce(&self) -> bool {
        self.queued.store(1, Relaxed);
        self.counts.submitted()
    }

    fn finds_work(&self) -> bool {
        self.queued.load(Relaxed) == 1
    }
}

fn in_thread(world: &Arc<World>, act: fn(&World) -> bool) -> thread::JoinHandle<bool> {
    let world = world.clone();
    thread::spawn(move || act(&world))
}

#[test]
fn no_goroutine_is_left_behind_by_the_last_spinner_going_to_sleep() {
    check(4, || {
        let world = World::new(1, 1);
        let spinner = in_thread(&world, |world| {
            world.finds_work() || {
                world.counts.stop_without_work();
                world.finds_work()
            }
        });
        let woken = world.produce();
        assert!(spinner.join().unwrap() || woken, "queued, and everybody sleeps");
    });
}

#[test]
fn no_goroutine_is_left_behind_by_an_m_that_gives_up_its_p_without_having_spun() {
    check(4, || {
        let world = World::new(0, 0);
        let idler = in_thread(&world, |world| {
            world.finds_work() || {
                world.counts.p_idle();
                world.finds_work()
            }
        });
        let woken = world.produce();
        assert!(idler.join().unwrap() || woken, "queued, and everybody sleeps");
    });
}

#[test]
fn the_last_spinner_that_finds_other_work_sees_to_the_next() {
    check(4, || {
        let world = World::new(1, 1);
        let spinner = in_thread(&world, |world| world.counts.stop_with_work() && world.counts.submitted());
        let woken = world.produce();
        let passed_on = spinner.join().unwrap();
        assert!(woken || passed_on, "queued, a P is idle, and nobody was woken");
        assert!(!(woken && passed_on), "two were woken");
    });
}

#[test]
fn of_two_spinners_one_finding_work_and_one_going_to_sleep_none_leaves_a_goroutine_behind() {
    check(3, || {
        let world = World::new(1, 2);
        let lucky = in_thread(&world, |world| world.counts.stop_with_work() && world.counts.submitted());
        let unlucky = in_thread(&world, |world| {
            world.counts.stop_without_work();
            world.finds_work()
        });
        let woken = world.produce();
        let others = [lucky.join().unwrap(), unlucky.join().unwrap()];
        assert!(woken || others.contains(&true), "queued, a P is idle, and nobody was woken");
    });
}

#[test]
fn a_wake_given_back_does_not_strand_those_who_relied_on_it() {
    check(4, || {
        // The main thread has won the right to wake and finds no idle P.
        let world = World::new(0, 1);
        let idler = in_thread(&world, |world| {
            world.counts.p_idle();
            world.finds_work()
        });
        let producer = in_thread(&world, World::produce);
        let woken = world.counts.cancel_wake() && world.counts.submitted();
        let others = [idler.join().unwrap(), producer.join().unwrap()];
        assert!(woken || others.contains(&true), "queued, a P is idle, and nobody was woken");
    });
}

/// What the scheduler's lock guards here: how many Ps are in its list of idle ones.
type Central = Mutex<u32>;

/// What a winner of `submitted` does: takes an idle P and wakes an M for it.
fn wake(world: &World, central: &Central) -> bool {
    let mut idle_ps = central.lock().unwrap();
    if *idle_ps == 0 {
        assert!(!world.counts.cancel_wake(), "under the lock there is no doubt");
        return false;
    }
    *idle_ps -= 1;
    world.counts.p_busy();
    true
}

#[test]
fn a_wake_given_back_under_the_lock_does_not_strand_those_who_relied_on_it() {
    check(4, || {
        // The main thread has won the right to wake.
        let world = World::new(0, 1);
        let central = Arc::new(Central::new(0));
        let idler = thread::spawn({
            let (world, central) = (world.clone(), central.clone());
            move || {
                let mut idle_ps = central.lock().unwrap();
                *idle_ps += 1;
                world.counts.p_idle();
                drop(idle_ps);
                world.finds_work()
            }
        });
        let producer = thread::spawn({
            let (world, central) = (world.clone(), central.clone());
            move || world.produce() && wake(&world, &central)
        });
        let woken = wake(&world, &central);
        let others = [idler.join().unwrap(), producer.join().unwrap()];
        assert!(woken || others.contains(&true), "queued, a P is idle, and nobody was woken");
    });
}

//! Models of a P's ownership: an M that enters the runtime against one that takes its P away.
//!
//! A membarrier is modelled as a SeqCst fence on both sides (loom knows no other). Without fences on the M's side the
//! protocol runs in `owner/tests.rs`, with the real system call.

use core::sync::atomic::Ordering::Relaxed;

use super::{Lease, Owner, Stay, retake_step};
use crate::atomics::{AtomicU32, fence_seq_cst};
use crate::model::{Arc, check, thread};

/// A P, the M that runs on it, and what its owner changes without further ado.
struct World {
    stay: Stay,
    owner: Owner,
    data: AtomicU32,
}

impl World {
    fn new() -> (Arc<Self>, Lease) {
        let world = World { stay: Stay::new(), owner: Owner::new(), data: AtomicU32::new(0) };
        let lease = world.owner.acquire(7);
        (Arc::new(world), lease)
    }

    /// What only the owner may do: with two at once, or without seeing what the owner before did, an addition is lost.
    fn touch(&self) {
        self.data.store(self.data.load(Relaxed) + 1, Relaxed);
    }

    /// The M visits the runtime `visits` times. Returns how often it had its P.
    fn run_m(&self, mut lease: Lease, visits: u32, enter: fn(&Stay) -> bool) -> u32 {
        for visit in 0..visits {
            if enter(&self.stay) {
                // Either order will do: one in each visit.
                let clear_first = visit % 2 == 1;
                if clear_first {
                    self.stay.clear_mark();
                }
                let renewed = self.owner.renew(lease);
                if !clear_first {
                    self.stay.clear_mark();
                }
                match renewed {
                    Some(renewed) => lease = renewed,
                    None => return visit,
                }
            }
            self.touch();
            self.stay.leave();
        }
        visits
    }

    /// Sysmon tries once. True: the P is its own now, and it has touched it.
    fn run_sysmon(&self) -> bool {
        let lease = self.owner.current();
        let seen_seq = self.stay.sample();
        let barrier = || {
            fence_seq_cst();
            true
        };
        let retaken = !lease.is_idle() && retake_step(&self.stay, &self.owner, lease, seen_seq, barrier);
        if retaken {
            self.touch();
        }
        retaken
    }

    fn assert_touched(&self, times: u32) {
        assert_eq!(self.data.load(Relaxed), times, "two owned the P at the same time");
    }
}

#[test]
fn an_m_that_enters_and_sysmon_never_both_own_the_p() {
    check(4, || {
        let (world, lease) = World::new();
        let sysmon = thread::spawn({
            let world = world.clone();
            move || world.run_sysmon()
        });
        let visits = world.run_m(lease, 2, Stay::enter);
        let retaken = sysmon.join().unwrap();
        world.assert_touched(visits + u32::from(retaken));
    });
}

#[test]
fn a_mark_left_by_a_failed_attempt_does_not_hide_the_next() {
    check(4, || {
        let (world, lease) = World::new();
        let sysmon = thread::spawn({
            let world = world.clone();
            move || world.run_sysmon() || world.run_sysmon()
        });
        let visits = world.run_m(lease, 2, Stay::enter);
        let retaken = sysmon.join().unwrap();
        world.assert_touched(visits + u32::from(retaken));
    });
}

#[test]
fn an_m_that_enters_with_a_fence_and_sysmon_never_both_own_the_p() {
    check(4, || {
        let (world, lease) = World::new();
        let sysmon = thread::spawn({
            let world = world.clone();
            move || world.run_sysmon()
        });
        let visits = world.run_m(lease, 2, Stay::enter_fenced);
        let retaken = sysmon.join().unwrap();
        world.assert_touched(visits + u32::from(retaken));
    });
}

#[test]
fn a_p_given_up_while_sysmon_reaches_for_it_changes_hands_once() {
    check(4, || {
        let (world, lease) = World::new();
        let sysmon = thread::spawn({
            let world = world.clone();
            move || world.run_sysmon()
        });
        let mut times = 0;
        if !world.stay.enter_fenced() || world.owner.renew(lease).is_some() {
            world.touch();
            times += 1;
            // In the runtime the P is its own: after `enter` nothing but its own renewal moves the lease.
            assert!(world.owner.release(world.owner.current()));
            assert!(world.owner.current().is_idle());
        }
        let retaken = sysmon.join().unwrap();
        world.assert_touched(times + u32::from(retaken));
    });
}

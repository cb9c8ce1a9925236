//! Work that waits when there are no more threads: our limit is reached, or the system refuses.
//!
//! Nothing is lost: whatever is queued stays so, and an M that comes back from a blocking call finds a P among the idle ones and takes the work
//! up. What is to be done meanwhile is done by sysmon, whenever it has failed to make the thread that somebody asked for:
//!
//! - It says so, once, with the limits there are.
//! - It gives Ps to Ms that goroutines have locked, if theirs is among those that wait. Such an M runs nothing else, so it cannot look into the
//!   queues itself, and with all threads locked nobody else would.
//! - It starts threads beyond the limit for those who may hold what all threads wait for (`rescue`).
//! - It waits a little. Each of its rounds finds the work lying and wants a thread for it, which is right, since the system may change its mind
//!   and nobody tells; but without the pause it would spin.

use super::p::P;
use super::{M, SCHED, bound, rescue};
use crate::g::record::LOCKED;
use crate::g::{G, GList};
use crate::prim::lock::Lock;
use crate::sys::{aloud, clock, futex};
use std::io;
use std::ptr;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64};

const SHORTEST_PAUSE_NS: u64 = 100_000;
const LONGEST_PAUSE_NS: u64 = 10_000_000;
/// As many queued goroutines are looked at in a row, under the scheduler's lock; the next look goes on behind them.
const LOOKED_AT: usize = 4096;

/// Only sysmon uses it.
static RESCUE: Lock<rescue::Watch> = Lock::new(rescue::Watch::new());
/// The next pause. Only sysmon uses it.
static PAUSE_NS: AtomicU64 = AtomicU64::new(SHORTEST_PAUSE_NS);

/// Sysmon has made a thread, or found one.
pub(super) fn over() {
    // Relaxed: one thread's.
    PAUSE_NS.store(SHORTEST_PAUSE_NS, Relaxed);
}

/// Sysmon could not make a thread.
#[cold]
pub(super) fn make_do(error: &io::Error) {
    static SAID: aloud::Once = aloud::Once::new();
    SAID.say(|| format!("gort: {error}; goroutines wait until a thread comes free\n"));
    let handed = hand_over_what_is_queued();
    // Relaxed: one thread's.
    let pause_ns = if handed { SHORTEST_PAUSE_NS } else { PAUSE_NS.load(Relaxed) };
    PAUSE_NS.store((pause_ns * 2).min(LONGEST_PAUSE_NS), Relaxed);
    let until_ns = clock::now_ns() + pause_ns;
    // A word that nobody wakes: a request in between would be one for a thread, too.
    let never = AtomicU32::new(0);
    while clock::now_ns() < until_ns {
        futex::wait(&never, 0, Some(until_ns));
    }
}

/// Gives idle Ps to Ms whose own goroutine is queued, and one to a new thread if that is due. True if there was one.
fn hand_over_what_is_queued() -> bool {
    let mut rescue = RESCUE.lock();
    let is_rescue_due = rescue.is_due();
    let mut rescued = None;
    let mut handed = false;
    let mut central = SCHED.central.lock();
    // What idle Ps still hold is only to be had through the global queue now.
    let mut list = GList::new();
    central.for_idle_ps(|p| {
        // SAFETY: an idle P belongs to the holder of the scheduler's lock; entries are records, which are never freed.
        unsafe {
            while let Some(g) = p.queue.take_next().or_else(|| p.queue.pop()) {
                list.push(g.as_ref());
            }
        }
    });
    central.push_list(&mut list);
    let mut idle_p = central.pop_idle_p();
    // Relaxed: written under the lock.
    for _ in 0..SCHED.global_len.load(Relaxed).min(LOOKED_AT) {
        let Some(p) = idle_p else { break };
        // SAFETY: nobody owns the P, which was taken from the idle ones.
        let Some(g) = (unsafe { central.take(p, false) }) else { break };
        if g.has(LOCKED) {
            give(p, g);
            handed = true;
            idle_p = central.pop_idle_p();
        } else if is_rescue_due && rescued.is_none() && g.tp.get() != 0 {
            rescued = Some((p, g));
            idle_p = central.pop_idle_p();
        } else {
            central.push(g);
        }
    }
    if let Some(p) = idle_p {
        central.push_idle_p(p);
    }
    drop(central);
    let Some((p, g)) = rescued else { return handed };
    if rescue.start(p, g) {
        return true;
    }
    let mut central = SCHED.central.lock();
    central.push(g);
    let claimant = central.lay_down(p);
    drop(central);
    bound::hand_to(claimant, p);
    handed
}

/// As `locked::hand_over`, of a P that no M has.
fn give(p: &'static P, g: &'static G) {
    // SAFETY: a locked goroutine's word names the M it is locked to, and Ms are never freed.
    let owner = unsafe { &*g.m.load(Relaxed).cast::<M>() };
    owner.locked_p.store(ptr::from_ref(p).cast_mut(), Relaxed);
    // Release: publishes the P to `locked::wait_for_turn`.
    owner.locked_turn.store(1, Release);
    futex::wake(&owner.locked_turn, 1);
}

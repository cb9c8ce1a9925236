//! Threads beyond the limit, for a goroutine on which all others may wait.
//!
//! With the last thread blocked in a `std::sync::Mutex` whose holder has parked in gort, nobody is left to run the holder when it is ready: it
//! cannot unlock, and none of them ever comes back. So when all threads have been blocked for a while and goroutines are queued that *have
//! begun*, sysmon starts threads beyond the limit, one by one, a bounded number. Only who has begun can hold a lock; were new goroutines run as
//! well, each of them might block one more thread.
//!
//! Such a thread runs one goroutine, until that leaves its stack, and ends. It does so the way one ends whose goroutine had locked it and is gone
//! (`locked`).
//!
//! *Blocked*: each M was in user code, or waits for the goroutine that has locked it, none has changed between two looks, none has used any CPU
//! time, and one at least waits in a futex, as those for a lock do, or where it waits cannot be seen. If it is not for that lock that they wait, a few
//! threads more than were allowed are at work meanwhile.
//!
//! Not in bound mode, where who has begun can go on on its own thread only.

use super::p::P;
use super::{M, SCHED, bound, fixed, idle, snapshot, start};
use crate::g::G;
use crate::sys::call::Place;
use crate::sys::{aloud, clock, thread};
use gort_lockfree::owner::Stay;
use std::sync::atomic::Ordering::Relaxed;

/// All have been blocked for so long.
const STALLED_NS: u64 = 100_000_000;
/// The same, once it was found out, as long as it comes again within a second: each turn of the lock may need a rescue.
const STALLED_AGAIN_NS: u64 = 2_000_000;
const AGAIN_NS: u64 = 1_000_000_000;
/// A look at thousands of threads takes some milliseconds; so many times as long is the pause after it.
const PAUSE: u64 = 20;
/// Threads beyond the limit: a quarter of it, and this at least.
const LEAST_MOST: usize = 16;

/// What sysmon has seen of the threads.
#[derive(Debug)]
pub(super) struct Watch {
    seen: Seen,
    since_ns: u64,
    next_ns: u64,
    rescued_ns: Option<u64>,
}

/// Nothing has moved as long as this is the same.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct Seen {
    threads: usize,
    /// The sum of the numbers of their stays.
    stays: u64,
    cpu_ns: u64,
}

impl Watch {
    pub(super) const fn new() -> Self {
        Self { seen: Seen { threads: 0, stays: 0, cpu_ns: 0 }, since_ns: 0, next_ns: 0, rescued_ns: None }
    }

    /// True if a thread is to be started for somebody who has begun. Asked when sysmon could not make one.
    pub(super) fn is_due(&mut self) -> bool {
        if fixed().is_bound() {
            return false;
        }
        let now_ns = clock::now_ns();
        if now_ns < self.next_ns {
            return false;
        }
        let is_stalled = self.is_stalled(now_ns);
        let is_due = is_stalled && is_anybody_at_a_lock();
        if is_stalled && !is_due {
            self.since_ns = now_ns;
        }
        let ended_ns = clock::now_ns();
        self.next_ns = ended_ns + PAUSE * (ended_ns - now_ns);
        is_due
    }

    fn is_stalled(&mut self, now_ns: u64) -> bool {
        let Some(seen) = look() else {
            self.seen = Seen::default();
            return false;
        };
        if seen != self.seen {
            (self.seen, self.since_ns) = (seen, now_ns);
            return false;
        }
        let is_again = self.rescued_ns.is_some_and(|at_ns| now_ns - at_ns < AGAIN_NS);
        now_ns - self.since_ns >= if is_again { STALLED_AGAIN_NS } else { STALLED_NS }
    }

    /// Starts a thread that runs `g` with `p`, which nobody owns. `false`: it cannot be had.
    pub(super) fn start(&mut self, p: &'static P, g: &'static G) -> bool {
        // Relaxed, both: for the message; a setting.
        let (live, limit) = (SCHED.ms_live.load(Relaxed), SCHED.max_threads.load(Relaxed));
        let most = (limit / 4).max(LEAST_MOST);
        if start::add_rescuer(p, g, most).is_err() {
            return false;
        }
        say_once(live, most);
        self.rescued_ns = Some(clock::now_ns());
        true
    }
}

/// Looks at `/proc` for each thread until one is found.
fn is_anybody_at_a_lock() -> bool {
    snapshot::ms().any(|m| Place::of(m.tid.load(Relaxed)).is_none_or(Place::is_futex))
}

/// What there is to see; `None` if a thread is at work in the runtime.
fn look() -> Option<Seen> {
    let mut seen = Seen::default();
    for m in snapshot::ms() {
        let stay = m.stay.sample();
        // Relaxed, both: pictures; another one follows.
        if !Stay::in_user_code(stay) && !m.keeps.load(Relaxed) {
            return None;
        }
        seen.threads += 1;
        seen.stays = seen.stays.wrapping_add(stay);
        seen.cpu_ns = seen.cpu_ns.wrapping_add(thread::cpu_ns(m.tid.load(Relaxed)).unwrap_or(0));
    }
    Some(seen)
}

fn say_once(live: usize, most: usize) {
    static SAID: aloud::Once = aloud::Once::new();
    SAID.say(|| {
        format!(
            "gort: all {live} threads are blocked, and goroutines that have begun wait for one and may hold what the others wait for, as a \
             std::sync::Mutex locked across a wait: up to {most} more threads are started for those (GORT_MAX_THREADS, or \
             runtime::Builder::max_threads)\n"
        )
    });
}

/// `m`, whose goroutine has left without a P, ends if there are more threads than allowed. It would begin another goroutine, which might block as well, and
/// each turn of the lock would use up one more thread beyond the limit. So one is enough for as many as may want that lock.
pub(super) fn leaves(m: &'static M) -> bool {
    let leaves = start::is_beyond_limit() && !bound::must_stay(m);
    if leaves {
        // Its goroutine may be queued, and this M would have looked.
        idle::wake_for_work();
    }
    leaves
}

/// `m`, which is new, begins with what it was made for.
pub(super) fn begin(m: &'static M) -> Option<(&'static G, &'static P)> {
    let (g, p) = m.rescues.take()?;
    idle::adopt(m, p);
    // Its thread is to end when this one has left.
    m.locked.set(Some(g));
    m.is_spoilt.set(true);
    Some((g, p))
}

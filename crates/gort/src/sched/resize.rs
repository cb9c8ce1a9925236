//! Changing the number of Ps while the program runs.
//!
//! Growing makes Ps (or brings retired ones back) and puts them among the idle ones. Shrinking marks the Ps beyond the new number as retired:
//! idle ones are emptied at once; one that an M owns is given up by that M at its next turn in the scheduler, or by sysmon if the M stays in
//! user code. A retired P's goroutines go to the global queue, its timers to the first P, its caches to the common pools. Nothing is stopped.

use super::p::{MAX_PROCS, P};
use super::{M, SCHED, bound, fixed, idle, stop};
use crate::g::GList;
use crate::prim::lock::Lock;
use crate::sys::cpu;
use std::ptr;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// One change at a time.
static CHANGE: Lock<()> = Lock::new(());
/// Nobody has said how many there should be: the number follows what the system grants (`quota`). Changed under the lock.
static FOLLOWS: AtomicBool = AtomicBool::new(false);

/// Sets the number of Ps and returns the number before. Does not wait for Ps in use: [`is_settled`] says when the change has taken place.
/// `None`: the runtime stops or has stopped, so that there is nothing to set.
pub(crate) fn change_procs(count: usize) -> Option<usize> {
    debug_assert!((1..=MAX_PROCS).contains(&count), "checked by the caller");
    let _one = CHANGE.lock();
    // Under the lock: who stops the runtime sets the phase first, and the number then.
    (!stop::phase().lets_ms_go()).then(|| {
        // Relaxed: under the lock.
        FOLLOWS.store(false, Relaxed);
        change(count)
    })
}

/// Whether the number follows what the system grants.
#[inline]
pub(super) fn follows() -> bool {
    // Relaxed: `follow` asks again.
    FOLLOWS.load(Relaxed)
}

/// The system grants so many. Ignored if somebody has said a number, or the runtime stops.
pub(super) fn follow(count: usize) {
    let _one = CHANGE.lock();
    // Relaxed, both: under the lock.
    if FOLLOWS.load(Relaxed) && SCHED.procs.load(Relaxed) != count && !stop::phase().lets_ms_go() {
        change(count);
    }
}

/// The number for a start: the one that somebody has said, or what the system grants, now and later.
pub(super) fn begin_with(said: Option<usize>) {
    let count = said.unwrap_or_else(cpu::default_procs);
    let _one = CHANGE.lock();
    // Relaxed: under the lock.
    FOLLOWS.store(said.is_none(), Relaxed);
    change(count);
}

/// No Ps: nothing runs any more.
pub(super) fn take_all_out() {
    let _one = CHANGE.lock();
    change(0);
}

fn change(count: usize) -> usize {
    let before = SCHED.procs.load(Relaxed);
    while SCHED.ps_made.load(Relaxed) < count {
        let id = SCHED.ps_made.load(Relaxed);
        let p: &'static P = Box::leak(Box::new(P::new(id as u32, fixed().seed)));
        // A new P counts as retired until the loop below takes it into use.
        p.set_retired(true);
        p.set_out(true);
        // Release: publishes the P to everybody who reads `ps_made`.
        SCHED.ps[id].store(ptr::from_ref(p).cast_mut(), Release);
        SCHED.ps_made.store(id + 1, Release);
    }
    let mut given_up = Vec::with_capacity(MAX_PROCS);
    {
        let mut central = SCHED.central.lock();
        SCHED.procs.store(count, Relaxed);
        for id in 0..SCHED.ps_made.load(Relaxed) {
            // SAFETY: the first `ps_made` entries are set, and Ps are never freed.
            let p = unsafe { &*SCHED.ps[id].load(Acquire) };
            p.set_retired(id >= count);
            if id < count && p.is_out() {
                p.set_out(false);
                // Handed over with the lock held: rare, and `hand` takes none.
                bound::hand_to(central.lay_down(p), p);
            }
        }
        while let Some(p) = central.remove_idle_p(P::is_retired) {
            p.set_out(true);
            given_up.push(p);
        }
    }
    for p in given_up {
        empty(p);
    }
    ask_for_retired();
    // Work may be waiting for the new Ps.
    idle::wake_for_work();
    super::sysmon::wake();
    before
}

/// Asks Ms with a retired P to give it up.
pub(super) fn ask_for_retired() {
    for m in super::snapshot::ms() {
        if m.p_hint().is_some_and(P::is_retired) {
            m.stay.set_mark();
        }
    }
}

/// True once every P beyond the number wanted has been given up.
pub(crate) fn is_settled() -> bool {
    let made = SCHED.ps_made.load(Acquire);
    SCHED.ps[..made].iter().all(|p| {
        // SAFETY: as in `change`.
        let p = unsafe { &*p.load(Acquire) };
        !p.is_retired() || p.is_out()
    })
}

/// An M inside the runtime gives up its retired P.
pub(super) fn give_up(m: &'static M, p: &'static P) {
    if m.spinning.replace(false) {
        SCHED.spinning.stop_without_work();
    }
    idle::release(m, p);
    take_out(p);
}

/// Takes a retired P, which nobody owns, out of use; if it has been wanted again meanwhile it becomes idle.
pub(super) fn take_out(p: &'static P) {
    // Emptied before it is out: from then on `change` may hand it to an M, which would find us at its queue.
    empty(p);
    let mut central = SCHED.central.lock();
    if p.is_retired() {
        p.set_out(true);
    } else {
        let claimant = central.lay_down(p);
        drop(central);
        bound::hand_to(claimant, p);
        idle::wake_for_work();
    }
}

/// Moves everything a P holds to where others find it.
fn empty(p: &'static P) {
    let mut list = GList::new();
    // SAFETY: nobody owns the P, and nobody can get it: it is neither idle nor, unless `CHANGE` is ours, out of use.
    unsafe {
        while let Some(g) = p.queue.take_next().or_else(|| p.queue.pop()) {
            list.push(g.as_ref());
        }
        p.spill_stacks(true);
        p.spill_records();
    }
    {
        let mut inbox = p.inbox.lock();
        list.append(&mut inbox);
        p.inbox_full.store(false, Relaxed);
    }
    // Nobody's M looks at this set from now on.
    p.timers.move_to(&SCHED.timers);
    SCHED.idle_next_ns.fetch_min(SCHED.timers.next_ns(), std::sync::atomic::Ordering::SeqCst);
    if !list.is_empty() {
        super::global::push_list(&mut list);
        idle::wake_for_work();
    }
}

//! Goroutines locked to their thread.
//!
//! A locked goroutine runs on one M only, and that M runs nothing else: while the goroutine waits, the M hands its P on and sleeps. An M that
//! finds the goroutine in a queue gives it the P (`hand_over`) and looks for another one itself. Two thread switches for each park: that is the
//! price of the promise, in Go as here. So an M whose goroutine was due soon the last time looks for its turn a while before it sleeps: a park and a resume
//! that a goroutine on another processor answers took 13 us instead of 45 (`locked_park` of the measurements).
//!
//! In bound mode a goroutine has its M anyway. The lock then keeps new ones from beginning there (`bound`), and says so once if that comes too late
//! for others.

use super::p::P;
use super::{M, SCHED, checkpoint, enter, idle};
use crate::g::G;
use crate::g::record::{BOUND, LOCKED};
use crate::sys::{aloud, futex};
use std::hint;
use std::ptr;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// Looks for a turn before the sleep, some 20 us in all.
const SPINS: u32 = 1000;
/// After a spin in vain so many parks go without.
const PASSED_OVER: u8 = 15;

/// Locks the calling goroutine to its M; nested calls count.
pub(crate) fn lock(g: &'static G) {
    let others = lock_as_far_as_can_be(g);
    if others > 0 {
        say_shared(g, others);
    }
}

/// As [`lock`]. Gives the number of others that have begun on its thread, and stay: in bound mode there may be some.
pub(super) fn lock_as_far_as_can_be(g: &'static G) -> u32 {
    if g.is_thread() {
        return 0;
    }
    let depth = g.lock_depth();
    g.set_lock_depth(depth.checked_add(1).expect("gort::lock_os_thread: nested more than 255 times"));
    if depth > 0 {
        return 0;
    }
    let inside = enter(g);
    g.put(LOCKED, true);
    let others = match g.has(BOUND) {
        true => inside.m.residents.close(true),
        false => {
            inside.m.locked.set(Some(g));
            // A rescuer's thread was to end; it is the goroutine's now.
            inside.m.is_spoilt.set(false);
            0
        }
    };
    inside.leave();
    others
}

/// Once: the promise can be kept in part only.
#[cold]
fn say_shared(g: &'static G, others: u32) {
    static SAID: aloud::Once = aloud::Once::new();
    SAID.say(|| {
        format!(
            "gort: lock_os_thread: goroutine {} shares its thread with {others} others that have begun there, and cannot leave in bound mode; no \
             more will begin there\n",
            g.id()
        )
    });
}

/// Undoes one [`lock`].
pub(crate) fn unlock(g: &'static G) {
    if g.is_thread() || g.lock_depth() == 0 {
        return;
    }
    g.set_lock_depth(g.lock_depth() - 1);
    if g.lock_depth() == 0 && g.has(LOCKED) {
        release(g);
    }
    checkpoint(g);
}

fn release(g: &'static G) {
    let inside = enter(g);
    g.put(LOCKED, false);
    if g.has(BOUND) {
        inside.m.residents.close(false);
    } else {
        inside.m.locked.set(None);
    }
    inside.leave();
}

/// The goroutine ends. Whatever it has done to its thread, it has not undone: the thread ends with it. (In bound mode others may live there.)
pub(super) fn end(g: &'static G) {
    if !g.has(LOCKED) {
        return;
    }
    g.set_lock_depth(0);
    if g.has(BOUND) {
        return release(g);
    }
    let inside = enter(g);
    g.put(LOCKED, false);
    // Still locked, by nobody: it runs nothing else, and finds that out when it looks for work.
    inside.m.is_spoilt.set(true);
    inside.leave();
}

/// `m` has a thread that nobody else should get: gives up what it has, to end.
pub(super) fn give_up(m: &'static M) {
    m.is_spoilt.set(false);
    m.locked.set(None);
    give_p_away(m);
}

/// The M's own goroutine has parked: gives the P away and sleeps until somebody hands one over for it.
pub(super) fn wait_for_turn(m: &'static M) -> &'static P {
    give_p_away(m);
    // Relaxed, both: a hint for `leave`, which looks again.
    m.keeps.store(true, Relaxed);
    spin(m);
    // Acquire: pairs with the Release in `hand_over`.
    while m.locked_turn.load(Acquire) == 0 {
        futex::wait(&m.locked_turn, 0, None);
    }
    m.keeps.store(false, Relaxed);
    // Relaxed: ordered by `locked_turn`, and nobody sets it again before our goroutine is queued again.
    m.locked_turn.store(0, Relaxed);
    // SAFETY: `hand_over` stored a P before it set the turn; Ps are never freed.
    let p = unsafe { &*m.locked_p.load(Relaxed) };
    idle::adopt(m, p);
    p
}

/// Waits a little for the turn, if that was not in vain the last time, and now and then all the same.
fn spin(m: &'static M) {
    let left = m.spins_passed_over.get();
    if left > 0 {
        return m.spins_passed_over.set(left - 1);
    }
    for _ in 0..SPINS {
        // Relaxed: whoever calls this looks again.
        if m.locked_turn.load(Relaxed) != 0 {
            return;
        }
        hint::spin_loop();
    }
    m.spins_passed_over.set(PASSED_OVER);
}

fn give_p_away(m: &'static M) {
    if m.spinning.replace(false) {
        SCHED.spinning.stop_without_work();
    }
    match m.p.get() {
        Some(p) => {
            idle::release(m, p);
            idle::handoff_or_idle(p);
        }
        // Our goroutine lost its P and was put into the global queue; this M does not look there, so somebody else must.
        None => idle::wake_for_work(),
    }
}

/// `g` belongs to another M: that one gets our P.
pub(super) fn hand_over(m: &'static M, p: &'static P, g: &'static G) {
    // SAFETY: a locked goroutine's word names the M it is locked to, and Ms are never freed.
    let owner = unsafe { &*g.m.load(Relaxed).cast::<M>() };
    idle::release(m, p);
    owner.locked_p.store(ptr::from_ref(p).cast_mut(), Relaxed);
    // Release: publishes the P to `wait_for_turn`.
    owner.locked_turn.store(1, Release);
    futex::wake(&owner.locked_turn, 1);
}

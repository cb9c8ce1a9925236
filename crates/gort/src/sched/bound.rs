//! Bound goroutines: those that have begun on an M and stay there.
//!
//! Where a goroutine cannot have thread-locals of its own (`mode`), it may run anywhere until it begins, and then on one M only. So there are two
//! kinds of runnable goroutines. Those that have not begun lie in the queues of Ps and in the global queue, and everything said there holds for
//! them. Those that have begun are *residents* of their M (`residents`). They carry the flag `BOUND`, which decides everything here: nobody asks
//! for the mode.
//!
//! ```text
//!   go(f) ──▶ queue of this P ──▶ begins on M ──▶ park ──▶ ready: by a resident of M ───▶ M's next slot, M's queue ──▶ run on M …
//!                  steal, inject                                by anybody else ────────▶ M's inbox ──▶ M's queue
//! ```
//!
//! An M still needs a P to run anything.
//! - **With a P** it runs from both sides, its own queue and the P's, in turns.
//! - **Without one, and with residents to run**, it claims one: an idle P, or the next that anybody gives up. No P is idle while an M claims one
//!   (`Central::lay_down`, `claim`). If all Ps are at work, the M that has had one for a millisecond passes it on and claims one itself.
//! - **Asleep**, it is woken by who fills its inbox: `rouse` gives it an idle P or makes its claim for it.
//!
//! **No wake-up is lost**, for three reasons. A resident that is due lies in the M's queue, which the M looks at before it rests, or in the inbox,
//! whose word decides between its pusher and an M that wants to sleep (`gort_lockfree::inbox`). The M says that it sleeps, and what others may
//! do with it (`Rest`), under the scheduler's lock, which a pusher takes to wake it. And an M that is due waits in one place only, the line of
//! claims, which whoever gives up a P looks at under the same lock.
//!
//! Sysmon takes the P of an M that is stuck in user code, as ever: what has not begun goes on elsewhere, and so do residents of other Ms. The
//! stuck M's own residents wait; there is no other thread for them. When it comes back it claims a P.
//!
//! A goroutine that holds `lock_os_thread` *closes* its M: nothing begins there any more. Residents that are there already go on there; they have
//! nowhere else to go, and if they waited instead, one for which the locked goroutine waits would wait for ever.
//!
//! **At a shutdown** an M with residents stays: its thread is theirs for life. It claims a P, as if it had work, and nobody has one to give until
//! the runtime is started again; then it is the first to get one, and goes on. An M without residents ends, as in the other mode. Whoever is
//! left by the shutdown so keeps a thread, and is told of in `Left::threads`.

use super::global::Central;
use super::idle::{self, Rested};
use super::m::Rest;
use super::{M, P, SCHED, find, fixed, global, perturb, resize, run, words};
use crate::g::record::{BOUND, THREAD};
use crate::g::{G, GList, Status};
use crate::sys::clock;
use std::ptr;
use std::sync::atomic::Ordering::Relaxed;

/// An M that has had a P for so long passes it on if another claims one.
const TURN_NS: u64 = 1_000_000;

/// The M on which `g`, which is bound, runs.
#[inline]
fn home(g: &'static G) -> &'static M {
    // SAFETY: set before its first run, and Ms are never freed. Relaxed: whoever has `g` has it from somebody who knew.
    unsafe { &*g.m.load(Relaxed).cast::<M>() }
}

/// `g` is about to run on `m`: from its first time on it is bound to it.
#[inline]
pub(super) fn settle_down(m: &'static M, g: &'static G) {
    m.residents.note_waiting();
    if !g.has(BOUND) {
        g.put(BOUND, true);
        m.residents.move_in();
        // SAFETY: it has a stack, and is about to run for the first time.
        unsafe { words::begin(g) };
    }
}

/// Makes `g` ready; called by anybody outside the scheduler.
#[cold]
pub(super) fn ready(g: &'static G) {
    if perturb::is_on() {
        perturb::delay_wake();
    }
    // It need not enter the runtime, where the child of a fork would be noticed.
    crate::sys::fork::refuse_child();
    g.set_status(Status::Runnable);
    let m = home(g);
    match run::current() {
        // SAFETY: `me` is the goroutine that runs this.
        Some(me) if !me.has(THREAD) && ptr::eq(unsafe { M::of(me) }, m) => m.residents.put_next(g),
        _ => deliver(m, g),
    }
}

/// As [`ready`], in the scheduler, by the M that owns `p`.
pub(super) fn ready_in_scheduler(g: &'static G, p: Option<&'static P>) {
    g.set_status(Status::Runnable);
    let m = home(g);
    if p.is_some_and(|p| p.owner.current().m == m.id) { m.residents.put_next(g) } else { deliver(m, g) }
}

/// To the end of its M's queue; `here` is the calling M.
pub(super) fn put_back(here: &'static M, g: &'static G) {
    let m = home(g);
    if ptr::eq(m, here) { m.residents.push(g) } else { deliver(m, g) }
}

/// Sends `g` to its M, and wakes that if need be.
fn deliver(m: &'static M, g: &'static G) {
    if m.residents.deliver(g) {
        rouse(m);
    }
}

/// A resident of `m`, which sleeps, is due.
#[cold]
fn rouse(m: &'static M) {
    let mut central = SCHED.central.lock();
    if !central.take_resting(m) {
        // It is awake, or somebody has given it a P, or it claims one already: it looks into its inbox before it sleeps again.
        return;
    }
    match central.pop_idle_p() {
        Some(p) => {
            drop(central);
            idle::hand(m, Some(p), false);
        }
        None => central.push_claim(m),
    }
}

/// What a poll or a timer has made ready, and the calling M `here` has no P to run: residents go to their Ms, what has not begun stays in the list.
pub(super) fn send_home(here: &'static M, ready: &mut GList) {
    if !fixed().is_bound() {
        return;
    }
    let mut others = GList::new();
    while let Some(g) = ready.pop() {
        if g.has(BOUND) {
            put_back(here, g);
        } else {
            others.push(g);
        }
    }
    *ready = others;
}

/// Some M claims a P: there is no idle one then.
#[inline(always)]
pub(super) fn is_p_claimed() -> bool {
    // Relaxed: a hint; who gives a P up looks under the lock.
    SCHED.p_claims.load(Relaxed) > 0
}

/// `m` goes to rest, under the scheduler's lock. False: a resident is due.
#[inline]
pub(super) fn may_rest(m: &'static M) -> bool {
    !fixed().is_bound() || m.residents.rests()
}

/// True if a resident of `m` is due.
#[inline]
pub(super) fn is_due(m: &'static M) -> bool {
    fixed().is_bound() && !m.residents.is_empty()
}

/// True if the thread of `m` must not end: it is the only one for goroutines that live.
pub(super) fn must_stay(m: &'static M) -> bool {
    m.residents.alive() > 0
}

/// True if `m` sleeps as somebody's only thread. Under the scheduler's lock.
pub(super) fn stays(m: &'static M) -> bool {
    matches!(m.rest.get(), Rest::Claims | Rest::Aside)
}

/// `m` claims a P, under the scheduler's lock, where it has found no idle one. It then waits in `idle::take_handed`.
pub(super) fn claim(central: &mut Central, m: &'static M) {
    idle::expect_p(m);
    central.push_claim(m);
}

/// Wakes the M that has claimed `p`, if one has.
pub(super) fn hand_to(claimant: Option<&'static M>, p: &'static P) {
    if let Some(m) = claimant {
        idle::hand(m, Some(p), false);
    }
}

/// `m` has taken a P.
#[inline]
pub(super) fn note_p(m: &'static M) {
    if fixed().is_bound() {
        m.residents.since_ns.set(clock::now_ns());
        m.residents.collect();
    }
}

/// True if a yield of a resident of `m` has somebody to give way to, apart from the P's queue.
#[inline]
pub(super) fn has_others(m: &'static M) -> bool {
    !m.residents.is_empty() || is_p_claimed()
}

/// The next goroutine for `m`: a resident, or one that begins. As `P::pick`.
///
/// # Safety
/// `m`, whose thread runs this, owns `p`.
#[inline]
pub(super) unsafe fn pick(m: &'static M, p: &'static P) -> Option<&'static G> {
    let own = &m.residents;
    // SAFETY: the M owns the P.
    unsafe {
        let is_over = p.is_chain_over();
        if let Some(g) = own.take_next() {
            if !is_over {
                p.lengthen_chain();
                return Some(g);
            }
            own.push(g);
        }
        if let Some(g) = p.queue.take_next() {
            if !is_over && !own.leaves_it_to_others() {
                p.lengthen_chain();
                return Some(g.as_ref());
            }
            p.put_back(g.as_ref());
        }
        p.reset_chain();
        p.tick.set(p.tick.get().wrapping_add(1));
        own.collect();
        own.take_turn(p)
    }
}

/// True if `m` has had its P for long enough, and others wait for it.
pub(super) fn must_pass_on(m: &'static M, p: &'static P) -> bool {
    let is_wanted = is_p_claimed() || m.residents.is_closed() && (!p.queue.is_empty() || global::has_work());
    is_wanted && clock::now_ns().saturating_sub(m.residents.since_ns.get()) >= TURN_NS
}

/// Gives the P to an M that claims one or, from a closed M, to one on which something can begin.
pub(super) fn pass_on(m: &'static M, p: &'static P) {
    if m.spinning.replace(false) {
        SCHED.spinning.stop_without_work();
    }
    let claimant = {
        let mut central = SCHED.central.lock();
        let claimant = central.pop_claim();
        if claimant.is_some() || m.residents.is_closed() {
            idle::release(m, p);
        }
        claimant
    };
    match claimant {
        Some(other) => idle::hand(other, Some(p), false),
        None if m.residents.is_closed() => idle::handoff_or_idle(p),
        // Somebody was faster.
        None => m.residents.since_ns.set(clock::now_ns()),
    }
}

/// As `find`, for an M on which nothing must begin.
pub(super) fn find_resident(m: &'static M) -> (&'static G, &'static P) {
    loop {
        let Some(p) = m.p.get() else {
            acquire(m);
            continue;
        };
        if p.is_retired() {
            resize::give_up(m, p);
            continue;
        }
        if must_pass_on(m, p) {
            pass_on(m, p);
            continue;
        }
        find::look_outside(m, p);
        p.tick.set(p.tick.get().wrapping_add(1));
        if let Some(g) = m.residents.pop() {
            return (g, p);
        }
        stand_aside(m, p);
    }
}

/// As `idle::acquire`, for an M on which nothing may begin.
fn acquire(m: &'static M) {
    let idle_p = {
        let mut central = SCHED.central.lock();
        if may_rest(m) {
            idle::expect_p(m);
            m.rest.set(Rest::Aside);
            None
        } else {
            let p = central.pop_idle_p();
            if p.is_none() {
                claim(&mut central, m);
            }
            p
        }
    };
    match idle_p {
        Some(p) => idle::adopt(m, p),
        None => wait_aside(m),
    }
}

/// As `idle::idle`, for an M on which nothing may begin: it sleeps until one of its residents is due.
fn stand_aside(m: &'static M, p: &'static P) {
    {
        let _central = SCHED.central.lock();
        if !may_rest(m) {
            return;
        }
        idle::release(m, p);
        idle::expect_p(m);
        m.rest.set(Rest::Aside);
    }
    idle::handoff_or_idle(p);
    wait_aside(m);
}

fn wait_aside(m: &'static M) {
    let rested = idle::take_handed(m);
    debug_assert!(matches!(rested, Rested::With(_)), "only idle Ms are sent away");
}

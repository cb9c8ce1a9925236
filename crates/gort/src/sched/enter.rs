//! The border between user code and the runtime.
//!
//! Entering costs a plain increment and a load as long as nobody wants the P. If sysmon has marked the M, the two settle by a
//! compare-exchange on the P's owner word who has it (`gort_lockfree::owner`); an M that lost puts its goroutine into the global queue, where
//! some other M finds it, and goes to sleep. The goroutine notices nothing but the time.
//!
//! A goroutine that calls gort again and again but never parks keeps winning that race. Sysmon sees that its P has switched to nobody else for
//! a slice and asks it to give way, which it does here (`M::give_way`).

use super::m::{Action, M};
use super::p::P;
use super::{fixed, hogs, perturb, run};
use crate::g::G;
use crate::sys::fence::Barrier;
use std::sync::atomic::Ordering::Relaxed;

/// Proof that the calling goroutine is inside the runtime and that its M owns a P. Ends with [`Inside::leave`].
#[must_use]
pub(crate) struct Inside {
    pub(crate) m: &'static M,
    pub(crate) p: &'static P,
}

impl Inside {
    /// Back to user code.
    #[inline(always)]
    pub(crate) fn leave(self) {
        self.m.stay.leave();
    }
}

/// Enters the runtime; waits for a P if ours is gone.
#[inline(always)]
pub(crate) fn enter(g: &'static G) -> Inside {
    loop {
        // SAFETY: `g` is the goroutine that runs this.
        let m = unsafe { M::of(g) };
        if !step_in(m)
            && let Some(p) = m.p.get()
        {
            return Inside { m, p };
        }
        if let Some(inside) = enter_slow(m, g) {
            return inside;
        }
    }
}

#[cold]
#[inline(never)]
fn enter_slow(m: &'static M, g: &'static G) -> Option<Inside> {
    let action = match keep_p(m) {
        Some(p) if !must_give_way(m, p) => return Some(Inside { m, p }),
        // Behind what waits in the global queue, as Go does with those it preempts: at the end of its own ring it might be alone.
        _ => Action::Requeue,
    };
    // In a marked section the mark stays.
    let before = g.status();
    // SAFETY: inside the runtime on `m`, nothing is held.
    unsafe { run::leave(m, g, action) };
    g.set_status(before);
    // Resumed by an M with a P, in user code; enter again.
    None
}

/// Enters the runtime in order to leave the stack, for which no P is needed.
#[inline(always)]
pub(super) fn enter_or_lose(g: &'static G) -> &'static M {
    // SAFETY: `g` is the goroutine that runs this.
    let m = unsafe { M::of(g) };
    if step_in(m) {
        keep_p(m);
    }
    m
}

/// Settles with sysmon who has the P. `None`: it is gone, or about to be given up.
#[cold]
#[inline(never)]
fn keep_p(m: &'static M) -> Option<&'static P> {
    crate::sys::fork::refuse_child();
    let p = m.p.get();
    let kept = p.and_then(|p| p.owner.renew(m.lease.get()).map(|lease| (p, lease)));
    m.stay.clear_mark();
    match kept {
        Some((p, lease)) => {
            m.lease.set(lease);
            Some(p)
        }
        None => {
            m.p.set(None);
            hogs::enters(m);
            None
        }
    }
}

/// A gort call that does not park gives way here if its goroutine has used up its slice.
#[inline(always)]
pub(crate) fn checkpoint(g: &'static G) {
    // SAFETY: `g` is the goroutine that runs this.
    if unsafe { M::of(g) }.stay.is_marked() {
        checkpoint_slow(g);
    }
}

/// The beginning of a call that may park: a checkpoint, and a place where a perturbed run gives way.
#[inline(always)]
pub(crate) fn begin_call(g: &'static G) {
    if !g.is_thread() {
        if perturb::is_on() {
            perturb::maybe_yield(g);
        }
        checkpoint(g);
    }
}

/// Whether sysmon has taken the P of `g`, which calls this and had one when it was last in the runtime. A hint: what counts is settled on entering.
#[inline(always)]
pub(super) fn has_lost_p(g: &'static G) -> bool {
    // SAFETY: `g` is the goroutine that runs this.
    let m = unsafe { M::of(g) };
    m.stay.is_marked() && m.p.get().is_some_and(|p| p.owner.current() != m.lease.get())
}

/// True if [`begin_call`] would do something: a call that has nothing else to do may leave it out otherwise.
#[inline(always)]
pub(crate) fn is_wanted() -> bool {
    // SAFETY: the current goroutine is the one that runs this.
    perturb::is_on() || run::current().is_some_and(|g| !g.is_thread() && unsafe { M::of(g) }.stay.is_marked())
}

#[cold]
#[inline(never)]
fn checkpoint_slow(g: &'static G) {
    enter(g).leave();
}

/// Takes sysmon's request, if there is one. A P that is not wanted any more is given up at the switch.
fn must_give_way(m: &'static M, p: &'static P) -> bool {
    // Relaxed: the mark orders it (`M::ask_to_give_way`); one that comes too late holds for the next visit, or is made again.
    m.give_way.swap(false, Relaxed) || p.is_retired()
}

/// True: somebody is after the P. Without membarrier each entry pays a full fence.
#[inline(always)]
fn step_in(m: &'static M) -> bool {
    if fixed().barrier == Barrier::None { m.stay.enter_fenced() } else { m.stay.enter() }
}

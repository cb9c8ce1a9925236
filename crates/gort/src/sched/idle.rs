//! Ms without work: giving up the P, sleeping, polling; and waking them.
//!
//! **Nobody is left behind.** Work is submitted by queueing it, a SeqCst fence, and a look at the counts: if a P is idle and nobody spins, one
//! M is woken to spin (`wake_for_work`; the counts and the argument are in `gort_lockfree::spinning`). An M that gives up raises the count of
//! idle Ps, lowers that of spinners, fences, and looks at every queue again (`rest`). One of the two sees the other. The run-next slot of a
//! running P is exempt: its owner takes it within one slice, and if it does not come back to the scheduler, sysmon wakes somebody.
//!
//! **Somebody polls.** An M out of work sleeps on its futex while another M runs: the one that runs polls every 61st run, and when it, too, has
//! nothing left, which gathers more events for each poll. The M that gives up the last P polls, blocked, until the earliest timer. If an M runs
//! but makes no progress, sysmon says so (`SCHED.hogged`) and wakes one to poll.
//!
//! **Somebody minds the timers** of idle Ps. The M that blocks in the poller and the *keeper*, an idle M that sleeps with a limit, say under the
//! scheduler's lock until when they wait (`Central::covered_ns`). An M that goes to sleep compares the timers of all idle Ps with that, under the
//! same lock, and becomes the keeper if one is earlier. A running M compares `SCHED.idle_next_ns` every few runs. Sysmon fires what is overdue
//! all the same, and does not sleep for good unless everything is covered.

use super::find::{self, POLL_BLOCKED, POLL_NOBODY};
use super::m::Rest;
use super::p::P;
use super::{M, SCHED, bound, fixed, spare};
use crate::alloc::Magazine;
use crate::g::{G, GList, Status};
use crate::sys::clock;
use crate::sys::futex;
use crate::sys::poller::Timeout;
use crate::timer::{NEVER, Target};
use gort_lockfree::runq::CAP;
use std::ptr;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::fence;

/// The M with this id, if it exists.
pub(super) fn m_by_id(id: u32) -> Option<&'static M> {
    // SAFETY: null or an M, and Ms are never freed. Acquire: pairs with the Release that published it in `start::new_m`.
    unsafe { SCHED.ms.get(id as usize)?.load(Acquire).as_ref() }
}

/// Takes a P into use.
pub(super) fn adopt(m: &'static M, p: &'static P) {
    m.lease.set(p.owner.acquire(m.id));
    m.p.set(Some(p));
    bound::note_p(m);
    // Relaxed: a hint for `resize` and dumps.
    m.p_seen.store(ptr::from_ref(p).cast_mut(), Relaxed);
    wake_sysmon_if_asleep();
    // Relaxed, all of them: a wake-up that is missed is made up for by sysmon's next round.
    if SCHED.sysmon_rests.load(Relaxed) && SCHED.spinning.idle() == 0 && SCHED.sysmon_rests.swap(false, Relaxed) {
        super::sysmon::wake();
    }
}

/// How a rest has ended.
pub(super) enum Rested {
    /// With a P, and perhaps with a goroutine to run.
    With(Option<&'static G>),
    /// The thread is to end: the runtime stops, or has threads to spare.
    ToLeave,
}

/// Gives up the P after finding nothing to do, and waits.
pub(super) fn idle(m: &'static M, p: &'static P) -> Rested {
    let claimant = {
        let mut central = SCHED.central.lock();
        // SAFETY: the M owns the P.
        if let Some(g) = unsafe { central.take(p, true) } {
            return Rested::With(Some(g));
        }
        if p.is_retired() || !bound::may_rest(m) {
            return Rested::With(None);
        }
        release(m, p);
        let claimant = central.lay_down(p);
        register(&mut central, m);
        claimant
    };
    bound::hand_to(claimant, p);
    rest(m)
}

/// Waits for a P.
pub(super) fn acquire(m: &'static M) -> Rested {
    {
        let mut central = SCHED.central.lock();
        let may_rest = bound::may_rest(m);
        if (!may_rest || is_work_anywhere())
            && let Some(p) = central.pop_idle_p()
        {
            drop(central);
            adopt(m, p);
            return Rested::With(None);
        }
        let ends = central.phase.lets_ms_go();
        if (ends || !may_rest) && m.spinning.replace(false) {
            SCHED.spinning.stop_without_work();
        }
        if !may_rest || ends && bound::must_stay(m) {
            // If the runtime stops, the next start has Ps.
            bound::claim(&mut central, m);
            drop(central);
            return take_handed(m);
        }
        if ends {
            return Rested::ToLeave;
        }
        register(&mut central, m);
    }
    if !super::stop::is_running() {
        // Its goroutine may have been the last, and has ended without a P: the monitor would see nobody take one.
        wake_sysmon_if_asleep();
    }
    rest(m)
}

/// Ends the M's ownership of its P. Under the scheduler's lock.
pub(super) fn release(m: &'static M, p: &'static P) {
    let released = p.owner.release(m.lease.get());
    debug_assert!(released, "an M inside the runtime owns its P");
    m.p.set(None);
}

fn register(central: &mut super::global::Central, m: &'static M) {
    expect_p(m);
    central.push_idle_m(m);
}

/// The M is about to wait in [`take_handed`]. Under the scheduler's lock.
pub(super) fn expect_p(m: &'static M) {
    // Relaxed: published by the lock.
    m.wake.store(0, Relaxed);
    m.handed_p.store(ptr::null_mut(), Relaxed);
}

/// The M is among the idle ones and has no P: waits until it has one.
fn rest(m: &'static M) -> Rested {
    if m.spinning.replace(false) {
        SCHED.spinning.stop_without_work();
    } else {
        // Pairs with the fence of `Spinning::submitted`: either the submitter sees the idle P, or we see its work.
        fence(SeqCst);
    }
    loop {
        if is_work_anywhere()
            && let Some(rested) = withdraw(m)
        {
            return rested;
        }
        let rested = match duty() {
            Duty::Poll => rest_in_poller(m),
            Duty::Sleep => rest_on_futex(m),
        };
        if let Some(rested) = rested {
            return rested;
        }
    }
}

enum Duty {
    Poll,
    Sleep,
}

/// Decides whether this idle M polls, and takes the duty if so.
fn duty() -> Duty {
    let all_idle = {
        let central = SCHED.central.lock();
        central.idle_p_count >= SCHED.procs.load(Relaxed)
    };
    // Relaxed: a hint from sysmon, which repeats it.
    if !all_idle && !SCHED.hogged.load(Relaxed) {
        return Duty::Sleep;
    }
    loop {
        match SCHED.polling.compare_exchange(POLL_NOBODY, POLL_BLOCKED, Acquire, Relaxed) {
            Ok(_) => return Duty::Poll,
            Err(POLL_BLOCKED) => return Duty::Sleep,
            // Somebody looks without waiting and is back in a moment; nobody would poll if we went to sleep now.
            Err(_) => std::thread::yield_now(),
        }
    }
}

/// Blocks in the poller. `None`: the M is still among the idle ones.
fn rest_in_poller(m: &'static M) -> Option<Rested> {
    m.in_poll.store(true, Relaxed);
    let settle_ns = settle_time(m);
    // SeqCst: pairs with the fence in `hand`: either we see `wake`, or the waker sees `in_poll` and wakes the poller. Also pairs with the fence
    // in `arm_outside`: either the poll's limit counts the new timer, or its owner sees that we are blocked.
    fence(SeqCst);
    let mut ready = GList::new();
    if m.wake.load(Relaxed) == 0 {
        let until_ns = {
            let mut central = SCHED.central.lock();
            // Under the lock: an M that goes idle later compares its timers with this, one that did so earlier has let its P go, and its
            // timers are counted.
            central.poll_until_ns = poll_limit().min(settle_ns);
            central.poll_until_ns
        };
        let timeout = if until_ns == NEVER { Timeout::Forever } else { Timeout::Until(until_ns) };
        find::poll(m, CAP, timeout, &mut ready);
    }
    m.in_poll.store(false, Relaxed);
    SCHED.central.lock().poll_until_ns = NEVER;
    SCHED.polling.store(POLL_NOBODY, Release);
    settle(m, settle_ns);
    wake_threads(&mut ready);
    let count = ready.len();
    bound::send_home(m, &mut ready);
    let rested = withdraw(m);
    let Some(p) = m.p.get() else {
        // All Ps are busy: one of them will find these. Or nobody, until the next start.
        if !ready.is_empty() {
            super::global::push_list(&mut ready);
        }
        return rested;
    };
    p.counters.polls.add(1);
    p.counters.events.add(count as u64);
    let first = ready.pop();
    while let Some(g) = ready.pop() {
        // SAFETY: the M owns the P.
        unsafe { p.put_back(g) };
    }
    find::wake_for_backlog(m, count);
    Some(Rested::With(first))
}

/// Threads in a list are woken here; what remains are goroutines, marked as runnable.
fn wake_threads(ready: &mut GList) {
    let mut goroutines = GList::new();
    while let Some(g) = ready.pop() {
        if g.is_thread() {
            super::park::ready(g);
        } else {
            g.set_status(Status::Runnable);
            goroutines.push(g);
        }
    }
    *ready = goroutines;
}

/// Sleeps on the futex. `None`: the M is still among the idle ones.
fn rest_on_futex(m: &'static M) -> Option<Rested> {
    let (deadline_ns, leave_ns) = {
        let mut central = SCHED.central.lock();
        let mut next_ns = SCHED.timers.next_ns();
        central.for_idle_ps(|p| next_ns = next_ns.min(p.timers.next_ns()));
        // Without an idle P all timers belong to Ms that run. One that has been taken from the list is about to get a P and keeps nothing.
        if m.rest.get() == Rest::Idle && central.idle_p_count > 0 && next_ns < central.covered_ns() {
            central.keeper = m;
            central.keeper_ns = next_ns;
            (next_ns, NEVER)
        } else {
            (NEVER, spare::leave_time(&central, m))
        }
    };
    let settle_ns = settle_time(m);
    let until_ns = deadline_ns.min(settle_ns).min(leave_ns);
    // Acquire: pairs with the Release in `hand`.
    while m.wake.load(Acquire) == 0 {
        if futex::wait(&m.wake, 0, (until_ns != NEVER).then_some(until_ns)) == futex::WaitResult::TimedOut {
            break;
        }
    }
    settle(m, settle_ns);
    if spare::leaves(m, leave_ns) { Some(Rested::ToLeave) } else { withdraw(m) }
}

/// An M that has been idle for so long gives the blocks in its magazine back.
const SETTLE_NS: u64 = 1_000_000_000;

/// When an M that goes to sleep now should give its magazine back; [`NEVER`] if it is empty.
fn settle_time(m: &'static M) -> u64 {
    // SAFETY: the M's own thread runs this, and no goroutine runs on it.
    let has_blocks = unsafe { (*m.magazine.get()).has_blocks() };
    if has_blocks { clock::now_ns() + SETTLE_NS } else { NEVER }
}

/// Gives the magazine back if that time has come.
fn settle(m: &'static M, settle_ns: u64) {
    if settle_ns != NEVER && clock::now_ns() >= settle_ns {
        // SAFETY: as in `settle_time`; the M has its own thread pointer while it is idle.
        unsafe { Magazine::give_back(m.magazine.get()) };
    }
}

/// Leaves the idle list: with a P, one handed over or any idle one, or because it was dismissed. `None` if there is no P; the M is then still
/// registered. One with residents to run claims a P and waits for it.
fn withdraw(m: &'static M) -> Option<Rested> {
    let taken = {
        let mut central = SCHED.central.lock();
        if central.remove_idle_m(m) {
            let p = central.pop_idle_p();
            match p {
                None if bound::is_due(m) => bound::claim(&mut central, m),
                None => {
                    register(&mut central, m);
                    return None;
                }
                Some(_) => {}
            }
            p
        } else {
            None
        }
    };
    if let Some(p) = taken {
        adopt(m, p);
        return Some(Rested::With(None));
    }
    // Somebody took us out of the list and is about to say why.
    Some(take_handed(m))
}

/// Waits for the P that somebody hands over, or for the word to end.
pub(super) fn take_handed(m: &'static M) -> Rested {
    // Acquire: pairs with the Release in `hand`.
    while m.wake.load(Acquire) == 0 {
        futex::wait(&m.wake, 0, None);
    }
    // SAFETY: an M taken from a list is always handed a P, before `wake`, or null; Ps are never freed.
    let Some(p) = (unsafe { m.handed_p.load(Relaxed).as_ref() }) else { return Rested::ToLeave };
    adopt(m, p);
    m.spinning.set(m.handed_spinning.load(Relaxed));
    Rested::With(None)
}

/// Tells every idle M to end. The phase is such that none becomes idle any more.
pub(super) fn dismiss_all() {
    loop {
        let idle_m = SCHED.central.lock().pop_idle_m();
        let Some(m) = idle_m else { return };
        hand(m, None, false);
    }
}

/// Wakes `m`, which was taken from a list under the scheduler's lock, with a P, or without one to end.
pub(super) fn hand(m: &'static M, p: Option<&'static P>, spinning: bool) {
    m.handed_p.store(p.map_or(ptr::null_mut(), |p| ptr::from_ref(p).cast_mut()), Relaxed);
    m.handed_spinning.store(spinning, Relaxed);
    // Release: publishes the two above to `withdraw`.
    m.wake.store(1, Release);
    // Pairs with the fence in `rest_in_poller`.
    fence(SeqCst);
    if m.in_poll.load(Relaxed) {
        fixed().netpoll.wake();
    }
    futex::wake(&m.wake, 1);
}

/// Work was queued where others can take it: wakes one M to look for it, if a P is idle and nobody looks already.
#[inline]
pub(crate) fn wake_for_work() {
    if SCHED.spinning.submitted() {
        wake_one();
    }
}

#[cold]
fn wake_one() {
    if super::perturb::is_on() {
        super::perturb::delay_wake();
    }
    let mut central = SCHED.central.lock();
    let Some(p) = central.pop_idle_p() else {
        // Never says "again" under the lock under which Ps become idle.
        let _ = SCHED.spinning.cancel_wake();
        return;
    };
    match central.pop_idle_m() {
        Some(m) => {
            drop(central);
            hand(m, Some(p), true);
        }
        None => {
            central.push_idle_p(p);
            // Whoever relied on this wake-up is served by the thread that is on its way: it looks at every queue.
            let _ = SCHED.spinning.cancel_wake();
            drop(central);
            want_m();
        }
    }
}

/// Finds an M for a P that nobody runs and that has work waiting.
pub(super) fn handoff(p: &'static P) {
    let mut central = SCHED.central.lock();
    match central.pop_claim().or_else(|| central.pop_idle_m()) {
        Some(m) => {
            drop(central);
            hand(m, Some(p), false);
        }
        None => {
            drop(central);
            put_down(p);
            want_m();
        }
    }
}

/// Puts a P that nobody runs among the idle ones, or out of use if it is not wanted any more.
fn put_down(p: &'static P) {
    {
        let mut central = SCHED.central.lock();
        // Under the lock under which `resize` retires Ps: none slips in behind its back.
        if !p.is_retired() {
            let claimant = central.lay_down(p);
            drop(central);
            return bound::hand_to(claimant, p);
        }
    }
    super::resize::take_out(p);
}

/// Gives a P away for which there may be no work.
pub(super) fn handoff_or_idle(p: &'static P) {
    if !p.is_retired() && (!p.queue.is_empty() || super::global::has_work() || p.inbox_full.load(Relaxed)) {
        return handoff(p);
    }
    put_down(p);
    // Pairs with `Spinning::submitted`: either the submitter sees the idle P, or we see its work.
    fence(SeqCst);
    let (all_idle, is_late) = {
        let central = SCHED.central.lock();
        let mut next_ns = SCHED.timers.next_ns();
        central.for_idle_ps(|p| next_ns = next_ns.min(p.timers.next_ns()));
        (central.idle_p_count >= SCHED.procs.load(Relaxed), next_ns < central.covered_ns())
    };
    // Relaxed: whoever leaves the poller looks at everything afterwards.
    let is_polled = SCHED.polling.load(Relaxed) == POLL_BLOCKED;
    if is_late && is_polled {
        // The poller did not know of this P's timers.
        fixed().netpoll.wake();
    }
    if is_work_anywhere() || !is_polled && (all_idle || is_late) {
        // Work has come, or nobody would poll or mind the timers.
        let p = SCHED.central.lock().pop_idle_p();
        if let Some(p) = p {
            handoff(p);
        }
    }
}

/// Asks sysmon for one more thread.
pub(super) fn want_m() {
    // SeqCst: pairs with `start::m_main`. Either we see that a thread is on its way, which will look at every queue, or it has begun to
    // look and is among the idle ones or busy.
    if SCHED.ms_starting.load(SeqCst) > 0 {
        return;
    }
    // Relaxed: sysmon looks after it is woken.
    SCHED.ms_wanted.store(1, Relaxed);
    super::sysmon::wake();
}

/// When the earliest timer of all is due.
pub(super) fn earliest_timer() -> u64 {
    super::snapshot::ps().map(|p| p.timers.next_ns()).fold(SCHED.timers.next_ns(), u64::min)
}

/// How long the poller may block. A timer of a P that somebody runs is for that somebody; if it is due already, its M is a hog, and sysmon will
/// fire it: no reason to come back at once, again and again.
fn poll_limit() -> u64 {
    let soon_ns = clock::now_ns() + HOGGED_TIMER_NS;
    super::snapshot::ps().fold(SCHED.timers.next_ns(), |limit_ns, p| {
        let next_ns = p.timers.next_ns();
        limit_ns.min(if p.owner.current().is_idle() { next_ns } else { next_ns.max(soon_ns) })
    })
}

/// See [`poll_limit`].
const HOGGED_TIMER_NS: u64 = 1_000_000;

/// A timer of a plain thread's making.
pub(super) fn arm_outside(when_ns: u64, target: Target) {
    SCHED.timers.push(when_ns, target);
    SCHED.idle_next_ns.fetch_min(when_ns, SeqCst);
    // Pairs with the fence in `rest_in_poller`.
    fence(SeqCst);
    if SCHED.polling.load(Relaxed) == POLL_BLOCKED {
        fixed().netpoll.wake();
    } else {
        wake_for_work();
    }
    super::sysmon::wake();
}

pub(super) fn is_work_anywhere() -> bool {
    if super::global::has_work() {
        return true;
    }
    super::snapshot::ps().any(|p| {
        // The run-next slot of a P that runs is its owner's business; that of an idle one is everybody's.
        let queued = if p.owner.current().is_idle() { p.queue.len() } else { p.queue.ring_len() };
        queued > 0 || p.inbox_full.load(Relaxed)
    })
}

fn wake_sysmon_if_asleep() {
    // Relaxed: sysmon looks at the idle count again after it has said that it sleeps (`sysmon`), under the same lock as `pop_idle_p`.
    if SCHED.sysmon_asleep.load(Relaxed) {
        super::sysmon::wake();
    }
}

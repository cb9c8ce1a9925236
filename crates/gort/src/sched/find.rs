//! Where an M looks for work, in which order.
//!
//! 1. every 61st run: the global queue or, if that is empty, the network, so that a busy P hides neither; if somebody in it is late the global
//!    queue also every eighth, and when sysmon asks for it;
//! 2. timers that are due, its own and those of idle Ps;
//! 3. its own run-next slot and queue;
//! 4. the global queue;
//! 5. the queues of other Ps, in random order: half of what is there; the run-next slot of another P only in the last pass, and only if its
//!    owner has not been in the scheduler for a while (it would run the goroutine next itself, and cheaper);
//! 6. nothing: give the P up (`idle`). The network has its turn there: the last M to give up polls, blocked.
//!
//! An M that runs dry while another runs does not look at the network before it sleeps. It would find a few events every time and stay awake
//! for them (docs/decisions/0004).
//!
//! In bound mode the own queue is two, the M's and the P's (`bound`), and everything else holds goroutines that have not begun.

use super::idle::Rested;
use super::p::{FAIRNESS, P, TIMER_TICKS};
use super::{M, SCHED, bound, fixed, global, hogs, idle, locked, perturb, rescue, resize, run};
use crate::g::record::{BOUND, LOCKED};
use crate::g::{G, GList, Status};
use crate::sys::clock;
use crate::sys::poller::Timeout;
use gort_lockfree::order::RandomOrder;
use gort_lockfree::runq::CAP;
use std::ptr;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};

/// Nobody polls.
pub(super) const POLL_NOBODY: u32 = 0;
/// Somebody polls without waiting and will be back at once.
pub(super) const POLL_BRIEF: u32 = 1;
/// Somebody is blocked in the poller.
pub(super) const POLL_BLOCKED: u32 = 2;

/// A poll that brings more work than this is worth waking a second M: below it, the wake-up costs more than it saves.
const WORTH_WAKING_NS: u64 = 100_000;
/// A full queue does not keep the network out.
const FEW_EVENTS: usize = 32;
const PASSES: u32 = 4;

/// Finds the next goroutine for `m`, waiting for one if need be; `None` if the M is to end. Runs with the M's own thread pointer.
///
/// Not inlined: the compiler may compute the address of a thread-local once for a whole function, and the caller changes the thread pointer.
#[inline(never)]
pub(super) fn find(m: &'static M, first: Option<&'static G>) -> Option<(&'static G, &'static P)> {
    let mut hint = first;
    loop {
        if m.residents.is_closed() {
            put_back_hint(m, hint.take());
            return Some(bound::find_resident(m));
        }
        if let Some(own) = m.locked.get() {
            put_back_hint(m, hint.take());
            if m.is_spoilt.get() {
                locked::give_up(m);
                return None;
            }
            let p = locked::wait_for_turn(m);
            return Some((own, p));
        }
        let Some(p) = m.p.get() else {
            if let Some(rescued) = rescue::begin(m) {
                return Some(rescued);
            }
            if !hogs::comes_back(m) || rescue::leaves(m) {
                return None;
            }
            match idle::acquire(m) {
                Rested::With(g) => hint = g,
                Rested::ToLeave if bound::must_stay(m) => {}
                Rested::ToLeave => return None,
            }
            continue;
        };
        if p.is_retired() {
            put_back_hint(m, hint.take());
            resize::give_up(m, p);
            continue;
        }
        if bound::is_p_claimed() && bound::must_pass_on(m, p) {
            put_back_hint(m, hint.take());
            bound::pass_on(m, p);
            continue;
        }
        let Some(g) = hint.take().or_else(|| look(m, p)) else {
            match idle::idle(m, p) {
                Rested::With(g) => hint = g,
                Rested::ToLeave if bound::must_stay(m) => {}
                Rested::ToLeave => return None,
            }
            continue;
        };
        let ready = prepare(m, p, g);
        if ready.is_some() {
            return ready;
        }
    }
}

fn put_back_hint(m: &'static M, hint: Option<&'static G>) {
    if let (Some(g), Some(p)) = (hint, m.p.get()) {
        // SAFETY: the M owns its P.
        unsafe { p.put_back(g) };
    }
}

/// Makes `g` fit to run here; `None` if it went elsewhere.
fn prepare(m: &'static M, p: &'static P, g: &'static G) -> Option<(&'static G, &'static P)> {
    if m.spinning.replace(false) && SCHED.spinning.stop_with_work() {
        // The last spinner found work: there may be more, and nobody looks.
        idle::wake_for_work();
    }
    // Relaxed: written by the M that ran the goroutine last, and published with it.
    let last = g.m.load(Relaxed).cast::<M>().cast_const();
    if g.has(LOCKED) {
        if !ptr::eq(last, m) {
            locked::hand_over(m, p, g);
            return None;
        }
    } else if perturb::has(perturb::MOVE) && ptr::eq(last, m) && perturb::move_elsewhere(m, p, g) {
        return None;
    }
    if g.tp.get() == 0
        && let Err(error) = run::bind(p, g)
    {
        super::stackless::wait_for_stack(g, &error);
        return None;
    }
    // SAFETY: the M owns the P and runs with its own thread pointer.
    unsafe {
        if p.stacks_full() {
            p.spill_stacks(false);
        }
    }
    Some((g, p))
}

fn look(m: &'static M, p: &'static P) -> Option<&'static G> {
    let is_asked = p.has_looked();
    let tick = p.tick.get();
    let (is_fair_turn, looks_for_timers) = (tick.is_multiple_of(FAIRNESS), tick.is_multiple_of(TIMER_TICKS));
    if is_fair_turn || looks_for_timers {
        p.tick.set(tick.wrapping_add(1));
    }
    if run::has_timers(p) {
        run_timers(m, p);
    }
    // A pair that keeps handing over in the run-next slot hardly moves the tick.
    let is_end_of_chain = p.is_chain_over() && p.gives_global_a_turn();
    // Those that are late have no turn before the own queue at every look: there may always be some.
    let is_turn_of_late = (is_asked || looks_for_timers) && !is_fair_turn && global::has_late();
    if is_fair_turn || is_end_of_chain || is_turn_of_late {
        if global::has_work() {
            // Without a poll in the same turn: it would refill the ring before the global queue is empty, turn after turn, and what has
            // spilled there would wait for ever.
            let mut central = SCHED.central.lock();
            // SAFETY: the M owns the P.
            let found = if is_turn_of_late { unsafe { central.take(p, false) } } else { central.take_other() };
            drop(central);
            if let Some(g) = found {
                p.reset_chain();
                return Some(g);
            }
        }
        if is_fair_turn {
            poll_briefly(m, p);
        }
    }
    if perturb::is_on() {
        if let Some(g) = take_inbox(p, None) {
            return Some(g);
        }
        if perturb::steals_now()
            && let Some(g) = steal(m, p)
        {
            return Some(g);
        }
    }
    if let Some(g) = pick(m, p) {
        return Some(g);
    }
    p.counters.dry.add(1);
    if global::has_work() {
        // SAFETY: the M owns the P.
        if let Some(g) = unsafe { SCHED.central.lock().take(p, true) } {
            return Some(g);
        }
    }
    steal(m, p)
}

fn pick(m: &'static M, p: &'static P) -> Option<&'static G> {
    // SAFETY: the M owns the P.
    unsafe { if fixed().is_bound() { bound::pick(m, p) } else { p.pick() } }
}

/// Timers and network alone, for an M that looks nowhere else.
pub(super) fn look_outside(m: &'static M, p: &'static P) {
    if run::has_timers(p) {
        run_timers(m, p);
    }
    if p.tick.get().is_multiple_of(FAIRNESS) {
        poll_briefly(m, p);
    }
}

/// Fires what is due, of this P and of idle ones.
fn run_timers(m: &'static M, p: &'static P) {
    let now_ns = clock::now_ns();
    let mut ready = GList::new();
    p.timers.expire(now_ns, &mut ready);
    // Relaxed: a hint that may be too early, never too late; see the field.
    if SCHED.idle_next_ns.load(Relaxed) <= now_ns {
        expire_idle(now_ns, &mut ready);
    }
    let has_fired = !ready.is_empty();
    // The one that is due first has its turn next: behind a long queue it would be late, and it is no more than one.
    if p.queue.len() == p.queue.ring_len()
        && let Some(g) = ready.pop()
    {
        super::park::ready_in_scheduler(g, Some(p));
    }
    // Not before those that have been late for longer. When the ring is empty, it is filled with those.
    let room = if global::has_late() { 0 } else { CAP - p.queue.ring_len() };
    take_over(m, p, &mut ready, room);
    // What does not fit has waited for its time already: not behind all that the global queue holds.
    super::park::ready_late(&mut ready);
    if has_fired && p.queue.len() > 1 {
        idle::wake_for_work();
    }
}

/// Fires the due timers of idle Ps and plain threads.
pub(super) fn expire_idle(now_ns: u64, ready: &mut GList) {
    let central = SCHED.central.lock();
    // From here the bound is rebuilt; who adds a timer or an idle P meanwhile lowers it again. SeqCst: see `TimerSet::next_ns`.
    // A read-modify-write, so that the looks at the sets come after it.
    SCHED.idle_next_ns.swap(crate::timer::NEVER, SeqCst);
    let mut next_ns = crate::timer::NEVER;
    central.for_idle_ps(|p| {
        p.timers.expire(now_ns, ready);
        next_ns = next_ns.min(p.timers.next_ns());
    });
    SCHED.timers.expire(now_ns, ready);
    next_ns = next_ns.min(SCHED.timers.next_ns());
    SCHED.idle_next_ns.fetch_min(next_ns, SeqCst);
}

/// Queues what a poll or a timer has made ready, up to `most`.
fn take_over(m: &'static M, p: &'static P, ready: &mut GList, most: usize) {
    for _ in 0..most {
        let Some(g) = ready.pop() else { return };
        if g.is_thread() {
            super::park::ready(g);
            continue;
        }
        g.set_status(Status::Runnable);
        if g.has(BOUND) {
            bound::put_back(m, g);
        } else {
            // SAFETY: the caller's M owns the P.
            unsafe { p.put_back(g) };
        }
    }
}

/// Looks at the network without waiting, unless somebody else does. Returns how many goroutines became ready.
fn poll_briefly(m: &'static M, p: &'static P) -> usize {
    // Acquire and Release: the poller's duty is a lock that is only ever tried.
    if !crate::netpoll::is_any_in_use()
        || SCHED.polling.load(Relaxed) != POLL_NOBODY
        || SCHED.polling.compare_exchange(POLL_NOBODY, POLL_BRIEF, Acquire, Relaxed).is_err()
    {
        return 0;
    }
    let mut ready = GList::new();
    // No more than fits: what spills into the global queue costs a lock, and nobody polls while that has work.
    let room = CAP - p.queue.ring_len();
    poll(m, room.max(FEW_EVENTS), Timeout::Now, &mut ready);
    SCHED.polling.store(POLL_NOBODY, Release);
    p.counters.polls.add(1);
    let count = ready.len();
    p.counters.events.add(count as u64);
    take_over(m, p, &mut ready, usize::MAX);
    wake_for_backlog(m, count);
    count
}

/// The poll itself; the caller holds the duty.
pub(super) fn poll(m: &'static M, max: usize, timeout: Timeout, ready: &mut GList) {
    // SAFETY: the batch belongs to the M's own thread, which runs this.
    let batch = unsafe { &mut *m.batch.get() };
    fixed().netpoll.poll(batch, max, timeout, ready);
    let now_ns = clock::now_ns();
    // Relaxed: read by sysmon as hints.
    SCHED.last_poll_events.store(ready.len(), Relaxed);
    SCHED.last_poll_ns.store(now_ns, Relaxed);
    SCHED.coarse_ms.store((now_ns - fixed().start_ns) / 1_000_000, Relaxed);
}

/// After a poll: a second M is worth waking if what came in will keep this one busy for long enough.
pub(super) fn wake_for_backlog(m: &'static M, count: usize) {
    let Some(p) = m.p.get() else { return };
    let now_ns = SCHED.last_poll_ns.load(Relaxed);
    let runs = u64::from(p.tick.get().wrapping_sub(m.poll_end_tick.get()));
    if runs > 0 && m.poll_end_ns.get() != 0 {
        // The time from poll to poll over the runs in between: an upper bound that includes the poll itself.
        let mean = (now_ns.saturating_sub(m.poll_end_ns.get()) / runs).min(10_000_000);
        m.run_ns.set((m.run_ns.get() * 7 + mean) / 8);
    }
    m.poll_end_ns.set(now_ns);
    m.poll_end_tick.set(p.tick.get());
    if count >= 2 && count as u64 * m.run_ns.get() > WORTH_WAKING_NS {
        idle::wake_for_work();
    }
}

/// Takes from the inbox of `p`; `not_from` leaves goroutines that ran last on that M, which must not have them.
fn take_inbox(p: &'static P, not_from: Option<&'static M>) -> Option<&'static G> {
    // Acquire and Release: a hint; the lock orders the list.
    if !p.inbox_full.load(Acquire) {
        return None;
    }
    let mut inbox = p.inbox.lock();
    let mut found = None;
    for _ in 0..inbox.len() {
        let g = inbox.pop()?;
        let last = g.m.load(Relaxed).cast::<M>().cast_const();
        if not_from.is_none_or(|m| !ptr::eq(last, m)) {
            found = Some(g);
            break;
        }
        inbox.push(g);
    }
    p.inbox_full.store(!inbox.is_empty(), Release);
    found
}

fn steal(m: &'static M, p: &'static P) -> Option<&'static G> {
    let procs = SCHED.ps_made.load(Acquire);
    if procs < 2 {
        return None;
    }
    if !m.spinning.get() {
        let busy = (SCHED.procs.load(Relaxed) as u32).saturating_sub(SCHED.spinning.idle());
        if !SCHED.spinning.try_spin(busy) {
            return None;
        }
        m.spinning.set(true);
    }
    let order = RandomOrder::new(procs as u32);
    let mut is_left = false;
    for pass in 0..PASSES {
        // SAFETY: the M owns the P.
        let seed = unsafe { p.random_below(u32::MAX) };
        for index in order.start(seed) {
            // SAFETY: the first `ps_made` entries are set, and Ps are never freed.
            let victim = unsafe { &*SCHED.ps[index as usize].load(Acquire) };
            if ptr::eq(victim, p) {
                continue;
            }
            let with_next = pass == PASSES - 1 && is_stuck(victim);
            // SAFETY: the M owns `p`, whose ring is empty.
            if let Some(g) = unsafe { victim.queue.steal_into(&p.queue, with_next) } {
                p.counters.steals.add(1);
                // SAFETY: entries are records, which are never freed.
                return Some(unsafe { g.as_ref() });
            }
            if perturb::is_on() {
                if let Some(g) = take_inbox(victim, Some(m)) {
                    return Some(g);
                }
                is_left |= victim.inbox_full.load(Relaxed);
            }
        }
    }
    if is_left {
        // We must not take it, and the wake-up that was meant for it may have come to us.
        perturb::wake_another();
    }
    None
}

/// True if nobody will empty the victim's run-next slot soon: its M stays in user code, or there is none.
fn is_stuck(victim: &'static P) -> bool {
    if victim.queue.len() == victim.queue.ring_len() {
        return false;
    }
    let lease = victim.owner.current();
    let Some(m) = idle::m_by_id(lease.m) else { return true };
    let before = m.stay.sample();
    // About what a park and the next switch need.
    for _ in 0..200 {
        std::hint::spin_loop();
    }
    m.stay.sample() == before && gort_lockfree::owner::Stay::in_user_code(before)
}

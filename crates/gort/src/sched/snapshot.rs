//! Sums over Ps, Ms and goroutines for metrics and dumps.

use super::{M, P, SCHED, idle, retakes, run};
use crate::g::G;
use crate::sys::call::Place;
use crate::sys::clock;
use crate::timer::NEVER;
use gort_lockfree::owner::Stay;
use std::fmt::{self, Write};
use std::sync::atomic::Ordering::{Acquire, Relaxed};

/// The scheduler's own state as text, for dumps.
pub(crate) fn write_state(out: &mut String) {
    // Relaxed: a picture. Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "sched: {} queued globally, {} procs idle, {} threads spinning, poller {}, {} retakes",
        SCHED.global_len.load(Relaxed),
        SCHED.spinning.idle(),
        SCHED.spinning.spinning(),
        ["free", "busy", "blocked"][SCHED.polling.load(Relaxed) as usize % 3],
        retakes::total(),
    );
    let now_ns = clock::now_ns();
    let (covered_ns, keeper) = {
        let central = SCHED.central.lock();
        // SAFETY: null or an M, and Ms are never freed.
        (central.covered_ns(), unsafe { central.keeper.as_ref() }.map(|m| m.id))
    };
    let _ = writeln!(
        out,
        "timers: outside {}, minded until {}{}; sysmon {}",
        Due(SCHED.timers.next_ns(), now_ns),
        Due(covered_ns, now_ns),
        keeper.map(|id| format!(", by M{id} among others")).unwrap_or_default(),
        if SCHED.sysmon_asleep.load(Relaxed) { "asleep" } else { "awake" },
    );
    for p in ps() {
        let lease = p.owner.current();
        let _ = write!(out, "P{}: ", p.id);
        let _ = match (p.is_out(), lease.is_idle()) {
            (true, _) => write!(out, "out of use"),
            (false, true) => write!(out, "idle"),
            (false, false) => write!(out, "on M{}", lease.m),
        };
        // Each is read once: the P goes on meanwhile, and the difference of two looks may be anything.
        let (all, queued) = (p.queue.len(), p.queue.ring_len());
        let next = all.saturating_sub(queued).min(1);
        let _ = writeln!(
            out,
            ", {queued} queued, {next} next, timer {}, {} runs",
            Due(p.timers.next_ns(), now_ns),
            p.counters.runs.get()
        );
    }
    for m in ms() {
        let _ = write!(out, "M{} (thread {}): ", m.id, m.tid.load(Relaxed));
        let place =
            if Stay::in_user_code(m.stay.sample()) { "in goroutine" } else { "in the scheduler, last goroutine" };
        let _ = write!(out, "{place} {}", m.current().map_or(0, crate::g::G::id));
        if m.residents.alive() > 0 {
            let _ = write!(out, ", {} bound to it", m.residents.alive());
        }
        let _ = writeln!(out, "{}", if m.in_poll.load(Relaxed) { ", polling" } else { "" });
    }
}

/// A deadline as people say it, from now.
struct Due(u64, u64);

impl fmt::Display for Due {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(when_ns, now_ns) = *self;
        match when_ns {
            NEVER => f.write_str("none"),
            _ if when_ns <= now_ns => write!(f, "{} us ago", (now_ns - when_ns) / 1000),
            _ => write!(f, "in {} us", (when_ns - now_ns) / 1000),
        }
    }
}

/// The goroutine for which the calling thread runs in `gort::host`, if `address` is in that thread's guard; null otherwise. Async-signal-safe.
pub(crate) fn overflowed_in_host(address: usize) -> *const () {
    // As std: some versions of libc count the guard as a part of the stack.
    const GUARD: usize = crate::sys::stackmem::PAGE;
    let Some(g) = crate::spawn::report::guest() else { return std::ptr::null() };
    // SAFETY: its goroutine runs on this M, and Ms are never freed. Relaxed: this thread's.
    let low = unsafe { M::of(g) }.stack_low.load(Relaxed);
    let is_there = low != 0 && (low - GUARD..low + GUARD).contains(&address);
    if is_there { std::ptr::from_ref(g).cast() } else { std::ptr::null() }
}

/// Where the thread is that runs `g`, as far as can be known, and whether it has a P. Looks at `/proc`, but not for the caller.
pub(crate) fn place_of(g: &'static G) -> (Option<Place>, bool) {
    if run::current().is_some_and(|me| std::ptr::eq(me, g)) {
        return (None, true);
    }
    // SAFETY: null or the M that ran it last, and Ms are never freed. Relaxed: a picture.
    let Some(m) = (unsafe { g.m.load(Relaxed).cast::<M>().cast_const().as_ref() }) else { return (None, true) };
    let seq = m.stay.sample();
    let has_p = m.p_hint().is_some_and(|p| p.owner.current().m == m.id);
    let place = Place::of(m.tid.load(Relaxed));
    // It was there all the time, or nothing of this need be true.
    let is_there = Stay::in_user_code(seq) && m.current().is_some_and(|here| std::ptr::eq(here, g));
    if is_there && m.stay.sample() == seq { (place, has_p) } else { (None, true) }
}

/// Every P ever made.
pub(crate) fn ps() -> impl Iterator<Item = &'static P> {
    let made = SCHED.ps_made.load(Acquire);
    // SAFETY: the first `ps_made` entries are set, and Ps are never freed.
    SCHED.ps[..made].iter().map(|p| unsafe { &*p.load(Acquire) })
}

/// Every M ever made.
pub(crate) fn every_m() -> impl Iterator<Item = &'static M> {
    (0..SCHED.ms_made.load(Acquire)).filter_map(|id| idle::m_by_id(id as u32))
}

/// Every M that has a thread.
pub(crate) fn ms() -> impl Iterator<Item = &'static M> {
    // Relaxed: a picture.
    every_m().filter(|m| !m.is_vacant.load(Relaxed))
}

/// True if a deadline is pending anywhere. Those that were taken back may still lie in the heaps.
pub(crate) fn has_armed_timers() -> bool {
    let is_armed = |set: &crate::timer::TimerSet| set.next_ns() != crate::timer::NEVER && set.pending() > 0;
    is_armed(&SCHED.timers) || ps().any(|p| is_armed(&p.timers))
}

/// Runs of goroutines so far.
pub(super) fn runs() -> u64 {
    ps().fold(0, |sum, p| sum.wrapping_add(p.counters.runs.get()))
}

/// Goroutines alive: queued, running, parked or ending.
pub(crate) fn goroutines() -> u64 {
    // Ends first: a goroutine that starts and ends meanwhile is then not counted as one that ended without having started. What each of those
    // that are counted here has started is counted below (`stop` relies on it).
    let ended: u64 = ps().map(|p| p.counters.ended.get_published()).sum();
    // Acquire: as `get_published`; ends outside a P are subtracted there.
    let outside = SCHED.spawned_outside.load(Acquire);
    let spawned: u64 = ps().map(|p| p.counters.spawned.get()).sum();
    spawned.wrapping_add(outside).wrapping_sub(ended)
}

/// Timers that are to come up.
pub(crate) fn pending_timers() -> usize {
    ps().map(|p| p.timers.pending()).sum::<usize>() + SCHED.timers.pending()
}

//! Perturbation: rare interleavings on demand. Always compiled in, one predicted branch where it is off.
//!
//! `GORT_PERTURB` takes a list of `yield` (a gort call gives way at random), `steal` (an M prefers other Ps' work at random), `move` (a
//! goroutine never runs twice in a row on the same thread if another one exists) and `wake` (a wake-up is delayed at random). `GORT_SEED`
//! replays the decisions of each thread; which thread meets which goroutine is still up to the kernel.

use super::p::P;
use super::{M, SCHED, idle};
use crate::g::G;
use crate::prim::rng::Rng;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU8, AtomicU64};

/// Yields at random in gort calls.
pub(crate) const YIELD: u8 = 1;
/// Steals at random.
pub(crate) const STEAL: u8 = 2;
/// Moves at every park.
pub(crate) const MOVE: u8 = 4;
/// Delays wake-ups at random.
pub(crate) const WAKE: u8 = 8;

static KINDS: AtomicU8 = AtomicU8::new(0);
/// Draws for decisions made outside an M.
static DRAWS: AtomicU64 = AtomicU64::new(0);

/// Turns kinds on. Tests and start-up.
pub(crate) fn set(kinds: u8) {
    // Relaxed: whoever sees it late perturbs late.
    KINDS.store(kinds, Relaxed);
}

#[inline(always)]
pub(crate) fn is_on() -> bool {
    KINDS.load(Relaxed) != 0
}

#[inline(always)]
pub(crate) fn has(kind: u8) -> bool {
    KINDS.load(Relaxed) & kind != 0
}

/// A random number below `bound` from the process-wide stream.
fn draw(bound: u32) -> u32 {
    // Relaxed: draws only have to differ.
    let index = DRAWS.fetch_add(1, Relaxed);
    let seed = if SCHED.fixed.is_set() { SCHED.fixed.get().seed } else { 0 };
    Rng::stream(seed, index).below(bound)
}

/// Before a wake-up: spins for up to some microseconds, one time in four.
#[cold]
pub(crate) fn delay_wake() {
    if has(WAKE) && draw(4) == 0 {
        for _ in 0..draw(2_000) {
            std::hint::spin_loop();
        }
    }
}

/// At the beginning of a gort call on a goroutine: gives way one time in eight.
#[cold]
pub(crate) fn maybe_yield(g: &'static G) {
    if has(YIELD) && draw(8) == 0 {
        super::park::yield_now(g);
    }
}

/// True one time in four: look at other Ps' queues before the own one.
#[cold]
pub(super) fn steals_now() -> bool {
    has(STEAL) && draw(4) == 0
}

/// True one time in four: a marked section gives its P away whatever is known of it.
#[cold]
pub(super) fn gives_away_now() -> bool {
    has(STEAL) && draw(4) == 0
}

/// Makes another M run `g`. With several Ps it goes to the next one's inbox, with a single P the P itself changes hands.
pub(super) fn move_elsewhere(m: &'static M, p: &'static P, g: &'static G) -> bool {
    let procs = SCHED.procs.load(Relaxed);
    if procs > 1 {
        let next = (p.id as usize + 1) % procs;
        // SAFETY: Ps below `procs` exist, and are never freed.
        let other = unsafe { &*SCHED.ps[next].load(Acquire) };
        {
            let mut inbox = other.inbox.lock();
            inbox.push(g);
            other.inbox_full.store(true, Release);
        }
        p.counters.moves.add(1);
        idle::wake_for_work();
        return true;
    }
    let other = SCHED.central.lock().pop_idle_m();
    let Some(other) = other else {
        idle::want_m();
        return false;
    };
    p.counters.moves.add(1);
    // SAFETY: the M owns the P.
    unsafe { p.put_next(g) };
    idle::release(m, p);
    idle::hand(other, Some(p), false);
    true
}

/// Wakes an M for work that the caller, who is awake, must not do.
#[cold]
pub(super) fn wake_another() {
    // Without an idle P all Ms that have one will look.
    let idle_p = SCHED.central.lock().pop_idle_p();
    if let Some(p) = idle_p {
        idle::handoff(p);
    }
}

/// The names of `kinds`, as `GORT_PERTURB` takes them.
pub(super) fn names(kinds: u8) -> String {
    [(YIELD, "yield"), (STEAL, "steal"), (MOVE, "move"), (WAKE, "wake")]
        .into_iter()
        .filter(|(kind, _)| kinds & kind != 0)
        .map(|(_, name)| name)
        .collect::<Vec<_>>()
        .join(",")
}

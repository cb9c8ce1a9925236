//! park, ready, yield: how a goroutine stops and goes on.
//!
//! OS threads have goroutine records too, so everything that waits holds the address of a record; here is where the two part.

use super::m::Action;
use super::{
    SCHED, bound,
    enter::{self, enter},
    global, idle, perturb, run,
};
use crate::g::record::{BOUND, THREAD};
use crate::g::{Alarm, G, GList, Status, WaitReason};
use crate::sys::{clock, fork, futex};
use crate::timer::{NEVER, Target};
use std::mem::ManuallyDrop;
use std::panic::Location;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// Parks the calling goroutine (or thread) `g`.
///
/// `commit` runs after the goroutine has left its stack, on the M's own, and must publish the goroutine in at most one word and touch
/// nothing of the frame afterwards; `false` means that there is no reason to wait any more. It runs under the scheduler's rules: no
/// thread-local, no allocation, no panic. Returns when `ready` was called for the goroutine, or when the commit refused.
#[inline(always)]
pub(crate) fn park<F>(g: &'static G, reason: WaitReason, object: usize, site: &'static Location<'static>, commit: F)
where
    F: FnOnce(&'static G) -> bool,
{
    unsafe fn call<F: FnOnce(&'static G) -> bool>(argument: *mut (), g: &'static G) -> bool {
        // SAFETY: `argument` is the closure below, in a frame that stays until the goroutine is resumed; it is called once.
        let commit = unsafe { argument.cast::<F>().read() };
        commit(g)
    }
    let before = g.status();
    // Relaxed: a coarse picture.
    g.note_wait(reason, object, site, SCHED.coarse_ms.load(Relaxed));
    let mut commit = ManuallyDrop::new(commit);
    if g.has(THREAD) {
        park_thread(g, |g| {
            // SAFETY: as in `call`; this is the one call.
            unsafe { call::<F>((&raw mut commit).cast(), g) }
        });
    } else {
        let m = enter::enter_or_lose(g);
        if let Some(p) = m.p.get() {
            p.counters.parks.add(1);
        }
        // SAFETY: inside the runtime on `m`; the closure lives in this frame until the goroutine is resumed.
        unsafe { run::leave(m, g, Action::Park(call::<F>, (&raw mut commit).cast())) };
    }
    g.set_status(before);
}

#[cold]
fn park_thread(g: &'static G, commit: impl FnOnce(&'static G) -> bool) {
    // Relaxed: the word is ours until the commit publishes us. Even: not woken yet.
    let waits = g.thread_wake.load(Relaxed).wrapping_add(2) & !1;
    g.thread_wake.store(waits, Relaxed);
    if commit(g) {
        sleep_thread(g, waits);
    }
    // Of this wait; others see by it that it has a limit.
    g.set_alarm(Alarm::NONE);
}

fn sleep_thread(g: &'static G, waits: u32) {
    let mut alarm = g.alarm();
    // Acquire: pairs with the Release in `wake_thread`.
    while g.thread_wake.load(Acquire) == waits {
        let limit = (alarm.when_ns != NEVER).then_some(alarm.when_ns);
        if futex::wait(&g.thread_wake, waits, limit) == futex::WaitResult::TimedOut {
            // SAFETY: `arm` has left the word of a target.
            let target = unsafe { Target::from_word(alarm.target) };
            if ends_own_wait(g, target) {
                return;
            }
            // Somebody was faster and is about to wake us.
            alarm = Alarm::NONE;
        }
    }
}

/// A thread's time has come: does what a timer would do. True if that has ended its wait.
fn ends_own_wait(g: &'static G, target: Target) -> bool {
    let mut ready = GList::new();
    target.kick(clock::now_ns(), &mut ready);
    let mut has_ended = false;
    while let Some(waiter) = ready.pop() {
        if std::ptr::eq(waiter, g) {
            has_ended = true;
        } else {
            // An alarm of a wait that never began may be old.
            self::ready(waiter);
        }
    }
    has_ended
}

fn wake_thread(g: &'static G) {
    // Release: pairs with `park_thread`. The record is type-stable: a wake after the thread has gone hits a record, at worst spuriously.
    g.thread_wake.fetch_or(1, Release);
    futex::wake(&g.thread_wake, 1);
}

/// Lets a goroutine run that some word, list or timer has just released. From a goroutine, a plain thread or an M.
#[inline]
pub(crate) fn ready(g: &'static G) {
    if g.has(THREAD | BOUND) {
        return ready_in_place(g);
    }
    g.set_status(Status::Runnable);
    match run::current() {
        Some(me) if !me.has(THREAD) => {
            let inside = enter(me);
            // SAFETY: inside, so the P is ours.
            unsafe { inside.p.put_next(g) };
            if perturb::is_on() {
                perturb::delay_wake();
            }
            // The run-next slot alone is no backlog: its owner will soon park. What the slot has pushed out is.
            if inside.p.queue.ring_len() > 0 {
                idle::wake_for_work();
            }
            inside.leave();
        }
        _ => {
            fork::refuse_child();
            global::push(g);
            idle::wake_for_work();
        }
    }
}

/// `ready` for what can go on in one place only: an OS thread, or a goroutine on its M.
#[cold]
fn ready_in_place(g: &'static G) {
    if g.has(THREAD) { wake_thread(g) } else { bound::ready(g) }
}

/// `ready` for a whole list.
pub(crate) fn ready_list(list: &mut GList) {
    while let Some(g) = list.pop() {
        ready(g);
    }
}

/// `ready` for those whose time or event has come while no P saw to it: before all others.
pub(super) fn ready_late(list: &mut GList) {
    let mut late = GList::new();
    while let Some(g) = list.pop() {
        if g.has(THREAD | BOUND) {
            ready_in_place(g);
        } else {
            g.set_status(Status::Runnable);
            late.push(g);
        }
    }
    if !late.is_empty() {
        global::push_late(&mut late);
        idle::wake_for_work();
    }
}

/// Lets `g` run, called from the scheduler itself: on an M's stack, possibly with another goroutine's thread pointer.
pub(crate) fn ready_in_scheduler(g: &'static G, p: Option<&'static super::P>) {
    if g.has(THREAD) {
        return wake_thread(g);
    }
    if g.has(BOUND) {
        return bound::ready_in_scheduler(g, p);
    }
    g.set_status(Status::Runnable);
    match p {
        // SAFETY: the scheduler passes its own P.
        Some(p) => unsafe { p.put_next(g) },
        None => global::push(g),
    }
}

/// Goes to the back of the line.
#[inline]
pub(crate) fn yield_now(g: &'static G) {
    if g.has(THREAD) {
        return std::thread::yield_now();
    }
    let inside = enter(g);
    inside.p.counters.yields.add(1);
    let p = inside.p;
    let tick = p.tick.get();
    let looks_around = tick.is_multiple_of(super::p::FAIRNESS)
        || tick.is_multiple_of(super::p::TIMER_TICKS) && run::has_timers(p)
        || global::has_work()
        || perturb::is_on()
        || p.is_retired()
        || g.has(BOUND) && bound::has_others(inside.m);
    if !looks_around && p.queue.is_empty() {
        // Nobody to give way to; the tick still counts, so that the network and the global queue have their turn.
        p.tick.set(tick.wrapping_add(1));
        return inside.leave();
    }
    // In a marked section the mark stays.
    let before = g.status();
    // SAFETY: inside the runtime, nothing is held.
    unsafe { run::leave(inside.m, g, Action::Yield) };
    g.set_status(before);
}

/// Arms the timer word of a record so that `target` is kicked at `until_ns`: before the park that this is the limit of. A plain thread does
/// that itself, when it wakes up, so that its waits need no runtime.
pub(crate) fn arm(g: &'static G, word: &crate::timer::TimerWord, target: Target, until_ns: u64) {
    if until_ns == NEVER {
        return;
    }
    if g.has(THREAD) {
        return g.set_alarm(Alarm { when_ns: until_ns, target: target.to_word() });
    }
    if let Some(when_ns) = word.set(until_ns) {
        push_timer(g, when_ns, target);
    }
}

/// Adds the heap entry that a timer word has asked for; `g` is the caller's record.
///
/// Until then the word claims an entry that is in no heap yet: whoever sets it meanwhile relies on this call, which may be late by the time
/// that it takes to get a P again.
pub(crate) fn push_timer(g: &'static G, when_ns: u64, target: Target) {
    if g.has(THREAD) {
        idle::arm_outside(when_ns, target);
    } else {
        let inside = enter(g);
        inside.p.timers.push(when_ns, target);
        inside.leave();
    }
}

/// Sleeps until `until_ns` and not a nanosecond less. An `unpark` neither ends it nor is lost.
pub(crate) fn sleep_until(g: &'static G, until_ns: u64, site: &'static Location<'static>) {
    while clock::now_ns() < until_ns {
        arm(g, &g.timer, Target::goroutine(g), until_ns);
        park(g, WaitReason::Sleep, 0, site, |g| g.park.commit_sleep());
        g.timer.clear();
    }
}

/// Parks until a token is there or `until_ns` has come. True if it was a token.
pub(crate) fn park_until(g: &'static G, until_ns: u64, site: &'static Location<'static>) -> bool {
    loop {
        if g.park.take_token() {
            return true;
        }
        if until_ns != NEVER {
            if clock::now_ns() >= until_ns {
                return false;
            }
            arm(g, &g.timer, Target::goroutine(g), until_ns);
        }
        park(g, WaitReason::Park, 0, site, |g| g.park.commit_park());
        if until_ns != NEVER {
            g.timer.clear();
        }
    }
}

/// Gives goroutine `id` its token, if `g` is still its record.
#[inline]
pub(crate) fn unpark(g: &'static G, id: u64) {
    if g.park.unpark(id) {
        ready(g);
    }
}

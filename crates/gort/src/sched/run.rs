//! The loop of an M: pick a goroutine, switch to it, settle what became of it.
//!
//! ```text
//!  goroutine a                M's own stack                          goroutine b
//!  park: enter, note wait
//!  switch ─────────────▶  pick b             (thread pointer: a's)
//!                         set thread pointer (now b's)
//!                         settle a: its commit publishes it; from here another M may run a
//!                         switch ─────────────────────────────────▶  park returns
//! ```
//!
//! One `wrfsbase` for each switch from goroutine to goroutine. If nothing can be picked the M takes its own thread pointer and looks further
//! (`find`), where it may allocate and sleep.
//!
//! In bound mode there is one thread pointer, and `words` go along instead. The loop exists once for each mode.
//!
//! Rejected: through the M's own thread pointer each time (two `wrfsbase`: +24 ns for a park and ready); straight from goroutine to goroutine
//! (the commit of *a* would run on *b*'s stack, and the gain over this is 6 ns).

use super::m::{Action, M};
use super::p::{FAIRNESS, P, TIMER_TICKS};
use super::words::{self, Words};
use super::{SCHED, bound, fixed, signal_stack};
use crate::g::record::{LOCKED, MEASURED, TRIES_AGAIN};
use crate::g::{G, Status, registry};
use crate::stack::slab::{self, Stack};
use crate::stack::switch::{prefetch, prepare, switch};
use crate::stack::{control, depth};
use crate::sys::asan;
use crate::sys::identity::{set_thread_pointer, thread_pointer};
use std::cell::Cell;
use std::ptr;
use std::sync::atomic::Ordering::{Relaxed, Release, SeqCst};

thread_local! {
    /// The goroutine whose thread block this is; null on threads and Ms.
    static CURRENT: Cell<*const G> = const { Cell::new(ptr::null()) };
}

/// The goroutine (or waiting thread) that runs this, if it has a record.
#[inline(always)]
pub(crate) fn current() -> Option<&'static G> {
    // SAFETY: null, or the record that this thread block was given to.
    unsafe { CURRENT.get().as_ref() }
}

/// Gives the calling thread block to `g`.
pub(crate) fn set_current(g: Option<&'static G>) {
    CURRENT.set(g.map_or(ptr::null(), ptr::from_ref));
}

/// As [`set_current`]; gives back who it was.
pub(super) fn replace_current(g: Option<&'static G>) -> Option<&'static G> {
    // SAFETY: null, or a record, and records are never freed.
    unsafe { CURRENT.replace(g.map_or(ptr::null(), ptr::from_ref)).as_ref() }
}

/// Runs goroutines on the calling thread until the runtime stops. Inside the runtime, as far as `m` tells, when it returns.
pub(super) fn run(m: &'static M) {
    // In the runtime until the first goroutine runs. A mark is impossible: nobody has seen this M with a P.
    let _ = m.stay.enter();
    let is_bound = fixed().is_bound();
    if !is_bound {
        m.tp.set(thread_pointer());
    }
    // SeqCst: before the first look at the queues; see `idle::want_m`. After the step above, by which `leave` tells who is on its way.
    SCHED.ms_starting.fetch_sub(1, SeqCst);
    if is_bound {
        run_in::<true>(m);
        // What the thread has of its own, from within `host`, ends with it.
        m.words.replace(Words::NONE).replace();
    } else {
        run_in::<false>(m);
    }
}

/// The loop, for bound goroutines or for migrating ones.
fn run_in<const IS_BOUND: bool>(m: &'static M) {
    loop {
        let (g, p) = match quick::<IS_BOUND>(m) {
            Pick::Run(g, p) => {
                if !IS_BOUND {
                    // SAFETY: `g` was taken from a queue, so nobody else runs it; its block was made with its stack.
                    unsafe { set_thread_pointer(g.tp.get()) };
                }
                settle::<IS_BOUND>(m);
                (g, p)
            }
            Pick::Look(first) => {
                if !IS_BOUND {
                    // SAFETY: the M's own block.
                    unsafe { set_thread_pointer(m.tp.get()) };
                }
                settle::<IS_BOUND>(m);
                let Some((g, p)) = super::find::find(m, first) else { return };
                if !IS_BOUND {
                    // SAFETY: as above; `find` has given it a stack.
                    unsafe { set_thread_pointer(g.tp.get()) };
                }
                (g, p)
            }
        };
        execute::<IS_BOUND>(m, p, g);
    }
}

/// What `quick` has found.
enum Pick {
    /// A goroutine that can run at once.
    Run(&'static G, &'static P),
    /// Nothing, or a goroutine that needs a stack or its own thread first.
    Look(Option<&'static G>),
}

/// Work that can be had at once, without a thread-local, a lock or a system call.
#[inline(always)]
fn quick<const IS_BOUND: bool>(m: &'static M) -> Pick {
    let Some(p) = m.p.get() else { return Pick::Look(None) };
    if m.locked.get().is_some() || super::perturb::is_on() {
        return Pick::Look(None);
    }
    if IS_BOUND && (m.residents.is_closed() || bound::is_p_claimed()) {
        return Pick::Look(None);
    }
    let tick = p.tick.get();
    // SAFETY: the M is in the runtime and has confirmed its P on entering.
    unsafe {
        if tick.is_multiple_of(FAIRNESS)
            || tick.is_multiple_of(TIMER_TICKS) && has_timers(p)
            || p.is_chain_over() && (super::global::has_work() || has_timers(p))
            || p.stacks_full()
            || p.is_wanted()
        {
            return Pick::Look(None);
        }
        let Some(g) = (if IS_BOUND { bound::pick(m, p) } else { p.pick() }) else { return Pick::Look(None) };
        if !IS_BOUND && g.has(LOCKED) || g.tp.get() == 0 && !bind_close(p, g) {
            return Pick::Look(Some(g));
        }
        Pick::Run(g, p)
    }
}

/// True if a timer might be due: of this P, or of one that is idle.
#[inline(always)]
pub(super) fn has_timers(p: &'static P) -> bool {
    // Relaxed: a hint; see `SCHED.idle_next_ns`.
    p.timers.next_ns() != crate::timer::NEVER || SCHED.idle_next_ns.load(Relaxed) != crate::timer::NEVER
}

/// Switches to `g`; returns when a goroutine has left to this M's stack, not necessarily the same.
#[inline(always)]
fn execute<const IS_BOUND: bool>(m: &'static M, p: &'static P, g: &'static G) {
    g.m.store(ptr::from_ref(m).cast_mut().cast(), Relaxed);
    g.set_status(Status::Running);
    m.current.store(ptr::from_ref(g).cast_mut(), Relaxed);
    if IS_BOUND {
        bound::settle_down(m, g);
        // SAFETY: as of the switch below.
        unsafe { words::come(g) };
        look_ahead_at(m.residents.peek());
    } else if let Some(words) = &fixed().malloc_words {
        // SAFETY: both blocks are ours: the M's, and that of the goroutine we are about to run.
        unsafe { words.copy(m.tp.get(), g.tp.get()) };
    }
    p.counters.runs.add(1);
    look_ahead(p);
    m.stay.leave();
    let frames = (IS_BOUND && asan::is_linked()).then(|| asan::leave(slab::bounds_around(g.rsp.get())));
    // SAFETY: `g` was taken from a queue, so its context was saved (or prepared) and is used once; its stack is mapped while it lives.
    unsafe { switch(m.rsp.as_ptr(), g.rsp.get()) };
    if IS_BOUND && frames.is_some() {
        asan::arrive(frames);
    }
    if IS_BOUND && let Some(left) = m.left.get() {
        // SAFETY: it has left its stack, and waits for `settle`.
        unsafe { words::go(left) };
    }
}

/// Fetches the lines that the next switches will touch: the record of the goroutine after the next, frames and thread block of the next.
#[inline(always)]
fn look_ahead(p: &'static P) {
    let second = p.queue.peek(1);
    if !second.is_null() {
        prefetch(second as usize);
        prefetch(second as usize + 64);
    }
    look_ahead_at(p.queue.peek(0));
}

/// The same for the goroutine that comes next, if there is one.
#[inline(always)]
fn look_ahead_at(first: *const G) {
    if !first.is_null() {
        // SAFETY: entries of queues are records, which are never freed. A thief may run it meanwhile; a prefetch takes any address.
        let (rsp, tp) = unsafe { ((*first).rsp.get(), (*first).tp.get()) };
        if tp == 0 {
            // Not started: the closure is what comes next, and the stack will be a warm one.
            return prefetch(first as usize + 128);
        }
        prefetch(rsp);
        prefetch(rsp.wrapping_add(64));
        prefetch(rsp.wrapping_add(128));
        prefetch(tp.wrapping_sub(64));
        prefetch(tp.wrapping_sub(192));
        prefetch(tp);
    }
}

/// Decides what becomes of the goroutine that has just left. Runs with the thread pointer of the next goroutine, or the M's own: see the
/// rules in the module's header.
#[inline(always)]
fn settle<const IS_BOUND: bool>(m: &'static M) {
    let Some(g) = m.left.take() else { return };
    match m.action.get() {
        Action::Nothing => {}
        Action::Park(commit, argument) => {
            // SAFETY: the goroutine left its closure on its stack, which stays as it is until the commit publishes it.
            if !unsafe { commit(argument, g) } {
                go_on::<IS_BOUND>(m, g);
            }
        }
        Action::Yield => go_on::<IS_BOUND>(m, g),
        Action::Requeue if IS_BOUND => go_on::<IS_BOUND>(m, g),
        Action::Requeue => {
            g.set_status(Status::Runnable);
            super::global::push(g);
        }
        Action::End => end(m, g),
    }
}

/// `g` may run again: to the end of the queue.
fn go_on<const IS_BOUND: bool>(m: &'static M, g: &'static G) {
    g.set_status(Status::Runnable);
    match m.p.get() {
        _ if IS_BOUND => bound::put_back(m, g),
        // SAFETY: the M is in the runtime and owns its P.
        Some(p) => unsafe { p.put_back(g) },
        None => super::global::push(g),
    }
}

/// Notes that `g` leaves and switches to its M's stack. Returns when it is resumed, unless the action is `End`.
///
/// # Safety
/// Called by `g` itself, inside the runtime on `m`. Nothing that another goroutine needs may be held.
#[inline(always)]
pub(super) unsafe fn leave(m: &'static M, g: &'static G, action: Action) {
    let mut frames = None;
    match &fixed().malloc_words {
        // SAFETY: both blocks are ours while `g` runs on `m`.
        Some(words) => unsafe { words.copy(g.tp.get(), m.tp.get()) },
        None if !asan::is_linked() => {}
        None if matches!(action, Action::End) => asan::leave_for_good(asan::home()),
        None => frames = Some(asan::leave(asan::home())),
    }
    m.left.set(Some(g));
    m.action.set(action);
    if m.lends_signals.get() {
        // SAFETY: passed on.
        unsafe { signal_stack::leave(m, g) };
    } else {
        // SAFETY: the M's context was saved by `execute` on this thread.
        unsafe { control::leave(g.rsp.as_ptr(), m.rsp.get()) };
    }
    if frames.is_some() {
        asan::arrive_from_home(frames);
    }
}

/// Gives `g` a used stack of its P and a fresh context on it; false if there is none at hand.
///
/// # Safety
/// The caller owns `p`, and `g` was taken from a queue and has not run yet.
#[inline(always)]
unsafe fn bind_close(p: &'static P, g: &'static G) -> bool {
    if g.stack_class().is_some() {
        return false;
    }
    // SAFETY: the caller owns the P.
    let Some(stack) = (unsafe { p.take_stack() }) else { return false };
    if stack.class() != super::stack_class() {
        // The default is another one since the last start.
        slab::give_back(&[stack]);
        return false;
    }
    // SAFETY: the stack is a goroutine's that has ended: nobody uses its block, which `end` has reset.
    unsafe { install(g, stack) };
    true
}

/// Gives `g` a stack from anywhere. Runs with the M's own thread pointer.
///
/// # Errors
/// No memory, or no room in the address space.
pub(super) fn bind(p: &'static P, g: &'static G) -> std::io::Result<()> {
    // SAFETY: `find` owns the P and took `g` from a queue.
    if unsafe { bind_close(p, g) } {
        return Ok(());
    }
    let stack = slab::take(class_of(g), fixed().identity.as_ref())?;
    // SAFETY: the slab hands each stack to one owner, with a block that is fresh or reset.
    unsafe { install(g, stack) };
    Ok(())
}

fn class_of(g: &'static G) -> u8 {
    g.stack_class().unwrap_or(super::stack_class())
}

/// # Safety
/// `stack` belongs to the caller and its block is in its initial state.
#[inline(always)]
pub(super) unsafe fn install(g: &'static G, stack: Stack) {
    if g.has(TRIES_AGAIN) {
        super::stackless::has_stack(g);
    }
    if depth::is_wanted(g.spawn_site(), g.id()) {
        g.put(MEASURED, true);
        depth::begin(stack);
    }
    if asan::is_linked() {
        asan::forget(slab::bounds_around(stack.frames_top()));
    }
    stack.footer().set_goroutine(ptr::from_ref(g).cast());
    g.set_stack_class(stack.class());
    g.tp.set(stack.tp());
    // SAFETY: the frames below the block are ours and unused.
    g.rsp.set(unsafe { prepare(stack.frames_top(), goroutine_main, g.address()) });
}

/// The first function of every goroutine, on its own stack and thread block.
extern "C" fn goroutine_main(address: usize) -> ! {
    // SAFETY: `install` passed the record's address.
    let g = unsafe { G::from_address(address) };
    if asan::is_linked() {
        asan::arrive_from_home(None);
    }
    set_current(Some(g));
    if let Some(identity) = &fixed().identity {
        // SAFETY: the goroutine's own block, before it does anything.
        unsafe { identity.follow_locale() };
    }
    // SAFETY: nothing has parked yet.
    let entry = unsafe { g.entry() };
    // SAFETY: `start` was given an entry that fits the body; it catches every panic.
    let finish = unsafe { entry(g) };
    g.set_status(Status::Ending);
    // First the result, if nobody will ask for it: its destructor may use thread-locals.
    // SAFETY: `entry` has returned the function that fits its result.
    unsafe { finish(g) };
    crate::spawn::local::end();
    if let Some(identity) = &fixed().identity {
        // SAFETY: we are on the goroutine's own block, at its end.
        unsafe { identity.run_destructors() };
    }
    let scope = g.extra().map_or(0, |extra| extra.scope);
    if g.extra().is_some() {
        registry::drop_extra(g);
        if let Some(identity) = &fixed().identity {
            // An allocator may have begun anew for what was freed, and set a key.
            // SAFETY: as above.
            unsafe { identity.run_destructors() };
        }
    }
    // After the last of the user's code, which may lock, and may park.
    super::locked::end(g);
    let m = super::enter::enter_or_lose(g);
    // The last store before the switch: a park in between would have written over it.
    g.set_wait_object(scope);
    // SAFETY: the goroutine has nothing left; `end` recycles the stack after the switch.
    unsafe { leave(m, g, Action::End) };
    unreachable!("a goroutine that has ended was resumed")
}

/// After the last switch of `g`: its stack goes to the next goroutine, its result to its handle.
fn end(m: &'static M, g: &'static G) {
    // SAFETY: the goroutine owned the stack of its thread pointer, and has left it for good.
    let stack = unsafe { Stack::from_parts(g.tp.replace(0), class_of(g)) };
    if g.has(MEASURED) {
        depth::end(g.spawn_site(), stack);
    }
    match &fixed().identity {
        // SAFETY: as above: nobody uses the block any more. This touches no thread-local and allocates nothing.
        Some(identity) => unsafe { identity.reset(stack.tp()) },
        None => m.residents.move_out(),
    }
    let p = m.p.get();
    match p {
        // SAFETY: the M owns the P and is inside the runtime.
        Some(p) => unsafe {
            p.counters.ended.publish(1);
            if stack.class() == super::stack_class() && !p.stacks_full() {
                p.give_stack(stack);
            } else {
                slab::give_back(&[stack]);
            }
        },
        None => {
            slab::give_back(&[stack]);
            // Release: as `Counter::publish`.
            SCHED.spawned_outside.fetch_sub(1, Release);
        }
    }
    crate::spawn::join::publish_end(g, p);
    if super::stackless::is_exhausted() {
        super::stackless::retry();
    }
}

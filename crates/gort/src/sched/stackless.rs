//! Goroutines for which there is no memory for a stack.
//!
//! A goroutine with a stack of the default size gets it at its first run, because a queued one must cost no page. If there is none then, it
//! waits here until a goroutine ends and its stack comes free; nothing is lost. Every spawn meanwhile is refused with an error
//! (`Builder::spawn`) or a panic (`go`).
//!
//! One that asks for a size of its own gets the stack when it is spawned ([`bind_now`]), so that whoever asks for too much is told, and waits
//! for nothing that may never come. Rejected: letting those wait, too. Slots never change their size, so the end of another goroutine helps
//! only if it had the same; one request for a gigabyte under `ulimit -v` would have kept every other spawn from succeeding.

use super::{M, fixed, idle, run};
use crate::g::record::TRIES_AGAIN;
use crate::g::{G, GList, Status};
use crate::prim::lock::Lock;
use crate::stack::slab::{self, Stack};
use crate::sys::aloud;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicUsize};

static WAITING: Lock<GList> = Lock::new(GList::new());
/// Somebody waits, or tries again and may have to wait: ends must look, spawns must refuse.
static EXHAUSTED: AtomicBool = AtomicBool::new(false);
/// How many try again. Under the lock of `WAITING`.
static TRYING: AtomicUsize = AtomicUsize::new(0);
/// What the last attempt met.
static WHY: Lock<Option<Arc<str>>> = Lock::new(None);
/// How many of them the next retry lets go: one after a failure, twice as many as before after a success.
static TRIES: AtomicUsize = AtomicUsize::new(1);
const MOST_TRIES: usize = 1024;
static SAID: aloud::Once = aloud::Once::new();

/// Sets `g` aside until a stack comes free.
#[cold]
pub(super) fn wait_for_stack(g: &'static G, error: &io::Error) {
    let why: Arc<str> = error.to_string().into();
    let before = WHY.lock().replace(why);
    // Freed outside the lock.
    drop(before);
    SAID.say(|| {
        format!(
            "gort: no stack for goroutine {}: {error}; it and those after it wait until other goroutines end, and spawning fails meanwhile\n",
            g.id()
        )
    });
    g.set_status(Status::Runnable);
    let mut waiting = WAITING.lock();
    if g.has(TRIES_AGAIN) {
        g.put(TRIES_AGAIN, false);
        TRYING.fetch_sub(1, Relaxed);
    }
    waiting.push(g);
    // Relaxed: under the lock.
    TRIES.store(1, Relaxed);
    // Release: pairs with the Acquire in `is_exhausted`.
    EXHAUSTED.store(true, Release);
}

/// `g` has got a stack, at its second try or later. Runs under the scheduler's rules.
#[cold]
pub(super) fn has_stack(g: &'static G) {
    let waiting = WAITING.lock();
    g.put(TRIES_AGAIN, false);
    // Relaxed, both: under the lock; a late reader of EXHAUSTED refuses or looks once more.
    let left = TRYING.fetch_sub(1, Relaxed) - 1;
    EXHAUSTED.store(left > 0 || !waiting.is_empty(), Relaxed);
}

/// True while goroutines wait for stacks.
#[inline(always)]
pub(crate) fn is_exhausted() -> bool {
    EXHAUSTED.load(Acquire)
}

/// The error for a spawn while goroutines wait for stacks.
#[cold]
pub(crate) fn refusal() -> io::Error {
    let why = WHY.lock().clone();
    io::Error::new(
        io::ErrorKind::OutOfMemory,
        format!(
            "no memory for another goroutine, others already wait for their stacks: {} (smaller ones: GORT_STACK_SIZE)",
            why.as_deref().unwrap_or("out of memory")
        ),
    )
}

/// A stack may have come free: one that waits may try again, or several if those before them had success. Called by sysmon, and after a
/// goroutine's end under the scheduler's rules.
#[cold]
pub(crate) fn retry() {
    let mut tries = GList::new();
    let mut waiting = WAITING.lock();
    // Relaxed, all of them: under the lock.
    let count = TRIES.load(Relaxed);
    TRIES.store((count * 2).min(MOST_TRIES), Relaxed);
    while tries.len() < count
        && let Some(g) = waiting.pop()
    {
        g.put(TRIES_AGAIN, true);
        TRYING.fetch_add(1, Relaxed);
        tries.push(g);
    }
    // EXHAUSTED stays until one of them has a stack: they may all be back in a moment, and nothing must be accepted meanwhile.
    drop(waiting);
    if !tries.is_empty() {
        super::global::push_list(&mut tries);
        // Sysmon may be the only thread awake.
        idle::wake_for_work();
    }
}

/// Gives `g`, which asks for a stack of its own size and has not been queued, that stack.
///
/// # Errors
/// No memory, or no room in the address space.
#[cold]
pub(crate) fn bind_now(g: &'static G) -> io::Result<()> {
    let class = g.stack_class().unwrap_or(super::stack_class());
    let stack = match run::current().filter(|me| !me.is_thread()) {
        // SAFETY: `me` is the goroutine that runs this.
        Some(me) => take_as_thread(unsafe { M::of(me) }, class),
        None => slab::take(class, fixed().identity.as_ref()),
    }?;
    // SAFETY: the slab hands each stack to one owner, with a block that is fresh or reset.
    unsafe { run::install(g, stack) };
    Ok(())
}

/// Undoes [`bind_now`], on a plain thread.
#[cold]
pub(crate) fn unbind(g: &'static G) {
    let class = g.stack_class().unwrap_or(super::stack_class());
    // SAFETY: the goroutine owns the stack of its thread pointer and has never used its block, which is as it was made.
    slab::give_back(&[unsafe { Stack::from_parts(g.tp.replace(0), class) }]);
}

/// Takes a stack with the M's own thread pointer: to make a block, the C library has to see a thread of its own.
fn take_as_thread(m: &'static M, class: u8) -> io::Result<Stack> {
    struct Call {
        class: u8,
        outcome: Option<io::Result<Stack>>,
    }
    unsafe extern "C" fn take(argument: *mut ()) {
        // SAFETY: `argument` is the `Call` below.
        let call = unsafe { &mut *argument.cast::<Call>() };
        call.outcome = Some(slab::take(call.class, fixed().identity.as_ref()));
    }
    let mut call = Call { class, outcome: None };
    // SAFETY: `m` runs the calling goroutine; `take` neither parks nor unwinds.
    unsafe { m.call(take, (&raw mut call).cast()) };
    call.outcome.unwrap_or_else(|| Err(io::ErrorKind::OutOfMemory.into()))
}

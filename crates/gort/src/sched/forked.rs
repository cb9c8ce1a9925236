//! A child made by fork without exec: it has one thread and no scheduler.
//!
//! The thread that forked lives on in the child, possibly as a goroutine; all others are gone, with whatever they held. Such a child may do what
//! any child of a program with threads may: not much before it calls exec or ends. What it must not do is enter the runtime, whose queues name
//! goroutines that live on in the parent: they would run twice, on the parent's poller. So each way in ends the child with a message, and none
//! costs anything elsewhere:
//!
//! - A goroutine finds its M marked, as if sysmon wanted the P, and comes by `keep_p`. Its end does, too.
//! - A plain thread loses its record and comes by `start::ensure` when it wants one.
//! - What it does without a record, such as letting go of a lock, comes by `park::ready` if that lets a goroutine go on.
//! - A lock of gort's own that somebody held at the fork stays held: whoever comes to it comes by its slow path (`prim::lock`).
//!
//! To glibc the goroutine that forked is the one thread that is left, and its M has ended. So the M's block and stack are kept from the threads that
//! the child may start (`Identity::keep_block`), and nothing is called as the M any more (`alloc`).
//!
//! `_Fork` and raw `clone` run no handlers of fork, and are not noticed.

use super::{M, fixed, run};
use crate::g::G;
use crate::spawn::report;
use crate::sys::fork;

/// Makes every later fork known to its child.
pub(super) fn watch() {
    // SAFETY: the handler is async-signal-safe, as the child of a program with threads demands. Out of memory: then children are not noticed.
    unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
}

/// Runs in the child, on the thread that forked.
extern "C" fn in_child() {
    fork::note_child();
    let mut goroutine = run::current();
    if goroutine.is_some_and(G::is_thread) {
        run::set_current(None);
        goroutine = None;
    }
    // Inside `gort::host` the goroutine waits for this very thread.
    if let Some(g) = goroutine.or_else(report::guest) {
        // SAFETY: the goroutine that forked runs this, or its M on its behalf.
        let m = unsafe { M::of(g) };
        m.stay.set_mark();
        if let Some(identity) = &fixed().identity {
            // SAFETY: the M's thread is one of glibc's, and this is the child.
            unsafe { identity.keep_block(m.thread_pointer()) };
        }
    }
}

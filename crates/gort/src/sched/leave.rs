//! How Ms and the monitor end when the runtime stops.
//!
//! An M ends when it looks for a P and finds that the runtime stops (`idle::acquire`), or when it is idle and is told so (`idle::dismiss_all`).
//! It has no P and no goroutine then, and its own thread pointer. It gives back what it holds and, as its last act on the record, says under the
//! scheduler's lock that the M has no thread: from then on another thread may be started for it.
//!
//! Who stays:
//! - an M whose goroutine is in user code, in a call or a loop, and has lost its P. It ends as above when the goroutine comes back to gort;
//!   after the stop its thread is nobody's to wait for, so it detaches itself;
//! - an M that a goroutine has locked and that waits for it. The goroutine may go on after the next start, on this very thread;
//! - an M on which goroutines are bound that have not ended, for the same reason. It waits for a P, which only the next start has (`bound`).
//!
//! [`is_over`] tells such Ms from those on their way out by the `Stay`: even is user code, odd the runtime. It is looked at when no P is in use
//! any more, so an M in user code cannot be one that is about to run something. An M that starts counts as starting until it is odd (`run`); one
//! that ends becomes even and vacant under the lock under which the look is made. In user code may also be one that only has no processor at the
//! moment: so one that could run gets the time of a slice to come back.

use super::stop::Phase;
use super::{M, SCHED, bound, resize, snapshot};
use crate::alloc::Magazine;
use crate::sys::clock;
use crate::sys::thread::{self, Thread};
use gort_lockfree::owner::Stay;
use std::ptr;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

/// The last that the thread of `m` does to it, inside the runtime, with its own thread pointer.
pub(super) fn leave(m: &'static M) {
    // SAFETY: the M's own thread runs this, and no goroutine runs on it.
    unsafe { Magazine::give_back(m.magazine.get()) };
    m.current.store(ptr::null_mut(), Relaxed);
    m.p_seen.store(ptr::null_mut(), Relaxed);
    m.give_way.store(false, Relaxed);
    m.hog.store(super::hogs::ORDINARY, Relaxed);
    m.tid.store(0, Relaxed);
    m.stay.clear_mark();
    let me = Thread::current();
    let mut central = SCHED.central.lock();
    m.stay.leave();
    if central.phase == Phase::Leaving {
        m.left_thread.set(me.into_word());
    } else {
        me.detach();
    }
    central.push_vacant_m(m);
}

/// For so long an M in user code is believed to be on its way back, if it could run.
const PATIENCE_NS: u64 = 10_000_000;

/// True once no P is in use and every M has left or stays. The Ms have been asked to leave at `since_ns`.
pub(super) fn is_over(since_ns: u64) -> bool {
    // SeqCst: as `idle::want_m`. No thread is started any more; one that was has entered the runtime when it is not counted here.
    if SCHED.ms_starting.load(SeqCst) > 0 || !resize::is_settled() {
        return false;
    }
    let mut away = Vec::with_capacity(SCHED.ms_live.load(Relaxed));
    {
        let _central = SCHED.central.lock();
        for m in snapshot::every_m() {
            // Relaxed, both: written under the lock, and before its M gave up its P (`keeps`).
            if m.is_vacant.load(Relaxed) || m.keeps.load(Relaxed) || bound::stays(m) {
                continue;
            }
            if !Stay::in_user_code(m.stay.sample()) {
                return false;
            }
            // No more than there is room for: none has been added since.
            away.push(m.tid.load(Relaxed));
        }
    }
    clock::now_ns() >= since_ns + PATIENCE_NS || !away.into_iter().any(|tid| thread::is_runnable(tid).unwrap_or(false))
}

/// Waits until the threads that have left are gone, with the destructors of their thread-locals. Returns how many are not at `deadline_ns`.
pub(super) fn join(deadline_ns: u64) -> usize {
    let mut late = 0;
    for m in snapshot::every_m() {
        if let Some(thread) = take_left(m) {
            late += usize::from(!thread.join_until(deadline_ns));
        }
    }
    late
}

/// Nobody will wait for those that have left since.
pub(super) fn detach() {
    snapshot::every_m().filter_map(take_left).for_each(Thread::detach);
}

fn take_left(m: &'static M) -> Option<Thread> {
    let word = {
        let _central = SCHED.central.lock();
        m.left_thread.take()
    };
    // SAFETY: `leave` put it there, and it is taken once.
    (word != 0).then(|| unsafe { Thread::from_word(word) })
}

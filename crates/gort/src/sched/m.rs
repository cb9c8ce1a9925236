//! M: an OS thread that runs goroutines.
//!
//! Three groups of fields: what only the M's own thread touches (plain cells), what sysmon reads (the stay, the current goroutine), and what
//! others write to wake it.

use super::counters::Counter;
use super::fixed;
use super::p::P;
use super::residents::Residents;
use super::words::Words;
use crate::g::G;
use crate::netpoll::Batch;
use crate::sys::identity::{call_with_thread_pointer, thread_pointer};
use crate::sys::rseq;
use gort_lockfree::owner::{Lease, Stay};
use std::cell::{Cell, UnsafeCell};
use std::ptr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicUsize};

/// What becomes of the goroutine that has just left its stack.
#[derive(Clone, Copy)]
pub(super) enum Action {
    /// Nobody left.
    Nothing,
    /// To the end of the run queue.
    Yield,
    /// To the global queue: its P was taken away.
    Requeue,
    /// Runs the commit; parked if that says so, else it goes on.
    Park(unsafe fn(*mut (), &'static G) -> bool, *mut ()),
    /// It has ended.
    End,
}

/// What others know of an M without a P.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// It has one, or will have one in a moment, or is stuck in user code.
    Up,
    /// It is among the idle ones: whoever has work may give it a P.
    Idle,
    /// It sleeps until one of its residents is due: nothing may begin on it.
    Aside,
    /// It is among those that claim one.
    Claims,
}

/// A machine thread.
#[repr(align(128))]
pub(crate) struct M {
    /// Where its thread is: in the runtime or in user code, and for which time.
    pub(super) stay: Stay,
    /// Its goroutine has used up its slice: it goes to the back of the line at its next visit to the runtime. Comes with a mark.
    pub(super) give_way: AtomicBool,
    /// The goroutine on it.
    pub(super) current: AtomicPtr<G>,
    /// Its own stack, saved while a goroutine runs.
    pub(super) rsp: Cell<usize>,
    /// Its own thread pointer.
    pub(super) tp: Cell<usize>,
    /// The P it believes to own; sysmon may have taken it since (`enter`).
    pub(super) p: Cell<Option<&'static P>>,
    pub(super) lease: Cell<Lease>,
    pub(super) left: Cell<Option<&'static G>>,
    pub(super) action: Cell<Action>,
    pub(super) spinning: Cell<bool>,
    /// The goroutine that locked it.
    pub(super) locked: Cell<Option<&'static G>>,
    /// The goroutine that had locked it has ended so, or it was there for that one only: the thread is to end.
    pub(super) is_spoilt: Cell<bool>,
    /// What it was made for, if not for everybody (`rescue`). Its thread takes it.
    pub(super) rescues: Cell<Option<(&'static G, &'static P)>>,
    /// The kernel has another stack for signal handlers than the M's own, which is `signal_stack`: the goroutine's that runs.
    pub(super) lends_signals: Cell<bool>,
    pub(super) batch: UnsafeCell<Batch>,
    /// Moving average of one goroutine's run, for the estimate of a poll's backlog.
    pub(super) run_ns: Cell<u64>,
    pub(super) poll_end_ns: Cell<u64>,
    pub(super) poll_end_tick: Cell<u32>,
    /// System calls for sockets. Here and not in the P, which may be gone while they are made.
    pub(crate) io_calls: Counter,
    /// The kernel's, so that no goroutine gives it another.
    pub(super) rseq: rseq::Area,

    pub(crate) id: u32,
    pub(crate) tid: AtomicU32,
    /// Lower end of its own stack, for the report of an overflow in `gort::host`; 0 if that is not known.
    pub(crate) stack_low: AtomicUsize,
    /// 1: go on. Set after the fields below.
    pub(super) wake: AtomicU32,
    pub(super) handed_p: AtomicPtr<P>,
    pub(super) handed_spinning: AtomicBool,
    /// Blocked in the poller rather than on `wake`.
    pub(super) in_poll: AtomicBool,
    /// 1: the goroutine that locked this M is due, and `locked_p` is for it.
    pub(super) locked_turn: AtomicU32,
    pub(super) locked_p: AtomicPtr<P>,
    /// So many waits for a turn go without a spin before (`locked`). Only the M's own thread uses it.
    pub(super) spins_passed_over: Cell<u8>,
    /// The P it runs with, for others to look at.
    pub(super) p_seen: AtomicPtr<P>,
    pub(super) link: Cell<*const M>,
    /// As `link`.
    pub(super) rest: Cell<Rest>,
    /// What was done to its thread while it computed without a P (`hogs`).
    pub(super) hog: AtomicU8,
    /// It has no thread. Written under the scheduler's lock.
    pub(super) is_vacant: AtomicBool,
    /// The thread that has left and waits to be joined (`leave`). As `link`.
    pub(super) left_thread: Cell<usize>,
    /// Sleeps until one of its own goroutines is due: a thread that must stay.
    pub(super) keeps: AtomicBool,
    /// The goroutines that have begun here and stay, in bound mode.
    pub(super) residents: Residents,
    /// Its own words, while they are not the thread's (bound mode).
    pub(super) words: Cell<Words>,
    /// What it had for signal handlers, while that is lent.
    pub(super) signal_stack: Cell<Option<libc::stack_t>>,
    /// The allocator's magazine of this thread.
    pub(crate) magazine: UnsafeCell<crate::alloc::Magazine>,
}

// SAFETY: plain cells are touched by the M's own thread only, but for `link`, `rest` and `left_thread`, which belong to the holder of the
// scheduler's lock.
unsafe impl Sync for M {}
// SAFETY: as above.
unsafe impl Send for M {}

impl M {
    pub(super) fn new(id: u32) -> Self {
        Self {
            stay: Stay::new(),
            give_way: AtomicBool::new(false),
            current: AtomicPtr::new(ptr::null_mut()),
            rsp: Cell::new(0),
            tp: Cell::new(0),
            p: Cell::new(None),
            lease: Cell::new(Lease { m: Lease::NOBODY, epoch: 0 }),
            left: Cell::new(None),
            action: Cell::new(Action::Nothing),
            spinning: Cell::new(false),
            locked: Cell::new(None),
            is_spoilt: Cell::new(false),
            rescues: Cell::new(None),
            lends_signals: Cell::new(false),
            batch: UnsafeCell::new(Batch::new()),
            run_ns: Cell::new(5_000),
            poll_end_ns: Cell::new(0),
            poll_end_tick: Cell::new(0),
            io_calls: Counter::new(),
            rseq: rseq::Area::new(),
            id,
            tid: AtomicU32::new(0),
            stack_low: AtomicUsize::new(0),
            wake: AtomicU32::new(0),
            handed_p: AtomicPtr::new(ptr::null_mut()),
            handed_spinning: AtomicBool::new(false),
            in_poll: AtomicBool::new(false),
            locked_turn: AtomicU32::new(0),
            locked_p: AtomicPtr::new(ptr::null_mut()),
            spins_passed_over: Cell::new(0),
            p_seen: AtomicPtr::new(ptr::null_mut()),
            link: Cell::new(ptr::null()),
            rest: Cell::new(Rest::Up),
            hog: AtomicU8::new(super::hogs::ORDINARY),
            is_vacant: AtomicBool::new(false),
            left_thread: Cell::new(0),
            keeps: AtomicBool::new(false),
            residents: Residents::new(),
            words: Cell::new(Words::NONE),
            signal_stack: Cell::new(None),
            magazine: UnsafeCell::new(crate::alloc::Magazine::new()),
        }
    }

    /// The M that runs `g`.
    ///
    /// # Safety
    /// `g` is the goroutine that calls this.
    #[inline(always)]
    pub(crate) unsafe fn of(g: &'static G) -> &'static Self {
        // SAFETY: a running goroutine's word was set by the M that switched to it; Ms are never freed. Relaxed: same thread.
        unsafe { &*g.m.load(Relaxed).cast::<Self>() }
    }

    /// The M's own thread pointer.
    #[inline(always)]
    pub(crate) fn thread_pointer(&self) -> usize {
        self.tp.get()
    }

    /// Calls `f(argument)` as the M, on the stack of the goroutine that it runs: the M's thread-locals, the M's caches.
    ///
    /// # Safety
    /// Called by that goroutine. `f` neither parks nor unwinds, and may be called with this argument.
    pub(crate) unsafe fn call(&self, f: unsafe extern "C" fn(*mut ()), argument: *mut ()) {
        let Some(identity) = &fixed().identity else {
            // The goroutine has the M's already.
            // SAFETY: as the caller says.
            return unsafe { f(argument) };
        };
        let (here, below) = (thread_pointer(), self.tp.get());
        // SAFETY: the M's block is this thread's and unused while the goroutine runs. The C allocator's words go along: `f` may change them on
        // either side.
        unsafe {
            identity.return_malloc(here, below);
            call_with_thread_pointer(below, f, argument);
            identity.lend_malloc(below, here);
        }
    }

    /// Runs `f` with the M's own words instead of its goroutine's (`words`; bound mode). `f` does not unwind.
    pub(crate) fn as_itself(&self, f: impl FnOnce()) {
        let theirs = self.words.replace(Words::NONE).replace();
        f();
        self.words.set(theirs.replace());
    }

    /// The upper end of what is free of the M's own stack while a goroutine runs on it. 16-aligned.
    #[inline(always)]
    pub(crate) fn free_stack(&self) -> usize {
        self.rsp.get() & !15
    }

    /// Asks the goroutine that runs here to let others run when it next calls gort. A hint: if it parks meanwhile, its successor gives way
    /// once for nothing.
    pub(super) fn ask_to_give_way(&self) {
        // Relaxed: sysmon repeats it every slice until something else runs.
        self.give_way.store(true, Relaxed);
        self.stay.set_mark();
    }

    /// The P that the M took last, as seen from another thread.
    pub(super) fn p_hint(&self) -> Option<&'static P> {
        // SAFETY: null or a P, and Ps are never freed. Relaxed: a hint.
        unsafe { self.p_seen.load(Relaxed).as_ref() }
    }

    /// The goroutine that the M runs, as seen from another thread.
    pub(super) fn current(&self) -> Option<&'static G> {
        // SAFETY: null or a record's address, and records are never freed. Relaxed: a hint for sysmon and dumps.
        unsafe { self.current.load(Relaxed).as_ref() }
    }
}

impl std::fmt::Debug for M {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("M").field("id", &self.id).field("tid", &self.tid).finish_non_exhaustive()
    }
}

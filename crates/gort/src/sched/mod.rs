//! The scheduler: goroutines (G) run on processors (P), and a processor runs on a thread (M).
//!
//! ```text
//!   go(f) ──▶ queue of this P ──▶ run ──▶ park ──▶ some word, list or timer ──▶ ready ──▶ run-next slot or queue ──▶ run …
//!                 │    ▲                                                            ▲
//!            full │    │ steal                                     netpoller, timers, other goroutines, plain threads
//!                 ▼    │
//!             global queue
//! ```
//!
//! - *park*: a goroutine stops; *ready*: it may run. *sleep*, *wake*: the same for an M. *retake*: sysmon takes a P from an M that has been
//!   in user code for too long; *handoff*: a P goes from one M to another; *steal*: goroutines go from P to P; *inject*: to the global queue.
//! - An M runs the loop in `run` on its own stack. A goroutine that parks switches to that stack with its own thread pointer still set; the
//!   loop picks the next goroutine, sets *its* thread pointer, and only then commits the park, so that the thread pointer always belongs to
//!   something that nobody else can run.
//! - Therefore nothing reachable from `run::settle`, `P::pick` or a commit closure may touch a thread-local, call a libc function that sets
//!   errno, allocate, or panic.
//!
//! | file | mechanism |
//! |---|---|
//! | `run` | the loop of an M, the switch to a goroutine and what follows it |
//! | `find` | where an M looks for work, in which order |
//! | `idle` | giving up the P, sleeping, polling; waking others; the lost-wake-up argument |
//! | `global` | the global queue and injection from threads without a P |
//! | `enter` | the border between user code and runtime; what happens if the P is gone |
//! | `park` | park, ready, yield |
//! | `section` | marked sections that give their P away on entering |
//! | `retakes` | how often that was, why and where |
//! | `sysmon` | retaking Ps, polling when nobody does, overdue timers, new threads |
//! | `watch` | the watchdog: says who keeps a thread for long |
//! | `deadlock` | all asleep for good: says so and ends the process |
//! | `locked` | goroutines locked to their thread |
//! | `mode` | migrating or bound: which, and why |
//! | `bound`, `words` | goroutines that stay on the M on which they begin, and what they take along when they leave |
//! | `signal_stack` | a goroutine's own stack for signal handlers, which it takes along |
//! | `names` | what objects are called in dumps |
//! | `resize` | changing the number of Ps |
//! | `quota` | following the CPU quota with it |
//! | `start` | bringing the runtime up, the first time and again |
//! | `stop` | shutting it down: the phases, and who waits for whom |
//! | `leave` | how its threads end |
//! | `spare` | threads that nobody needs leave |
//! | `left` | what remains after a shutdown |
//! | `forked` | what is left in the child of a fork |
//! | `crowd` | who holds the threads, said before there are none left |
//! | `hogs` | how much of the machine those get that compute without a P |
//! | `stackless`, `threadless` | going on without memory for a stack, without another thread |
//!
//! Lock order: that of start and stop, that of a change of Ps, the scheduler's (`global`), which takes nothing but a timer set's and what that
//! takes: a timer cell's and a free list's (`find::expire_idle`, see `timer::cell`). With no other lock held.

pub(crate) mod bound;
pub(crate) mod counters;
mod crowd;
mod deadlock;
pub(crate) mod disk;
pub(crate) mod enter;
mod find;
pub(crate) mod forked;
pub(crate) mod global;
pub(crate) mod hogs;
mod idle;
mod leave;
pub(crate) mod left;
pub(crate) mod locked;
mod m;
pub(crate) mod mode;
pub(crate) mod names;
mod p;
pub(crate) mod park;
pub(crate) mod perturb;
mod quota;
mod rescue;
mod residents;
pub(crate) mod resize;
pub(crate) mod retakes;
mod run;
pub(crate) mod section;
mod signal_stack;
pub(crate) mod snapshot;
mod spare;
pub(crate) mod stackless;
pub(crate) mod start;
pub(crate) mod stop;
mod sysmon;
mod threadless;
pub(crate) mod watch;
pub(crate) mod words;

pub(crate) use enter::{begin_call, checkpoint, enter, is_wanted};
pub(crate) use idle::wake_for_work;
pub(crate) use m::M;
pub(crate) use p::{MAX_PROCS, P};
pub(crate) use park::{park, ready, ready_list, sleep_until, yield_now};
pub(crate) use run::{current, set_current};

use crate::netpoll::Netpoll;
use crate::prim::late::Late;
use crate::prim::lock::Lock;
use crate::sys::fence::Barrier;
use crate::sys::identity::{Identity, MallocWords};
use crate::timer::TimerSet;
use global::Central;
use gort_lockfree::spinning::Spinning;
use std::ptr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize};

/// Ms that can exist.
pub(crate) const MAX_MS: usize = 16_384;

/// What exists once for the process.
pub(crate) struct Sched {
    pub(crate) central: Lock<Central>,
    /// Length of the global queue, readable without the lock.
    pub(crate) global_len: AtomicUsize,
    /// How many of those are late. As above.
    pub(crate) global_late: AtomicUsize,
    pub(crate) spinning: Spinning,
    pub(crate) ps: [AtomicPtr<P>; MAX_PROCS],
    /// Ps in use.
    pub(crate) procs: AtomicUsize,
    /// Ps ever made.
    pub(crate) ps_made: AtomicUsize,
    pub(crate) ms: [AtomicPtr<M>; MAX_MS],
    /// Ms ever made; each is used again when its thread has ended.
    pub(crate) ms_made: AtomicUsize,
    /// Those that have a thread.
    pub(crate) ms_live: AtomicUsize,
    pub(crate) threads_peak: AtomicUsize,
    pub(crate) goroutines_peak: AtomicU64,
    /// Timers that belong to no P: those of plain threads' making, and of Ps out of use.
    pub(crate) timers: TimerSet,
    /// No timer of an idle P (or of `timers`) is due before this. May be too early, never too late.
    pub(crate) idle_next_ns: AtomicU64,
    /// Who holds the duty to poll (`find::POLL_NOBODY` and so on).
    pub(crate) polling: AtomicU32,
    /// When the last poll ended.
    pub(crate) last_poll_ns: AtomicU64,
    /// How many events it brought.
    pub(crate) last_poll_events: AtomicUsize,
    /// A P is held by an M that makes no progress: an idle M should poll although not all are idle.
    pub(crate) hogged: AtomicBool,
    /// Sysmon's futex, and whether it sleeps until woken.
    pub(crate) sysmon_word: AtomicU32,
    pub(crate) sysmon_asleep: AtomicBool,
    /// It has seen nobody run and waits for long: who takes the last idle P wakes it.
    pub(crate) sysmon_rests: AtomicBool,
    pub(crate) ms_wanted: AtomicU32,
    /// Threads that have been started and have not looked for work yet: they will.
    pub(crate) ms_starting: AtomicU32,
    /// Spawns and ends outside any P.
    pub(crate) spawned_outside: AtomicU64,
    pub(crate) created_outside: AtomicU64,
    pub(crate) handoffs: AtomicU64,
    pub(crate) sysmon_polls: AtomicU64,
    /// Ms that have residents to run and no P (`bound`).
    pub(crate) p_claims: AtomicU32,
    /// Milliseconds since the start, refreshed by sysmon and by polls: good enough for "since when".
    pub(crate) coarse_ms: AtomicU64,
    /// What each start may set anew. Relaxed everywhere: written before the phase says that the runtime runs.
    pub(crate) abort_on_panic: AtomicBool,
    pub(crate) max_threads: AtomicUsize,
    /// Idle threads are kept for so long.
    pub(crate) thread_keep_ns: AtomicU64,
    pub(crate) stack_class: AtomicU8,
    watchdog: watch::Settings,
    pub(crate) found: watch::Found,
    pub(crate) fixed: Late<Fixed>,
}

/// What is known once the runtime has started for the first time, and never changes.
pub(crate) struct Fixed {
    pub(crate) netpoll: Netpoll,
    /// How thread blocks are made. None: goroutines have none, and are bound to the M on which they begin.
    pub(crate) identity: Option<Identity>,
    /// What each switch lends; none in bound mode, or where it cannot be had.
    pub(crate) malloc_words: Option<MallocWords>,
    /// Why that is so, if it is.
    pub(crate) bound_because: Option<&'static str>,
    pub(crate) barrier: Barrier,
    pub(crate) retake: bool,
    /// By how much those are made nice that compute without a P; 0: not at all.
    pub(crate) hog_nice: u8,
    pub(crate) deadlock: crate::config::DeadlockPolicy,
    pub(crate) start_ns: u64,
    pub(crate) seed: u64,
    pub(crate) test_timeout: Option<std::time::Duration>,
}

impl Fixed {
    /// Goroutines stay on the M on which they begin.
    #[inline(always)]
    pub(crate) fn is_bound(&self) -> bool {
        self.identity.is_none()
    }
}

/// The scheduler of the process.
pub(crate) static SCHED: Sched = Sched {
    central: Lock::new(Central::new()),
    global_len: AtomicUsize::new(0),
    global_late: AtomicUsize::new(0),
    spinning: Spinning::new(),
    ps: [const { AtomicPtr::new(ptr::null_mut()) }; MAX_PROCS],
    procs: AtomicUsize::new(0),
    ps_made: AtomicUsize::new(0),
    ms: [const { AtomicPtr::new(ptr::null_mut()) }; MAX_MS],
    ms_made: AtomicUsize::new(0),
    ms_live: AtomicUsize::new(0),
    threads_peak: AtomicUsize::new(0),
    goroutines_peak: AtomicU64::new(0),
    timers: TimerSet::new(),
    idle_next_ns: AtomicU64::new(crate::timer::NEVER),
    polling: AtomicU32::new(0),
    last_poll_ns: AtomicU64::new(0),
    last_poll_events: AtomicUsize::new(0),
    hogged: AtomicBool::new(false),
    sysmon_word: AtomicU32::new(0),
    sysmon_asleep: AtomicBool::new(false),
    sysmon_rests: AtomicBool::new(false),
    ms_wanted: AtomicU32::new(0),
    ms_starting: AtomicU32::new(0),
    spawned_outside: AtomicU64::new(0),
    created_outside: AtomicU64::new(0),
    handoffs: AtomicU64::new(0),
    sysmon_polls: AtomicU64::new(0),
    p_claims: AtomicU32::new(0),
    coarse_ms: AtomicU64::new(0),
    abort_on_panic: AtomicBool::new(false),
    max_threads: AtomicUsize::new(0),
    thread_keep_ns: AtomicU64::new(0),
    stack_class: AtomicU8::new(0),
    watchdog: watch::Settings::new(),
    found: watch::Found::new(),
    fixed: Late::new(),
};

/// What is known since the first start. The caller runs on a goroutine, an M, or after [`start::ensure`].
#[inline(always)]
pub(crate) fn fixed() -> &'static Fixed {
    SCHED.fixed.get()
}

/// The class of stacks of the default size.
#[inline(always)]
pub(crate) fn stack_class() -> u8 {
    // Relaxed: see the field.
    SCHED.stack_class.load(Relaxed)
}

/// Where random numbers begin; before the first start, anywhere.
pub(crate) fn seed() -> u64 {
    if SCHED.fixed.is_set() { fixed().seed } else { crate::prim::rng::entropy() }
}

/// Counts a system call of the calling goroutine.
#[inline(always)]
pub(crate) fn count_io_call(g: &'static crate::g::G) {
    if !g.is_thread() {
        // SAFETY: `g` is the goroutine that runs this.
        unsafe { M::of(g) }.io_calls.add(1);
    }
}

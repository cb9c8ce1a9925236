//! P: the right to run goroutines, with everything that running them needs close by.
//!
//! The plain cells belong to the M that owns the P and is inside the runtime, or, for an idle P, to whoever holds the scheduler's lock. The
//! hand-over is argued in `gort_lockfree::owner`.

use super::counters::Counters;
use crate::g::{G, GList};
use crate::prim::lock::Lock;
use crate::prim::rng::Rng;
use crate::stack::slab::Stack;
use crate::stack::switch::prefetch;
use crate::timer::TimerSet;
use gort_lockfree::owner::Owner;
use gort_lockfree::runq::{CAP, LocalQueue};
use std::cell::{Cell, UnsafeCell};
use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU8};

/// Ps that can exist.
pub(crate) const MAX_PROCS: usize = 1024;
/// Goroutines in a row that may come from the run-next slot before the queue has its turn: the slice that run-next inherits, counted in
/// switches because reading a clock at each of them would cost more than the switch.
const CHAIN: u32 = 16;
/// Every so many runs the P looks at the global queue and the network before its own queue.
pub(super) const FAIRNESS: u32 = 61;
/// Every so many runs it looks whether a timer is due.
pub(super) const TIMER_TICKS: u32 = 8;
/// Stacks kept close.
const STACKS: usize = 64;
/// Free records kept close, and moved at once.
const RECORDS: usize = 256;
const IDS: u64 = 1024;
/// The number of Ps was lowered below this one.
const RETIRED: u8 = 1;
/// Somebody at the head of the global queue is late.
const LOOK: u8 = 2;

/// A processor.
#[repr(align(128))]
pub(crate) struct P {
    pub(crate) id: u32,
    pub(super) owner: Owner,
    /// Why its M should not just take the next of its queue: `RETIRED`, `LOOK`.
    wanted: AtomicU8,
    /// Counts runs; what the queue gives, not the run-next slot.
    pub(super) tick: Cell<u32>,
    chain: Cell<u32>,
    /// The last turn that a chain gave away went to the global queue.
    chain_gave_global: Cell<bool>,
    rng: UnsafeCell<Rng>,
    free: UnsafeCell<Vec<&'static G>>,
    stacks: UnsafeCell<Vec<Stack>>,
    next_id: Cell<u64>,
    last_id: Cell<u64>,
    pub(crate) counters: Counters,
    pub(crate) queue: LocalQueue<G>,
    pub(crate) timers: TimerSet,
    /// Goroutines that must run here next (perturbation: forced moves).
    pub(super) inbox: Lock<GList>,
    pub(super) inbox_full: AtomicBool,
    /// Retired and given up: no M owns it and it is not among the idle ones.
    out: AtomicBool,
    /// Last sample of sysmon: the M, the number of runs and since when; the sequence of the M's stay and since when.
    pub(super) seen_runs: Cell<u64>,
    pub(super) seen_run_since_ns: Cell<u64>,
    pub(super) seen_stay: Cell<u64>,
    pub(super) seen_since_ns: Cell<u64>,
    pub(super) seen_m: Cell<u32>,
    /// At that sample it had more than it ran, while another P was idle; and how often it had run dry by then.
    pub(super) seen_uneven: Cell<bool>,
    pub(super) seen_dry: Cell<u64>,
    /// CPU time of that M's thread at that sample, 0 if it was not looked at.
    pub(super) seen_cpu_ns: Cell<u64>,
    /// That time when sysmon asked last whether the thread is blocked.
    pub(super) seen_still_ns: Cell<u64>,
    pub(super) link: Cell<*const P>,
}

// SAFETY: see the module's header for who may touch the plain cells when.
unsafe impl Sync for P {}
// SAFETY: as above.
unsafe impl Send for P {}

impl P {
    pub(super) fn new(id: u32, seed: u64) -> Self {
        Self {
            id,
            owner: Owner::new(),
            tick: Cell::new(id.wrapping_mul(7)),
            chain: Cell::new(0),
            chain_gave_global: Cell::new(false),
            rng: UnsafeCell::new(Rng::stream(seed, u64::from(id))),
            free: UnsafeCell::new(Vec::with_capacity(2 * RECORDS)),
            stacks: UnsafeCell::new(Vec::with_capacity(STACKS)),
            next_id: Cell::new(0),
            last_id: Cell::new(0),
            counters: Counters::new(),
            queue: LocalQueue::new(),
            timers: TimerSet::new(),
            inbox: Lock::new(GList::new()),
            inbox_full: AtomicBool::new(false),
            wanted: AtomicU8::new(0),
            out: AtomicBool::new(false),
            seen_runs: Cell::new(0),
            seen_run_since_ns: Cell::new(0),
            seen_stay: Cell::new(0),
            seen_since_ns: Cell::new(0),
            seen_m: Cell::new(0),
            seen_uneven: Cell::new(false),
            seen_dry: Cell::new(0),
            seen_cpu_ns: Cell::new(0),
            seen_still_ns: Cell::new(0),
            link: Cell::new(ptr::null()),
        }
    }

    pub(super) fn is_retired(&self) -> bool {
        // Relaxed: written under the scheduler's lock, and whoever takes or gives a P holds it; a running M may see it late.
        self.wanted.load(Relaxed) & RETIRED != 0
    }

    pub(super) fn set_retired(&self, retired: bool) {
        if retired {
            self.wanted.fetch_or(RETIRED, Relaxed);
        } else {
            self.wanted.fetch_and(!RETIRED, Relaxed);
        }
    }

    /// Somebody wants its M to look at more than its queue.
    #[inline(always)]
    pub(super) fn is_wanted(&self) -> bool {
        // Relaxed: a hint; what it is about is looked at afterwards (`has_looked`).
        self.wanted.load(Relaxed) != 0
    }

    /// Makes its M look at the head of the global queue before it runs the next goroutine.
    pub(super) fn ask_to_look(&self) {
        // Relaxed: as long as it is said already, the line stays with the M.
        if self.wanted.load(Relaxed) & LOOK == 0 {
            // Release: pairs with the Acquire in `has_looked`, which sees what was queued before.
            self.wanted.fetch_or(LOOK, Release);
        }
    }

    /// Its M looks now. True if it was asked to.
    pub(super) fn has_looked(&self) -> bool {
        let is_asked = self.wanted.load(Relaxed) & LOOK != 0;
        if is_asked {
            // Acquire: see `ask_to_look`.
            self.wanted.fetch_and(!LOOK, Acquire);
        }
        is_asked
    }

    /// The run-next slot has been served as often in a row as it may be.
    #[inline(always)]
    pub(super) fn is_chain_over(&self) -> bool {
        self.chain.get() >= CHAIN
    }

    /// A chain is over. True if the global queue has the turn then: that and the ring have it by turns, since neither may ever be empty.
    pub(super) fn gives_global_a_turn(&self) -> bool {
        let gives = !self.chain_gave_global.get();
        self.chain_gave_global.set(gives);
        gives
    }

    /// The run-next slot has been served once more in a row.
    pub(super) fn lengthen_chain(&self) {
        self.chain.set(self.chain.get() + 1);
    }

    /// Something else than the run-next slot has had its turn.
    pub(super) fn reset_chain(&self) {
        self.chain.set(0);
    }

    pub(super) fn is_out(&self) -> bool {
        // Relaxed: as `is_retired`.
        self.out.load(Relaxed)
    }

    pub(super) fn set_out(&self, out: bool) {
        self.out.store(out, Relaxed);
    }

    /// The next goroutine from the run-next slot or the ring. Touches no thread-local and calls nothing.
    ///
    /// # Safety
    /// The caller owns the P.
    #[inline(always)]
    pub(super) unsafe fn pick(&self) -> Option<&'static G> {
        let chain = self.chain.get();
        // SAFETY: the caller owns the P, and with it the queue's owner side; entries are addresses of records, which are never freed.
        unsafe {
            if chain < CHAIN {
                if let Some(next) = self.queue.take_next() {
                    self.chain.set(chain + 1);
                    return Some(next.as_ref());
                }
            } else if let Some(next) = self.queue.take_next() {
                // The slice that run-next inherits is used up: it goes to the back of the line.
                self.put_back(next.as_ref());
            }
            self.chain.set(0);
            self.tick.set(self.tick.get().wrapping_add(1));
            Some(self.queue.pop()?.as_ref())
        }
    }

    /// Puts a goroutine at the end of the ring; half of a full ring goes to the global queue.
    ///
    /// # Safety
    /// The caller owns the P.
    #[inline]
    pub(crate) unsafe fn put_back(&self, g: &'static G) {
        // SAFETY: the caller owns the P.
        while unsafe { self.queue.push(ptr::NonNull::from(g)) }.is_err() {
            // SAFETY: as above.
            if unsafe { self.spill(g) } {
                return;
            }
        }
    }

    /// Moves half of the ring and `g` to the global queue; false if thieves made room meanwhile.
    #[cold]
    unsafe fn spill(&self, g: &'static G) -> bool {
        let mut batch = [g; CAP / 2 + 1];
        let mut count = 0;
        let mut take = |entry: NonNull<G>| {
            // SAFETY: entries are records, which are never freed.
            batch[count] = unsafe { entry.as_ref() };
            count += 1;
        };
        // SAFETY: the caller owns the P.
        if unsafe { self.queue.drain_half(&mut take) } == 0 {
            return false;
        }
        batch[count] = g;
        super::global::push_all(&batch[..=count]);
        true
    }

    /// Makes `g` the next to run; who was next before goes to the end of the ring.
    ///
    /// # Safety
    /// The caller owns the P.
    #[inline]
    pub(crate) unsafe fn put_next(&self, g: &'static G) {
        // SAFETY: the caller owns the P; entries are records.
        if let Some(before) = unsafe { self.queue.set_next(ptr::NonNull::from(g)) } {
            // SAFETY: as above.
            unsafe { self.put_back(before.as_ref()) };
        }
    }

    /// A free record.
    ///
    /// # Safety
    /// The caller owns the P, and may allocate.
    #[inline]
    pub(crate) unsafe fn take_record(&self) -> &'static G {
        // SAFETY: the caller owns the P.
        let free = unsafe { &mut *self.free.get() };
        loop {
            if let Some(g) = free.pop() {
                if let Some(next) = free.last() {
                    // The next spawn will write all three lines.
                    prefetch(next.address());
                    prefetch(next.address() + 64);
                    prefetch(next.address() + 128);
                }
                return g;
            }
            crate::g::registry::take_free(free, RECORDS, super::global::reserve);
        }
    }

    /// Takes a record back. Allocates nothing.
    ///
    /// # Safety
    /// The caller owns the P.
    #[inline]
    pub(crate) unsafe fn give_record(&self, g: &'static G) {
        // SAFETY: the caller owns the P.
        let free = unsafe { &mut *self.free.get() };
        if free.len() >= 2 * RECORDS {
            // The oldest go; the most recently used are the warm ones.
            crate::g::registry::give_free(&free[..RECORDS]);
            free.drain(..RECORDS);
        }
        free.push(g);
    }

    /// A fresh goroutine id.
    ///
    /// # Safety
    /// The caller owns the P.
    #[inline]
    pub(crate) unsafe fn take_id(&self) -> u64 {
        if self.next_id.get() == self.last_id.get() {
            let first = crate::g::registry::take_ids(IDS);
            self.next_id.set(first);
            self.last_id.set(first + IDS);
        }
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        id
    }

    /// A used stack that lies close, if there is one.
    ///
    /// # Safety
    /// The caller owns the P.
    #[inline(always)]
    pub(super) unsafe fn take_stack(&self) -> Option<Stack> {
        // SAFETY: the caller owns the P.
        unsafe { (*self.stacks.get()).pop() }
    }

    /// True if the next stack given back would not fit.
    ///
    /// # Safety
    /// The caller owns the P.
    #[inline(always)]
    pub(super) unsafe fn stacks_full(&self) -> bool {
        // SAFETY: the caller owns the P.
        unsafe { (*self.stacks.get()).len() == STACKS }
    }

    /// Keeps a used stack close; the caller has seen room for it.
    ///
    /// # Safety
    /// The caller owns the P.
    #[inline(always)]
    pub(super) unsafe fn give_stack(&self, stack: Stack) {
        // SAFETY: the caller owns the P; the vector never grows beyond its capacity, so nothing is allocated.
        unsafe {
            debug_assert!((*self.stacks.get()).len() < STACKS);
            (*self.stacks.get()).push(stack);
        }
    }

    /// Gives half of the close stacks (all of them with `all`) to the common pool.
    ///
    /// # Safety
    /// The caller owns the P and runs with an M's own thread pointer.
    pub(super) unsafe fn spill_stacks(&self, all: bool) {
        // SAFETY: the caller owns the P.
        let stacks = unsafe { &mut *self.stacks.get() };
        let keep = if all { 0 } else { stacks.len() / 2 };
        // The oldest go: the most recently used are the warm ones.
        let give = stacks.len() - keep;
        crate::stack::slab::give_back(&stacks[..give]);
        stacks.drain(..give);
    }

    /// Gives all free records to the common pool.
    ///
    /// # Safety
    /// The caller owns the P.
    pub(super) unsafe fn spill_records(&self) {
        // SAFETY: the caller owns the P.
        let free = unsafe { &mut *self.free.get() };
        crate::g::registry::give_free(free);
        free.clear();
    }

    /// A random number below `bound`.
    ///
    /// # Safety
    /// The caller owns the P.
    pub(super) unsafe fn random_below(&self, bound: u32) -> u32 {
        // SAFETY: the caller owns the P.
        unsafe { (*self.rng.get()).below(bound) }
    }
}

impl std::fmt::Debug for P {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("P").field("id", &self.id).finish_non_exhaustive()
    }
}

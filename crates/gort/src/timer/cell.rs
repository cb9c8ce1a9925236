//! A timer that starts a goroutine: the record behind `after_func`.
//!
//! It keeps a goroutine that is *dormant*: its record is filled in, closure and all, and nobody has queued it. So whoever starts it (the timer,
//! on the scheduler's stack with a timer set's lock held; the end of a context) allocates nothing and cannot fail, and whether it has been
//! started or prevented is one question with one answer: who has taken it out.
//!
//! # States
//! | `dormant` | `due_ns` | |
//! |---|---|---|
//! | there | a time | armed |
//! | there | [`NEVER`] | stopped, or waiting for something else than a time |
//! | gone | - | started, once and for all |
//!
//! Everything stands under the cell's lock. Stopping leaves the heap entry where it is, and arming again for a later time makes none
//! (`TimerWord`), so both cost a lock and allocate nothing. **Never early**: an entry that comes up only makes [`TimerCell::expire`] compare
//! `due_ns` with the clock, under the lock; so a late look on behalf of a user of this cell that is long gone does nothing.
//!
//! The entry itself is pushed after the lock has been released, since a timer set's lock comes first. Whoever arms for a later time meanwhile
//! relies on that push: it may be late by as long as the one who pushes does not run, which is what it costs that one, too.
//!
//! Cells are type-stable, as a heap entry may outlive its user: they are made in chunks that are never freed. A cell is used by those who hold a
//! [`CellRef`] and by the heap, while it is armed; the last of them puts it on a free list. The list goes through the cells, so that the
//! scheduler can do so.
//!
//! Lock order: a timer set's lock, then a cell's, then a free list's.
//!
//! Rejected: a cell for each goroutine record (64 bytes in every goroutine for what few use); a goroutine of the runtime's own that starts the
//! others (a hop more, and a queue that can be long); starting in the timer's own goroutine, as tokio's time driver (one callback that waits
//! stops them all).

use super::{NEVER, TimerWord};
use crate::g::{G, GList};
use crate::prim::lock::Lock;
use crate::sys::clock;
use std::cell::Cell;
use std::ptr;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// A goroutine that has a closure and has not been queued.
pub(crate) struct Dormant {
    g: &'static G,
    discard: unsafe fn(&'static G),
}

impl Dormant {
    /// Of a record that is filled in and that nobody else knows; `discard` drops its closure and gives the record back.
    pub(crate) fn new(g: &'static G, discard: unsafe fn(&'static G)) -> Self {
        Self { g, discard }
    }

    /// The record, for the caller to ready.
    fn into_record(self) -> &'static G {
        let g = self.g;
        std::mem::forget(self);
        g
    }
}

impl Drop for Dormant {
    fn drop(&mut self) {
        // SAFETY: nobody has readied it, so the closure is there and the record ours.
        unsafe { (self.discard)(self.g) }
    }
}

/// See the module.
#[repr(align(64))]
pub(crate) struct TimerCell {
    pub(super) word: TimerWord,
    state: Lock<State>,
    /// The next free cell, under the free list's lock.
    link: Cell<*const TimerCell>,
}

// SAFETY: `link` is touched under the free list's lock only, the rest is atomic or locked; goroutines move between threads as they like.
unsafe impl Sync for TimerCell {}
// SAFETY: as above.
unsafe impl Send for TimerCell {}

struct State {
    dormant: Option<Dormant>,
    due_ns: u64,
    refs: u32,
    /// The free list that it goes to: that of who uses it, wherever it came from. Two that take from a third one's list would meet there for ever.
    home: u32,
}

impl State {
    /// Nobody will look at the cell any more.
    fn is_over(&self) -> bool {
        self.refs == 0 && (self.dormant.is_none() || self.due_ns == NEVER)
    }
}

impl TimerCell {
    pub(super) fn address(&self) -> usize {
        ptr::from_ref(self) as usize
    }

    /// The cell at `address`.
    ///
    /// # Safety
    /// `address` must come from [`TimerCell::address`] of a cell of the pool.
    pub(super) unsafe fn from_address(address: usize) -> &'static Self {
        // SAFETY: cells are never freed.
        unsafe { &*(address as *const Self) }
    }

    /// A heap entry has come up: the goroutine is added to `ready` if it is due.
    pub(super) fn expire(&'static self, now_ns: u64, ready: &mut GList) {
        let mut state = self.state.lock();
        if state.due_ns > now_ns {
            return;
        }
        state.due_ns = NEVER;
        self.word.clear();
        if let Some(dormant) = state.dormant.take() {
            ready.push(dormant.into_record());
        }
        let (is_over, home) = (state.is_over(), state.home);
        drop(state);
        if is_over {
            give_back(self, home);
        }
    }
}

/// A share in a cell.
pub(crate) struct CellRef(&'static TimerCell);

impl CellRef {
    /// A cell that keeps `dormant`, not armed.
    pub(crate) fn new(dormant: Dormant) -> Self {
        let (cell, shard) = take_free();
        {
            let mut state = cell.state.lock();
            debug_assert!(state.is_over() && state.dormant.is_none());
            state.home = shard as u32;
            state.dormant = Some(dormant);
            state.refs = 1;
        }
        Self(cell)
    }

    pub(crate) fn cell(&self) -> &'static TimerCell {
        self.0
    }

    /// Sets the time, if the goroutine has not been started: whether it was armed, and the heap entry that the caller must push. `None`: it
    /// has been started.
    pub(crate) fn arm(&self, due_ns: u64) -> Option<(bool, Option<u64>)> {
        let mut state = self.0.state.lock();
        state.dormant.as_ref()?;
        let was_armed = state.due_ns != NEVER;
        state.due_ns = due_ns;
        if due_ns == NEVER {
            self.0.word.clear();
            return Some((was_armed, None));
        }
        // Under the lock, so that the word and `due_ns` agree.
        Some((was_armed, self.0.word.set(due_ns)))
    }

    /// Takes the time back. True if that has kept the goroutine from being started by it.
    pub(crate) fn disarm(&self) -> bool {
        let mut state = self.0.state.lock();
        let was_armed = state.dormant.is_some() && state.due_ns != NEVER;
        state.due_ns = NEVER;
        self.0.word.clear();
        was_armed
    }

    /// Drops the closure. True if that has kept the goroutine from being started.
    pub(crate) fn discard(&self) -> bool {
        let dormant = {
            let mut state = self.0.state.lock();
            state.due_ns = NEVER;
            self.0.word.clear();
            state.dormant.take()
        };
        // The closure's destructor is user code, and runs here.
        dormant.is_some()
    }

    /// Adds the goroutine to `ready`, if it has not been started.
    pub(crate) fn start(&self, ready: &mut GList) {
        let mut state = self.0.state.lock();
        state.due_ns = NEVER;
        self.0.word.clear();
        if let Some(dormant) = state.dormant.take() {
            ready.push(dormant.into_record());
        }
    }

    /// True until the goroutine has been started or discarded.
    pub(crate) fn is_dormant(&self) -> bool {
        self.0.state.lock().dormant.is_some()
    }

    /// When it is due; [`NEVER`] if it is not armed.
    pub(crate) fn due_ns(&self) -> u64 {
        self.0.state.lock().due_ns
    }
}

impl Clone for CellRef {
    fn clone(&self) -> Self {
        self.0.state.lock().refs += 1;
        Self(self.0)
    }
}

impl Drop for CellRef {
    fn drop(&mut self) {
        let (dormant, home) = {
            let mut state = self.0.state.lock();
            state.refs -= 1;
            if !state.is_over() {
                return;
            }
            (state.dormant.take(), state.home)
        };
        give_back(self.0, home);
        drop(dormant);
    }
}

impl std::fmt::Debug for CellRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CellRef").field("due_ns", &self.due_ns()).finish_non_exhaustive()
    }
}

const SHARDS: usize = 16;
const CHUNK: usize = 64;

/// Free cells. Several lists, each on cache lines of its own, so that many threads that arm timers do not meet at one.
#[repr(align(128))]
struct FreeList(Lock<*const TimerCell>);

// SAFETY: the pointers are to cells, which are `Sync` and never freed.
unsafe impl Sync for FreeList {}

static FREE: [FreeList; SHARDS] = [const { FreeList(Lock::new(ptr::null())) }; SHARDS];
/// The list of the next thread, or goroutine, that asks for the first time.
static NEXT_SHARD: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// The list that this thread or goroutine takes from first, plus one.
    static SHARD: Cell<usize> = const { Cell::new(0) };
}

/// A free cell, and the list of the one who asks.
fn take_free() -> (&'static TimerCell, usize) {
    let mut shard = SHARD.get();
    if shard == 0 {
        // Relaxed: any number will do.
        shard = NEXT_SHARD.fetch_add(1, Relaxed) % SHARDS + 1;
        SHARD.set(shard);
    }
    let first = shard - 1;
    for at in (0..SHARDS).map(|at| (first + at) % SHARDS) {
        let mut free = FREE[at].0.lock();
        // SAFETY: null or a cell, and cells are never freed.
        if let Some(cell) = unsafe { free.as_ref() } {
            *free = cell.link.get();
            return (cell, first);
        }
    }
    (add_chunk(first), first)
}

/// Makes a chunk; allocates.
#[cold]
fn add_chunk(shard: usize) -> &'static TimerCell {
    let new = || TimerCell {
        word: TimerWord::new(),
        state: Lock::new(State { dormant: None, due_ns: NEVER, refs: 0, home: shard as u32 }),
        link: Cell::new(ptr::null()),
    };
    let cells: &'static [TimerCell] = Box::leak((0..CHUNK).map(|_| new()).collect());
    let mut free = FREE[shard].0.lock();
    for cell in &cells[1..] {
        cell.link.set(*free);
        *free = cell;
    }
    &cells[0]
}

/// Puts a cell that nobody uses on its free list. Runs in the scheduler, too: no thread-local, no allocation.
fn give_back(cell: &'static TimerCell, home: u32) {
    let mut free = FREE[home as usize].0.lock();
    cell.link.set(*free);
    *free = cell;
}

/// The time `wait` from now, for a cell: never the words for "none" and "not armed".
pub(crate) fn due_after(wait: Duration) -> u64 {
    clock::after(wait).clamp(1, NEVER - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering::SeqCst;

    static DISCARDED: AtomicUsize = AtomicUsize::new(0);

    fn dormant() -> (Dormant, &'static G) {
        unsafe fn discard(_: &'static G) {
            DISCARDED.fetch_add(1, SeqCst);
        }
        let g: &'static G = Box::leak(Box::new(G::new()));
        (Dormant::new(g, discard), g)
    }

    #[test]
    fn a_look_that_comes_too_early_or_after_the_end_starts_nothing() {
        let (first, g) = dormant();
        let share = CellRef::new(first);
        let cell = share.cell();
        let mut ready = GList::new();
        assert_eq!(share.arm(100), Some((false, Some(100))));
        assert_eq!(share.arm(200), Some((true, None)), "the entry that is there comes up first");
        cell.expire(150, &mut ready);
        assert!(ready.is_empty(), "early");
        assert!(share.disarm() && !share.disarm());
        cell.expire(300, &mut ready);
        assert!(ready.is_empty(), "stopped");
        assert!(share.arm(400).is_some());
        // Whoever armed it has gone; the heap still knows it.
        drop(share);
        cell.expire(400, &mut ready);
        assert!(ready.pop().is_some_and(|started| ptr::eq(started, g)));
        cell.expire(500, &mut ready);
        assert!(ready.is_empty(), "once");

        // The cell is the next that is used, and a late look for its last user does nothing to this one.
        let before = DISCARDED.load(SeqCst);
        let second = CellRef::new(dormant().0);
        assert!(ptr::eq(second.cell(), cell));
        second.arm(1000);
        cell.expire(600, &mut ready);
        assert!(ready.is_empty() && second.is_dormant());
        let other = second.clone();
        assert!(second.discard() && !other.discard());
        assert_eq!(DISCARDED.load(SeqCst), before + 1);
        assert_eq!(other.arm(2000), None);
        drop((second, other));
        let stopped = CellRef::new(dormant().0);
        assert!(ptr::eq(stopped.cell(), cell));
        drop(stopped);
        assert_eq!(DISCARDED.load(SeqCst), before + 2, "nobody could start it any more");
    }
}

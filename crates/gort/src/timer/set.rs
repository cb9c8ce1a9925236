//! A heap under a lock, with its earliest time readable without the lock. Any M may expire the entries of any set ("stealable").

use super::heap::{Entry, Heap};
use super::{NEVER, TimerCell, TimerWord};
use crate::g::{G, GList};
use crate::netpoll::{Desc, Side};
use crate::prim::lock::Lock;
use crate::stack::switch::prefetch;
use gort_lockfree::timer_word::Fired;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

/// Whose deadline an entry stands for: an address of a type-stable, 64-aligned record, and a tag in its low bits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target(usize);

impl Target {
    const TAGS: usize = 3;

    /// The timed park or sleep of a goroutine.
    pub(crate) fn goroutine(g: &'static G) -> Self {
        Self(g.address())
    }

    /// The deadline of one side of a descriptor.
    pub(crate) fn descriptor(desc: &'static Desc, side: Side) -> Self {
        Self(desc.address() | (1 + side.index()))
    }

    /// A timer that starts a goroutine.
    pub(crate) fn cell(cell: &'static TimerCell) -> Self {
        Self(cell.address() | Self::TAGS)
    }

    /// The target as a word, for those who keep it elsewhere than in a heap.
    pub(crate) fn to_word(self) -> usize {
        self.0
    }

    /// The target of a word.
    ///
    /// # Safety
    /// `word` must come from [`Target::to_word`].
    pub(crate) unsafe fn from_word(word: usize) -> Self {
        Self(word)
    }

    /// Fetches the lines that [`TimerWord::fire`] and [`Target::kick`] will touch.
    fn prefetch(self) {
        let record = self.0 & !Self::TAGS;
        prefetch(record);
        prefetch(record + 64);
    }

    fn word(self) -> &'static TimerWord {
        // SAFETY: a target is only made from a record's address, and records are never freed.
        unsafe {
            match self.0 & Self::TAGS {
                0 => &G::from_address(self.0).timer,
                1 => &Desc::from_address(self.0 & !Self::TAGS).waits(Side::Read).timer,
                2 => &Desc::from_address(self.0 & !Self::TAGS).waits(Side::Write).timer,
                _ => &TimerCell::from_address(self.0 & !Self::TAGS).word,
            }
        }
    }

    /// Tells whoever waits to look at the clock, which shows `now_ns`; adds it to `ready` if it was parked.
    pub(crate) fn kick(self, now_ns: u64, ready: &mut GList) {
        // SAFETY: as in `word`.
        unsafe {
            match self.0 & Self::TAGS {
                0 => {
                    let g = G::from_address(self.0);
                    if g.park.kick() {
                        ready.push(g);
                    }
                }
                1 => Desc::from_address(self.0 & !Self::TAGS).kick(Side::Read, ready),
                2 => Desc::from_address(self.0 & !Self::TAGS).kick(Side::Write, ready),
                _ => TimerCell::from_address(self.0 & !Self::TAGS).expire(now_ns, ready),
            }
        }
    }
}

/// Stale entries are swept when a heap has grown to twice what the last sweep left, and not below this.
const SWEEP_FLOOR: usize = 1024;
/// Entries that are taken out at once.
const BATCH: usize = 16;

struct Inner {
    heap: Heap,
    sweep_at: usize,
}

/// The timers of one P.
pub(crate) struct TimerSet {
    /// Time of the earliest entry, [`NEVER`] without one. Written under the lock; readers without it may be late by one change, and look again
    /// when they go idle, under the scheduler's lock.
    next_ns: AtomicU64,
    inner: Lock<Inner>,
}

impl TimerSet {
    pub(crate) const fn new() -> Self {
        Self { next_ns: AtomicU64::new(NEVER), inner: Lock::new(Inner { heap: Heap::new(), sweep_at: SWEEP_FLOOR }) }
    }

    /// When the earliest entry is due.
    #[inline(always)]
    pub(crate) fn next_ns(&self) -> u64 {
        // Relaxed: a hint while an M runs. An M that is about to sleep reads it after the SeqCst fence that follows releasing its P
        // (`sched::idle`), and pairs with the SeqCst store below.
        self.next_ns.load(Relaxed)
    }

    /// Adds an entry; true if it is the earliest now.
    pub(crate) fn push(&self, when_ns: u64, target: Target) -> bool {
        let mut inner = self.inner.lock();
        if inner.heap.is_full() && inner.heap.len() >= inner.sweep_at {
            inner.heap.retain(|entry| !Target(entry.target).word().is_stale(entry.when_ns));
            inner.sweep_at = (inner.heap.len() * 2).max(SWEEP_FLOOR);
        }
        inner.heap.push(Entry { when_ns, target: target.0 });
        self.publish(&inner) == when_ns
    }

    /// Fires everything due at `now_ns`: the waiters to ready are added to `ready`.
    pub(crate) fn expire(&self, now_ns: u64, ready: &mut GList) {
        if self.next_ns() > now_ns {
            return;
        }
        let mut inner = self.inner.lock();
        // Some at a time, so that the records come into the cache together.
        let mut due = [Entry::EMPTY; BATCH];
        loop {
            let mut count = 0;
            while count < BATCH && inner.heap.first().is_some_and(|entry| entry.when_ns <= now_ns) {
                let Some(entry) = inner.heap.pop() else { break };
                Target(entry.target).prefetch();
                due[count] = entry;
                count += 1;
            }
            for entry in &due[..count] {
                let target = Target(entry.target);
                match target.word().fire(entry.when_ns, now_ns) {
                    Fired::Stale | Fired::Idle => {}
                    Fired::Rearm(when_ns) => inner.heap.push(Entry { when_ns, target: entry.target }),
                    Fired::Expired => target.kick(now_ns, ready),
                }
            }
            if count < BATCH {
                break;
            }
        }
        self.publish(&inner);
    }

    /// Moves every entry to `other`.
    pub(crate) fn move_to(&self, other: &Self) {
        let entries = {
            let mut inner = self.inner.lock();
            let entries = inner.heap.drain();
            self.publish(&inner);
            entries
        };
        let mut inner = other.inner.lock();
        for entry in entries {
            inner.heap.push(entry);
        }
        other.publish(&inner);
    }

    /// How many entries stand for a deadline that has not been taken back. Looks at each of them under the lock.
    pub(crate) fn pending(&self) -> usize {
        let inner = self.inner.lock();
        let words = inner.heap.iter().map(|entry| (Target(entry.target).word(), entry.when_ns));
        words.filter(|(word, when_ns)| !word.is_stale(*when_ns) && word.until() != 0).count()
    }

    fn publish(&self, inner: &Inner) -> u64 {
        let next_ns = inner.heap.first().map_or(NEVER, |entry| entry.when_ns);
        // SeqCst: pairs with the fence of an M that goes idle, see `next_ns`.
        self.next_ns.store(next_ns, SeqCst);
        next_ns
    }
}

impl std::fmt::Debug for TimerSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TimerSet").field("next_ns", &self.next_ns()).finish_non_exhaustive()
    }
}

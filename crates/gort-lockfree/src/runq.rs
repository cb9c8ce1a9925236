//! The run queue of a P: a ring that one owner fills and anybody empties, and a slot for what runs
//! next.
//!
//! # States
//! `head` and `tail` count for ever and are taken modulo [`CAP`]; `head..tail` are the queued items.
//! - `tail` is written by the owner alone, after the slot behind it (Release).
//! - `head` is moved by a compare-and-swap of whoever takes items: the owner one by one or half a
//!   ring at a time, a thief half of what is there.
//! - A slot outside `head..tail` belongs to the owner, who is the only one to write slots.
//! - `next` goes from null to an item by the owner alone, and from an item to null by whoever takes
//!   it.
//!
//! # The argument
//! **Nothing twice.** A thief copies first and swaps `head` after; the copy may be stale or torn
//! between two laps of the ring, and the swap decides: it succeeds only if `head` has not moved since
//! the copy began, and while `head` stands still the owner writes none of `head..tail`. `head` has 64
//! bits and cannot come round (Go's has 32: a thief stopped for 2^32 takes, 90 s at full speed,
//! could succeed on a stale copy).
//!
//! **Nothing lost.** The owner writes a slot again only after it has seen a `head` beyond it
//! (Acquire, in `push` and `steal_into`), which happens after the reads of the thief who moved it
//! there (Release). A thief writes the stolen items into the *thief's* ring beyond its tail, where
//! nobody reads.
//!
//! **Empty is one reading.** An item kicked out of `next` goes into the ring; somebody who looks at
//! the ring first and at `next` after could see neither. [`LocalQueue::is_empty`] therefore reads
//! `tail` on both sides of `next`: whoever emptied `next` did it after the push (Release in
//! `take_next`, Acquire in the look), so the second reading of `tail` shows the push. `head` is read
//! first, so that an older `tail` cannot be met by a newer `head` (Release in every move of `head`).
//! Between the swap in [`LocalQueue::set_next`] and the push of what it kicked out, that item is in
//! the owner's hand and not in the queue: the owner has yet to announce it (`spinning`).
//!
//! # Rejected
//! - Two heads in one word (tokio), so that a thief may copy after it has claimed: an entry here is
//!   one word, which can be copied before; the owner never waits for a thief.
//! - Taking the newest first for the owner (Chase-Lev): no compare-and-swap per pop, but not FIFO.
//!
//! Models: `runq/model.rs`. Source: Go `proc.go`, `runqput`, `runqget`, `runqgrab`, `runqempty`.

use core::fmt;
use core::ptr::{self, NonNull};
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::atomics::{AtomicPtr, AtomicU64, const_unless_loom, relax};
use crate::cache_line::CacheLine;
use crate::mutate::mutated;

#[cfg(test)]
mod model;
#[cfg(all(test, not(gort_loom)))]
mod tests;

/// How many items a ring holds.
#[cfg(not(gort_loom))]
pub const CAP: usize = 256;
/// How many items a ring holds: few, so that loom gets round it.
#[cfg(gort_loom)]
pub const CAP: usize = 4;

const MASK: u64 = CAP as u64 - 1;

/// The ring has no room: [`LocalQueue::drain_half`] makes some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the run queue is full")
    }
}

impl core::error::Error for Full {}

/// The run queue of one P. See the [module's documentation](self).
///
/// It holds addresses and looks behind none of them. "The owner" is whoever owns the P: one thread
/// at a time, and each synchronised with the one before.
#[repr(C)]
pub struct LocalQueue<T> {
    /// Written by everybody who takes.
    head: CacheLine<AtomicU64>,
    /// Written by the owner, `next` rarely by thieves.
    owned: CacheLine<Owned<T>>,
    slots: [AtomicPtr<T>; CAP],
}

struct Owned<T> {
    tail: AtomicU64,
    next: AtomicPtr<T>,
}

impl<T> LocalQueue<T> {
    const_unless_loom! {
        /// An empty queue.
        pub const fn new() -> Self {
            Self {
                head: CacheLine(AtomicU64::new(0)),
                owned: CacheLine(Owned {
                    tail: AtomicU64::new(0),
                    next: AtomicPtr::new(ptr::null_mut()),
                }),
                #[cfg(not(gort_loom))]
                slots: [const { AtomicPtr::new(ptr::null_mut()) }; CAP],
                #[cfg(gort_loom)]
                slots: core::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())),
            }
        }
    }

    #[inline(always)]
    fn slot(&self, at: u64) -> &AtomicPtr<T> {
        &self.slots[(at & MASK) as usize]
    }

    /// Puts `item` behind all others in the ring.
    ///
    /// # Errors
    /// [`Full`] if the ring has no room; the item is still the caller's.
    ///
    /// # Safety
    /// The caller is the owner.
    #[inline]
    pub unsafe fn push(&self, item: NonNull<T>) -> Result<(), Full> {
        // Acquire: pairs with the Release of a thief's move of `head` in `steal_into`; its reads of
        // the slots it took happen before we write one of them again.
        let head = self.head.load(Acquire);
        // Relaxed: only the owner writes `tail`; this is its own last store.
        let tail = self.owned.tail.load(Relaxed);
        if tail - head >= CAP as u64 {
            return Err(Full);
        }
        // Relaxed: published by the store of `tail` below.
        self.slot(tail).store(item.as_ptr(), Relaxed);
        // Release: pairs with the Acquire of `tail` in `steal_into` and `is_empty`; whoever sees
        // this tail sees the slot and what the item points to.
        let publish = if mutated!("runq_push_relaxed") { Relaxed } else { Release };
        self.owned.tail.store(tail + 1, publish);
        Ok(())
    }

    /// Takes half of the ring, oldest first, and hands it to `f`, to make room. Returns how many.
    ///
    /// 0 means that a thief was faster and there is room now, or that there was nothing to take.
    /// `f` runs when the items have left the queue already; it must not use this queue.
    ///
    /// # Safety
    /// The caller is the owner.
    pub unsafe fn drain_half(&self, mut f: impl FnMut(NonNull<T>)) -> usize {
        // Relaxed: the compare-and-swap below decides whether it was the present one; the slots are
        // our own writes.
        let head = self.head.load(Relaxed);
        // Relaxed: own last store, see `push`.
        let tail = self.owned.tail.load(Relaxed);
        let count = (tail - head).div_ceil(2);
        if count == 0 {
            return 0;
        }
        // Release: pairs with the Acquire of `head` in `is_empty` and `steal_into`, see `pop`.
        // Relaxed on failure: nothing was learned but that a thief is at work.
        if mutated!("runq_drain_without_cas") {
            self.head.store(head + count, Release);
        } else if self.head.compare_exchange(head, head + count, Release, Relaxed).is_err() {
            return 0;
        }
        // The slots are ours from here on and nobody else writes slots, so the copy that a thief
        // must make before its compare-and-swap is not needed.
        for at in head..head + count {
            // Relaxed: own writes.
            if let Some(item) = NonNull::new(self.slot(at).load(Relaxed)) {
                f(item);
            }
        }
        count as usize
    }

    /// Puts `item` into the run-next slot and returns what was there; the caller pushes that.
    ///
    /// # Safety
    /// The caller is the owner.
    #[inline]
    pub unsafe fn set_next(&self, item: NonNull<T>) -> Option<NonNull<T>> {
        let next = &self.owned.next;
        // Relaxed: only the owner puts something in, so null is final and needs no swap.
        if next.load(Relaxed).is_null() {
            // Release: pairs with the Acquire in `steal_into`; a thief sees what the item points to.
            next.store(item.as_ptr(), Release);
            return None;
        }
        // Release: as above. Not Acquire: what comes out is our own write.
        NonNull::new(next.swap(item.as_ptr(), Release))
    }

    /// Takes what is in the run-next slot.
    ///
    /// # Safety
    /// The caller is the owner.
    #[inline]
    pub unsafe fn take_next(&self) -> Option<NonNull<T>> {
        let next = &self.owned.next;
        // Relaxed: own write, or a thief's null.
        let item = NonNull::new(next.load(Relaxed))?;
        // Release: pairs with the Acquire of `next` in `is_empty`, which must then see all pushes
        // made before this. Relaxed on failure: only a thief's null can be there.
        let order = if mutated!("runq_take_next_relaxed") { Relaxed } else { Release };
        let taken = next.compare_exchange(item.as_ptr(), ptr::null_mut(), order, Relaxed);
        (taken.is_ok() || mutated!("runq_next_without_cas")).then_some(item)
    }

    /// Takes the oldest item of the ring.
    ///
    /// # Safety
    /// The caller is the owner.
    #[inline]
    pub unsafe fn pop(&self) -> Option<NonNull<T>> {
        // Relaxed: the compare-and-swap below decides whether it is the present one.
        let mut head = self.head.load(Relaxed);
        // Relaxed: own last store.
        let tail = self.owned.tail.load(Relaxed);
        loop {
            if head == tail {
                return None;
            }
            // Relaxed: own write.
            let item = self.slot(head).load(Relaxed);
            if mutated!("runq_pop_without_cas") {
                self.head.store(head + 1, Release);
                return NonNull::new(item);
            }
            // Release: pairs with the Acquire of `head` in `is_empty` and `steal_into`; whoever sees
            // this head sees at least the tail that we have published.
            // Relaxed on failure: the value is used as an index only.
            match self.head.compare_exchange_weak(head, head + 1, Release, Relaxed) {
                Ok(_) => return NonNull::new(item),
                Err(now) => head = now,
            }
        }
    }

    /// The `n`-th item from the head, or null: a racy look, for the owner to prefetch by. A thief
    /// may have taken it already.
    #[inline]
    pub fn peek(&self, n: u32) -> *mut T {
        // Relaxed, all of it: an address to prefetch is right or useless, never wrong.
        let at = self.head.load(Relaxed) + u64::from(n);
        if at >= self.owned.tail.load(Relaxed) {
            return ptr::null_mut();
        }
        self.slot(at).load(Relaxed)
    }

    /// Moves the older half of this ring (rounded up, as far as the thief's ring has room) into
    /// `thief`'s and returns the last of what was moved, to be run at once. If the ring is empty
    /// and `with_next` is set, takes the run-next slot instead.
    ///
    /// A running owner usually needs its run-next slot within 50 ns: callers set `with_next` in the
    /// last pass over all victims only.
    ///
    /// # Safety
    /// The caller is the owner of `thief`, which is another queue than `self`.
    pub unsafe fn steal_into(&self, thief: &Self, with_next: bool) -> Option<NonNull<T>> {
        debug_assert!(!ptr::eq(self, thief), "LocalQueue::steal_into: a queue robs itself");
        // Acquire: as in `push`, which this is for the thief's ring.
        let thief_head = thief.head.load(Acquire);
        // Relaxed: own last store.
        let thief_tail = thief.owned.tail.load(Relaxed);
        let room = CAP as u64 - (thief_tail - thief_head);
        loop {
            // Acquire: pairs with the Release of every move of `head`; the tail read below is not
            // older than this head, and the order of both reads is kept.
            let head = self.head.load(Acquire);
            // Acquire: pairs with the Release in `push`; the slots, and what the items point to.
            let tail = self.owned.tail.load(Acquire);
            let there = tail.wrapping_sub(head);
            if there == 0 {
                if !with_next {
                    return None;
                }
                // Relaxed: the compare-and-swap below decides.
                let next = NonNull::new(self.owned.next.load(Relaxed))?;
                // Acquire: pairs with the Release in `set_next`; what the item points to.
                // Relaxed on failure: we look at everything again.
                let taken = &self.owned.next;
                let taken = taken.compare_exchange(next.as_ptr(), ptr::null_mut(), Acquire, Relaxed);
                if taken.is_ok() {
                    return Some(next);
                }
                relax();
                continue;
            }
            if there > CAP as u64 {
                // The head is of long ago: read both again.
                relax();
                continue;
            }
            let count = there.div_ceil(2).min(room);
            if count == 0 {
                return None;
            }
            let mut last = ptr::null_mut();
            for i in 0..count {
                // Relaxed: the writes are ordered by `tail` above; if one is newer than that, the
                // compare-and-swap below fails.
                last = self.slot(head + i).load(Relaxed);
                // Relaxed: beyond the thief's tail nobody reads; published below.
                thief.slot(thief_tail + i).store(last, Relaxed);
            }
            if mutated!("runq_steal_without_cas") {
                self.head.store(head + count, Release);
            } else if self.head.compare_exchange(head, head + count, Release, Relaxed).is_err() {
                // Release on success: pairs with the Acquire of `head` in `push` (the owner may
                // write these slots again only now) and with those above and in `is_empty`.
                // Relaxed on failure: we look at everything again.
                relax();
                continue;
            }
            if count > 1 {
                // Release: as in `push`; all but the last, which the caller runs.
                thief.owned.tail.store(thief_tail + count - 1, Release);
            }
            return NonNull::new(last);
        }
    }

    /// How many items are in the ring: a racy look.
    #[inline]
    pub fn ring_len(&self) -> usize {
        // Acquire: as in `is_empty`, so that the difference is not negative but at worst too large.
        let head = self.head.load(Acquire);
        // Relaxed: a count to decide by, not to act on.
        let there = self.owned.tail.load(Relaxed).wrapping_sub(head);
        there.min(CAP as u64) as usize
    }

    /// How many items are in the ring and the run-next slot: a racy look.
    #[inline]
    pub fn len(&self) -> usize {
        // Relaxed: see `ring_len`.
        self.ring_len() + usize::from(!self.owned.next.load(Relaxed).is_null())
    }

    /// Whether nothing is queued, in one consistent reading: never true while something is, even if
    /// it moves from the run-next slot to the ring meanwhile. Anybody may ask.
    #[inline]
    pub fn is_empty(&self) -> bool {
        loop {
            // Acquire: pairs with the Release of every move of `head`; `tail` below is not older.
            let head = self.head.load(Acquire);
            // Acquire: keeps the read of `next` behind this one.
            let tail = self.owned.tail.load(Acquire);
            // Acquire: pairs with the Release in `take_next` and `set_next`; if the slot was emptied
            // after a push, `tail` below shows that push.
            let next = self.owned.next.load(Acquire);
            // Relaxed: ordered behind `next` by its Acquire.
            if mutated!("runq_empty_no_reread") || tail == self.owned.tail.load(Relaxed) {
                return head == tail && next.is_null();
            }
            relax();
        }
    }
}

impl<T> Default for LocalQueue<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for LocalQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Relaxed: a picture for people.
        f.debug_struct("LocalQueue")
            .field("ring_len", &self.ring_len())
            .field("next", &self.owned.next.load(Relaxed))
            .finish()
    }
}

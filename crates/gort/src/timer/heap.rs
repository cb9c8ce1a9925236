//! A 4-ary min-heap of (time, target). Four children share a cache line, which makes the sift-down of a pop cheaper than with two.
//!
//! The root lies at place 3 of an array of lines with four places each, and the children of place `i` at `4i - 8` and after: so those four are a
//! line, and the children of four siblings are four lines in a row. In a large heap each line is a cache miss; so those four are fetched while
//! the siblings are compared.

use crate::stack::switch::prefetch;
use std::ptr;

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) when_ns: u64,
    pub(super) target: usize,
}

impl Entry {
    /// What lies in places without an entry: later than all.
    pub(super) const EMPTY: Self = Self { when_ns: u64::MAX, target: 0 };
}

const ARITY: usize = 4;
const ROOT: usize = 3;
/// Below this a heap lies in the cache.
const LARGE: usize = 16 << 10;

#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Line([Entry; ARITY]);

/// The heap. Entries with equal times come out in no particular order.
#[derive(Debug)]
pub(super) struct Heap {
    lines: Vec<Line>,
    len: usize,
}

impl Heap {
    pub(super) const fn new() -> Self {
        Self { lines: Vec::new(), len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The earliest entry.
    pub(super) fn first(&self) -> Option<Entry> {
        (self.len > 0).then(|| *self.at(ROOT))
    }

    /// True if the next push allocates.
    pub(super) fn is_full(&self) -> bool {
        ROOT + self.len >= self.lines.capacity() * ARITY
    }

    /// Adds an entry.
    pub(super) fn push(&mut self, entry: Entry) {
        let at = ROOT + self.len;
        if at / ARITY >= self.lines.len() {
            self.lines.push(Line([Entry::EMPTY; ARITY]));
        }
        self.len += 1;
        *self.at_mut(at) = entry;
        self.sift_up(at);
    }

    /// Takes the earliest entry out.
    pub(super) fn pop(&mut self) -> Option<Entry> {
        let first = self.first()?;
        self.len -= 1;
        let last = std::mem::replace(self.at_mut(ROOT + self.len), Entry::EMPTY);
        if self.len > 0 {
            self.sift_down(ROOT, last);
        }
        Some(first)
    }

    /// All entries, in no particular order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.lines.iter().flat_map(|line| &line.0).skip(ROOT).take(self.len)
    }

    /// Keeps the entries that `keep` wants and rebuilds the order.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&Entry) -> bool) {
        let mut kept = 0;
        for at in ROOT..ROOT + self.len {
            let entry = std::mem::replace(self.at_mut(at), Entry::EMPTY);
            if keep(&entry) {
                *self.at_mut(ROOT + kept) = entry;
                kept += 1;
            }
        }
        self.len = kept;
        for at in (ROOT..ROOT + kept).rev() {
            self.sift_down(at, *self.at(at));
        }
    }

    /// Takes all entries.
    pub(super) fn drain(&mut self) -> Vec<Entry> {
        let entries = self.iter().copied().collect();
        *self = Self::new();
        entries
    }

    #[inline(always)]
    fn at(&self, place: usize) -> &Entry {
        &self.lines[place / ARITY].0[place % ARITY]
    }

    #[inline(always)]
    fn at_mut(&mut self, place: usize) -> &mut Entry {
        &mut self.lines[place / ARITY].0[place % ARITY]
    }

    fn sift_up(&mut self, mut at: usize) {
        let entry = *self.at(at);
        while at > ROOT {
            let parent = at / ARITY + 2;
            if self.at(parent).when_ns <= entry.when_ns {
                break;
            }
            *self.at_mut(at) = *self.at(parent);
            at = parent;
        }
        *self.at_mut(at) = entry;
    }

    /// Finds a place for `entry` at `at` or below. What lies at `at` is gone.
    fn sift_down(&mut self, mut at: usize, entry: Entry) {
        let is_large = self.len > LARGE;
        // The children of a place are a line, of which places without an entry never win.
        while let Some(children) = self.lines.get(at - 2) {
            if is_large && let Some(grandchildren) = self.lines.get(ARITY * (at - 2) - 2) {
                let from = ptr::from_ref(grandchildren) as usize;
                (0..ARITY).for_each(|line| prefetch(from + line * size_of::<Line>()));
            }
            let times = children.0.map(|child| child.when_ns);
            let (left, right) = (usize::from(times[1] < times[0]), 2 + usize::from(times[3] < times[2]));
            let least = if times[right] < times[left] { right } else { left };
            if times[least] >= entry.when_ns {
                break;
            }
            *self.at_mut(at) = children.0[least];
            at = ARITY * (at - 2) + least;
        }
        *self.at_mut(at) = entry;
    }
}

#[cfg(test)]
mod tests {
    use super::{Entry, Heap};

    #[test]
    fn entries_come_out_by_time_whatever_the_order_they_went_in() {
        let mut heap = Heap::new();
        let mut x = 88_172_645_463_325_252_u64;
        for target in 0..5000 {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            heap.push(Entry { when_ns: x % 1000, target });
        }
        heap.retain(|entry| entry.target % 3 != 0);
        let (mut last, mut count) = (0, 0);
        while let Some(entry) = heap.pop() {
            assert!(entry.when_ns >= last);
            assert_ne!(entry.target % 3, 0);
            last = entry.when_ns;
            count += 1;
        }
        assert_eq!(count, 5000 - 5000_usize.div_ceil(3));
    }
}

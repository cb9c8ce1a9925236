//! A 4-ary min-heap of (time, target). Four children share a cache line of entries, which makes the sift-down of a pop cheaper than with two.

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) when_ns: u64,
    pub(super) target: usize,
}

const ARITY: usize = 4;

/// The heap. Entries with equal times come out in no particular order.
#[derive(Debug)]
pub(super) struct Heap {
    entries: Vec<Entry>,
}

impl Heap {
    pub(super) const fn new() -> Self {
        Self { entries: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The earliest entry.
    pub(super) fn first(&self) -> Option<Entry> {
        self.entries.first().copied()
    }

    /// True if the next push allocates.
    pub(super) fn is_full(&self) -> bool {
        self.entries.len() == self.entries.capacity()
    }

    /// Adds an entry.
    pub(super) fn push(&mut self, entry: Entry) {
        self.entries.push(entry);
        self.sift_up(self.entries.len() - 1);
    }

    /// Takes the earliest entry out.
    pub(super) fn pop(&mut self) -> Option<Entry> {
        if self.entries.is_empty() {
            return None;
        }
        let first = self.entries.swap_remove(0);
        self.sift_down(0);
        Some(first)
    }

    /// All entries, in no particular order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Keeps the entries that `keep` wants and rebuilds the order.
    pub(super) fn retain(&mut self, keep: impl FnMut(&Entry) -> bool) {
        self.entries.retain(keep);
        for at in (0..self.entries.len().div_ceil(ARITY)).rev() {
            self.sift_down(at);
        }
    }

    /// Takes all entries.
    pub(super) fn drain(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.entries)
    }

    fn sift_up(&mut self, mut at: usize) {
        let entry = self.entries[at];
        while at > 0 {
            let parent = (at - 1) / ARITY;
            if self.entries[parent].when_ns <= entry.when_ns {
                break;
            }
            self.entries[at] = self.entries[parent];
            at = parent;
        }
        self.entries[at] = entry;
    }

    fn sift_down(&mut self, mut at: usize) {
        let Some(&entry) = self.entries.get(at) else { return };
        loop {
            let first = at * ARITY + 1;
            let last = (first + ARITY).min(self.entries.len());
            let Some(least) = (first..last).min_by_key(|&child| self.entries[child].when_ns) else { break };
            if self.entries[least].when_ns >= entry.when_ns {
                break;
            }
            self.entries[at] = self.entries[least];
            at = least;
        }
        self.entries[at] = entry;
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

//! Slots that wait for their next user, threaded through their footers.
//!
//! ```text
//!   newest ──older──▶ slot ──older──▶ … ──older──▶ oldest
//!          ◀─newer──      ◀─newer──     ◀─newer──
//! ```
//!
//! Users take and give at the newest end: what was used last is still in the cache. The scavenger takes from the oldest end. How many at that end
//! nobody has needed for a while is the fewest that there were meanwhile; so nothing is noted for each slot.
//!
//! Footers are resident anyway, so giving back never allocates. Whoever holds the lock of the slots' size owns the list and its links.

use super::layout::SlotFooter;
use super::switch::prefetch;
use std::ptr;
use std::sync::atomic::Ordering::Relaxed;

/// A list of slots, by the addresses of their footers; 0 stands for none.
pub(super) struct FreeList {
    newest: usize,
    oldest: usize,
    count: usize,
    /// The smallest `count` since the last [`FreeList::begin_period`].
    fewest: usize,
}

impl FreeList {
    pub(super) const fn new() -> Self {
        Self { newest: 0, oldest: 0, count: 0, fewest: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Adds a slot that is on no list.
    pub(super) fn push(&mut self, footer: &'static SlotFooter) {
        let address = ptr::from_ref(footer) as usize;
        // Relaxed, here and below: the lock orders it.
        footer.older.store(self.newest, Relaxed);
        match Self::footer(self.newest) {
            Some(newest) => newest.newer.store(address, Relaxed),
            None => self.oldest = address,
        }
        self.newest = address;
        self.count += 1;
    }

    /// The one that was added last.
    pub(super) fn pop(&mut self) -> Option<&'static SlotFooter> {
        let footer = Self::footer(self.newest)?;
        self.newest = footer.older.load(Relaxed);
        if self.newest == 0 {
            self.oldest = 0;
        }
        // The next one to be taken: by then its footer, and what lies beside it in the block, should be in the cache.
        prefetch(self.newest);
        self.take_one();
        Some(footer)
    }

    /// The one that was added first.
    pub(super) fn pop_oldest(&mut self) -> Option<&'static SlotFooter> {
        let footer = Self::footer(self.oldest)?;
        if self.oldest == self.newest {
            return self.pop();
        }
        self.oldest = footer.newer.load(Relaxed);
        if let Some(oldest) = Self::footer(self.oldest) {
            oldest.older.store(0, Relaxed);
        }
        self.take_one();
        Some(footer)
    }

    /// How many at the oldest end have been on the list since the last call.
    pub(super) fn begin_period(&mut self) -> usize {
        std::mem::replace(&mut self.fewest, self.count)
    }

    fn take_one(&mut self) {
        self.count -= 1;
        self.fewest = self.fewest.min(self.count);
    }

    fn footer(address: usize) -> Option<&'static SlotFooter> {
        // SAFETY: only `push` puts addresses into lists, and footers are never released.
        (address != 0).then(|| unsafe { &*(address as *const SlotFooter) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prim::rng::Rng;
    use std::collections::VecDeque;

    fn footers(count: usize) -> Vec<&'static SlotFooter> {
        (0..count).map(|_| Box::leak(Box::new(SlotFooter::new()))).map(|footer| &*footer).collect()
    }

    /// Beside a queue of std's, whatever is done to it.
    #[test]
    fn both_ends_give_what_is_there_and_the_count_of_what_stayed_is_right() {
        let mut spare = footers(40);
        let (mut list, mut model) = (FreeList::new(), VecDeque::new());
        let mut rng = Rng::stream(7, 0);
        let (mut fewest, mut periods) = (0, 0);
        for _ in 0..20_000 {
            match rng.below(8) {
                0..4 => {
                    if let Some(footer) = spare.pop() {
                        list.push(footer);
                        model.push_back(ptr::from_ref(footer));
                    }
                }
                4..6 => {
                    let footer = list.pop();
                    assert_eq!(footer.map(ptr::from_ref), model.pop_back());
                    spare.extend(footer);
                }
                6 => {
                    let footer = list.pop_oldest();
                    assert_eq!(footer.map(ptr::from_ref), model.pop_front());
                    spare.extend(footer);
                }
                _ if rng.below(4) == 0 => {
                    assert_eq!(list.begin_period(), fewest);
                    fewest = model.len();
                    periods += usize::from(fewest > 0);
                }
                _ => {}
            }
            fewest = fewest.min(model.len());
            assert_eq!(list.len(), model.len());
        }
        assert!(periods > 100, "the lists were empty");
    }
}

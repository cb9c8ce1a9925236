//! A bag whose members leave by their number, in constant time.

/// See the module.
#[derive(Debug)]
pub(super) struct Slots<T> {
    items: Vec<Option<T>>,
    free: Vec<usize>,
}

impl<T> Slots<T> {
    pub(super) const fn new() -> Self {
        Self { items: Vec::new(), free: Vec::new() }
    }

    /// Adds a member: its number.
    pub(super) fn insert(&mut self, item: T) -> usize {
        match self.free.pop() {
            Some(at) => {
                self.items[at] = Some(item);
                at
            }
            None => {
                self.items.push(Some(item));
                self.items.len() - 1
            }
        }
    }

    /// Takes a member out, if it is there.
    pub(super) fn remove(&mut self, at: usize) -> Option<T> {
        let item = self.items.get_mut(at)?.take()?;
        self.free.push(at);
        Some(item)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.iter().flatten()
    }

    /// Takes all of them.
    pub(super) fn take(&mut self) -> impl Iterator<Item = T> + use<T> {
        self.free = Vec::new();
        std::mem::take(&mut self.items).into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::Slots;

    #[test]
    fn numbers_stay_good_until_their_member_leaves_and_are_used_again() {
        let mut slots = Slots::new();
        let numbers: Vec<usize> = (0..5).map(|n| slots.insert(n)).collect();
        assert_eq!(slots.remove(numbers[3]), Some(3));
        assert_eq!(slots.remove(numbers[3]), None);
        assert_eq!(slots.insert(7), numbers[3]);
        assert_eq!(slots.iter().copied().collect::<Vec<_>>(), [0, 1, 2, 7, 4]);
        assert_eq!(slots.take().count(), 5);
        assert_eq!(slots.remove(0), None);
        assert_eq!(slots.insert(9), 0);
    }
}

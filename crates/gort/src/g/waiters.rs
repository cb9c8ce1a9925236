//! A FIFO of parties that wait and may give up: linked through nodes on their own stacks, so that waiting allocates nothing, leaving takes
//! constant time, and the link in the record stays free for the list of who is to be readied.
//!
//! The list says whose turn it is; that somebody has been taken from it is told to its [`WakeWord`](gort_lockfree::wake_word::WakeWord).

use super::G;
use std::cell::Cell;
use std::ptr;

/// A party in, or about to be in, a [`WaitList`]. Lives on the waiting party's stack.
pub(crate) struct Waiter {
    g: &'static G,
    before: Cell<*const Waiter>,
    after: Cell<*const Waiter>,
    is_member: Cell<bool>,
}

impl Waiter {
    pub(crate) fn new(g: &'static G) -> Self {
        Self { g, before: Cell::new(ptr::null()), after: Cell::new(ptr::null()), is_member: Cell::new(false) }
    }
}

/// See the module. All of it, the nodes of its members included, belongs to the holder of the lock it lies under.
pub(crate) struct WaitList {
    first: *const Waiter,
    last: *const Waiter,
}

// SAFETY: the nodes are `push`ed under the contract that they stay until they have been taken out, and are touched under the list's lock only.
unsafe impl Send for WaitList {}

impl WaitList {
    pub(crate) const fn new() -> Self {
        Self { first: ptr::null(), last: ptr::null() }
    }

    /// Adds a party at the end.
    ///
    /// # Safety
    /// The node stays where it is until it is no member any more: until `is_member` says so, under the same lock.
    pub(crate) unsafe fn push(&mut self, waiter: &Waiter) {
        debug_assert!(!waiter.is_member.get());
        waiter.is_member.set(true);
        waiter.before.set(self.last);
        waiter.after.set(ptr::null());
        // SAFETY: null or a member's node, which stays.
        match unsafe { self.last.as_ref() } {
            Some(last) => last.after.set(waiter),
            None => self.first = waiter,
        }
        self.last = waiter;
    }

    /// Takes the party that has waited longest. Its node may be gone as soon as the lock is.
    pub(crate) fn pop(&mut self) -> Option<&'static G> {
        // SAFETY: null or a member's node, which stays.
        let first = unsafe { self.first.as_ref()? };
        self.unlink(first);
        Some(first.g)
    }

    /// False once the party has been popped or removed.
    pub(crate) fn is_member(&self, waiter: &Waiter) -> bool {
        waiter.is_member.get()
    }

    /// Takes a member out.
    pub(crate) fn remove(&mut self, waiter: &Waiter) {
        debug_assert!(waiter.is_member.get());
        self.unlink(waiter);
    }

    fn unlink(&mut self, waiter: &Waiter) {
        let (before, after) = (waiter.before.get(), waiter.after.get());
        // SAFETY: null or the nodes of members, which stay.
        match unsafe { before.as_ref() } {
            Some(before) => before.after.set(after),
            None => self.first = after,
        }
        // SAFETY: as above.
        match unsafe { after.as_ref() } {
            Some(after) => after.before.set(before),
            None => self.last = before,
        }
        waiter.is_member.set(false);
    }
}

impl std::fmt::Debug for WaitList {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WaitList").field("is_empty", &self.first.is_null()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parties_come_out_in_order_and_leave_from_anywhere() {
        let gs: Vec<&'static G> = (0..4).map(|_| &*Box::leak(Box::new(G::new()))).collect();
        for leaver in 0..4 {
            let nodes: Vec<Waiter> = gs.iter().map(|g| Waiter::new(g)).collect();
            let mut list = WaitList::new();
            for node in &nodes {
                // SAFETY: all nodes are taken out below.
                unsafe { list.push(node) };
            }
            list.remove(&nodes[leaver]);
            assert!(!list.is_member(&nodes[leaver]));
            for (at, g) in gs.iter().enumerate().filter(|(at, _)| *at != leaver) {
                assert!(list.pop().is_some_and(|popped| ptr::eq(popped, *g)));
                assert!(!list.is_member(&nodes[at]));
            }
            assert!(list.pop().is_none());
        }
    }
}

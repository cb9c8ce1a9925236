//! A FIFO of parties that wait and may give up: linked through nodes on their own stacks, so that waiting allocates nothing, leaving takes
//! constant time, and the link in the record stays free for the list of who is to be readied.
//!
//! A list belongs to the lock it lies under. It says whose turn it is; that something has been handed over is told to the waiter's
//! [`Claim`], and that it should look, to its [`WakeWord`](gort_lockfree::wake_word::WakeWord). A party in one queue only needs no claim: being
//! popped is the answer.

use super::{G, GList};
use gort_lockfree::claim::Claim;
use std::cell::Cell;
use std::ptr;

/// What a waiter wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// A hand-over, through its slot.
    Value,
    /// The right to hand over a value that it has not made yet.
    Turn,
    /// Nothing but to be told: it takes nothing away from those behind it.
    News,
}

/// A party in, or about to be in, a [`WaitList`]. Lives on the waiting party's stack.
pub(crate) struct Waiter {
    g: Cell<Option<&'static G>>,
    claim: Cell<*const Claim>,
    case: Cell<u32>,
    want: Cell<Want>,
    slot: Cell<*mut ()>,
    before: Cell<*const Waiter>,
    after: Cell<*const Waiter>,
    is_member: Cell<bool>,
}

impl Waiter {
    /// One that is in no queue yet.
    pub(crate) const fn new() -> Self {
        Self {
            g: Cell::new(None),
            claim: Cell::new(ptr::null()),
            case: Cell::new(0),
            want: Cell::new(Want::Value),
            slot: Cell::new(ptr::null_mut()),
            before: Cell::new(ptr::null()),
            after: Cell::new(ptr::null()),
            is_member: Cell::new(false),
        }
    }

    /// For a party that waits in one queue only.
    pub(crate) fn alone(g: &'static G) -> Self {
        let this = Self::new();
        this.g.set(Some(g));
        this
    }

    /// For a party that leaves word how it is to be told.
    pub(crate) fn with_slot(g: &'static G, slot: *mut ()) -> Self {
        let this = Self::alone(g);
        this.slot.set(slot);
        this
    }

    /// Says who waits, with which claim, as which of its cases, for what, and where the value goes to or comes from.
    pub(crate) fn set(&self, g: &'static G, claim: &Claim, case: u32, want: Want, slot: *mut ()) {
        debug_assert!(!self.is_member.get());
        self.g.set(Some(g));
        self.claim.set(claim);
        self.case.set(case);
        self.want.set(want);
        self.slot.set(slot);
    }

    pub(crate) fn want(&self) -> Want {
        self.want.get()
    }
}

/// A waiter whose claim has been taken: it stays where it is until [`Taken::finish`].
#[must_use = "a waiter that was taken waits until it is finished"]
pub(crate) struct Taken {
    g: &'static G,
    claim: *const Claim,
    want: Want,
    slot: *mut (),
}

impl Taken {
    /// A party that is in no queue and waits for one giver, who gets this.
    ///
    /// # Safety
    /// Claim and slot stay until the claim is finished.
    pub(crate) unsafe fn directly(g: &'static G, claim: &Claim, slot: *mut ()) -> Self {
        let is_first = claim.take(0);
        debug_assert!(is_first);
        Self { g, claim, want: Want::Value, slot }
    }

    pub(crate) fn want(&self) -> Want {
        self.want
    }

    pub(crate) fn slot(&self) -> *mut () {
        self.slot
    }

    /// Ends its wait; it is added to `ready` if it has to be readied. Its memory is gone with this call.
    pub(crate) fn finish(self, outcome: u8, ready: &mut GList) {
        // SAFETY: taken and not finished, so the waiter is still there.
        unsafe { (*self.claim).finish(outcome) };
        // The record stays for ever; if its owner has seen the end by itself and gone on, this is a kick too many, which every wait allows.
        if self.g.park.kick() {
            ready.push(self.g);
        }
    }
}

/// The outcome of a waiter that was told the news.
pub(crate) const TOLD: u8 = 63;

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

    /// True if nobody is in it, not even somebody whose wait is over.
    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_null()
    }

    /// Adds a party at the end.
    ///
    /// # Safety
    /// The node, its claim and its slot stay where they are until `is_member` says that it is none any more, under the same lock, and the claim,
    /// if it was taken, is finished.
    pub(crate) unsafe fn push(&mut self, waiter: &Waiter) {
        debug_assert!(!waiter.is_member.get() && waiter.g.get().is_some());
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

    /// Adds a party before all others: it has waited before, and its turn came to nothing.
    ///
    /// # Safety
    /// As [`push`](Self::push).
    pub(crate) unsafe fn push_front(&mut self, waiter: &Waiter) {
        debug_assert!(!waiter.is_member.get() && waiter.g.get().is_some());
        waiter.is_member.set(true);
        waiter.before.set(ptr::null());
        waiter.after.set(self.first);
        // SAFETY: null or a member's node, which stays.
        match unsafe { self.first.as_ref() } {
            Some(first) => first.before.set(waiter),
            None => self.last = waiter,
        }
        self.first = waiter;
    }

    /// The slot of the party that has waited longest. It stays as long as the lock is held.
    pub(crate) fn first_slot(&self) -> Option<*mut ()> {
        // SAFETY: null or a member's node, which stays.
        unsafe { self.first.as_ref() }.map(|first| first.slot.get())
    }

    /// Takes out the party that has waited longest, and its claim; `None` if it has given up.
    pub(crate) fn take_first(&mut self) -> Option<Taken> {
        // SAFETY: null or a member's node, which stays.
        let first = unsafe { self.first.as_ref()? };
        self.unlink(first);
        // SAFETY: a member's claim stays; it is set for all members of lists that are served with this.
        let is_won = unsafe { (*first.claim.get()).take(first.case.get()) };
        let g = first.g.get().expect("a member has a record");
        is_won.then(|| Taken { g, claim: first.claim.get(), want: first.want.get(), slot: first.slot.get() })
    }

    /// Takes the party that has waited longest, whatever its claim. Its node may be gone as soon as the lock is.
    pub(crate) fn pop(&mut self) -> Option<&'static G> {
        // SAFETY: null or a member's node, which stays.
        let first = unsafe { self.first.as_ref()? };
        self.unlink(first);
        first.g.get()
    }

    /// As [`pop`](Self::pop); the slot of that party.
    pub(crate) fn pop_slot(&mut self) -> Option<*mut ()> {
        // SAFETY: null or a member's node, which stays.
        let first = unsafe { self.first.as_ref()? };
        self.unlink(first);
        Some(first.slot.get())
    }

    /// Takes the claim of the party that has waited longest and still does. Those before it that want news get them.
    pub(crate) fn take(&mut self, ready: &mut GList) -> Option<Taken> {
        // SAFETY: null or a member's node, which stays.
        while let Some(first) = unsafe { self.first.as_ref() } {
            self.unlink(first);
            // SAFETY: a member's claim stays; it is set for all members of lists that are served with `take`.
            if unsafe { (*first.claim.get()).take(first.case.get()) } {
                let (want, slot) = (first.want.get(), first.slot.get());
                let g = first.g.get().expect("a member has a record");
                let taken = Taken { g, claim: first.claim.get(), want, slot };
                if want != Want::News {
                    return Some(taken);
                }
                taken.finish(TOLD, ready);
            }
        }
        None
    }

    /// True if a party waits that could be served, other than the one with this claim.
    pub(crate) fn has_other(&self, claim: &Claim) -> bool {
        let mut at = self.first;
        // SAFETY: null or a member's node, which stays; so does its claim.
        while let Some(here) = unsafe { at.as_ref() } {
            let theirs = here.claim.get();
            // SAFETY: as above.
            let waits = || unsafe { (*theirs).state() } == gort_lockfree::claim::State::Waiting;
            if !ptr::eq(theirs, claim) && here.want.get() != Want::News && waits() {
                return true;
            }
            at = here.after.get();
        }
        false
    }

    /// Tells those who want news, and leaves the others.
    pub(crate) fn tell(&mut self, ready: &mut GList) {
        let mut at = self.first;
        // SAFETY: null or a member's node, which stays.
        while let Some(here) = unsafe { at.as_ref() } {
            at = here.after.get();
            if here.want.get() == Want::News {
                self.unlink(here);
                let g = here.g.get().expect("a member has a record");
                // SAFETY: a member's claim stays.
                if unsafe { (*here.claim.get()).take(here.case.get()) } {
                    Taken { g, claim: here.claim.get(), want: Want::News, slot: here.slot.get() }.finish(TOLD, ready);
                }
            }
        }
    }

    /// False once the party has been popped, taken or removed.
    pub(crate) fn is_member(&self, waiter: &Waiter) -> bool {
        waiter.is_member.get()
    }

    /// Takes a party out, if it is in.
    pub(crate) fn remove(&mut self, waiter: &Waiter) {
        if waiter.is_member.get() {
            self.unlink(waiter);
        }
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
        f.debug_struct("WaitList").field("is_empty", &self.is_empty()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gort_lockfree::claim::State;

    fn records(count: usize) -> Vec<&'static G> {
        (0..count).map(|_| &*Box::leak(Box::new(G::new()))).collect()
    }

    #[test]
    fn parties_come_out_in_order_and_leave_from_anywhere() {
        let gs = records(4);
        for leaver in 0..4 {
            let nodes: Vec<Waiter> = gs.iter().map(|g| Waiter::alone(g)).collect();
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

    #[test]
    fn who_has_been_served_elsewhere_is_passed_over_and_news_are_told_on_the_way() {
        let gs = records(4);
        let claims: Vec<Claim> = gs.iter().map(|_| Claim::new()).collect();
        let nodes: Vec<Waiter> = gs.iter().map(|_| Waiter::new()).collect();
        let wants = [Want::Value, Want::News, Want::Value, Want::News];
        let mut list = WaitList::new();
        for (at, node) in nodes.iter().enumerate() {
            node.set(gs[at], &claims[at], at as u32, wants[at], ptr::null_mut());
            // SAFETY: all nodes are taken out below.
            unsafe { list.push(node) };
        }
        assert!(claims[0].take(9), "served elsewhere");
        assert!(list.has_other(&claims[0]) && !list.has_other(&claims[2]));
        let mut ready = GList::new();
        let taken = list.take(&mut ready).unwrap();
        assert_eq!(claims[1].state(), State::Done { case: 1, outcome: TOLD });
        assert_eq!(claims[2].state(), State::Taken);
        taken.finish(5, &mut ready);
        assert_eq!(claims[2].state(), State::Done { case: 2, outcome: 5 });
        assert!(!list.is_empty());
        list.tell(&mut ready);
        assert_eq!(claims[3].state(), State::Done { case: 3, outcome: TOLD });
        assert!(list.is_empty() && list.take(&mut ready).is_none());
        assert!(ready.is_empty(), "none of them slept");
    }
}

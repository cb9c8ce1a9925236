//! A FIFO of parties that wait and may give up, linked through nodes on their own stacks: waiting allocates nothing, leaving
//! takes constant time.
//!
//! A list belongs to the lock that it lies under, and so do the nodes of its members. It says whose turn it is; that
//! something has been handed over is told to the waiter's [`Claim`], and that it should look, by a [kick](Wakes::kick). A
//! party in one queue only needs no claim: being popped is the answer.
//!
//! # The argument
//! **One that leaves takes nothing along.** Who serves a list takes the claim of a member before it hands anything over, and
//! goes on to the next if that fails. So a party that has given up, or was served in another list, is passed over, and what
//! it would have got is the next one's.
//!
//! **A node is there as long as it is linked.** Its owner does not leave before the node is out of the list, seen under the
//! lock, and the claim, if taken, is finished. Who takes a claim has unlinked the node before, under the same lock.
//!
//! **No wake-up is lost.** First the claim is finished, then its party is kicked. So a party that is kicked finds its claim
//! finished, and one that looked too early is kicked after that and looks again (`wake_word`).
//!
//! Models: those of `crowd`, `gate` and `select`, which are made of it; under loom the nodes are cells that it watches.

use core::fmt;
use core::ptr;

use crate::atomics::{Cell, const_unless_loom};
use crate::claim::{Claim, State};
use crate::mutate::mutated;

#[cfg(all(test, not(gort_loom)))]
mod tests;

/// Those who are to go on, gathered under a lock and readied after it.
pub trait Wakes {
    /// How a party is known to others.
    type Id: Copy;

    /// Makes the party look again: notes it down if it sleeps and has to be readied.
    fn kick(&mut self, id: Self::Id);
}

/// What a waiter wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// A hand-over, through its slot.
    Value,
    /// The right to hand over a value that it has not made yet.
    Turn,
    /// Nothing but to be told: it takes nothing away from those behind it.
    News,
}

/// A party in, or about to be in, a [`WaitList`]. Lives on the waiting party's stack.
pub struct Waiter<I> {
    id: Cell<Option<I>>,
    claim: Cell<*const Claim>,
    case: Cell<u32>,
    want: Cell<Want>,
    slot: Cell<*mut ()>,
    before: Cell<*const Self>,
    after: Cell<*const Self>,
    is_member: Cell<bool>,
}

impl<I: Copy> Waiter<I> {
    const_unless_loom! {
        /// One that is in no queue yet.
        #[inline]
        pub const fn new() -> Self {
            Self {
                id: Cell::new(None),
                claim: Cell::new(ptr::null()),
                case: Cell::new(0),
                want: Cell::new(Want::Value),
                slot: Cell::new(ptr::null_mut()),
                before: Cell::new(ptr::null()),
                after: Cell::new(ptr::null()),
                is_member: Cell::new(false),
            }
        }
    }

    /// For a party that waits in one queue only.
    pub fn alone(id: I) -> Self {
        let this = Self::new();
        this.id.set(Some(id));
        this
    }

    /// For a party that leaves word how it is to be told.
    pub fn with_slot(id: I, slot: *mut ()) -> Self {
        let this = Self::alone(id);
        this.slot.set(slot);
        this
    }

    /// Says who waits, with which claim, as which of its cases, for what, and where the value goes to or comes from.
    #[inline]
    pub fn set(&self, id: I, claim: &Claim, case: u32, want: Want, slot: *mut ()) {
        debug_assert!(!self.is_member.get(), "Waiter::set: it is in a queue");
        self.id.set(Some(id));
        self.claim.set(claim);
        self.case.set(case);
        self.want.set(want);
        self.slot.set(slot);
    }

    /// What it wants.
    #[inline]
    pub fn want(&self) -> Want {
        self.want.get()
    }

    /// A member's party.
    #[inline]
    fn party(&self) -> I {
        self.id.get().expect("a member has a party")
    }

    /// Its wait, won by whoever unlinked it.
    #[inline]
    fn taken(&self) -> Taken<I> {
        Taken { id: self.party(), claim: self.claim.get(), want: self.want.get(), slot: self.slot.get() }
    }
}

impl<I: Copy> Default for Waiter<I> {
    fn default() -> Self {
        Self::new()
    }
}

impl<I> fmt::Debug for Waiter<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waiter { .. }")
    }
}

/// A waiter whose claim has been taken: it stays where it is until [`Taken::finish`].
#[must_use = "a waiter that was taken waits until it is finished"]
pub struct Taken<I> {
    id: I,
    claim: *const Claim,
    want: Want,
    slot: *mut (),
}

impl<I: Copy> Taken<I> {
    /// A party that is in no queue and waits for one giver, who gets this.
    ///
    /// # Safety
    /// Claim and slot stay until the claim is finished.
    pub unsafe fn directly(id: I, claim: &Claim, slot: *mut ()) -> Self {
        let is_first = claim.take(0);
        debug_assert!(is_first, "Taken::directly: the claim is not new");
        Self { id, claim, want: Want::Value, slot }
    }

    /// What it wants.
    #[inline]
    pub fn want(&self) -> Want {
        self.want
    }

    /// Where the value goes to, or comes from.
    #[inline]
    pub fn slot(&self) -> *mut () {
        self.slot
    }

    /// Ends its wait; `ready` hears of it if it has to be readied. Its memory is gone with this call.
    #[inline]
    pub fn finish(self, outcome: u8, ready: &mut impl Wakes<Id = I>) {
        if mutated!("list_kicks_first") {
            ready.kick(self.id);
        }
        // SAFETY: taken and not finished, so the waiter is still there.
        unsafe { (*self.claim).finish(outcome) };
        if mutated!("list_kicks_first") {
            return;
        }
        // The party is known beyond its wait; if it has seen the end by itself and gone on, this is a kick too many, which every wait allows.
        ready.kick(self.id);
    }
}

impl<I> fmt::Debug for Taken<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Taken").field("want", &self.want).finish_non_exhaustive()
    }
}

/// The outcome of a waiter that was told the news.
pub const TOLD: u8 = 63;

/// See the [module's documentation](self). All of it, the nodes of its members included, belongs to the holder of the lock it lies under.
pub struct WaitList<I> {
    first: *const Waiter<I>,
    last: *const Waiter<I>,
}

// SAFETY: the nodes are `push`ed under the contract that they stay until they have been taken out, and are touched under the list's lock only;
// what they hold of the party is its name, which may be sent.
unsafe impl<I: Send> Send for WaitList<I> {}

impl<I: Copy> WaitList<I> {
    /// Nobody.
    #[inline]
    pub const fn new() -> Self {
        Self { first: ptr::null(), last: ptr::null() }
    }

    /// True if nobody is in it, not even somebody whose wait is over.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.first.is_null()
    }

    /// Adds a party at the end.
    ///
    /// # Safety
    /// The node, its claim and its slot stay where they are until [`is_member`](Self::is_member) says that it is none any more, under the same
    /// lock, and the claim, if it was taken, is finished.
    #[inline]
    pub unsafe fn push(&mut self, waiter: &Waiter<I>) {
        debug_assert!(
            !waiter.is_member.get() && waiter.id.get().is_some(),
            "WaitList::push: it is in a queue, or nobody's"
        );
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
    pub unsafe fn push_front(&mut self, waiter: &Waiter<I>) {
        debug_assert!(
            !waiter.is_member.get() && waiter.id.get().is_some(),
            "WaitList::push_front: it is in a queue, or nobody's"
        );
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
    pub fn first_slot(&self) -> Option<*mut ()> {
        // SAFETY: null or a member's node, which stays.
        unsafe { self.first.as_ref() }.map(|first| first.slot.get())
    }

    /// Takes out the party that has waited longest, and its claim; `None` if it has given up.
    pub fn take_first(&mut self) -> Option<Taken<I>> {
        let first = self.unlink_first()?;
        win(first).then(|| first.taken())
    }

    /// Takes the party that has waited longest, whatever its claim. Its node may be gone as soon as the lock is.
    #[inline]
    pub fn pop(&mut self) -> Option<I> {
        self.unlink_first().map(Waiter::party)
    }

    /// As [`pop`](Self::pop); the slot of that party.
    pub fn pop_slot(&mut self) -> Option<*mut ()> {
        self.unlink_first().map(|first| first.slot.get())
    }

    /// Takes the claim of the party that has waited longest and still does. Those before it that want news get them.
    #[inline]
    pub fn take(&mut self, ready: &mut impl Wakes<Id = I>) -> Option<Taken<I>> {
        while let Some(first) = self.unlink_first() {
            if win(first) {
                if first.want.get() != Want::News {
                    return Some(first.taken());
                }
                first.taken().finish(TOLD, ready);
            }
        }
        None
    }

    /// True if a party waits that could be served, other than the one with this claim.
    pub fn has_other(&self, claim: &Claim) -> bool {
        let mut at = self.first;
        // SAFETY: null or a member's node, which stays; so does its claim.
        while let Some(here) = unsafe { at.as_ref() } {
            let theirs = here.claim.get();
            // SAFETY: as above.
            let waits = || unsafe { (*theirs).state() } == State::Waiting;
            if !ptr::eq(theirs, claim) && here.want.get() != Want::News && waits() {
                return true;
            }
            at = here.after.get();
        }
        false
    }

    /// Tells those who want news, and leaves the others.
    pub fn tell(&mut self, ready: &mut impl Wakes<Id = I>) {
        let mut at = self.first;
        // SAFETY: null or a member's node, which stays.
        while let Some(here) = unsafe { at.as_ref() } {
            at = here.after.get();
            if here.want.get() == Want::News {
                self.unlink(here);
                if win(here) {
                    here.taken().finish(TOLD, ready);
                }
            }
        }
    }

    /// False once the party has been popped, taken or removed.
    #[inline]
    pub fn is_member(&self, waiter: &Waiter<I>) -> bool {
        waiter.is_member.get()
    }

    /// Takes a party out, if it is in.
    #[inline]
    pub fn remove(&mut self, waiter: &Waiter<I>) {
        if waiter.is_member.get() {
            self.unlink(waiter);
        }
    }

    #[inline(always)]
    fn unlink_first(&mut self) -> Option<&Waiter<I>> {
        // SAFETY: null or a member's node, which stays while the lock is held, as the list's own borrow does.
        let first = unsafe { self.first.as_ref()? };
        self.unlink(first);
        Some(first)
    }

    #[inline(always)]
    fn unlink(&mut self, waiter: &Waiter<I>) {
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

/// Takes the claim of a member that has just been unlinked.
#[inline(always)]
fn win<I>(waiter: &Waiter<I>) -> bool {
    let (claim, case) = (waiter.claim.get(), waiter.case.get());
    // SAFETY: a member's claim stays, and the lock is still held; it is set for all members of lists that are served by their claims.
    unsafe { (*claim).take(case) }
}

impl<I: Copy> Default for WaitList<I> {
    fn default() -> Self {
        Self::new()
    }
}

impl<I> fmt::Debug for WaitList<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitList").field("is_empty", &self.first.is_null()).finish()
    }
}

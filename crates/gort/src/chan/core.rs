//! A channel: a lock, a ring of values, and two queues of those who wait.
//!
//! | who comes | finds | does |
//! |---|---|---|
//! | sender | a receiver that waits | puts the value into its slot, readies it |
//! | | room | puts the value into the ring |
//! | | neither | waits with the value on its own stack |
//! | receiver | a value in the ring | takes it, and moves the first waiting sender's value into the ring |
//! | | a sender that waits | takes the value from its stack, readies it |
//! | | neither | waits with a slot on its own stack |
//!
//! So a hand-over to somebody who waits never goes through the ring, no value is copied twice, and who waited longest is served first. A
//! waiter allocates nothing.
//!
//! **Order.** While a receiver waits that could be served, the ring is empty and no sender waits that could be; and the other way round for
//! senders and room. Whoever joins a queue looks first, under the same lock. So a value given to a waiting receiver overtakes none.
//!
//! **News.** A [`Select::ready`](super::Select::ready) stands in a queue to hear that it should look again. It is told by whoever comes to the
//! other side and might be met there, so not by another that only looks: two of those would keep each other awake.
//!
//! **Turns.** A `send` arm of a `select!` makes its value only when it has won. It stands in the queue wanting a *turn*. In a channel with a
//! ring a turn is a reserved place, which nobody else gets; in one without (or if all places are reserved) it is a receiver that waits for this
//! sender alone. A turn that is not used (the value's expression panicked) goes to the next. A receiver that has given its turn away waits for the
//! value beyond its limit, and beyond `close`: the `select!` has chosen this arm because of it. If it left, its sender would have to wait for
//! another in spite of its other arms, or to lose the value that it has made.
//!
//! **Closed** is entered once: by `close`, by the last sender, by the last receiver. It ends every wait. Values in the ring stay for
//! receivers, and are dropped when the last of those has gone; none is dropped with the lock held, since a destructor may do anything.
//!
//! **The hint** says without the lock that there is nothing to be had (`look`): written under the lock before the call that made it true returns,
//! so whoever knows of that call sees it. It counts its changes; an operation that failed has left the hint saying so.
//!
//! Nobody is readied under the lock: to ready is a gort call, which may give way.
//!
//! Source: Go `chan.go`.

use super::discard::drop_all;
use crate::context::Bound;
use crate::g::{GList, Taken, WaitList, WaitReason, Waiter, Want};
use crate::prim::lock::Lock;
use crate::sched::{self, watch::search::COUNTS_BYTES};
use crate::timer::NEVER;
use crate::wait::Caller;
use gort_lockfree::claim::Claim;
use std::collections::VecDeque;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ptr;
use std::sync::atomic::Ordering::{AcqRel, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicUsize};

/// The value was handed over.
pub(super) const DELIVERED: u8 = 0;
/// The channel was closed.
pub(super) const CLOSED: u8 = 1;
/// It is the waiter's turn to make its value.
pub(super) const TURN: u8 = 2;
/// Who was to make the value has not.
pub(super) const ABANDONED: u8 = 3;

/// A receive may find something.
pub(super) const READABLE: u32 = 1;
/// A send may find room or a receiver.
pub(super) const WRITABLE: u32 = 2;
/// Counts the changes of those two.
pub(super) const CHANGE: u32 = 4;

/// A wait without end, as a deadline.
pub(super) const FOR_EVER: u64 = NEVER;
/// No wait at all.
pub(super) const NOT_AT_ALL: u64 = 0;

/// Why nothing was sent or received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fail {
    /// Nothing to be had at once, or not in time.
    Late,
    Closed,
}

/// See the module.
pub(super) struct Chan<T> {
    pub(super) inner: Lock<Inner<T>>,
    pub(super) hint: AtomicU32,
    pub(super) capacity: usize,
    senders: AtomicUsize,
    receivers: AtomicUsize,
}

pub(super) struct Inner<T> {
    pub(super) ring: VecDeque<T>,
    /// Places of the ring that senders have a turn for.
    reserved: usize,
    pub(super) senders: WaitList,
    pub(super) receivers: WaitList,
    pub(super) closed: bool,
    hint: u32,
}

// What `sched::watch` relies on: the two reference counts of an `Arc` lie just before what it holds.
const _: () = assert!(COUNTS_BYTES == 2 * size_of::<usize>() && align_of::<Chan<u128>>() <= COUNTS_BYTES);

/// The right to hand one value over.
pub(super) enum Turn {
    /// A place in the ring.
    Place,
    /// This receiver, and no other.
    Receiver(Taken),
}

impl<T> Chan<T> {
    /// One sender, one receiver, and room for `capacity` values.
    pub(super) fn new(capacity: usize) -> Self {
        let hint = if capacity > 0 { WRITABLE } else { 0 };
        Self {
            inner: Lock::new(Inner {
                ring: VecDeque::new(),
                reserved: 0,
                senders: WaitList::new(),
                receivers: WaitList::new(),
                closed: false,
                hint,
            }),
            hint: AtomicU32::new(hint),
            capacity,
            senders: AtomicUsize::new(1),
            receivers: AtomicUsize::new(1),
        }
    }

    pub(super) fn capacity(&self) -> Option<usize> {
        (self.capacity != usize::MAX).then_some(self.capacity)
    }

    pub(super) fn len(&self) -> usize {
        self.inner.lock().ring.len()
    }

    /// True if a sender would have to wait for a place.
    pub(super) fn is_full(&self) -> bool {
        !self.has_room(&self.inner.lock())
    }

    fn object(&self) -> usize {
        ptr::from_ref(self) as usize
    }

    pub(super) fn has_room(&self, inner: &Inner<T>) -> bool {
        inner.ring.len() + inner.reserved < self.capacity
    }

    /// Brings the hint up to date. Under the lock.
    #[inline]
    pub(super) fn publish(&self, inner: &mut Inner<T>) {
        let readable = inner.closed || !inner.ring.is_empty() || !inner.senders.is_empty();
        let writable = inner.closed || self.has_room(inner) || !inner.receivers.is_empty();
        let hint = u32::from(readable) * READABLE + u32::from(writable) * WRITABLE;
        if hint != inner.hint & (CHANGE - 1) {
            inner.hint = (inner.hint & !(CHANGE - 1)).wrapping_add(CHANGE) | hint;
            // Release: pairs with the Acquire in `look`.
            self.hint.store(inner.hint, Release);
        }
    }

    /// Sends `value`, waiting until `until_ns`.
    #[inline]
    pub(super) fn send(&self, value: T, until_ns: u64, caller: Caller) -> Result<(), (Fail, T)> {
        if until_ns == NOT_AT_ALL && !self.seems_writable() {
            return Err((Fail::Late, value));
        }
        let mut ready = GList::new();
        let mut inner = self.inner.lock();
        if inner.closed {
            return Err((Fail::Closed, value));
        }
        if let Some(receiver) = inner.receivers.take(&mut ready) {
            // SAFETY: a receiver's slot has room for one `T`, and it waits for it.
            unsafe { give(receiver, value, &mut ready) };
        } else if self.has_room(&inner) {
            inner.ring.push_back(value);
        } else {
            if until_ns == NOT_AT_ALL {
                self.publish(&mut inner);
                drop(inner);
                sched::ready_list(&mut ready);
                return Err((Fail::Late, value));
            }
            let value = ManuallyDrop::new(value);
            let (claim, node) = (Claim::new(), Waiter::new());
            node.set(caller.me, &claim, 0, Want::Value, ptr::from_ref(&value).cast_mut().cast());
            // SAFETY: `wait_in` does not return before the node is out and the claim finished.
            unsafe { inner.senders.push(&node) };
            self.publish(&mut inner);
            drop(inner);
            sched::ready_list(&mut ready);
            let outcome =
                self.wait_in(&claim, &node, |inner| &mut inner.senders, WaitReason::ChanSend, until_ns, caller);
            return match outcome {
                Some(DELIVERED) => Ok(()),
                // The value has stayed here.
                Some(_) => Err((Fail::Closed, ManuallyDrop::into_inner(value))),
                None => Err((Fail::Late, ManuallyDrop::into_inner(value))),
            };
        }
        self.publish(&mut inner);
        drop(inner);
        sched::ready_list(&mut ready);
        Ok(())
    }

    /// Receives a value, waiting until `until_ns`.
    #[inline]
    pub(super) fn recv(&self, until_ns: u64, caller: Caller) -> Result<T, Fail> {
        if until_ns == NOT_AT_ALL && !self.seems_readable() {
            return Err(Fail::Late);
        }
        loop {
            let mut ready = GList::new();
            let mut inner = self.inner.lock();
            if let Some(value) = inner.ring.pop_front() {
                self.give_room_back(&mut inner);
                self.refill(&mut inner, &mut ready);
                self.publish(&mut inner);
                drop(inner);
                sched::ready_list(&mut ready);
                return Ok(value);
            }
            if let Some(sender) = inner.senders.take(&mut ready) {
                self.publish(&mut inner);
                match self.take_from(sender, caller, inner, ready) {
                    Some(value) => return Ok(value),
                    None => continue,
                }
            }
            if inner.closed {
                return Err(Fail::Closed);
            }
            if until_ns == NOT_AT_ALL {
                self.publish(&mut inner);
                drop(inner);
                sched::ready_list(&mut ready);
                return Err(Fail::Late);
            }
            let mut slot = MaybeUninit::<T>::uninit();
            let (claim, node) = (Claim::new(), Waiter::new());
            node.set(caller.me, &claim, 0, Want::Value, slot.as_mut_ptr().cast());
            // SAFETY: `wait_in` does not return before the node is out and the claim finished.
            unsafe { inner.receivers.push(&node) };
            self.publish(&mut inner);
            drop(inner);
            sched::ready_list(&mut ready);
            let outcome =
                self.wait_in(&claim, &node, |inner| &mut inner.receivers, WaitReason::ChanRecv, until_ns, caller);
            return match outcome {
                // SAFETY: who delivered has written the value.
                Some(DELIVERED) => Ok(unsafe { slot.assume_init_read() }),
                Some(ABANDONED) => continue,
                Some(_) => Err(Fail::Closed),
                None => Err(Fail::Late),
            };
        }
    }

    #[inline(always)]
    /// Waits in one queue. Returns with the node in none.
    fn wait_in(
        &self,
        claim: &Claim,
        node: &Waiter,
        queue: fn(&mut Inner<T>) -> &mut WaitList,
        reason: WaitReason,
        until_ns: u64,
        caller: Caller,
    ) -> Option<u8> {
        let end = claim.wait(&caller.until(Bound::at(until_ns), reason, self.object()));
        if end.is_none() {
            let mut inner = self.inner.lock();
            queue(&mut inner).remove(node);
            self.publish(&mut inner);
        }
        // Who takes a claim takes the node out first.
        end.map(|end| end.outcome)
    }

    /// Lets waiting senders into free places of the ring.
    fn refill(&self, inner: &mut Inner<T>, ready: &mut GList) {
        while self.has_room(inner) {
            let Some(sender) = inner.senders.take(ready) else { return };
            if sender.want() == Want::Turn {
                inner.reserved += 1;
                sender.finish(TURN, ready);
            } else {
                // SAFETY: the sender waits with a value in its slot, which is now ours.
                inner.ring.push_back(unsafe { sender.slot().cast::<T>().read() });
                sender.finish(DELIVERED, ready);
            }
        }
    }

    /// Takes the value of a sender that waits; `None` if it turns out to have none.
    fn take_from(
        &self,
        sender: Taken,
        caller: Caller,
        inner: crate::prim::lock::Guard<'_, Inner<T>>,
        mut ready: GList,
    ) -> Option<T> {
        if sender.want() == Want::Value {
            drop(inner);
            // SAFETY: the sender waits with a value in its slot, which is now ours.
            let value = unsafe { sender.slot().cast::<T>().read() };
            sender.finish(DELIVERED, &mut ready);
            sched::ready_list(&mut ready);
            return Some(value);
        }
        drop(inner);
        // Its turn: with us, who wait until it has made the value.
        let mut slot = MaybeUninit::<T>::uninit();
        let claim = Claim::new();
        // SAFETY: both stay until the wait below is over.
        let receiver = unsafe { Taken::directly(caller.me, &claim, slot.as_mut_ptr().cast()) };
        // SAFETY: the slot of a party that wants a turn is a `Cell<Option<Turn>>` on its stack, and it waits.
        unsafe { (*sender.slot().cast::<std::cell::Cell<Option<Turn>>>()).set(Some(Turn::Receiver(receiver))) };
        sender.finish(TURN, &mut ready);
        sched::ready_list(&mut ready);
        let waiting = caller.until(Bound::NONE, WaitReason::ChanRecv, self.object());
        let end = claim.wait(&waiting).expect("without a deadline");
        // SAFETY: who delivered has written the value.
        (end.outcome == DELIVERED).then(|| unsafe { slot.assume_init_read() })
    }

    /// A `send` arm looks for a turn. `Err`: closed.
    pub(super) fn try_turn(&self) -> Result<Option<Turn>, ()> {
        if !self.seems_writable() {
            return Ok(None);
        }
        let mut ready = GList::new();
        let mut inner = self.inner.lock();
        if inner.closed {
            return Err(());
        }
        // A place first: the value's making may take its time, which is not to be that of a receiver with a limit.
        let turn = if self.has_room(&inner) {
            inner.reserved += 1;
            Some(Turn::Place)
        } else {
            inner.receivers.take(&mut ready).map(Turn::Receiver)
        };
        self.publish(&mut inner);
        drop(inner);
        sched::ready_list(&mut ready);
        Ok(turn)
    }

    /// Hands `value` over, the caller's turn having come. Gives it back if the channel was closed meanwhile.
    pub(super) fn use_turn(&self, turn: Turn, value: T) -> Result<(), T> {
        let mut ready = GList::new();
        match turn {
            // SAFETY: a receiver's slot has room for one `T`, and it waits for it.
            Turn::Receiver(receiver) => unsafe { give(receiver, value, &mut ready) },
            Turn::Place => {
                let mut inner = self.inner.lock();
                inner.reserved -= 1;
                if inner.closed {
                    return Err(value);
                }
                match inner.receivers.take(&mut ready) {
                    Some(receiver) => {
                        // SAFETY: as above.
                        unsafe { give(receiver, value, &mut ready) };
                        // The place is free again.
                        self.refill(&mut inner, &mut ready);
                    }
                    None => inner.ring.push_back(value),
                }
                self.publish(&mut inner);
            }
        }
        sched::ready_list(&mut ready);
        Ok(())
    }

    /// Gives a turn back that will not be used.
    pub(super) fn abandon_turn(&self, turn: Turn) {
        let mut ready = GList::new();
        match turn {
            Turn::Receiver(receiver) => receiver.finish(ABANDONED, &mut ready),
            Turn::Place => {
                let mut inner = self.inner.lock();
                inner.reserved -= 1;
                self.refill(&mut inner, &mut ready);
                self.publish(&mut inner);
            }
        }
        sched::ready_list(&mut ready);
    }

    /// Closes the channel; false if it was closed already.
    pub(super) fn close(&self) -> bool {
        self.end(false)
    }

    /// Ends every wait, and with `discard` drops what is in the ring.
    fn end(&self, discard: bool) -> bool {
        let mut ready = GList::new();
        let mut inner = self.inner.lock();
        let is_first = !std::mem::replace(&mut inner.closed, true);
        while let Some(waiter) = inner.receivers.take(&mut ready) {
            waiter.finish(CLOSED, &mut ready);
        }
        while let Some(waiter) = inner.senders.take(&mut ready) {
            waiter.finish(CLOSED, &mut ready);
        }
        let values = if discard { std::mem::take(&mut inner.ring) } else { VecDeque::new() };
        self.publish(&mut inner);
        drop(inner);
        sched::ready_list(&mut ready);
        drop_all(values);
        is_first
    }

    pub(super) fn is_closed(&self) -> bool {
        self.inner.lock().closed
    }

    pub(super) fn add_sender(&self) {
        count_up(&self.senders);
    }

    pub(super) fn add_receiver(&self) {
        count_up(&self.receivers);
    }

    pub(super) fn drop_sender(&self) {
        // AcqRel: the last one closes after everything that the others did.
        if self.senders.fetch_sub(1, AcqRel) == 1 {
            self.end(false);
        }
    }

    pub(super) fn drop_receiver(&self) {
        // AcqRel: as above.
        if self.receivers.fetch_sub(1, AcqRel) == 1 {
            self.end(true);
        }
    }
}

/// Puts `value` into a receiver's slot and ends its wait.
///
/// # Safety
/// The slot has room for a `T`.
#[inline]
unsafe fn give<T>(receiver: Taken, value: T, ready: &mut GList) {
    // SAFETY: the caller's promise; the receiver was taken, so it waits and nobody else writes.
    unsafe { receiver.slot().cast::<T>().write(value) };
    receiver.finish(DELIVERED, ready);
}

fn count_up(count: &AtomicUsize) {
    // Relaxed: who adds has one already. As in `Arc`, a count that could wrap ends the process.
    if count.fetch_add(1, Relaxed) > isize::MAX as usize {
        std::process::abort();
    }
}

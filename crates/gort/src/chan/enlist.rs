//! What a `select!` asks of a channel: to stand in a queue, to leave it, to look.
//!
//! Who joins looks first, under the same lock (see *Order* in `core`), so no arm ever stands beside what it waits for.

use super::core::{ABANDONED, CLOSED, Chan, DELIVERED, TURN};
use crate::g::{GList, Waiter, Want};
use crate::sched;
use gort_lockfree::claim::Claim;

impl<T> Chan<T> {
    /// Puts an arm of a `select!` into the queue of receivers, unless something can be received already: then it returns true.
    ///
    /// Both in one breath: a receiver that stood in the queue beside a value in the ring would be given a later one.
    ///
    /// # Safety
    /// As [`WaitList::push`]; and the slot is a `MaybeUninit<T>`, unless the node wants news.
    pub(super) unsafe fn enlist_receiver(&self, node: &Waiter, claim: &Claim) -> bool {
        let mut inner = self.inner.lock();
        if inner.closed || !inner.ring.is_empty() || inner.senders.has_other(claim) {
            return true;
        }
        let mut ready = GList::new();
        // SAFETY: the caller's promise.
        unsafe { inner.receivers.push(node) };
        if node.want() != Want::News {
            inner.senders.tell(&mut ready);
        }
        self.publish(&mut inner);
        drop(inner);
        sched::ready_list(&mut ready);
        false
    }

    /// Puts an arm of a `select!` into the queue of senders, unless something can be sent already: then it returns true.
    ///
    /// # Safety
    /// As [`WaitList::push`]; and the slot is a `Cell<Option<Turn>>`, unless the node wants news.
    pub(super) unsafe fn enlist_sender(&self, node: &Waiter, claim: &Claim) -> bool {
        let mut inner = self.inner.lock();
        if inner.closed || self.has_room(&inner) || inner.receivers.has_other(claim) {
            return true;
        }
        let mut ready = GList::new();
        // SAFETY: the caller's promise.
        unsafe { inner.senders.push(node) };
        if node.want() != Want::News {
            inner.receivers.tell(&mut ready);
        }
        self.publish(&mut inner);
        drop(inner);
        sched::ready_list(&mut ready);
        false
    }

    /// True if a receive could go on now.
    pub(super) fn is_readable(&self) -> bool {
        let inner = self.inner.lock();
        inner.closed || !inner.ring.is_empty() || inner.senders.has_other(&NOBODY)
    }

    /// True if a send could go on now.
    pub(super) fn is_writable(&self) -> bool {
        let inner = self.inner.lock();
        inner.closed || self.has_room(&inner) || inner.receivers.has_other(&NOBODY)
    }

    /// Takes an arm's node out again, if it still is in.
    pub(super) fn delist_receiver(&self, node: &Waiter) {
        let mut inner = self.inner.lock();
        inner.receivers.remove(node);
        self.publish(&mut inner);
    }

    /// As [`Chan::delist_receiver`].
    pub(super) fn delist_sender(&self, node: &Waiter) {
        let mut inner = self.inner.lock();
        inner.senders.remove(node);
        self.publish(&mut inner);
    }
}

/// The claim of nobody in particular.
static NOBODY: Claim = Claim::new();

/// What an arm's wait came to, as far as the channel is concerned.
pub(super) enum ArmEnd {
    Delivered,
    Closed,
    Turn,
    Abandoned,
    Told,
}

impl ArmEnd {
    pub(super) fn of(outcome: u8) -> Self {
        match outcome {
            DELIVERED => Self::Delivered,
            CLOSED => Self::Closed,
            TURN => Self::Turn,
            ABANDONED => Self::Abandoned,
            _ => Self::Told,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::core::{Fail, NOT_AT_ALL, Turn};
    use super::*;
    use crate::wait::Caller;
    use gort_lockfree::claim::State;
    use std::mem::MaybeUninit;
    use std::ptr;

    /// A select that looked before a value came, and joins the queue after: the next value must not overtake it.
    #[test]
    fn a_receiver_does_not_join_the_queue_beside_a_value() {
        let chan = Chan::new(2);
        assert_eq!(chan.recv(NOT_AT_ALL, Caller::begin()), Err(Fail::Late));
        chan.send(1, NOT_AT_ALL, Caller::begin()).unwrap();
        let (claim, node, mut slot) = (Claim::new(), Waiter::new(), MaybeUninit::<i32>::uninit());
        node.set(Caller::begin().me, &claim, 0, Want::Value, slot.as_mut_ptr().cast());
        // SAFETY: delisted below, and all stay until then.
        assert!(unsafe { chan.enlist_receiver(&node, &claim) });
        chan.send(2, NOT_AT_ALL, Caller::begin()).unwrap();
        assert_eq!(claim.state(), State::Waiting);
        chan.delist_receiver(&node);
        assert_eq!(chan.recv(NOT_AT_ALL, Caller::begin()), Ok(1));
        assert_eq!(chan.recv(NOT_AT_ALL, Caller::begin()), Ok(2));
    }

    /// Those that only look do not tell each other.
    #[test]
    fn news_are_not_told_by_those_who_wait_for_news() {
        let chan = Chan::<i32>::new(0);
        let me = Caller::begin().me;
        let (claims, nodes) =
            ([Claim::new(), Claim::new(), Claim::new()], [Waiter::new(), Waiter::new(), Waiter::new()]);
        let mut turn = std::cell::Cell::new(None::<Turn>);
        nodes[0].set(me, &claims[0], 0, Want::News, ptr::null_mut());
        nodes[1].set(me, &claims[1], 0, Want::News, ptr::null_mut());
        nodes[2].set(me, &claims[2], 0, Want::Turn, (&raw mut turn).cast());
        // SAFETY: delisted below, and all stay until then.
        unsafe {
            assert!(!chan.enlist_receiver(&nodes[0], &claims[0]));
            assert!(!chan.enlist_sender(&nodes[1], &claims[1]));
            assert_eq!(claims[0].state(), State::Waiting);
            assert!(!chan.enlist_sender(&nodes[2], &claims[2]));
        }
        assert!(matches!(claims[0].state(), State::Done(_)), "a sender has come");
        assert_eq!(claims[1].state(), State::Waiting);
        chan.delist_receiver(&nodes[0]);
        chan.delist_sender(&nodes[1]);
        chan.delist_sender(&nodes[2]);
    }
}

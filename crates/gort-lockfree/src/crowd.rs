//! Parties that wait to be told something that is decided under a lock: one by one, or all at once.
//!
//! The queue lies under the same lock as what it is about. What a wait group, a barrier, a `Once`, a notification and a condition
//! variable are made of.
//!
//! # The argument
//! **Nobody misses the news.** Who waits has looked, and stands in the queue, under one lock; who changes what is waited for
//! does so under the same lock, or before it takes it, and then tells whom it finds. So a party has seen the change, or is told.
//!
//! **One that leaves takes no news along.** It gives up by its claim, which whoever tells it must have taken: either it has been
//! told, or the next one is (`wait_list`).
//!
//! It gives up *without* the lock, and gets it after that. In between it may have been passed over: what it has left under the lock
//! may have been used although it was not told. So it looks again under the lock before it takes anything back (`sync::Barrier` knows
//! by the number of the round).
//!
//! Models: `crowd/model.rs`.

use core::ops::DerefMut;
use core::ptr;

use crate::claim::{Claim, Party};
use crate::wait_list::{WaitList, Waiter, Wakes, Want};

#[cfg(test)]
mod model;

/// A value under a lock.
pub trait Guarded {
    /// What lies under it.
    type Value;
    /// The right to use it.
    type Guard<'a>: DerefMut<Target = Self::Value>
    where
        Self: 'a;

    /// Locks.
    fn lock(&self) -> Self::Guard<'_>;
}

/// Waits in a queue of what `guard` guards, having let go of that and called `let_go`. `Err`: not told in time; nobody will tell it any
/// more, and the lock is held again.
///
/// `let_go` must not unwind.
#[inline]
pub fn wait<'a, L: Guarded, P: Party>(
    lock: &'a L,
    mut guard: L::Guard<'a>,
    queue: fn(&mut L::Value) -> &mut WaitList<P::Id>,
    party: &P,
    let_go: impl FnOnce(),
) -> Result<(), L::Guard<'a>> {
    let (claim, node) = (Claim::new(), Waiter::new());
    node.set(party.id(), &claim, 0, Want::Value, ptr::null_mut());
    // SAFETY: the wait below does not return before one who tells has finished the claim, having taken the node out, or we have given up;
    // then it is taken out here. Nothing in between unwinds.
    unsafe { queue(&mut guard).push(&node) };
    drop(guard);
    let_go();
    if claim.wait(party).is_some() {
        return Ok(());
    }
    let mut guard = lock.lock();
    queue(&mut guard).remove(&node);
    Err(guard)
}

/// Tells the party that has waited longest. False: nobody waits.
#[inline]
pub fn tell_one<W: Wakes>(queue: &mut WaitList<W::Id>, ready: &mut W) -> bool {
    match queue.take(ready) {
        Some(taken) => {
            taken.finish(0, ready);
            true
        }
        None => false,
    }
}

/// Tells all.
pub fn tell_all<W: Wakes>(queue: &mut WaitList<W::Id>, ready: &mut W) {
    while tell_one(queue, ready) {}
}

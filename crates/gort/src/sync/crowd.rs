//! Parties that wait to be told something that is decided under a lock: one by one or all at once. What everything here is made of that is not a
//! matter of permits.
//!
//! The queue lies in the same lock as what it is about, so nothing can change between the look and the wait. One that gives up takes itself out;
//! whoever tells it takes its claim first, hence either it has been told or the next one is.

use crate::context::Bound;
use crate::g::{GList, WaitList, WaitReason, Waiter, Want};
use crate::prim::lock::{Guard, Lock};
use crate::wait::{Caller, Wait};
use std::ptr;

/// Waits in a queue of what `guard` guards, and lets go of it. `Err`: not told in time; nobody will tell it any more, and the lock is held again.
pub(super) fn wait<'a, T>(
    lock: &'a Lock<T>,
    mut guard: Guard<'a, T>,
    queue: fn(&mut T) -> &mut WaitList,
    bound: Bound<'_>,
    reason: WaitReason,
    caller: Caller,
) -> Result<(), Guard<'a, T>> {
    let (wait, node) = (Wait::new(caller.me), Waiter::new());
    node.set(caller.me, &wait.claim, 0, Want::Value, ptr::null_mut());
    // SAFETY: the wait below does not return before one who tells has finished the claim, having taken the node out, or we have given up; then it
    // is taken out here. Nothing in between can unwind.
    unsafe { queue(&mut guard).push(&node) };
    drop(guard);
    if wait.until(bound, reason, ptr::from_ref(lock) as usize, caller.site).is_some() {
        return Ok(());
    }
    let mut guard = lock.lock();
    queue(&mut guard).remove(&node);
    Err(guard)
}

/// Tells the party that has waited longest. False: nobody waits. It is added to `ready`, for after the lock.
pub(super) fn tell_one(queue: &mut WaitList, ready: &mut GList) -> bool {
    let taken = queue.take(ready);
    let is_told = taken.is_some();
    if let Some(taken) = taken {
        taken.finish(0, ready);
    }
    is_told
}

/// Tells all.
pub(super) fn tell_all(queue: &mut WaitList, ready: &mut GList) {
    while tell_one(queue, ready) {}
}

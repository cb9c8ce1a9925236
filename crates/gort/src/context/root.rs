//! The root of all contexts: what ends when the runtime is shut down.
//!
//! It is an ending like any other, so its children, those who wait for it and the functions to be called at its end are treated as everybody's.
//! But every context descends from it, and those of unrelated requests should not meet at one lock. So there are some of it, ended together; which
//! one a caller gets depends on its stack, that is on the goroutine.
//!
//! A shutdown ends them, a later start finds new ones. Whoever keeps a [`background`](super::background) over a restart keeps one that has ended.

use super::error::{Cancelled, Cause, Ended};
use super::{Context, Ending};
use crate::prim::lock::Lock;
use crate::sched::stop::ShuttingDown;
use std::sync::Arc;

const BRANCHES: usize = 16;
/// Goroutines' stacks are this far apart, or a multiple of it; threads' are, too.
const STACK_SHIFT: u32 = 18;

/// On cache lines of its own.
#[repr(align(128))]
struct Branch(Lock<Option<Arc<Ending>>>);

static ROOT: [Branch; BRANCHES] = [const { Branch(Lock::new(None)) }; BRANCHES];

impl Branch {
    fn get(&self) -> Arc<Ending> {
        if let Some(ending) = &*self.0.lock() {
            return ending.clone();
        }
        // Made outside the lock, and in vain if somebody is faster.
        let new = Ending::root();
        self.0.lock().get_or_insert(new).clone()
    }
}

/// The one for the caller.
pub(super) fn ending() -> Arc<Ending> {
    let here = 0_u8;
    ROOT[(std::ptr::from_ref(&here) as usize >> STACK_SHIFT) % BRANCHES].get()
}

/// The background.
pub(super) fn background() -> Context {
    Context { ending: Some(ending()), values: None }
}

/// Why.
pub(crate) fn why() -> Ended {
    let cause: Cause = Arc::new(ShuttingDown);
    Ended::Cancelled(Cancelled::new(Some(cause)))
}

/// Ends it, and everything below.
pub(crate) fn end() {
    for branch in &ROOT {
        branch.get().end(why());
    }
}

/// The runtime has stopped, or goes on: contexts that are made from now on have an open one.
pub(crate) fn renew() {
    for branch in &ROOT {
        let before = branch.0.lock().take();
        drop(before);
    }
}

//! Who waits, and how: what channels, locks and contexts share.
//!
//! What a wait is for stands in nodes ([`Waiter`](crate::g::Waiter)) in their queues; who ends it is settled by a claim
//! (`gort_lockfree::claim`). Here is the party that both are about.

use crate::context::Bound;
use crate::g::{G, WaitReason};
use crate::sched;
use gort_lockfree::claim::Party;
use std::panic::Location;

/// Who calls, and from where.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    pub(crate) me: &'static G,
    pub(crate) site: &'static Location<'static>,
}

impl Caller {
    /// The beginning of a call that may park.
    #[inline]
    #[track_caller]
    pub(crate) fn begin() -> Self {
        let me = crate::spawn::wait_record();
        sched::begin_call(me);
        Self { me, site: Location::caller() }
    }
}

/// One wait: who waits, until when, and what a dump says of it. What the protocols of [`gort_lockfree`] are given as their party.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting<'a> {
    caller: Caller,
    bound: Bound<'a>,
    reason: WaitReason,
    object: usize,
}

impl Caller {
    /// Waits until the time is over at most.
    #[inline]
    pub(crate) fn until(self, bound: Bound<'_>, reason: WaitReason, object: usize) -> Waiting<'_> {
        Waiting { caller: self, bound, reason, object }
    }
}

impl Party for Waiting<'_> {
    type Id = &'static G;

    #[inline]
    fn id(&self) -> &'static G {
        self.caller.me
    }

    #[inline]
    fn is_late(&self) -> bool {
        self.bound.is_over()
    }

    #[inline]
    fn sleep(&self, may_leave: bool) {
        let bound = if may_leave { self.bound } else { Bound::NONE };
        bound.park(self.caller.me, self.reason, self.object, self.caller.site);
    }
}

//! One party's wait for one of several things: the claim, the park, the deadline.
//!
//! What a wait is for stands in nodes ([`Waiter`](crate::g::Waiter)) in the queues of channels, locks and contexts. Here is what they share.

use crate::context::Bound;
use crate::g::{G, WaitReason};
use crate::sched;
use gort_lockfree::claim::{Claim, State};
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

/// A wait that has not begun, is under way, or is over. Lies on the waiting party's stack.
pub struct Wait {
    pub(crate) me: &'static G,
    pub(crate) claim: Claim,
}

/// How a wait has ended: which case, with which outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) case: u32,
    pub(crate) outcome: u8,
}

/// The case of a waiter that gives up.
const MYSELF: u32 = Claim::CASES - 1;

impl Wait {
    pub(crate) fn new(me: &'static G) -> Self {
        Self { me, claim: Claim::new() }
    }

    /// Parks until somebody has served a case, or the time is over: `None`, and nobody will serve one any more.
    #[inline]
    pub(crate) fn until(
        &self,
        bound: Bound<'_>,
        reason: WaitReason,
        object: usize,
        site: &'static Location<'static>,
    ) -> Option<End> {
        loop {
            let mut bound = bound;
            match self.claim.state() {
                State::Done { case, outcome } => return Some(End { case, outcome }),
                // It will be over soon, and it is too late to give up.
                State::Taken => bound = Bound::NONE,
                State::Waiting => {
                    if bound.is_over() && self.give_up() {
                        return None;
                    }
                }
            }
            bound.park(self.me, reason, object, site);
        }
    }

    /// Ends the wait with nothing; false if somebody has been faster.
    pub(crate) fn give_up(&self) -> bool {
        let is_first = self.claim.take(MYSELF);
        if is_first {
            self.claim.finish(0);
        }
        is_first
    }

    pub(crate) fn is_over(&self) -> bool {
        self.claim.state() != State::Waiting
    }
}

impl std::fmt::Debug for Wait {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wait").field("claim", &self.claim).finish_non_exhaustive()
    }
}

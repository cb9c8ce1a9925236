//! How long a wait may last: until a moment, until a context ends, or as long as it takes.
//!
//! All three are looked at in the same way: a party that waits parks until somebody kicks it, and then asks whether its time is over. Its own
//! timer kicks it at the moment, the context's deadline included; whoever cancels the context kicks it, too.

use super::{Context, Ended, Ending};
use crate::g::record::WATCHED;
use crate::g::{G, WaitReason};
use crate::sched;
use crate::sys::clock;
use crate::timer::{NEVER, Target};
use std::panic::Location;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound<'a> {
    /// The context's deadline, if there is a context.
    until_ns: u64,
    ending: Option<&'a Arc<Ending>>,
}

impl<'a> Bound<'a> {
    /// As long as it takes.
    pub(crate) const NONE: Self = Self::at(NEVER);

    /// Until the clock shows this.
    pub(crate) const fn at(until_ns: u64) -> Self {
        Self { until_ns, ending: None }
    }

    /// So long from now.
    pub(crate) fn timeout(timeout: Duration) -> Self {
        Self::at(clock::after(timeout))
    }

    /// Until then.
    pub(crate) fn deadline(deadline: Instant) -> Self {
        Self::at(clock::deadline_ns(deadline))
    }

    /// Until `ctx` ends.
    pub(crate) fn ctx(ctx: &'a Context) -> Self {
        let ending = ctx.ending();
        Self { until_ns: ending.map_or(NEVER, |ending| ending.deadline_ns()), ending }
    }

    /// The same, and no longer than until the clock shows `until_ns`.
    pub(crate) fn and_at(self, until_ns: u64) -> Self {
        Self { until_ns: self.until_ns.min(until_ns), ..self }
    }

    /// True if nothing but the end of the wait itself can end it.
    #[inline(always)]
    pub(crate) fn is_none(self) -> bool {
        self.until_ns == NEVER && self.ending.is_none()
    }

    /// True if the time is over.
    #[inline]
    pub(crate) fn is_over(self) -> bool {
        self.until_ns != NEVER && clock::now_ns() >= self.until_ns
            || self.ending.is_some_and(|ending| ending.has_ended())
    }

    /// Parks until kicked, or until the time is over.
    #[inline(always)]
    pub(crate) fn park(self, me: &'static G, reason: WaitReason, object: usize, site: &'static Location<'static>) {
        match self.ending {
            None => park_until(self.until_ns, me, reason, object, site),
            Some(ending) => park_watched(ending, self.until_ns, me, reason, object, site),
        }
    }
}

#[inline(always)]
fn park_until(until_ns: u64, me: &'static G, reason: WaitReason, object: usize, site: &'static Location<'static>) {
    if until_ns != NEVER {
        sched::park::arm(me, &me.timer, Target::goroutine(me), until_ns);
    }
    sched::park(me, reason, object, site, |me| me.park.commit_sleep());
    if until_ns != NEVER {
        me.timer.clear();
    }
}

/// Out of the way of the waits without a context.
#[cold]
fn park_watched(
    ending: &Ending,
    until_ns: u64,
    me: &'static G,
    reason: WaitReason,
    object: usize,
    site: &'static Location<'static>,
) {
    me.put(WATCHED, true);
    ending.while_watched(me, Target::goroutine(me), || park_until(until_ns, me, reason, object, site));
    me.put(WATCHED, false);
}

impl Context {
    /// Why it has ended, for a wait that it has bounded and that is over.
    pub(crate) fn ended(&self) -> Ended {
        self.err().expect("nothing else ends the wait")
    }
}

//! What a receiver receives from: a channel, a point in time, a clock that ticks, a timer that can be moved, the end of
//! a context, nothing.
//!
//! Those of time hold no timer: whoever waits for them waits until a moment, with the one timer that its wait has anyway. Where the moment can
//! come nearer meanwhile there is a list of those who are to be told.

use super::alarm::Alarm;
use super::core::{Chan, Fail};
use crate::context::Ending;
use crate::g::{Source, Waiter, Want};
use crate::prim::lock::Lock;
use crate::sys::clock;
use crate::timer::NEVER;
use crate::wait::Caller;
use gort_lockfree::claim::Claim;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{AcqRel, Acquire};
use std::time::{Duration, Instant};

/// What an [`Instant`] is to the receiver's type: the same.
type Make<T> = fn(Instant) -> T;

/// A message at one moment.
pub(super) struct At<T> {
    pub(super) when: Instant,
    make: Make<T>,
    taken: AtomicBool,
}

/// A message each period; those that nobody took in time are left out.
pub(super) struct Tick<T> {
    pub(super) period: Duration,
    make: Make<T>,
    next: Lock<Instant>,
}

/// See the module.
pub(super) enum Flavor<T> {
    Chan(Arc<Chan<T>>),
    At(Arc<At<T>>),
    Tick(Arc<Tick<T>>),
    Alarm(Arc<Alarm>, Make<T>),
    /// Closed when it ends; nothing is ever sent.
    Ending(Arc<Ending>),
    Never,
}

impl<T> Clone for Flavor<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Chan(chan) => {
                chan.add_receiver();
                Self::Chan(chan.clone())
            }
            Self::At(at) => Self::At(at.clone()),
            Self::Tick(tick) => Self::Tick(tick.clone()),
            Self::Alarm(alarm, make) => Self::Alarm(alarm.clone(), *make),
            Self::Ending(ending) => Self::Ending(ending.clone()),
            Self::Never => Self::Never,
        }
    }
}

impl<T> Drop for Flavor<T> {
    fn drop(&mut self) {
        if let Self::Chan(chan) = self {
            chan.drop_receiver();
        }
    }
}

impl Flavor<Instant> {
    pub(super) fn at(when: Instant) -> Self {
        Self::At(Arc::new(At { when, make: |now| now, taken: AtomicBool::new(false) }))
    }

    pub(super) fn tick(first: Instant, period: Duration) -> Self {
        Self::Tick(Arc::new(Tick { period, make: |now| now, next: Lock::new(first) }))
    }

    pub(super) fn alarm(alarm: Arc<Alarm>) -> Self {
        Self::Alarm(alarm, |now| now)
    }
}

impl<T> Flavor<T> {
    /// Receives from anything but a channel, without waiting.
    pub(super) fn take(&self) -> Result<T, Fail> {
        match self {
            Self::Chan(_) | Self::Never => Err(Fail::Late),
            Self::At(at) => {
                // AcqRel: nothing is handed over but the right to it.
                let is_due = Instant::now() >= at.when && !at.taken.swap(true, AcqRel);
                if is_due { Ok((at.make)(at.when)) } else { Err(Fail::Late) }
            }
            Self::Tick(tick) => {
                let mut next = tick.next.lock();
                let now = Instant::now();
                if now < *next {
                    return Err(Fail::Late);
                }
                let due = *next;
                // The next one is a period after this one is taken: a receiver that is late is not flooded.
                *next = now.checked_add(tick.period).unwrap_or(now + Duration::from_secs(1 << 32));
                Ok((tick.make)(due))
            }
            Self::Alarm(alarm, make) => alarm.take().map(make),
            Self::Ending(ending) if ending.has_ended() => Err(Fail::Closed),
            Self::Ending(_) => Err(Fail::Late),
        }
    }

    /// When there is something to receive from anything but a channel, as a deadline.
    pub(super) fn due_ns(&self) -> u64 {
        match self {
            Self::Chan(_) | Self::Never => NEVER,
            Self::At(at) if at.taken.load(Acquire) => NEVER,
            Self::At(at) => clock::deadline_ns(at.when),
            Self::Tick(tick) => clock::deadline_ns(*tick.next.lock()),
            Self::Alarm(alarm, _) => alarm.due_ns(),
            Self::Ending(ending) if ending.has_ended() => 1,
            Self::Ending(ending) => ending.deadline_ns(),
        }
    }

    /// The same, and who could make it earlier.
    pub(super) fn prospect(&self) -> (u64, Source) {
        let source = match self {
            Self::Chan(chan) => Source::Channel(Arc::as_ptr(chan).addr()),
            Self::Never => Source::Nobody,
            Self::At(_) | Self::Tick(_) | Self::Alarm(..) | Self::Ending(_) => Source::Other,
        };
        (self.due_ns(), source)
    }

    /// Asks to be told, through `node`, when [`due_ns`](Self::due_ns) comes nearer. Not for channels.
    ///
    /// # Safety
    /// Node and claim stay where they are, and the claim, if taken, is finished, until after [`leave`](Self::leave).
    pub(super) unsafe fn enter(&self, node: &Waiter, caller: Caller, claim: &Claim, case: u32) {
        node.set(caller.me, claim, case, Want::News, std::ptr::null_mut());
        // SAFETY: the caller's promise.
        unsafe {
            match self {
                Self::Alarm(alarm, _) => alarm.enter(node),
                Self::Ending(ending) => ending.enter(node),
                _ => {}
            }
        }
    }

    /// Takes back what [`enter`](Self::enter) has asked for.
    pub(super) fn leave(&self, node: &Waiter) {
        match self {
            Self::Alarm(alarm, _) => alarm.leave(node),
            Self::Ending(ending) => ending.leave(node),
            _ => {}
        }
    }
}

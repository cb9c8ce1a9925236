//! What a receiver receives from: a channel, a point in time, a clock that ticks, nothing.
//!
//! Those of time hold no queue and no timer: whoever waits for them waits until a moment, with the one timer that its wait has anyway.

use super::core::Chan;
use crate::prim::lock::Lock;
use crate::sys::clock;
use crate::timer::NEVER;
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
}

impl<T> Flavor<T> {
    /// The message of a flavor of time, if it is due.
    pub(super) fn due(&self) -> Option<T> {
        match self {
            Self::Chan(_) | Self::Never => None,
            Self::At(at) => {
                // AcqRel: nothing is handed over but the right to it.
                let is_due = Instant::now() >= at.when && !at.taken.swap(true, AcqRel);
                is_due.then(|| (at.make)(at.when))
            }
            Self::Tick(tick) => {
                let mut next = tick.next.lock();
                let now = Instant::now();
                if now < *next {
                    return None;
                }
                let due = *next;
                // The next one is a period after this one is taken: a receiver that is late is not flooded.
                *next = now.checked_add(tick.period).unwrap_or(now + Duration::from_secs(1 << 32));
                Some((tick.make)(due))
            }
        }
    }

    /// When the next message of a flavor of time is due, as a deadline.
    pub(super) fn due_ns(&self) -> u64 {
        match self {
            Self::Chan(_) | Self::Never => NEVER,
            Self::At(at) if at.taken.load(Acquire) => NEVER,
            Self::At(at) => clock::deadline_ns(at.when),
            Self::Tick(tick) => clock::deadline_ns(*tick.next.lock()),
        }
    }
}

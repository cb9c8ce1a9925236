//! One poll: events in, goroutines out.

use super::{Desc, Side};
use crate::g::{G, GList};
use crate::stack::switch::prefetch;
use crate::sys::poller::{EventBuf, Poller, Timeout};
use crate::sys::raw::Errno;
use std::io;

/// The poller of the process and the calls the scheduler makes on it.
pub(crate) struct Netpoll {
    poller: Poller,
}

/// Room for the events of one poll; whoever polls brings its own.
pub(crate) struct Batch {
    events: EventBuf,
}

/// Events taken at once, at most: enough that a busy server pays one system call for many requests, few enough that the first does not wait long.
const EVENTS: usize = gort_lockfree::runq::CAP;
/// Records are fetched into the cache this many events ahead.
const AHEAD: usize = 4;

impl Batch {
    pub(crate) fn new() -> Self {
        Self { events: EventBuf::new(EVENTS) }
    }
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch").finish_non_exhaustive()
    }
}

impl Netpoll {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { poller: Poller::new()? })
    }

    /// Registers a descriptor, once for its life, edge-triggered, both directions.
    pub(crate) fn add(&self, desc: &Desc) -> Result<(), Errno> {
        self.poller.add(desc.fd(), desc.token())
    }

    /// Ends a registration that a close of the fd would not end.
    pub(crate) fn delete(&self, fd: i32) {
        // An error means that it is gone already.
        let _ = self.poller.delete(fd);
    }

    /// Makes a blocked poll return.
    pub(crate) fn wake(&self) {
        self.poller.wake();
    }

    /// Waits for events, takes at most `max` of them, and adds the goroutines they make ready to `ready`. An interrupted wait counts as one
    /// without events.
    pub(crate) fn poll(&self, batch: &mut Batch, max: usize, timeout: Timeout, ready: &mut GList) {
        let Ok(count) = self.poller.wait(&mut batch.events, max, timeout) else { return };
        for at in 0..count {
            if at + AHEAD < count {
                prefetch((batch.events.get(at + AHEAD).token & ((1 << 47) - 1)) as usize);
            }
            let event = batch.events.get(at);
            // SAFETY: tokens in the poller come from `add`.
            let Some(desc) = (unsafe { Desc::from_token(event.token) }) else { continue };
            if event.readable || event.sticky {
                wake(desc, Side::Read, event.sticky, ready);
            }
            if event.writable || event.sticky {
                wake(desc, Side::Write, event.sticky, ready);
            }
        }
    }
}

#[inline]
fn wake(desc: &'static Desc, side: Side, sticky: bool, ready: &mut GList) {
    if let Some(waiter) = desc.side(side).word.event(sticky) {
        // SAFETY: words of descriptors hold addresses of goroutine records only.
        ready.push(unsafe { G::from_address(waiter.get() as usize) });
    }
}

impl std::fmt::Debug for Netpoll {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Netpoll").finish_non_exhaustive()
    }
}

//! Waiting for many descriptors at once.
//!
//! The interface another system has to offer (kqueue, IOCP: a sibling of `epoll.rs`): descriptors are registered once, for both directions,
//! edge-triggered, with a token that comes back in every [`Event`]; one thread blocks in [`Poller::wait`] and any thread can end that by
//! [`Poller::wake`]; any number of threads may look in with [`Timeout::Now`] meanwhile.
#![allow(dead_code, unused_imports)]

mod epoll;
#[cfg(test)]
mod tests;

pub(crate) use epoll::{EventBuf, Poller};

/// What happened to a descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Event {
    /// What was given to [`Poller::add`].
    pub(crate) token: u64,
    /// A read may make progress now (data, end of stream, error).
    pub(crate) readable: bool,
    /// A write may make progress now (room, error).
    pub(crate) writable: bool,
    /// Something other than "more data" or "more room" was seen: end of stream, hang-up, error, urgent data. From here on a short read no
    /// longer proves that the descriptor is drained, because no further edge may come.
    pub(crate) sticky: bool,
}

/// How long [`Poller::wait`] waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Timeout {
    /// Not at all.
    Now,
    /// Until this deadline (see `sys::clock`) or an event.
    Until(u64),
    /// Until an event.
    Forever,
}

//! The sending side.

use super::core::{Chan, FOR_EVER, Fail, NOT_AT_ALL};
use super::error::{CloseError, SendError, SendTimeoutError, TrySendError};
use crate::sys::clock;
use crate::wait::Caller;
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The sending side of a channel. Clones send into the same channel.
///
/// # Examples
/// ```
/// let (s, r) = gort::chan::unbounded();
/// let other = s.clone();
/// gort::go(move || other.send(1).unwrap());
/// assert_eq!(r.recv(), Ok(1));
/// ```
pub struct Sender<T> {
    pub(super) chan: Arc<Chan<T>>,
}

// A panic leaves no channel half changed: nothing of the user's runs while it is locked.
impl<T> UnwindSafe for Sender<T> {}
impl<T> RefUnwindSafe for Sender<T> {}

impl<T> Sender<T> {
    pub(super) fn new(chan: Arc<Chan<T>>) -> Self {
        Self { chan }
    }

    /// Sends `value`, waiting until there is room or, in a rendezvous channel, until a receiver has taken it.
    ///
    /// # Errors
    /// The value, if the channel is closed or becomes closed, or all receivers are gone.
    ///
    /// # Examples
    /// ```
    /// let (s, r) = gort::chan::bounded(1);
    /// assert_eq!(s.send(1), Ok(()));
    /// drop(r);
    /// assert_eq!(s.send(2).unwrap_err().into_inner(), 2);
    /// ```
    #[track_caller]
    #[inline]
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        self.chan.send(value, FOR_EVER, Caller::begin()).map_err(|(_, value)| SendError(value))
    }

    /// Sends `value` if that needs no wait.
    ///
    /// # Errors
    /// The value, if there is no room (and no receiver waits), or nobody will receive any more.
    ///
    /// # Examples
    /// ```
    /// let (s, _r) = gort::chan::bounded(0);
    /// assert!(s.try_send(1).unwrap_err().is_full());
    /// ```
    #[inline]
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        self.chan.send(value, NOT_AT_ALL, Caller::begin()).map_err(|(why, value)| match why {
            Fail::Late => TrySendError::Full(value),
            Fail::Closed => TrySendError::Disconnected(value),
        })
    }

    /// As [`send`](Self::send), waiting for `timeout` at most.
    ///
    /// # Errors
    /// The value, if there was no room in time, or nobody will receive any more.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// let (s, _r) = gort::chan::bounded(0);
    /// assert!(s.send_timeout(1, Duration::from_millis(1)).unwrap_err().is_timeout());
    /// ```
    #[track_caller]
    pub fn send_timeout(&self, value: T, timeout: Duration) -> Result<(), SendTimeoutError<T>> {
        self.send_until(value, clock::after(timeout), Caller::begin())
    }

    /// As [`send`](Self::send), waiting until `deadline` at most.
    ///
    /// # Errors
    /// As [`send_timeout`](Self::send_timeout).
    ///
    /// # Examples
    /// ```
    /// let (s, _r) = gort::chan::bounded(0);
    /// assert!(s.send_deadline(1, std::time::Instant::now()).unwrap_err().is_timeout());
    /// ```
    #[track_caller]
    pub fn send_deadline(&self, value: T, deadline: Instant) -> Result<(), SendTimeoutError<T>> {
        self.send_until(value, clock::deadline_ns(deadline), Caller::begin())
    }

    fn send_until(&self, value: T, until_ns: u64, caller: Caller) -> Result<(), SendTimeoutError<T>> {
        self.chan.send(value, until_ns, caller).map_err(|(why, value)| match why {
            Fail::Late => SendTimeoutError::Timeout(value),
            Fail::Closed => SendTimeoutError::Disconnected(value),
        })
    }

    /// Closes the channel for all, as Go's `close`: sends fail from here on, also those that wait; receivers get what is there, and then the
    /// end.
    ///
    /// # Errors
    /// If it was closed already, or all receivers are gone.
    ///
    /// # Examples
    /// ```
    /// let (s, r) = gort::chan::bounded(1);
    /// s.send(1).unwrap();
    /// s.close().unwrap();
    /// assert!(s.send(2).is_err() && s.close().is_err());
    /// assert_eq!(r.iter().collect::<Vec<_>>(), [1]);
    /// ```
    pub fn close(&self) -> Result<(), CloseError> {
        if self.chan.close() { Ok(()) } else { Err(CloseError) }
    }

    /// True if the channel is closed, or one side is gone.
    ///
    /// # Examples
    /// ```
    /// let (s, r) = gort::chan::bounded::<u8>(1);
    /// drop(r);
    /// assert!(s.is_closed());
    /// ```
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.chan.is_closed()
    }

    /// True if no value is in the channel. One of a rendezvous channel always is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// True if a send would have to wait for room. A rendezvous channel always is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.chan.is_full()
    }

    /// Values in the channel.
    #[must_use]
    pub fn len(&self) -> usize {
        self.chan.len()
    }

    /// Room for values; `None` if it has no limit.
    #[must_use]
    pub fn capacity(&self) -> Option<usize> {
        self.chan.capacity()
    }

    /// True if both send into one channel.
    #[must_use]
    pub fn same_channel(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.chan, &other.chan)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.chan.add_sender();
        Self { chan: self.chan.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.chan.drop_sender();
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender { .. }")
    }
}

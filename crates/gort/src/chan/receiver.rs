//! The receiving side.

use super::core::{FOR_EVER, Fail, NOT_AT_ALL};
use super::error::{RecvError, RecvTimeoutError, TryRecvError};
use super::flavor::Flavor;
use super::iter::{IntoIter, Iter, TryIter};
use crate::context::Bound;
use crate::g::{NO_CHANNEL, WaitReason, Waiter};
use crate::sys::clock;
use crate::wait::Caller;
use gort_lockfree::claim::Claim;
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The receiving side of a channel. Clones receive from the same channel; each value is received once.
///
/// # Examples
/// ```
/// let (s, r) = gort::chan::bounded(4);
/// gort::go(move || {
///     for i in 0..10 {
///         s.send(i).unwrap();
///     }
/// });
/// assert_eq!(r.iter().sum::<i32>(), 45);
/// ```
pub struct Receiver<T> {
    pub(super) flavor: Flavor<T>,
}

// As with `Sender`.
impl<T> UnwindSafe for Receiver<T> {}
impl<T> RefUnwindSafe for Receiver<T> {}

impl<T> Receiver<T> {
    pub(super) fn new(flavor: Flavor<T>) -> Self {
        Self { flavor }
    }

    /// Receives a value, waiting until there is one.
    ///
    /// # Errors
    /// The channel is empty, and closed or without senders.
    ///
    /// # Examples
    /// ```
    /// let (s, r) = gort::chan::bounded(0);
    /// gort::go(move || s.send(7).unwrap());
    /// assert_eq!(r.recv(), Ok(7));
    /// assert!(r.recv().is_err());
    /// ```
    #[track_caller]
    #[inline]
    pub fn recv(&self) -> Result<T, RecvError> {
        self.receive(FOR_EVER, Caller::begin()).map_err(|_| RecvError)
    }

    /// Receives a value if that needs no wait.
    ///
    /// It may wait for one thing: in a rendezvous with a `send` of a [`select!`](crate::select), until that has made its value.
    ///
    /// # Errors
    /// Nothing is there, or nothing will come any more.
    ///
    /// # Examples
    /// ```
    /// let (s, r) = gort::chan::bounded::<u8>(1);
    /// assert!(r.try_recv().unwrap_err().is_empty());
    /// drop(s);
    /// assert!(r.try_recv().unwrap_err().is_disconnected());
    /// ```
    #[inline]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.receive(NOT_AT_ALL, Caller::begin()).map_err(|why| match why {
            Fail::Late => TryRecvError::Empty,
            Fail::Closed => TryRecvError::Disconnected,
        })
    }

    /// As [`recv`](Self::recv), waiting for `timeout` at most; in a rendezvous with a `send` of a [`select!`](crate::select) until that has made its
    /// value, if that is later.
    ///
    /// # Errors
    /// Nothing came in time, or nothing will come any more.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// let (_s, r) = gort::chan::bounded::<u8>(1);
    /// assert!(r.recv_timeout(Duration::from_millis(1)).unwrap_err().is_timeout());
    /// ```
    #[track_caller]
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        self.receive_until(clock::after(timeout), Caller::begin())
    }

    /// As [`recv`](Self::recv), waiting until `deadline` at most; as for [`recv_timeout`](Self::recv_timeout), a `select!` may take longer.
    ///
    /// # Errors
    /// As [`recv_timeout`](Self::recv_timeout).
    ///
    /// # Examples
    /// ```
    /// let (_s, r) = gort::chan::bounded::<u8>(1);
    /// assert!(r.recv_deadline(std::time::Instant::now()).unwrap_err().is_timeout());
    /// ```
    #[track_caller]
    pub fn recv_deadline(&self, deadline: Instant) -> Result<T, RecvTimeoutError> {
        self.receive_until(clock::deadline_ns(deadline), Caller::begin())
    }

    fn receive_until(&self, until_ns: u64, caller: Caller) -> Result<T, RecvTimeoutError> {
        self.receive(until_ns, caller).map_err(|why| match why {
            Fail::Late => RecvTimeoutError::Timeout,
            Fail::Closed => RecvTimeoutError::Disconnected,
        })
    }

    #[inline]
    fn receive(&self, until_ns: u64, caller: Caller) -> Result<T, Fail> {
        match &self.flavor {
            Flavor::Chan(chan) => chan.recv(until_ns, caller),
            _ => self.receive_other(until_ns, caller),
        }
    }

    /// From anything but a channel. Of what its waiter gives as its object it can be said that nobody knows who refers to it.
    #[cold]
    fn receive_other(&self, until_ns: u64, caller: Caller) -> Result<T, Fail> {
        loop {
            match self.flavor.take() {
                Err(Fail::Late) => {}
                received => return received,
            }
            if until_ns == NOT_AT_ALL || until_ns != FOR_EVER && clock::now_ns() >= until_ns {
                return Err(Fail::Late);
            }
            let (claim, node) = (Claim::new(), Waiter::new());
            // SAFETY: both stay until `leave` below, and the wait is over then; nothing in between unwinds.
            unsafe { self.flavor.enter(&node, caller, &claim, 0) };
            // Ends by its deadline, or with news.
            let due_ns = self.flavor.due_ns();
            let _ = claim.wait(&caller.until(Bound::at(until_ns.min(due_ns)), WaitReason::ChanRecv, NO_CHANNEL));
            self.flavor.leave(&node);
        }
    }

    /// Values as they come, until the channel is closed or without senders.
    pub fn iter(&self) -> Iter<'_, T> {
        Iter::new(self)
    }

    /// The values that are there, without waiting.
    ///
    /// # Examples
    /// ```
    /// let (s, r) = gort::chan::unbounded();
    /// s.send(1).unwrap();
    /// s.send(2).unwrap();
    /// assert_eq!(r.try_iter().collect::<Vec<_>>(), [1, 2]);
    /// ```
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter::new(self)
    }

    /// True if no value is in the channel.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// True if the channel has no room. A rendezvous channel always is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match &self.flavor {
            Flavor::Chan(chan) => chan.is_full(),
            Flavor::Never | Flavor::Ending(_) => true,
            _ => self.len() == 1,
        }
    }

    /// Values in the channel.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.flavor {
            Flavor::Chan(chan) => chan.len(),
            Flavor::Never | Flavor::Ending(_) => 0,
            time => usize::from(time.due_ns() <= clock::now_ns()),
        }
    }

    /// Room for values; `None` if it has no limit.
    #[must_use]
    pub fn capacity(&self) -> Option<usize> {
        match &self.flavor {
            Flavor::Chan(chan) => chan.capacity(),
            Flavor::Never | Flavor::Ending(_) => Some(0),
            _ => Some(1),
        }
    }

    /// True if both receive from one channel.
    #[must_use]
    pub fn same_channel(&self, other: &Self) -> bool {
        match (&self.flavor, &other.flavor) {
            (Flavor::Chan(a), Flavor::Chan(b)) => Arc::ptr_eq(a, b),
            (Flavor::At(a), Flavor::At(b)) => Arc::ptr_eq(a, b),
            (Flavor::Tick(a), Flavor::Tick(b)) => Arc::ptr_eq(a, b),
            (Flavor::Alarm(a, _), Flavor::Alarm(b, _)) => Arc::ptr_eq(a, b),
            (Flavor::Ending(a), Flavor::Ending(b)) => Arc::ptr_eq(a, b),
            (Flavor::Never, Flavor::Never) => true,
            _ => false,
        }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Self { flavor: self.flavor.clone() }
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receiver { .. }")
    }
}

impl<'a, T> IntoIterator for &'a Receiver<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T> IntoIterator for Receiver<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        IntoIter::new(self)
    }
}

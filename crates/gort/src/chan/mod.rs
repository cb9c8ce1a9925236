//! Channels, and `select!` over them, as in Go, with the names of crossbeam-channel.
//!
//! [`unbounded`], [`bounded`], and [`bounded(0)`](bounded) for a rendezvous: the send ends when the value has been received. Senders and
//! receivers are cloned freely and shared between goroutines and plain OS threads. What waits parks its goroutine, or blocks its thread, and
//! is served in order of arrival.
//!
//! A channel ends when it is [closed](Sender::close) or when all its senders, or all its receivers, are gone. What was sent before can still be
//! received; a send gives its value back.
//!
//! ```
//! let (requests, inbox) = gort::chan::bounded(0);
//! let (replies, answers) = gort::chan::bounded(8);
//! gort::go(move || {
//!     for number in inbox {
//!         replies.send(number * number).unwrap();
//!     }
//! });
//! for number in 1..=3 {
//!     requests.send(number).unwrap();
//! }
//! drop(requests);
//! assert_eq!(answers.iter().collect::<Vec<_>>(), [1, 4, 9]);
//! ```
//!
//! [`select!`](crate::select) waits for the first of several operations: channels, times, ends of contexts and of goroutines.

pub(crate) mod alarm;
mod arm;
mod core;
mod ctx;
mod discard;
mod dynamic;
mod enlist;
mod error;
mod flavor;
mod iter;
mod join;
mod look;
mod order;
mod receiver;
mod room;
mod select_macro;
mod sender;

pub use crate::{select, select_biased};
pub use ctx::{RecvCtxError, SendCtxError};
pub use dynamic::{Select, SelectedOperation};
pub use error::{
    CloseError, ReadyTimeoutError, RecvError, RecvTimeoutError, SelectTimeoutError, SendError, SendTimeoutError,
    TryReadyError, TryRecvError, TrySelectError, TrySendError,
};
pub use iter::{IntoIter, Iter, TryIter};
pub use receiver::Receiver;
pub use sender::Sender;

/// What `select!` expands to. Not for anybody else.
#[doc(hidden)]
pub mod __private {
    pub use super::arm::{Arm, Limit, Manner, RecvArm, SendArm, select};
    pub use super::join::JoinArm;
    pub use super::look::is_hopeless;
}

use self::core::Chan;
use flavor::Flavor;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A channel with room for `capacity` values; with `bounded(0)` each send waits for its receiver.
///
/// # Examples
/// ```
/// let (s, r) = gort::chan::bounded(1);
/// s.send("hello").unwrap();
/// assert!(s.try_send("again").unwrap_err().is_full());
/// assert_eq!(r.recv(), Ok("hello"));
/// ```
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let chan = Arc::new(Chan::new(capacity));
    (Sender::new(chan.clone()), Receiver::new(Flavor::Chan(chan)))
}

/// A channel whose sends never wait. What is not received stays in memory: prefer [`bounded`] where a sender may be faster than its receivers.
/// The memory that a long backlog has taken is given back as it is received.
///
/// # Examples
/// ```
/// let (s, r) = gort::chan::unbounded();
/// for i in 0..1000 {
///     s.send(i).unwrap();
/// }
/// assert_eq!(r.len(), 1000);
/// ```
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    bounded(usize::MAX)
}

/// A receiver that receives once, `duration` from now: the moment at which it was due.
///
/// Costs nothing while nobody waits for it.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// let (_s, r) = gort::chan::bounded::<u8>(0);
/// gort::select! {
///     recv(r) -> _ => unreachable!("nobody sends"),
///     recv(gort::chan::after(Duration::from_millis(5))) -> _ => println!("timed out"),
/// }
/// ```
pub fn after(duration: Duration) -> Receiver<Instant> {
    match Instant::now().checked_add(duration) {
        Some(when) => at(when),
        None => never(),
    }
}

/// A receiver that receives once, at `when`.
///
/// # Examples
/// ```
/// let when = std::time::Instant::now();
/// assert_eq!(gort::chan::at(when).recv(), Ok(when));
/// ```
pub fn at(when: Instant) -> Receiver<Instant> {
    Receiver::new(Flavor::at(when))
}

/// A receiver that receives each `period`, the first time one period from now. Messages that nobody takes in time are left out: after a late
/// one the next is due a period later. With a period of zero there always is one.
///
/// # Examples
/// ```
/// use std::time::{Duration, Instant};
/// let start = Instant::now();
/// let ticks = gort::chan::tick(Duration::from_millis(2));
/// ticks.recv().unwrap();
/// ticks.recv().unwrap();
/// assert!(start.elapsed() >= Duration::from_millis(4));
/// ```
pub fn tick(period: Duration) -> Receiver<Instant> {
    match Instant::now().checked_add(period) {
        Some(first) => Receiver::new(Flavor::tick(first, period)),
        None => never(),
    }
}

/// A receiver of the messages of `alarm`.
pub(crate) fn of_alarm(alarm: Arc<alarm::Alarm>) -> Receiver<Instant> {
    Receiver::new(Flavor::alarm(alarm))
}

/// A receiver that never receives anything: for a case of a `select!` that is switched off, as a nil channel in Go.
///
/// # Examples
/// ```
/// assert!(gort::chan::never::<u8>().try_recv().unwrap_err().is_empty());
/// ```
pub fn never<T>() -> Receiver<T> {
    Receiver::new(Flavor::Never)
}

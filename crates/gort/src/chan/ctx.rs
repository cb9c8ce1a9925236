//! Channels and contexts: the end of a context as something to receive, and waits that it ends.

use super::arm::{Limit, Manner, RecvArm, SendArm, select};
use super::flavor::Flavor;
use super::{Receiver, Sender, TryRecvError, TrySendError};
use crate::context::{Context, Ended};
use std::convert::Infallible;
use std::error::Error;
use std::fmt;

impl Context {
    /// A receiver that never receives anything and is disconnected once the context has ended: for a [`select!`](crate::select). That of a
    /// context that cannot end waits for ever.
    ///
    /// # Examples
    /// ```
    /// let (ctx, cancel) = gort::context::background().with_cancel();
    /// let (_s, r) = gort::chan::bounded::<u8>(0);
    /// gort::go(move || cancel.cancel());
    /// gort::select! {
    ///     recv(r) -> _ => unreachable!("nobody sends"),
    ///     recv(ctx.done()) -> _ => assert!(ctx.err().unwrap().is_cancelled()),
    /// }
    /// ```
    #[must_use]
    pub fn done(&self) -> Receiver<Infallible> {
        Receiver::new(match self.ending() {
            Some(ending) => Flavor::Ending(ending.clone()),
            None => Flavor::Never,
        })
    }
}

/// Why [`Receiver::recv_ctx`] received nothing.
#[derive(Clone, Debug)]
pub enum RecvCtxError {
    /// The channel is empty, and closed or without senders.
    Disconnected,
    /// The context has ended.
    Ended(Ended),
}

/// Why [`Sender::send_ctx`] did not send.
#[derive(Clone)]
pub enum SendCtxError<T> {
    /// The channel is closed, or all receivers are gone. The value comes back.
    Disconnected(T),
    /// The context has ended. The value comes back.
    Ended(T, Ended),
}

impl<T> Receiver<T> {
    /// Receives a value, waiting until there is one or `ctx` ends. A value that is there wins over a context that has ended; so does one that a
    /// [`select!`](crate::select) at the other end of a rendezvous is about to make.
    ///
    /// # Errors
    /// Nothing will come any more, or the context has ended; in either case nothing is lost.
    ///
    /// # Examples
    /// ```
    /// use gort::chan::RecvCtxError;
    /// let (ctx, cancel) = gort::context::background().with_cancel();
    /// let (_s, r) = gort::chan::bounded::<u8>(0);
    /// gort::go(move || cancel.cancel());
    /// assert!(matches!(r.recv_ctx(&ctx), Err(RecvCtxError::Ended(why)) if why.is_cancelled()));
    /// ```
    #[track_caller]
    pub fn recv_ctx(&self, ctx: &Context) -> Result<T, RecvCtxError> {
        match self.try_recv() {
            Ok(value) => return Ok(value),
            Err(TryRecvError::Disconnected) => return Err(RecvCtxError::Disconnected),
            Err(TryRecvError::Empty) => {}
        }
        let done = ctx.done();
        let (mut value, mut end) = (RecvArm::new(self), RecvArm::new(&done));
        match select(&[&mut value, &mut end], Limit::ForEver, Manner { biased: true, news: false }) {
            Some(0) => value.take().map_err(|_| RecvCtxError::Disconnected),
            _ => Err(RecvCtxError::Ended(ctx.ended())),
        }
    }
}

impl<T> Sender<T> {
    /// Sends a value, waiting until there is room or a receiver, or `ctx` ends. Room that is there wins over a context that has ended.
    ///
    /// # Errors
    /// The channel is closed or without receivers, or the context has ended; either gives the value back.
    ///
    /// # Examples
    /// ```
    /// use gort::chan::SendCtxError;
    /// use std::time::Duration;
    /// let (ctx, _) = gort::context::background().with_timeout(Duration::from_millis(1));
    /// let (s, _r) = gort::chan::bounded(0);
    /// assert!(matches!(s.send_ctx(7, &ctx), Err(SendCtxError::Ended(7, why)) if why.is_deadline_exceeded()));
    /// ```
    #[track_caller]
    pub fn send_ctx(&self, value: T, ctx: &Context) -> Result<(), SendCtxError<T>> {
        let value = match self.try_send(value) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Disconnected(value)) => return Err(SendCtxError::Disconnected(value)),
            Err(TrySendError::Full(value)) => value,
        };
        let done = ctx.done();
        let (mut room, mut end) = (SendArm::new(self), RecvArm::new(&done));
        match select(&[&mut room, &mut end], Limit::ForEver, Manner { biased: true, news: false }) {
            Some(0) => room.send(value).map_err(|error| SendCtxError::Disconnected(error.into_inner())),
            _ => Err(SendCtxError::Ended(value, ctx.ended())),
        }
    }
}

impl fmt::Display for RecvCtxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disconnected => f.write_str("receiving on an empty and closed channel"),
            Self::Ended(why) => write!(f, "receiving: {why}"),
        }
    }
}

impl Error for RecvCtxError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Disconnected => None,
            Self::Ended(why) => Some(why),
        }
    }
}

impl<T> SendCtxError<T> {
    /// The value that was not sent.
    pub fn into_inner(self) -> T {
        match self {
            Self::Disconnected(value) | Self::Ended(value, _) => value,
        }
    }
}

impl<T> fmt::Debug for SendCtxError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disconnected(_) => f.write_str("Disconnected(..)"),
            Self::Ended(_, why) => write!(f, "Ended(.., {why:?})"),
        }
    }
}

impl<T> fmt::Display for SendCtxError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disconnected(_) => f.write_str("sending on a closed channel"),
            Self::Ended(_, why) => write!(f, "sending: {why}"),
        }
    }
}

impl<T> Error for SendCtxError<T> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Disconnected(_) => None,
            Self::Ended(_, why) => Some(why),
        }
    }
}

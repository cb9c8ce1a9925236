//! Contexts: cancellation, deadlines and values that follow a task through its goroutines.
//!
//! | Go | here |
//! |---|---|
//! | `context.Background()` | [`background`] |
//! | `context.WithCancel(ctx)` | [`Context::with_cancel`] |
//! | `context.WithCancelCause(ctx)` | [`Context::with_cancel_cause`] |
//! | `context.WithTimeout`, `WithDeadline` | [`Context::with_timeout`], [`Context::with_deadline`] |
//! | `context.WithValue(ctx, key, v)` | [`Context::with_value`], with a typed [`Key`] |
//! | `context.WithoutCancel(ctx)` | [`Context::without_cancel`] |
//! | `context.AfterFunc(ctx, f)` | [`Context::after_func`] |
//! | `<-ctx.Done()` | `recv(ctx.done()) -> _` in a [`select!`](crate::select) |
//! | `ctx.Err()`, `context.Cause(ctx)` | [`Context::err`], [`Context::cause`] |
//! | no counterpart | [`Context::run`]: the *ambient* context of everything called inside |
//!
//! A context ends once: when it is cancelled, when its deadline comes, or when its parent ends. That is a value that every wait with a context
//! returns, [`Ended`]; nothing is unwound and nobody is killed.
//!
//! Contexts cost no goroutine, and no timer: a deadline is a number that whoever waits takes along. Cloning one counts two references up.
//!
//! # Waits
//! Every wait of gort's takes a context in a form of its own: [`recv_ctx`](crate::chan::Receiver::recv_ctx) and
//! [`send_ctx`](crate::chan::Sender::send_ctx), [`lock_ctx`](crate::sync::Mutex::lock_ctx) and the others of [`sync`](crate::sync),
//! [`wait_ctx`](crate::JoinHandle::wait_ctx) for goroutines, [`Context::sleep`], [`blocking_ctx`](crate::blocking_ctx); `recv(ctx.done())` stands
//! beside anything else in a [`select!`](crate::select). Calls that return an [`io::Result`](std::io::Result) take the ambient one instead. Only
//! [`scope`](crate::scope()) waits for its goroutines whatever happens, since they use its caller's frame.
//!
//! # The ambient context
//! A library that reads from a stream need not know of contexts. Inside [`Context::run`], and in the goroutines started there, every call of
//! gort that may park and returns an [`io::Result`](std::io::Result) ends when the context does, with an error that says so:
//!
//! ```
//! use gort::context::{self, Ended};
//! use std::io::{ErrorKind, Read};
//! use std::time::Duration;
//!
//! let listener = gort::net::TcpListener::bind("127.0.0.1:0")?;
//! let mut stream = gort::net::TcpStream::connect(listener.local_addr()?)?;
//! let (ctx, _) = context::background().with_timeout(Duration::from_millis(5));
//! let error = ctx.run(|| stream.read(&mut [0; 8])).unwrap_err();
//! assert_eq!(error.kind(), ErrorKind::TimedOut);
//! assert!(matches!(Ended::find(&error), Some(Ended::DeadlineExceeded(_))));
//! # Ok::<(), std::io::Error>(())
//! ```

mod after_func;
pub(crate) mod ambient;
mod bound;
mod cancel;
mod ending;
mod error;
pub(crate) mod root;
mod slots;
mod value;

pub use after_func::AfterFunc;
pub use ambient::current;
pub(crate) use bound::Bound;
pub use cancel::{Cancel, CancelCause, CancelOnDrop};
pub(crate) use ending::Ending;
pub use error::{Cancelled, Cause, DeadlineExceeded, Ended};
pub use value::Key;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use value::Values;

/// What a task is part of: when it has to end, and what it should know. See the [module](self).
#[derive(Clone)]
pub struct Context {
    /// What ends it; `None` if nothing can, not even the end of the runtime.
    ending: Option<Arc<Ending>>,
    values: Option<Arc<Values>>,
}

/// The root of all contexts: where others come from. It has no values, and ends when the runtime is shut down
/// ([`runtime::shutdown`](crate::runtime::shutdown)), with a cause of type [`ShuttingDown`](crate::runtime::ShuttingDown). After that, ask again: a
/// runtime that is started anew has a new root.
///
/// # Examples
/// ```
/// let ctx = gort::context::background();
/// assert!(ctx.err().is_none() && ctx.deadline().is_none());
/// ```
#[must_use]
pub fn background() -> Context {
    root::background()
}

/// The [`background`].
impl Default for Context {
    fn default() -> Self {
        background()
    }
}

impl Context {
    /// A child that [`Cancel::cancel`] ends, and what does so.
    ///
    /// # Examples
    /// ```
    /// let (ctx, cancel) = gort::context::background().with_cancel();
    /// assert!(ctx.err().is_none());
    /// cancel.cancel();
    /// assert!(ctx.err().unwrap().is_cancelled());
    /// ```
    #[must_use]
    pub fn with_cancel(&self) -> (Self, Cancel) {
        let ending = Ending::child_of(self.ending.as_ref(), None);
        (self.with_ending(ending.clone()), Cancel::new(ending))
    }

    /// As [`with_cancel`](Self::with_cancel); who cancels says why.
    ///
    /// # Examples
    /// ```
    /// let (ctx, cancel) = gort::context::background().with_cancel_cause();
    /// cancel.cancel("the client has gone");
    /// assert_eq!(ctx.cause().unwrap().to_string(), "the client has gone");
    /// ```
    #[must_use]
    pub fn with_cancel_cause(&self) -> (Self, CancelCause) {
        let ending = Ending::child_of(self.ending.as_ref(), None);
        (self.with_ending(ending.clone()), CancelCause::new(ending))
    }

    /// A child that ends `timeout` from now at the latest; it can be cancelled, too. [`Duration::MAX`] is no limit.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// let (ctx, _) = gort::context::background().with_timeout(Duration::from_millis(1));
    /// gort::sleep(Duration::from_millis(2));
    /// assert!(ctx.err().unwrap().is_deadline_exceeded());
    /// ```
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> (Self, Cancel) {
        let ending = Ending::child_of(self.ending.as_ref(), Instant::now().checked_add(timeout));
        (self.with_ending(ending.clone()), Cancel::new(ending))
    }

    /// A child that ends at `deadline` at the latest; it can be cancelled, too. If that has passed, it is born ended.
    ///
    /// # Examples
    /// ```
    /// let (ctx, _) = gort::context::background().with_deadline(std::time::Instant::now());
    /// assert!(ctx.err().unwrap().is_deadline_exceeded());
    /// ```
    #[must_use]
    pub fn with_deadline(&self, deadline: Instant) -> (Self, Cancel) {
        let ending = Ending::child_of(self.ending.as_ref(), Some(deadline));
        (self.with_ending(ending.clone()), Cancel::new(ending))
    }

    /// The same with a value for `key`, which hides one that was there.
    ///
    /// # Examples
    /// ```
    /// use gort::context::{Key, background};
    /// static USER: Key<String> = Key::new("user");
    /// let ctx = background().with_value(&USER, "ann".to_owned());
    /// assert_eq!(ctx.value(&USER).unwrap(), "ann");
    /// assert!(background().value(&USER).is_none());
    /// ```
    #[must_use]
    pub fn with_value<T: Send + Sync + 'static>(&self, key: &'static Key<T>, value: T) -> Self {
        Self { ending: self.ending.clone(), values: Some(Values::new(key, value, self.values.clone())) }
    }

    /// The value for `key`.
    #[must_use]
    pub fn value<T: Send + Sync + 'static>(&self, key: &'static Key<T>) -> Option<&T> {
        value::find(self.values.as_ref(), key)
    }

    /// The same values, and nothing that ends it, not even the runtime: for what has to be done after the end.
    ///
    /// # Examples
    /// ```
    /// let (ctx, cancel) = gort::context::background().with_cancel();
    /// let for_clean_up = ctx.without_cancel();
    /// cancel.cancel();
    /// assert!(ctx.err().is_some() && for_clean_up.err().is_none());
    /// ```
    #[must_use]
    pub fn without_cancel(&self) -> Self {
        Self { ending: None, values: self.values.clone() }
    }

    /// Why the context has ended; `None` while it has not. Once it has, the answer stays the same.
    #[must_use]
    pub fn err(&self) -> Option<Ended> {
        self.ending.as_ref()?.why()
    }

    /// The cause given to [`CancelCause::cancel`], by whoever ended this context or the ancestor that ended it; without one, the same as
    /// [`err`](Self::err).
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        Some(self.err()?.into_cause())
    }

    /// When the context ends at the latest: the earliest deadline among its own and its ancestors'.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.ending.as_ref()?.deadline()
    }

    /// How many contexts and functions wait for this one's end: children that have not ended and are still in use, and calls of
    /// [`after_func`](Self::after_func) that are still to come. For tests and for people.
    #[must_use]
    pub fn child_count(&self) -> usize {
        self.ending.as_ref().map_or(0, |ending| ending.child_count())
    }

    pub(crate) fn ending(&self) -> Option<&Arc<Ending>> {
        self.ending.as_ref()
    }

    /// True if there is nothing to it: what holds without any.
    fn is_plain_background(&self) -> bool {
        self.values.is_none() && self.ending.as_ref().is_some_and(|ending| ending.is_root())
    }

    fn with_ending(&self, ending: Arc<Ending>) -> Self {
        Self { ending: Some(ending), values: self.values.clone() }
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Context");
        out.field("deadline", &self.deadline()).field("err", &self.err());
        value::describe(self.values.as_ref(), &mut out);
        out.finish()
    }
}

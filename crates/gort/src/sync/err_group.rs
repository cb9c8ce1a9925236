//! A group of goroutines with one result: the first error, as Go's `x/sync/errgroup`.
//!
//! A wait group counts, a semaphore limits, and a lock keeps the first error. What is to happen at the end (a context to be cancelled) is a
//! function that is taken out by whoever is first: the goroutine that fails, or the one that has waited.

use super::mutex::Mutex;
use super::semaphore::{OwnedSemaphorePermit, Semaphore};
use super::wait_group::WaitGroup;
use crate::context::Context;
use std::any::Any;
use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, PoisonError};

/// Goroutines that work at one thing, and fail together.
///
/// [`wait`](Self::wait) returns the first error. A handle: clones stand for the same group.
///
/// # Examples
/// ```
/// let group = gort::sync::ErrGroup::new();
/// for text in ["1", "2", "three"] {
///     group.go(move || text.parse::<u8>().map(drop));
/// }
/// assert_eq!(group.wait().unwrap_err().to_string(), "invalid digit found in string");
/// ```
pub struct ErrGroup<E> {
    inner: Arc<Inner<E>>,
}

struct Inner<E> {
    running: WaitGroup,
    limit: Option<Arc<Semaphore>>,
    state: Mutex<State<E>>,
}

struct State<E> {
    /// Somebody is first; its failure follows when `at_end` has returned.
    has_failed: bool,
    failure: Option<Failure<E>>,
    at_end: Option<AtEnd<E>>,
}

/// Why a group fails.
enum Failure<E> {
    Error(E),
    Panic(Box<dyn Any + Send>),
}

/// What is called once, with the first error if there is one.
type AtEnd<E> = Box<dyn FnOnce(Option<&E>) + Send>;

impl<E: Send + 'static> ErrGroup<E> {
    /// A group without a limit.
    #[must_use]
    pub fn new() -> Self {
        Self::build(None, None)
    }

    /// A group of which at most `limit` goroutines run at once. 0 lets none in.
    ///
    /// # Panics
    /// If `limit` is more than [`Semaphore::MAX_PERMITS`].
    ///
    /// # Examples
    /// ```
    /// let group = gort::sync::ErrGroup::<()>::with_limit(10);
    /// for _ in 0..100 {
    ///     group.go(|| Ok(()));
    /// }
    /// group.wait().unwrap();
    /// ```
    #[must_use]
    pub fn with_limit(limit: usize) -> Self {
        Self::build(Some(limit), None)
    }

    /// A group, with a limit or without, that calls `at_end` once: with the first error as soon as there is one (with `None` if it is a panic),
    /// otherwise with `None` when [`wait`](Self::wait) is about to return. This is how to tell the others of the group to stop.
    ///
    /// # Examples
    /// ```
    /// use std::sync::atomic::{AtomicBool, Ordering};
    /// static STOP: AtomicBool = AtomicBool::new(false);
    ///
    /// let group = gort::sync::ErrGroup::with_end(None, |_| STOP.store(true, Ordering::Relaxed));
    /// group.go(|| {
    ///     while !STOP.load(Ordering::Relaxed) {
    ///         gort::yield_now();
    ///     }
    ///     Ok(())
    /// });
    /// group.go(|| Err("no luck"));
    /// assert_eq!(group.wait(), Err("no luck"));
    /// ```
    #[must_use]
    pub fn with_end(limit: Option<usize>, at_end: impl FnOnce(Option<&E>) + Send + 'static) -> Self {
        Self::build(limit, Some(Box::new(at_end)))
    }

    /// A group, with a limit or without, and a context for its goroutines, as Go's `errgroup.WithContext`: a child of `ctx` that is cancelled
    /// by the first error, with that error as its cause, or when [`wait`](Self::wait) is about to return. A panic cancels it, too.
    ///
    /// The error goes two ways, hence `Clone`: one that cannot be cloned fits into an `Arc`, or is told to the context by
    /// [`with_end`](Self::with_end).
    ///
    /// # Examples
    /// ```
    /// let (group, ctx) = gort::sync::ErrGroup::with_context(None, &gort::context::background());
    /// let theirs = ctx.clone();
    /// group.go(move || theirs.sleep(std::time::Duration::MAX).map_err(|_| "stopped"));
    /// group.go(|| Err("no luck"));
    /// assert_eq!(group.wait(), Err("no luck"));
    /// assert_eq!(ctx.cause().unwrap().to_string(), "no luck");
    /// ```
    #[must_use]
    pub fn with_context(limit: Option<usize>, ctx: &Context) -> (Self, Context)
    where
        E: Clone + Into<Box<dyn Error + Send + Sync>>,
    {
        let (ctx, cancel) = ctx.with_cancel_cause();
        let at_end = move |error: Option<&E>| match error {
            Some(error) => cancel.cancel(error.clone()),
            None => cancel.without_cause(),
        };
        (Self::with_end(limit, at_end), ctx)
    }

    fn build(limit: Option<usize>, at_end: Option<AtEnd<E>>) -> Self {
        let limit = limit.map(|limit| Arc::new(Semaphore::new(limit)));
        let state = Mutex::new(State { has_failed: false, failure: None, at_end });
        Self { inner: Arc::new(Inner { running: WaitGroup::new(), limit, state }) }
    }

    /// Starts a goroutine of the group; waits first until the limit allows it.
    ///
    /// # Panics
    /// If the limit is 0, or as [`gort::go`](crate::go).
    ///
    /// # Examples
    /// See [`ErrGroup`].
    #[track_caller]
    pub fn go<F>(&self, f: F)
    where
        F: FnOnce() -> Result<(), E> + Send + 'static,
    {
        let place = self.inner.limit.clone().map(|limit| {
            assert!(limit.total() > 0, "ErrGroup::go: the limit is 0");
            limit.acquire_owned(1)
        });
        self.start(place, f);
    }

    /// Starts a goroutine of the group if the limit allows it now. False: it does not, and `f` is dropped.
    ///
    /// # Panics
    /// As [`gort::go`](crate::go).
    ///
    /// # Examples
    /// ```
    /// let group = gort::sync::ErrGroup::<()>::with_limit(0);
    /// assert!(!group.try_go(|| Ok(())));
    /// ```
    #[track_caller]
    pub fn try_go<F>(&self, f: F) -> bool
    where
        F: FnOnce() -> Result<(), E> + Send + 'static,
    {
        let place = match self.inner.limit.clone() {
            None => None,
            Some(limit) => match limit.try_acquire_owned(1) {
                None => return false,
                place => place,
            },
        };
        self.start(place, f);
        true
    }

    #[track_caller]
    fn start<F>(&self, place: Option<OwnedSemaphorePermit>, f: F)
    where
        F: FnOnce() -> Result<(), E> + Send + 'static,
    {
        let inner = self.inner.clone();
        drop(self.inner.running.go(move || {
            // Given back after the failure is noted, before the group counts one less.
            let _place = place;
            match catch_unwind(AssertUnwindSafe(f)) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => inner.fail(Failure::Error(error)),
                Err(payload) => inner.fail(Failure::Panic(payload)),
            }
        }));
    }

    /// Waits until all goroutines of the group have ended. No context cuts this short: it ends them, if they look at it. The group can be used
    /// again then, but the context it was made with stays ended.
    ///
    /// # Errors
    /// The first error of the group.
    ///
    /// # Panics
    /// If a goroutine of the group panicked before there was an error: with its payload.
    ///
    /// # Examples
    /// See [`ErrGroup`].
    #[track_caller]
    pub fn wait(&self) -> Result<(), E> {
        self.inner.running.wait();
        let (failure, at_end) = self.inner.with_state(|state| {
            state.has_failed = false;
            (state.failure.take(), state.at_end.take())
        });
        if let Some(at_end) = at_end {
            at_end(None);
        }
        match failure {
            None => Ok(()),
            Some(Failure::Error(error)) => Err(error),
            Some(Failure::Panic(payload)) => resume_unwind(payload),
        }
    }
}

impl<E> Inner<E> {
    /// The lock is never held where the user's code could panic.
    fn with_state<R>(&self, f: impl FnOnce(&mut State<E>) -> R) -> R {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The first failure is kept, and told.
    fn fail(&self, failure: Failure<E>) {
        let first =
            self.with_state(|state| (!std::mem::replace(&mut state.has_failed, true)).then(|| state.at_end.take()));
        // One that comes second is dropped here, without the lock.
        let Some(at_end) = first else { return };
        let told = at_end.map_or(Ok(()), |at_end| {
            let error = if let Failure::Error(error) = &failure { Some(error) } else { None };
            catch_unwind(AssertUnwindSafe(|| at_end(error)))
        });
        self.with_state(|state| state.failure = Some(failure));
        if let Err(payload) = told {
            // The goroutine's own panic, and reported as such.
            resume_unwind(payload);
        }
    }
}

impl<E> Clone for ErrGroup<E> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<E: Send + 'static> Default for ErrGroup<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E> fmt::Debug for ErrGroup<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErrGroup").field("running", &self.inner.running).finish_non_exhaustive()
    }
}

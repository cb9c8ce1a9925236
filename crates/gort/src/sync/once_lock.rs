//! A cell that is written once, with std's interface: a value behind a [`Once`].

use super::once::{Once, OnceState};
use crate::context::{Bound, Context, Ended};
use crate::wait::Caller;
use std::cell::UnsafeCell;
use std::fmt;
use std::time::{Duration, Instant};

/// A cell that is written once and then read by many, as [`std::sync::OnceLock`].
///
/// # Examples
/// ```
/// static NAME: gort::sync::OnceLock<String> = gort::sync::OnceLock::new();
///
/// assert_eq!(NAME.get(), None);
/// assert_eq!(NAME.get_or_init(|| "first".to_owned()), "first");
/// assert_eq!(NAME.set("second".to_owned()), Err("second".to_owned()));
/// ```
pub struct OnceLock<T> {
    /// If complete, the value is there.
    once: Once,
    /// Drops the value by itself: with a `Drop` of the cell, what the value borrows would have to outlive the cell.
    value: UnsafeCell<Option<T>>,
}

// SAFETY: shared references to the value go to several threads (`T: Sync`), and one thread may write it that another drops (`T: Send`).
unsafe impl<T: Sync + Send> Sync for OnceLock<T> {}
// SAFETY: sending the cell sends the value.
unsafe impl<T: Send> Send for OnceLock<T> {}

impl<T: std::panic::UnwindSafe> std::panic::UnwindSafe for OnceLock<T> {}
impl<T: std::panic::RefUnwindSafe + std::panic::UnwindSafe> std::panic::RefUnwindSafe for OnceLock<T> {}

impl<T> OnceLock<T> {
    /// An empty cell.
    #[must_use]
    pub const fn new() -> Self {
        Self { once: Once::new(), value: UnsafeCell::new(None) }
    }

    /// The value, if it is there. Never waits.
    ///
    /// # Examples
    /// See [`OnceLock`].
    #[inline]
    pub fn get(&self) -> Option<&T> {
        // SAFETY: complete, so the value is there, and is not written any more.
        self.once.is_completed().then(|| unsafe { (*self.value.get()).as_ref().unwrap_unchecked() })
    }

    /// The value, if it is there.
    ///
    /// # Examples
    /// ```
    /// let mut cell = gort::sync::OnceLock::from(1);
    /// *cell.get_mut().unwrap() += 1;
    /// assert_eq!(cell.into_inner(), Some(2));
    /// ```
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.value.get_mut().as_mut()
    }

    /// Writes the value. Waits if somebody else is at it.
    ///
    /// # Errors
    /// `value`, if there is one already.
    ///
    /// # Examples
    /// See [`OnceLock`].
    #[track_caller]
    pub fn set(&self, value: T) -> Result<(), T> {
        let mut value = Some(value);
        self.get_or_init(|| value.take().expect("called once"));
        value.map_or(Ok(()), Err)
    }

    /// The value; made by `f` if it is not there. Of several callers one makes it, and the others wait.
    ///
    /// # Panics
    /// If `f` panics; the cell is then still empty, and the next caller tries anew.
    ///
    /// # Examples
    /// See [`OnceLock`].
    #[track_caller]
    #[inline]
    pub fn get_or_init<F: FnOnce() -> T>(&self, f: F) -> &T {
        match self.get() {
            Some(value) => value,
            None => self.fill(f, Caller::begin()),
        }
    }

    /// The value; waits until somebody has written it.
    ///
    /// # Examples
    /// ```
    /// static PORT: gort::sync::OnceLock<u16> = gort::sync::OnceLock::new();
    /// gort::go(|| PORT.set(7000));
    /// assert_eq!(*PORT.wait(), 7000);
    /// ```
    #[track_caller]
    pub fn wait(&self) -> &T {
        self.once.wait_force();
        self.get().expect("completed")
    }

    /// The value, if somebody writes it within `timeout`.
    ///
    /// # Examples
    /// ```
    /// let cell = gort::sync::OnceLock::<u8>::new();
    /// assert!(cell.wait_timeout(std::time::Duration::from_millis(1)).is_none());
    /// ```
    #[track_caller]
    pub fn wait_timeout(&self, timeout: Duration) -> Option<&T> {
        self.once.wait_within(Bound::timeout(timeout), true, Caller::begin());
        self.get()
    }

    /// The value, if somebody writes it until `deadline`.
    ///
    /// # Examples
    /// ```
    /// let cell = gort::sync::OnceLock::from(7);
    /// assert_eq!(cell.wait_deadline(std::time::Instant::now()), Some(&7));
    /// ```
    #[track_caller]
    pub fn wait_deadline(&self, deadline: Instant) -> Option<&T> {
        self.once.wait_within(Bound::deadline(deadline), true, Caller::begin());
        self.get()
    }

    /// The value, if somebody writes it before `ctx` ends. A value that is there wins over a context that has ended.
    ///
    /// # Errors
    /// The context has ended first.
    ///
    /// # Examples
    /// ```
    /// let (ctx, cancel) = gort::context::background().with_cancel();
    /// let cell = gort::sync::OnceLock::<u8>::new();
    /// cancel.cancel();
    /// assert!(cell.wait_ctx(&ctx).unwrap_err().is_cancelled());
    /// cell.set(7).unwrap();
    /// assert_eq!(*cell.wait_ctx(&ctx).unwrap(), 7);
    /// ```
    #[track_caller]
    pub fn wait_ctx(&self, ctx: &Context) -> Result<&T, Ended> {
        self.once.wait_within(Bound::ctx(ctx), true, Caller::begin());
        self.get().ok_or_else(|| ctx.ended())
    }

    #[cold]
    fn fill(&self, f: impl FnOnce() -> T, caller: Caller) -> &T {
        let write = |_: &OnceState| {
            let value = f();
            // SAFETY: the one who runs is alone with the cell: it is not complete, so nobody reads. What is overwritten is `None`.
            unsafe { self.value.get().write(Some(value)) };
        };
        self.once.run_with(true, write, "", caller);
        self.get().expect("completed")
    }

    /// The value, if it is there.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(gort::sync::OnceLock::<u8>::new().into_inner(), None);
    /// ```
    pub fn into_inner(self) -> Option<T> {
        self.value.into_inner()
    }

    /// Takes the value out and leaves the cell empty.
    ///
    /// # Examples
    /// ```
    /// let mut cell = gort::sync::OnceLock::from("value");
    /// assert_eq!(cell.take(), Some("value"));
    /// assert_eq!(cell.get(), None);
    /// ```
    pub fn take(&mut self) -> Option<T> {
        let value = self.value.get_mut().take();
        if value.is_some() {
            self.once = Once::new();
        }
        value
    }
}

impl<T> Default for OnceLock<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> From<T> for OnceLock<T> {
    fn from(value: T) -> Self {
        let cell = Self::new();
        let is_set = cell.set(value).is_ok();
        debug_assert!(is_set);
        cell
    }
}

impl<T: Clone> Clone for OnceLock<T> {
    fn clone(&self) -> Self {
        self.get().map_or_else(Self::new, |value| value.clone().into())
    }
}

impl<T: PartialEq> PartialEq for OnceLock<T> {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl<T: Eq> Eq for OnceLock<T> {}

impl<T: fmt::Debug> fmt::Debug for OnceLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_tuple("OnceLock");
        match self.get() {
            Some(value) => out.field(value),
            None => out.field(&format_args!("<uninit>")),
        };
        out.finish()
    }
}

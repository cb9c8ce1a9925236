//! A value that is made when it is first looked at, with std's interface: a [`Once`] and the function until then.

use super::once::Once;
use crate::wait::Caller;
use std::cell::UnsafeCell;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::panic::{RefUnwindSafe, UnwindSafe};

/// A value that is made on first use, as [`std::sync::LazyLock`].
///
/// Of several goroutines or threads that look at once, one makes it and the others wait. If its function panics the value is *poisoned*: every
/// later look panics, too.
///
/// # Examples
/// ```
/// use gort::sync::LazyLock;
///
/// static SQUARES: LazyLock<Vec<u32>> = LazyLock::new(|| (0..10).map(|n| n * n).collect());
/// assert_eq!(SQUARES[7], 49);
/// ```
pub struct LazyLock<T, F = fn() -> T> {
    once: Once,
    content: UnsafeCell<Content<T, F>>,
}

enum Content<T, F> {
    Function(F),
    Value(T),
    /// The function has been taken out, and has not returned.
    Nothing,
}

// SAFETY: shared references to the value go to several threads (`T: Sync`); one thread may make it that another drops (`T: Send`), with a
// function from a third (`F: Send`).
unsafe impl<T: Sync + Send, F: Send> Sync for LazyLock<T, F> {}

impl<T: RefUnwindSafe + UnwindSafe, F: UnwindSafe> RefUnwindSafe for LazyLock<T, F> {}
impl<T: UnwindSafe, F: UnwindSafe> UnwindSafe for LazyLock<T, F> {}

const POISONED: &str = "LazyLock::force: the function that makes the value has panicked";

impl<T, F: FnOnce() -> T> LazyLock<T, F> {
    /// A value that `f` will make.
    ///
    /// # Examples
    /// See [`LazyLock`].
    pub const fn new(f: F) -> Self {
        Self { once: Once::new(), content: UnsafeCell::new(Content::Function(f)) }
    }

    /// Makes the value if it is not there, or waits until somebody else has. What dereferencing does.
    ///
    /// # Panics
    /// If the function panics, or has panicked.
    ///
    /// # Examples
    /// ```
    /// use gort::sync::LazyLock;
    ///
    /// let lazy = LazyLock::new(|| 92);
    /// assert_eq!(LazyLock::force(&lazy), &92);
    /// ```
    #[track_caller]
    #[inline]
    pub fn force(this: &Self) -> &T {
        if !this.once.is_completed() {
            this.make(Caller::begin());
        }
        // SAFETY: complete: nobody writes any more.
        match unsafe { &*this.content.get() } {
            Content::Value(value) => value,
            _ => unreachable!("completed without a value"),
        }
    }

    /// As [`force`](Self::force), for a value that may be changed.
    ///
    /// # Panics
    /// As [`force`](Self::force).
    ///
    /// # Examples
    /// ```
    /// use gort::sync::LazyLock;
    ///
    /// let mut lazy = LazyLock::new(|| 92);
    /// *LazyLock::force_mut(&mut lazy) += 1;
    /// assert_eq!(*lazy, 93);
    /// ```
    #[track_caller]
    pub fn force_mut(this: &mut Self) -> &mut T {
        Self::force(this);
        match this.content.get_mut() {
            Content::Value(value) => value,
            _ => unreachable!("completed without a value"),
        }
    }

    #[cold]
    #[track_caller]
    fn make(&self, caller: Caller) {
        let make = |_: &_| {
            // SAFETY: the one who runs is alone with the content: it is not complete, so nobody reads.
            let function = unsafe { self.content.get().replace(Content::Nothing) };
            let Content::Function(function) = function else { unreachable!("run twice") };
            let value = function();
            // SAFETY: as above; what is overwritten is `Nothing`.
            unsafe { self.content.get().write(Content::Value(value)) };
        };
        self.once.run_with(false, make, POISONED, caller);
    }
}

impl<T, F> LazyLock<T, F> {
    /// The value if it has been made. Never waits.
    fn get(&self) -> Option<&T> {
        if !self.once.is_completed() {
            return None;
        }
        // SAFETY: complete: nobody writes any more.
        match unsafe { &*self.content.get() } {
            Content::Value(value) => Some(value),
            _ => None,
        }
    }
}

impl<T, F: FnOnce() -> T> Deref for LazyLock<T, F> {
    type Target = T;

    #[track_caller]
    #[inline]
    fn deref(&self) -> &T {
        Self::force(self)
    }
}

impl<T, F: FnOnce() -> T> DerefMut for LazyLock<T, F> {
    #[track_caller]
    fn deref_mut(&mut self) -> &mut T {
        Self::force_mut(self)
    }
}

impl<T: Default> Default for LazyLock<T> {
    fn default() -> Self {
        Self::new(T::default)
    }
}

impl<T: fmt::Debug, F> fmt::Debug for LazyLock<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_tuple("LazyLock");
        match self.get() {
            Some(value) => out.field(value),
            None => out.field(&format_args!("<uninit>")),
        };
        out.finish()
    }
}

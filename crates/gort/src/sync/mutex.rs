//! A mutex with std's interface.
//!
//! One permit, of which a holder takes all (`gate`). Locking and unlocking what nobody else wants is one compare-and-swap each.

use super::ctx::{LockCtxError, LockCtxResult};
use super::gate::Gate;
use super::poison::{Before, Poison};
use crate::context::{Bound, Context};
use crate::g::WaitReason;
use crate::sched;
use crate::wait::Caller;
use gort_lockfree::permits::Want;
use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::sync::{LockResult, TryLockError, TryLockResult};
use std::time::{Duration, Instant};

/// The one permit.
const ALL: u32 = 1;

/// A value that one goroutine, or thread, at a time may use, as [`std::sync::Mutex`].
///
/// [`lock`](Self::lock) parks a goroutine and blocks a plain thread. What is free is taken by whoever comes; a party that has waited for a
/// millisecond gets it next, whoever else comes. Locking it twice without unlocking waits for ever.
///
/// It is *poisoned* by a panic of a goroutine or thread that holds it, as std's: see [`std::sync::Mutex`].
///
/// # Examples
/// ```
/// use gort::sync::Mutex;
///
/// static NAMES: Mutex<Vec<&str>> = Mutex::new(Vec::new());
///
/// gort::scope(|s| {
///     s.spawn(|| NAMES.lock().unwrap().push("goroutine"));
///     std::thread::scope(|threads| {
///         threads.spawn(|| NAMES.lock().unwrap().push("thread"));
///     });
/// });
/// assert_eq!(NAMES.lock().unwrap().len(), 2);
/// ```
pub struct Mutex<T: ?Sized> {
    gate: Gate,
    poison: Poison,
    value: UnsafeCell<T>,
}

// SAFETY: the value moves between threads (whoever locks may take it out), which is what `T: Send` allows; one holder at a time uses it.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}
// SAFETY: sending the mutex sends the value.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}

impl<T: ?Sized> std::panic::UnwindSafe for Mutex<T> {}
impl<T: ?Sized> std::panic::RefUnwindSafe for Mutex<T> {}

/// The right to use the value of a [`Mutex`]; dropping it unlocks.
#[must_use = "if unused the Mutex will immediately unlock"]
pub struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    before: Before,
    /// As std's: poisoning asks whether *this* goroutine or thread panics.
    not_send: PhantomData<*const ()>,
}

// SAFETY: a shared guard gives shared access to the value and nothing else.
unsafe impl<T: ?Sized + Sync> Sync for MutexGuard<'_, T> {}

impl<T> Mutex<T> {
    /// An unlocked mutex.
    ///
    /// # Examples
    /// ```
    /// static COUNT: gort::sync::Mutex<u32> = gort::sync::Mutex::new(0);
    /// *COUNT.lock().unwrap() += 1;
    /// ```
    pub const fn new(value: T) -> Self {
        Self { gate: Gate::new(ALL), poison: Poison::new(), value: UnsafeCell::new(value) }
    }

    /// The value itself.
    ///
    /// # Errors
    /// The value, if the mutex is poisoned.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(gort::sync::Mutex::new(7).into_inner().unwrap(), 7);
    /// ```
    pub fn into_inner(self) -> LockResult<T> {
        let is_poisoned = self.poison.is_set();
        let value = self.value.into_inner();
        if is_poisoned { Err(std::sync::PoisonError::new(value)) } else { Ok(value) }
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Locks, waiting as long as it takes.
    ///
    /// # Errors
    /// The guard, if the mutex is poisoned: it is locked all the same.
    ///
    /// # Examples
    /// ```
    /// let list = gort::sync::Mutex::new(vec![1]);
    /// list.lock().unwrap().push(2);
    /// assert_eq!(*list.lock().unwrap(), [1, 2]);
    /// ```
    #[track_caller]
    #[inline]
    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        if !self.gate.take_idle(ALL) {
            self.gate.wait(Want::All(ALL), Bound::NONE, WaitReason::Mutex, Caller::begin());
        }
        self.locked()
    }

    /// Locks if nobody holds it. Never waits.
    ///
    /// # Errors
    /// [`TryLockError::WouldBlock`] if somebody holds it; the guard if it is poisoned.
    ///
    /// # Examples
    /// ```
    /// let mutex = gort::sync::Mutex::new(0);
    /// let guard = mutex.lock().unwrap();
    /// assert!(mutex.try_lock().is_err());
    /// drop(guard);
    /// assert!(mutex.try_lock().is_ok());
    /// ```
    #[track_caller]
    #[inline]
    pub fn try_lock(&self) -> TryLockResult<MutexGuard<'_, T>> {
        if self.gate.take_idle(ALL) || self.gate.take(Want::All(ALL)) {
            return Ok(self.locked()?);
        }
        // Who tries again and again gives way in the end.
        if let Some(g) = crate::spawn::me() {
            sched::begin_call(g);
        }
        Err(TryLockError::WouldBlock)
    }

    /// Locks, waiting for `timeout` at most.
    ///
    /// # Errors
    /// [`TryLockError::WouldBlock`] if it did not become free in time; the guard if it is poisoned.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// let mutex = gort::sync::Mutex::new(0);
    /// let _guard = mutex.lock().unwrap();
    /// assert!(mutex.lock_timeout(Duration::from_millis(1)).is_err());
    /// ```
    #[track_caller]
    pub fn lock_timeout(&self, timeout: Duration) -> TryLockResult<MutexGuard<'_, T>> {
        if self.gate.take_idle(ALL) {
            return Ok(self.locked()?);
        }
        self.lock_within(Bound::timeout(timeout), Caller::begin())
    }

    /// Locks, waiting until `deadline` at most. What is free is locked, whatever the time.
    ///
    /// # Errors
    /// As [`lock_timeout`](Self::lock_timeout).
    ///
    /// # Examples
    /// ```
    /// let mutex = gort::sync::Mutex::new(0);
    /// let past = std::time::Instant::now();
    /// assert!(mutex.lock_deadline(past).is_ok());
    /// ```
    #[track_caller]
    pub fn lock_deadline(&self, deadline: Instant) -> TryLockResult<MutexGuard<'_, T>> {
        if self.gate.take_idle(ALL) {
            return Ok(self.locked()?);
        }
        self.lock_within(Bound::deadline(deadline), Caller::begin())
    }

    /// Locks, waiting until `ctx` ends at most. What is free is locked, also if it has ended.
    ///
    /// # Errors
    /// The context has ended first; the guard if it is poisoned.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// let (ctx, _) = gort::context::background().with_timeout(Duration::from_millis(1));
    /// let mutex = gort::sync::Mutex::new(0);
    /// *mutex.lock_ctx(&ctx).unwrap() += 1;
    /// let _guard = mutex.lock().unwrap();
    /// assert!(mutex.lock_ctx(&ctx).is_err());
    /// ```
    #[track_caller]
    pub fn lock_ctx(&self, ctx: &Context) -> LockCtxResult<MutexGuard<'_, T>> {
        if self.gate.take_idle(ALL)
            || self.gate.wait(Want::All(ALL), Bound::ctx(ctx), WaitReason::Mutex, Caller::begin())
        {
            Ok(self.locked()?)
        } else {
            Err(LockCtxError::Ended(ctx.ended()))
        }
    }

    fn lock_within(&self, bound: Bound<'_>, caller: Caller) -> TryLockResult<MutexGuard<'_, T>> {
        if self.gate.wait(Want::All(ALL), bound, WaitReason::Mutex, caller) {
            Ok(self.locked_at(caller.site)?)
        } else {
            Err(TryLockError::WouldBlock)
        }
    }

    #[track_caller]
    #[inline(always)]
    fn locked(&self) -> LockResult<MutexGuard<'_, T>> {
        self.locked_at(Location::caller())
    }

    #[inline(always)]
    fn locked_at(&self, site: &'static Location<'static>) -> LockResult<MutexGuard<'_, T>> {
        self.gate.holder.note(site);
        self.poison.check(MutexGuard { mutex: self, before: self.poison.begin(), not_send: PhantomData })
    }

    /// Waits for the mutex again, for somebody who has given it up for a moment (`condvar`).
    pub(super) fn relock(&self, caller: Caller) -> LockResult<MutexGuard<'_, T>> {
        if !self.gate.take_idle(ALL) {
            self.gate.wait(Want::All(ALL), Bound::NONE, WaitReason::Mutex, caller);
        }
        self.locked_at(caller.site)
    }

    /// True if a goroutine or thread has panicked while it held the mutex. May change at any time while others use it.
    ///
    /// # Examples
    /// ```
    /// use std::sync::Arc;
    ///
    /// let mutex = Arc::new(gort::sync::Mutex::new(0));
    /// let theirs = mutex.clone();
    /// let _ = gort::go(move || {
    ///     let _guard = theirs.lock().unwrap();
    ///     panic!("on purpose");
    /// })
    /// .join();
    /// assert!(mutex.is_poisoned());
    /// ```
    pub fn is_poisoned(&self) -> bool {
        self.poison.is_set()
    }

    /// Takes the poison away: the value is in order again.
    ///
    /// # Examples
    /// ```
    /// let mutex = gort::sync::Mutex::new(0);
    /// mutex.clear_poison();
    /// assert!(!mutex.is_poisoned());
    /// ```
    pub fn clear_poison(&self) {
        self.poison.clear();
    }

    /// The value, without locking: `&mut self` proves that nobody else is there.
    ///
    /// # Errors
    /// The value, if the mutex is poisoned.
    ///
    /// # Examples
    /// ```
    /// let mut mutex = gort::sync::Mutex::new(1);
    /// *mutex.get_mut().unwrap() = 2;
    /// assert_eq!(*mutex.lock().unwrap(), 2);
    /// ```
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        let value = self.value.get_mut();
        self.poison.check(value)
    }
}

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    /// The mutex that this guard holds (`condvar` lets go of it for a while).
    pub(super) fn mutex(guard: &Self) -> &'a Mutex<T> {
        guard.mutex
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.mutex.poison.end(&self.before);
        self.mutex.gate.holder.clear();
        self.mutex.gate.give(ALL);
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard proves that its owner holds the mutex.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard proves that its owner holds the mutex, and it is borrowed alone.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Mutex");
        match self.try_lock() {
            Ok(guard) => out.field("data", &&*guard),
            Err(TryLockError::Poisoned(error)) => out.field("data", &&**error.get_ref()),
            Err(TryLockError::WouldBlock) => out.field("data", &format_args!("<locked>")),
        };
        out.field("poisoned", &self.is_poisoned()).finish_non_exhaustive()
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

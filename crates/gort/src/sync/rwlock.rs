//! A read-write lock with std's interface: a reader takes one of many permits, a writer all of them (`gate`).
//!
//! Who waits stands in one queue. A reader does not pass those who wait, so writers are not starved by a stream of readers; a writer that comes
//! while nobody holds the lock may be faster than one that has just been woken, for a millisecond. Readers that wait are let in together, as
//! far as no writer stands between them.
//!
//! Therefore a goroutine that reads must not read again before it is done: with a writer in between both wait for ever. As std's and Go's.
//!
//! Rejected: letting all readers in that wait, also from behind a writer (Go): kinder to readers, but then a writer that came first is last.

use super::ctx::{LockCtxError, LockCtxResult};
use super::gate::Gate;
use super::poison::{Before, Poison};
use crate::context::{Bound, Context};
use crate::g::WaitReason;
use crate::sched;
use crate::wait::Caller;
use gort_lockfree::permits::{Permits, Want};
use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::sync::{LockResult, PoisonError, TryLockError, TryLockResult};
use std::time::{Duration, Instant};

/// A writer's share; as many readers can be there at once.
const ALL: u32 = Permits::MAX;
const WRITER: Want = Want::All(ALL);
const READER: Want = Want::Some(1);

/// A value that many may read or one may write, as [`std::sync::RwLock`].
///
/// Whoever waits parks its goroutine, or blocks its thread. Writers are not starved: a reader that comes while a writer waits, waits behind it.
/// Do not take a second reading guard while holding one: with a writer in between, both wait for ever.
///
/// It is *poisoned* by a panic of a goroutine or thread that holds it for writing.
///
/// # Examples
/// ```
/// use gort::sync::RwLock;
///
/// let config = RwLock::new(vec!["a"]);
/// gort::scope(|s| {
///     s.spawn(|| config.write().unwrap().push("b"));
///     s.spawn(|| assert!(config.read().unwrap().len() >= 1));
/// });
/// assert_eq!(*config.read().unwrap(), ["a", "b"]);
/// ```
pub struct RwLock<T: ?Sized> {
    gate: Gate,
    poison: Poison,
    value: UnsafeCell<T>,
}

// SAFETY: the value moves between threads through writers (`T: Send`), and several threads read it at once (`T: Sync`).
unsafe impl<T: ?Sized + Send + Sync> Sync for RwLock<T> {}
// SAFETY: sending the lock sends the value.
unsafe impl<T: ?Sized + Send> Send for RwLock<T> {}

impl<T: ?Sized> std::panic::UnwindSafe for RwLock<T> {}
impl<T: ?Sized> std::panic::RefUnwindSafe for RwLock<T> {}

/// The right to read the value of a [`RwLock`]; dropping it gives it back.
#[must_use = "if unused the RwLock will immediately unlock"]
pub struct RwLockReadGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    /// As std's.
    not_send: PhantomData<*const ()>,
}

/// The right to write the value of a [`RwLock`]; dropping it gives it back.
#[must_use = "if unused the RwLock will immediately unlock"]
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    before: Before,
    /// As std's.
    not_send: PhantomData<*const ()>,
}

// SAFETY: a shared guard gives shared access to the value and nothing else.
unsafe impl<T: ?Sized + Sync> Sync for RwLockReadGuard<'_, T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Sync> Sync for RwLockWriteGuard<'_, T> {}

impl<T> RwLock<T> {
    /// An unlocked lock.
    ///
    /// # Examples
    /// ```
    /// static LIMIT: gort::sync::RwLock<u32> = gort::sync::RwLock::new(3);
    /// assert_eq!(*LIMIT.read().unwrap(), 3);
    /// ```
    pub const fn new(value: T) -> Self {
        Self { gate: Gate::new(ALL), poison: Poison::new(), value: UnsafeCell::new(value) }
    }

    /// The value itself.
    ///
    /// # Errors
    /// The value, if the lock is poisoned.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(gort::sync::RwLock::new(7).into_inner().unwrap(), 7);
    /// ```
    pub fn into_inner(self) -> LockResult<T> {
        let is_poisoned = self.poison.is_set();
        let value = self.value.into_inner();
        if is_poisoned { Err(PoisonError::new(value)) } else { Ok(value) }
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Locks for reading, waiting as long as it takes.
    ///
    /// # Errors
    /// The guard, if the lock is poisoned: it is locked all the same.
    ///
    /// # Examples
    /// ```
    /// let lock = gort::sync::RwLock::new(1);
    /// assert_eq!(*lock.read().unwrap(), 1);
    /// ```
    #[track_caller]
    #[inline]
    pub fn read(&self) -> LockResult<RwLockReadGuard<'_, T>> {
        if !self.gate.take(READER) {
            self.gate.wait(READER, Bound::NONE, WaitReason::RwLockRead, Caller::begin());
        }
        self.reading()
    }

    /// Locks for reading if no writer holds it or waits for it. Never waits.
    ///
    /// # Errors
    /// [`TryLockError::WouldBlock`] if there is a writer; the guard if the lock is poisoned.
    ///
    /// # Examples
    /// ```
    /// let lock = gort::sync::RwLock::new(1);
    /// let _reading = lock.read().unwrap();
    /// assert!(lock.try_read().is_ok() && lock.try_write().is_err());
    /// ```
    #[track_caller]
    #[inline]
    pub fn try_read(&self) -> TryLockResult<RwLockReadGuard<'_, T>> {
        if self.gate.take(READER) {
            return Ok(self.reading()?);
        }
        give_way();
        Err(TryLockError::WouldBlock)
    }

    /// Locks for reading, waiting for `timeout` at most.
    ///
    /// # Errors
    /// [`TryLockError::WouldBlock`] if it was not possible in time; the guard if the lock is poisoned.
    ///
    /// # Examples
    /// ```
    /// let lock = gort::sync::RwLock::new(1);
    /// let _writing = lock.write().unwrap();
    /// assert!(lock.read_timeout(std::time::Duration::from_millis(1)).is_err());
    /// ```
    #[track_caller]
    pub fn read_timeout(&self, timeout: Duration) -> TryLockResult<RwLockReadGuard<'_, T>> {
        if self.gate.take(READER) {
            return Ok(self.reading()?);
        }
        self.read_within(Bound::timeout(timeout), Caller::begin())
    }

    /// Locks for reading, waiting until `deadline` at most.
    ///
    /// # Errors
    /// As [`read_timeout`](Self::read_timeout).
    ///
    /// # Examples
    /// ```
    /// let lock = gort::sync::RwLock::new(1);
    /// assert!(lock.read_deadline(std::time::Instant::now()).is_ok());
    /// ```
    #[track_caller]
    pub fn read_deadline(&self, deadline: Instant) -> TryLockResult<RwLockReadGuard<'_, T>> {
        if self.gate.take(READER) {
            return Ok(self.reading()?);
        }
        self.read_within(Bound::deadline(deadline), Caller::begin())
    }

    /// Locks for reading, waiting until `ctx` ends at most. What can be had at once is locked, also if it has ended.
    ///
    /// # Errors
    /// The context has ended first; the guard if the lock is poisoned.
    ///
    /// # Examples
    /// ```
    /// let (ctx, cancel) = gort::context::background().with_cancel();
    /// let lock = gort::sync::RwLock::new(1);
    /// cancel.cancel();
    /// assert!(lock.read_ctx(&ctx).is_ok());
    /// let _writing = lock.write().unwrap();
    /// assert!(lock.read_ctx(&ctx).is_err());
    /// ```
    #[track_caller]
    pub fn read_ctx(&self, ctx: &Context) -> LockCtxResult<RwLockReadGuard<'_, T>> {
        if self.gate.take(READER) || self.gate.wait(READER, Bound::ctx(ctx), WaitReason::RwLockRead, Caller::begin()) {
            Ok(self.reading()?)
        } else {
            Err(LockCtxError::Ended(ctx.ended()))
        }
    }

    /// Locks for writing, waiting as long as it takes.
    ///
    /// # Errors
    /// The guard, if the lock is poisoned: it is locked all the same.
    ///
    /// # Examples
    /// ```
    /// let lock = gort::sync::RwLock::new(1);
    /// *lock.write().unwrap() = 2;
    /// assert_eq!(*lock.read().unwrap(), 2);
    /// ```
    #[track_caller]
    #[inline]
    pub fn write(&self) -> LockResult<RwLockWriteGuard<'_, T>> {
        if !self.gate.take_idle(ALL) {
            self.gate.wait(WRITER, Bound::NONE, WaitReason::RwLockWrite, Caller::begin());
        }
        self.writing()
    }

    /// Locks for writing if nobody holds it. Never waits.
    ///
    /// # Errors
    /// [`TryLockError::WouldBlock`] if somebody holds it; the guard if the lock is poisoned.
    ///
    /// # Examples
    /// ```
    /// let lock = gort::sync::RwLock::new(1);
    /// let _writing = lock.try_write().unwrap();
    /// assert!(lock.try_read().is_err() && lock.try_write().is_err());
    /// ```
    #[track_caller]
    #[inline]
    pub fn try_write(&self) -> TryLockResult<RwLockWriteGuard<'_, T>> {
        if self.gate.take(WRITER) {
            return Ok(self.writing()?);
        }
        give_way();
        Err(TryLockError::WouldBlock)
    }

    /// Locks for writing, waiting for `timeout` at most.
    ///
    /// # Errors
    /// [`TryLockError::WouldBlock`] if it was not possible in time; the guard if the lock is poisoned.
    ///
    /// # Examples
    /// ```
    /// let lock = gort::sync::RwLock::new(1);
    /// let _reading = lock.read().unwrap();
    /// assert!(lock.write_timeout(std::time::Duration::from_millis(1)).is_err());
    /// ```
    #[track_caller]
    pub fn write_timeout(&self, timeout: Duration) -> TryLockResult<RwLockWriteGuard<'_, T>> {
        if self.gate.take_idle(ALL) {
            return Ok(self.writing()?);
        }
        self.write_within(Bound::timeout(timeout), Caller::begin())
    }

    /// Locks for writing, waiting until `deadline` at most.
    ///
    /// # Errors
    /// As [`write_timeout`](Self::write_timeout).
    ///
    /// # Examples
    /// ```
    /// let lock = gort::sync::RwLock::new(1);
    /// assert!(lock.write_deadline(std::time::Instant::now()).is_ok());
    /// ```
    #[track_caller]
    pub fn write_deadline(&self, deadline: Instant) -> TryLockResult<RwLockWriteGuard<'_, T>> {
        if self.gate.take_idle(ALL) {
            return Ok(self.writing()?);
        }
        self.write_within(Bound::deadline(deadline), Caller::begin())
    }

    /// Locks for writing, waiting until `ctx` ends at most. What can be had at once is locked, also if it has ended.
    ///
    /// # Errors
    /// As [`read_ctx`](Self::read_ctx).
    ///
    /// # Examples
    /// ```
    /// let (ctx, cancel) = gort::context::background().with_cancel();
    /// let lock = gort::sync::RwLock::new(1);
    /// let _reading = lock.read().unwrap();
    /// cancel.cancel();
    /// assert!(lock.write_ctx(&ctx).is_err());
    /// ```
    #[track_caller]
    pub fn write_ctx(&self, ctx: &Context) -> LockCtxResult<RwLockWriteGuard<'_, T>> {
        if self.gate.take_idle(ALL) || self.gate.wait(WRITER, Bound::ctx(ctx), WaitReason::RwLockWrite, Caller::begin())
        {
            Ok(self.writing()?)
        } else {
            Err(LockCtxError::Ended(ctx.ended()))
        }
    }

    #[track_caller]
    fn read_within(&self, bound: Bound<'_>, caller: Caller) -> TryLockResult<RwLockReadGuard<'_, T>> {
        if self.gate.wait(READER, bound, WaitReason::RwLockRead, caller) {
            Ok(self.reading()?)
        } else {
            Err(TryLockError::WouldBlock)
        }
    }

    #[track_caller]
    fn write_within(&self, bound: Bound<'_>, caller: Caller) -> TryLockResult<RwLockWriteGuard<'_, T>> {
        if self.gate.wait(WRITER, bound, WaitReason::RwLockWrite, caller) {
            Ok(self.writing()?)
        } else {
            Err(TryLockError::WouldBlock)
        }
    }

    #[track_caller]
    #[inline(always)]
    fn reading(&self) -> LockResult<RwLockReadGuard<'_, T>> {
        self.gate.holder.note_reader(Location::caller());
        self.poison.check(RwLockReadGuard { lock: self, not_send: PhantomData })
    }

    #[track_caller]
    #[inline(always)]
    fn writing(&self) -> LockResult<RwLockWriteGuard<'_, T>> {
        self.gate.holder.note(Location::caller());
        self.poison.check(RwLockWriteGuard { lock: self, before: self.poison.begin(), not_send: PhantomData })
    }

    /// True if a goroutine or thread has panicked while it held the lock for writing.
    ///
    /// # Examples
    /// ```
    /// assert!(!gort::sync::RwLock::new(0).is_poisoned());
    /// ```
    pub fn is_poisoned(&self) -> bool {
        self.poison.is_set()
    }

    /// Takes the poison away: the value is in order again.
    ///
    /// # Examples
    /// ```
    /// gort::sync::RwLock::new(0).clear_poison();
    /// ```
    pub fn clear_poison(&self) {
        self.poison.clear();
    }

    /// The value, without locking: `&mut self` proves that nobody else is there.
    ///
    /// # Errors
    /// The value, if the lock is poisoned.
    ///
    /// # Examples
    /// ```
    /// let mut lock = gort::sync::RwLock::new(1);
    /// *lock.get_mut().unwrap() += 1;
    /// assert_eq!(lock.into_inner().unwrap(), 2);
    /// ```
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        let value = self.value.get_mut();
        self.poison.check(value)
    }
}

/// Who tries again and again gives way in the end.
#[cold]
fn give_way() {
    if let Some(g) = crate::spawn::me() {
        sched::begin_call(g);
    }
}

impl<T: ?Sized> Drop for RwLockReadGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // Whichever reader it names: perhaps this one.
        self.lock.gate.holder.clear();
        self.lock.gate.give(READER.count());
    }
}

impl<T: ?Sized> Drop for RwLockWriteGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.poison.end(&self.before);
        self.lock.gate.holder.clear();
        self.lock.gate.give(ALL);
    }
}

impl<T: ?Sized> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard proves that no writer holds the lock.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard proves that its owner alone holds the lock.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard proves that its owner alone holds the lock, and it is borrowed alone.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("RwLock");
        match self.try_read() {
            Ok(guard) => out.field("data", &&*guard),
            Err(TryLockError::Poisoned(error)) => out.field("data", &&**error.get_ref()),
            Err(TryLockError::WouldBlock) => out.field("data", &format_args!("<locked>")),
        };
        out.field("poisoned", &self.is_poisoned()).finish_non_exhaustive()
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for RwLock<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

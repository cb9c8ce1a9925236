//! A condition variable with std's interface: a queue of those who have let go of their mutex until they are notified.
//!
//! **No notification is lost.** A party goes into the queue while it still holds the mutex. Whoever changes what it waits for holds the mutex,
//! too, before it notifies, and so finds the party there. A notification made without ever having held the mutex may come before a wait or
//! after it, and nobody can tell.
//!
//! **One that leaves takes none along.** `notify_one` takes the first party's claim; one that has given up is passed over.
//!
//! Whether anybody is in the queue is readable without its lock, so that notifying nobody costs a load (`gort_lockfree::attendance`).

use super::mutex::{Mutex, MutexGuard};
use crate::context::{Bound, Context, Ended};
use crate::g::{GList, WaitList, WaitReason};
use crate::prim::lock::Lock;
use crate::sched;
use crate::wait::Caller;
use gort_lockfree::attendance::Attendance;
use gort_lockfree::crowd;
use std::fmt;
use std::ptr;
use std::sync::{LockResult, PoisonError};
use std::time::{Duration, Instant};

/// Lets goroutines and threads wait for something that a [`Mutex`] guards, as [`std::sync::Condvar`].
///
/// Those who wait are notified in order of arrival. Unlike std's it may be used with several mutexes. A wait may end without a notification only
/// where its deadline says so; a loop around it is needed all the same, since another party may have been faster.
///
/// # Examples
/// ```
/// use gort::sync::{Condvar, Mutex};
/// use std::sync::Arc;
///
/// let pair = Arc::new((Mutex::new(false), Condvar::new()));
/// let theirs = pair.clone();
/// gort::go(move || {
///     *theirs.0.lock().unwrap() = true;
///     theirs.1.notify_one();
/// });
/// let (started, changed) = &*pair;
/// let started = changed.wait_while(started.lock().unwrap(), |started| !*started).unwrap();
/// assert!(*started);
/// ```
pub struct Condvar {
    queue: Lock<WaitList>,
    attendance: Attendance,
}

// Panics leave none half changed, as with std's: no code of the user's runs under its lock.
impl std::panic::UnwindSafe for Condvar {}
impl std::panic::RefUnwindSafe for Condvar {}

/// Whether a wait with a time limit ended by it, as [`std::sync::WaitTimeoutResult`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    /// True if the time was over before a notification came.
    #[must_use]
    pub fn timed_out(&self) -> bool {
        self.0
    }
}

impl Condvar {
    /// One that nobody waits for.
    #[must_use]
    pub const fn new() -> Self {
        Self { queue: Lock::new(WaitList::new()), attendance: Attendance::new() }
    }

    /// Unlocks the mutex, waits for a notification, and locks it again.
    ///
    /// # Errors
    /// The guard, if the mutex is poisoned when it is locked again.
    ///
    /// # Examples
    /// See [`Condvar`].
    #[track_caller]
    pub fn wait<'a, T: ?Sized>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        match self.wait_within(guard, Bound::NONE, Caller::begin()) {
            Ok((guard, _)) => Ok(guard),
            Err(error) => Err(PoisonError::new(error.into_inner().0)),
        }
    }

    /// Waits until `condition`, called with the mutex locked, returns false.
    ///
    /// # Errors
    /// The guard, if the mutex is poisoned when it is locked again.
    ///
    /// # Examples
    /// See [`Condvar`].
    #[track_caller]
    pub fn wait_while<'a, T: ?Sized, F>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: F,
    ) -> LockResult<MutexGuard<'a, T>>
    where
        F: FnMut(&mut T) -> bool,
    {
        while condition(&mut *guard) {
            guard = self.wait(guard)?;
        }
        Ok(guard)
    }

    /// As [`wait`](Self::wait), for `timeout` at most; the mutex is then waited for as long as it takes.
    ///
    /// # Errors
    /// Guard and result, if the mutex is poisoned when it is locked again.
    ///
    /// # Examples
    /// ```
    /// use gort::sync::{Condvar, Mutex};
    /// use std::time::Duration;
    ///
    /// let (mutex, never) = (Mutex::new(()), Condvar::new());
    /// let (_guard, result) = never.wait_timeout(mutex.lock().unwrap(), Duration::from_millis(1)).unwrap();
    /// assert!(result.timed_out());
    /// ```
    #[track_caller]
    pub fn wait_timeout<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        mapped(self.wait_within(guard, Bound::timeout(timeout), Caller::begin()), timed_out)
    }

    /// As [`wait`](Self::wait), until `deadline` at most.
    ///
    /// # Errors
    /// As [`wait_timeout`](Self::wait_timeout).
    ///
    /// # Examples
    /// ```
    /// use gort::sync::{Condvar, Mutex};
    ///
    /// let (mutex, never) = (Mutex::new(()), Condvar::new());
    /// let past = std::time::Instant::now();
    /// assert!(never.wait_deadline(mutex.lock().unwrap(), past).unwrap().1.timed_out());
    /// ```
    #[track_caller]
    pub fn wait_deadline<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline: Instant,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        mapped(self.wait_within(guard, Bound::deadline(deadline), Caller::begin()), timed_out)
    }

    /// Waits until `condition`, called with the mutex locked, returns false, for `timeout` at most. The result says that it timed out only if
    /// the condition still holds.
    ///
    /// # Errors
    /// As [`wait_timeout`](Self::wait_timeout).
    ///
    /// # Examples
    /// ```
    /// use gort::sync::{Condvar, Mutex};
    /// use std::time::Duration;
    ///
    /// let (full, changed) = (Mutex::new(true), Condvar::new());
    /// let limit = Duration::from_millis(1);
    /// let (full, result) = changed.wait_timeout_while(full.lock().unwrap(), limit, |full| *full).unwrap();
    /// assert!(*full && result.timed_out());
    /// ```
    #[track_caller]
    pub fn wait_timeout_while<'a, T: ?Sized, F>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
        condition: F,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)>
    where
        F: FnMut(&mut T) -> bool,
    {
        mapped(self.wait_while_within(guard, Bound::timeout(timeout), condition), timed_out)
    }

    /// As [`wait`](Self::wait), until `ctx` ends at most; the mutex is then waited for as long as it takes. With the guard comes `Ok` for a
    /// notification, else why the context has ended.
    ///
    /// # Errors
    /// Guard and result, if the mutex is poisoned when it is locked again.
    ///
    /// # Examples
    /// ```
    /// use gort::sync::{Condvar, Mutex};
    ///
    /// let (ctx, cancel) = gort::context::background().with_cancel();
    /// let (state, changed) = (Mutex::new(0), Condvar::new());
    /// gort::go(move || cancel.cancel());
    /// let (state, outcome) = changed.wait_ctx(state.lock().unwrap(), &ctx).unwrap();
    /// assert!(*state == 0 && outcome.unwrap_err().is_cancelled());
    /// ```
    #[track_caller]
    pub fn wait_ctx<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        ctx: &Context,
    ) -> LockResult<(MutexGuard<'a, T>, Result<(), Ended>)> {
        mapped(self.wait_within(guard, Bound::ctx(ctx), Caller::begin()), |in_time| in_time_for(ctx, in_time))
    }

    /// Waits until `condition`, called with the mutex locked, returns false, or `ctx` ends. With the guard comes why the context has ended, only
    /// if the condition still holds.
    ///
    /// # Errors
    /// As [`wait_ctx`](Self::wait_ctx).
    ///
    /// # Examples
    /// ```
    /// use gort::sync::{Condvar, Mutex};
    ///
    /// let (ctx, cancel) = gort::context::background().with_cancel();
    /// let (full, changed) = (Mutex::new(true), Condvar::new());
    /// cancel.cancel();
    /// let (full, outcome) = changed.wait_while_ctx(full.lock().unwrap(), &ctx, |full| *full).unwrap();
    /// assert!(*full && outcome.is_err());
    /// ```
    #[track_caller]
    pub fn wait_while_ctx<'a, T: ?Sized, F>(
        &self,
        guard: MutexGuard<'a, T>,
        ctx: &Context,
        condition: F,
    ) -> LockResult<(MutexGuard<'a, T>, Result<(), Ended>)>
    where
        F: FnMut(&mut T) -> bool,
    {
        mapped(self.wait_while_within(guard, Bound::ctx(ctx), condition), |in_time| in_time_for(ctx, in_time))
    }

    /// The mutex again, and whether the condition has ceased to hold in time.
    #[track_caller]
    fn wait_while_within<'a, T: ?Sized>(
        &self,
        mut guard: MutexGuard<'a, T>,
        bound: Bound<'_>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> LockResult<(MutexGuard<'a, T>, bool)> {
        loop {
            if !condition(&mut *guard) {
                return Ok((guard, true));
            }
            if bound.is_over() {
                return Ok((guard, false));
            }
            guard = self.wait_within(guard, bound, Caller::begin())?.0;
        }
    }

    /// The mutex again, and whether a notification came in time.
    pub(crate) fn wait_within<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        bound: Bound<'_>,
        caller: Caller,
    ) -> LockResult<(MutexGuard<'a, T>, bool)> {
        let mutex: &Mutex<T> = MutexGuard::mutex(&guard);
        let waiting = caller.until(bound, WaitReason::Condvar, ptr::from_ref(self) as usize);
        let queue = self.queue.lock();
        self.attendance.note();
        // Letting go of the mutex runs no code of the user's, so it does not unwind.
        let told = crowd::wait(&self.queue, queue, |queue| queue, &waiting, || drop(guard));
        let is_told = told.map_err(|queue| self.attendance.left(queue.is_empty())).is_ok();
        match mutex.relock(caller) {
            Ok(guard) => Ok((guard, is_told)),
            Err(error) => Err(PoisonError::new((error.into_inner(), is_told))),
        }
    }

    /// Wakes the one that has waited longest. Nothing is remembered if nobody waits.
    ///
    /// # Examples
    /// See [`Condvar`].
    #[inline]
    pub fn notify_one(&self) {
        self.notify(1);
    }

    /// Wakes all who wait.
    ///
    /// # Examples
    /// ```
    /// gort::sync::Condvar::new().notify_all();
    /// ```
    #[inline]
    pub fn notify_all(&self) {
        self.notify(usize::MAX);
    }

    #[inline]
    fn notify(&self, count: usize) {
        if self.attendance.is_noted() {
            self.notify_waiters(count);
        }
    }

    #[cold]
    fn notify_waiters(&self, count: usize) {
        let mut ready = GList::new();
        let mut queue = self.queue.lock();
        let mut left = count;
        while left > 0 && crowd::tell_one(&mut queue, &mut ready) {
            left -= 1;
        }
        self.attendance.left(queue.is_empty());
        drop(queue);
        sched::ready_list(&mut ready);
    }
}

/// The same guard with what `f` makes of the result.
fn mapped<G, A, B>(result: LockResult<(G, A)>, f: impl FnOnce(A) -> B) -> LockResult<(G, B)> {
    match result {
        Ok((guard, result)) => Ok((guard, f(result))),
        Err(error) => {
            let (guard, result) = error.into_inner();
            Err(PoisonError::new((guard, f(result))))
        }
    }
}

fn timed_out(in_time: bool) -> WaitTimeoutResult {
    WaitTimeoutResult(!in_time)
}

fn in_time_for(ctx: &Context, in_time: bool) -> Result<(), Ended> {
    if in_time { Ok(()) } else { Err(ctx.ended()) }
}

impl Default for Condvar {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condvar").finish_non_exhaustive()
    }
}

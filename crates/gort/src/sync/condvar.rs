//! A condition variable with std's interface: a queue of those who have let go of their mutex until they are notified.
//!
//! **No notification is lost.** A party goes into the queue while it still holds the mutex. Whoever changes what it waits for holds the mutex,
//! too, before it notifies, and so finds the party there. A notification made without ever having held the mutex may come before a wait or
//! after it, and nobody can tell.
//!
//! **One that leaves takes none along.** `notify_one` takes the first party's claim; one that has given up is passed over.
//!
//! Whether anybody is in the queue is readable without its lock, so that notifying nobody costs a load.

use super::crowd;
use super::mutex::{Mutex, MutexGuard};
use crate::g::{GList, WaitList, WaitReason, Waiter, Want};
use crate::prim::lock::Lock;
use crate::sched;
use crate::sys::clock;
use crate::timer::NEVER;
use crate::wait::{Caller, Wait};
use std::fmt;
use std::ptr;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
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
    /// Changed under the lock.
    has_waiters: AtomicBool,
}

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
        Self { queue: Lock::new(WaitList::new()), has_waiters: AtomicBool::new(false) }
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
        self.wait_until(guard, NEVER, Caller::begin()).0
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
        both(self.wait_until(guard, clock::after(timeout), Caller::begin()))
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
        both(self.wait_until(guard, clock::deadline_ns(deadline), Caller::begin()))
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
        mut guard: MutexGuard<'a, T>,
        timeout: Duration,
        mut condition: F,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)>
    where
        F: FnMut(&mut T) -> bool,
    {
        let until_ns = clock::after(timeout);
        loop {
            if !condition(&mut *guard) {
                return Ok((guard, WaitTimeoutResult(false)));
            }
            if until_ns <= clock::now_ns() {
                return Ok((guard, WaitTimeoutResult(true)));
            }
            guard = both(self.wait_until(guard, until_ns, Caller::begin()))?.0;
        }
    }

    fn wait_until<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        until_ns: u64,
        caller: Caller,
    ) -> (LockResult<MutexGuard<'a, T>>, WaitTimeoutResult) {
        let mutex: &Mutex<T> = MutexGuard::mutex(&guard);
        let (wait, node) = (Wait::new(caller.me), Waiter::new());
        node.set(caller.me, &wait.claim, 0, Want::Value, ptr::null_mut());
        let mut queue = self.queue.lock();
        // SAFETY: the wait below does not return before a notifier has finished the claim, having taken the node out, or we have given up; then
        // it is taken out here. Nothing in between can unwind: letting go of a mutex runs no code of the user's.
        unsafe { queue.push(&node) };
        // Relaxed: the mutex, which we hold, shows it to whoever locks it after us.
        self.has_waiters.store(true, Relaxed);
        drop(queue);
        drop(guard);
        let end = wait.until(until_ns, WaitReason::Condvar, ptr::from_ref(self) as usize, caller.site);
        if end.is_none() {
            let mut queue = self.queue.lock();
            queue.remove(&node);
            self.publish(&queue);
        }
        (mutex.relock(caller), WaitTimeoutResult(end.is_none()))
    }

    fn publish(&self, queue: &WaitList) {
        if queue.is_empty() {
            // Relaxed: those who were in it have been served; one that comes sets it again, under this lock.
            self.has_waiters.store(false, Relaxed);
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
        // Relaxed: see the module: who has to be found was put there under a mutex that the caller has held since.
        if self.has_waiters.load(Relaxed) {
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
        self.publish(&queue);
        drop(queue);
        sched::ready_list(&mut ready);
    }
}

/// Guard and result in one, as std returns them.
fn both<'a, T: ?Sized>(
    (guard, result): (LockResult<MutexGuard<'a, T>>, WaitTimeoutResult),
) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
    match guard {
        Ok(guard) => Ok((guard, result)),
        Err(error) => Err(PoisonError::new((error.into_inner(), result))),
    }
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

//! Goroutines that borrow: a scope does not end before all it has started.

use super::goroutine::Goroutine;
use super::join::Share;
use super::task::{self, Attributes};
use super::{Builder, Started};
use crate::context::{Bound, Context, Ended};
use crate::g::{G, WaitReason};
use crate::sched::{self, P};
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::{Duration, Instant};

/// The parent is parked and wants to be readied by the last child.
const WAITING: usize = 1;
const CHILD: usize = 2;

/// What the children of a scope share with it. Lives in the frame of [`scope`]; a child's last access is the decrement in [`child_done`].
pub(crate) struct ScopeData {
    /// Children alive, times two, and the waiting bit.
    running: AtomicUsize,
    panicked: AtomicBool,
    parent: &'static G,
}

/// A scope to start borrowing goroutines in; see [`scope`].
pub struct Scope<'scope, 'env: 'scope> {
    data: ScopeData,
    /// Invariant over 'scope, so that it cannot be shortened to outlive what children borrow; as in std.
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

/// Runs `f` with a scope whose goroutines may borrow from the caller's frame, as [`std::thread::scope`].
///
/// Returns when `f` has returned *and* every goroutine started in the scope has ended, also if `f` panics. While it waits the calling goroutine
/// is parked (a plain thread is blocked).
///
/// No deadline and no context ends that wait, since the goroutines use the caller's frame. What ends it early is that they end: give them the
/// context, or open the scope inside of its [`run`](crate::context::Context::run).
///
/// # Panics
/// If `f` panics, or if a goroutine of the scope panicked and its handle was not joined; after all of them have ended.
///
/// # Examples
/// ```
/// let mut numbers = vec![1, 2, 3];
/// let mut sum = 0;
/// gort::scope(|s| {
///     s.spawn(|| numbers.push(4));
///     s.spawn(|| sum = 10);
/// });
/// assert_eq!((numbers.len(), sum), (4, 10));
/// ```
#[track_caller]
pub fn scope<'env, F, T>(f: F) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    let site = Location::caller();
    let parent = super::wait_record();
    let scope = Scope {
        data: ScopeData { running: AtomicUsize::new(0), panicked: AtomicBool::new(false), parent },
        scope: PhantomData,
        env: PhantomData,
    };
    let outcome = catch_unwind(AssertUnwindSafe(|| f(&scope)));
    scope.data.wait(site);
    match outcome {
        Err(payload) => resume_unwind(payload),
        // Relaxed: `wait` has synchronised with every child.
        Ok(_) if scope.data.panicked.load(Relaxed) => panic!("a scoped goroutine panicked"),
        Ok(value) => value,
    }
}

impl ScopeData {
    fn address(&self) -> usize {
        std::ptr::from_ref(self) as usize
    }

    fn wait(&self, site: &'static Location<'static>) {
        // Acquire: pairs with the Release half of every `child_done`.
        while self.running.load(Acquire) >= CHILD {
            sched::park(self.parent, WaitReason::Scope, self.running.load(Relaxed) / CHILD, site, |_| {
                // AcqRel: releases our context to the last child, acquires the children that have ended.
                if self.running.fetch_or(WAITING, AcqRel) >= CHILD {
                    return true;
                }
                self.running.fetch_and(!WAITING, Relaxed);
                false
            });
        }
    }
}

/// The goroutine that waits at this moment for the scope to end.
///
/// # Safety
/// `scope` is the address of a scope one of whose children has not ended.
pub(crate) unsafe fn who_waits(scope: usize) -> Option<&'static G> {
    // SAFETY: the scope's frame stays until that child has ended.
    let data = unsafe { &*(scope as *const ScopeData) };
    // Relaxed: a picture.
    (data.running.load(Relaxed) & WAITING != 0).then_some(data.parent)
}

/// A child panicked and nobody joined it.
///
/// # Safety
/// `scope` is the address of a scope that waits for the caller.
pub(super) unsafe fn note_panic(scope: usize) {
    // SAFETY: the caller says so. Relaxed: the child's end synchronises.
    unsafe { &*(scope as *const ScopeData) }.panicked.store(true, Relaxed);
}

/// A child has left its stack for good. Runs in the scheduler.
///
/// # Safety
/// `scope` is the address of a scope that waits for this child.
pub(crate) unsafe fn child_done(scope: usize, p: Option<&'static P>) {
    let data = scope as *const ScopeData;
    // SAFETY: the scope's frame stays until our decrement. Read before it, since nothing may be read after.
    let parent = unsafe { (*data).parent };
    // SAFETY: as above; this is the last access. AcqRel: releases what this child did, and acquires the parent's context if it waits.
    let before = unsafe { (*data).running.fetch_sub(CHILD, AcqRel) };
    if before == CHILD | WAITING {
        sched::park::ready_in_scheduler(parent, p);
    }
}

impl<'scope, 'env> Scope<'scope, 'env> {
    /// Starts a goroutine in the scope, as [`std::thread::Scope::spawn`].
    ///
    /// # Panics
    /// As [`go`](crate::go).
    #[track_caller]
    pub fn spawn<F, T>(&'scope self, f: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        match self.start(Attributes::default(), f, Location::caller()) {
            Ok(handle) => handle,
            Err(error) => panic!("gort::Scope::spawn: {error}"),
        }
    }

    fn start<F, T>(
        &'scope self,
        attributes: Attributes,
        f: F,
        site: &'static Location<'static>,
    ) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        // Relaxed: the caller keeps the scope from ending: it is the parent, or a child that is counted.
        self.data.running.fetch_add(CHILD, Relaxed);
        // SAFETY: the scope waits for the goroutine before 'scope ends, and the handle cannot outlive 'scope.
        let started = unsafe { task::spawn(Attributes { scope: self.data.address(), ..attributes }, f, site) };
        match started {
            Ok(started) => Ok(ScopedJoinHandle::new(started, &self.data)),
            Err(error) => {
                // Release: as a child's end.
                self.data.running.fetch_sub(CHILD, Release);
                Err(error)
            }
        }
    }
}

impl Builder {
    /// Starts a goroutine in `scope` with this builder's settings, as [`std::thread::Builder::spawn_scoped`].
    ///
    /// # Errors
    /// As [`Builder::spawn`].
    #[track_caller]
    pub fn spawn_scoped<'scope, 'env, F, T>(
        self,
        scope: &'scope Scope<'scope, 'env>,
        f: F,
    ) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        scope.start(self.into_attributes()?, f, Location::caller())
    }
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("running", &(self.data.running.load(Relaxed) / CHILD))
            .field("panicked", &self.data.panicked.load(Relaxed))
            .finish_non_exhaustive()
    }
}

/// Owned permission to join on a scoped goroutine, as [`std::thread::ScopedJoinHandle`].
pub struct ScopedJoinHandle<'scope, T> {
    share: Share<T>,
    data: &'scope ScopeData,
}

impl<'scope, T> ScopedJoinHandle<'scope, T> {
    fn new((g, name): Started, data: &'scope ScopeData) -> Self {
        Self { share: Share::new(g, name), data }
    }

    /// For the `join` arm of a `select!`.
    #[doc(hidden)]
    pub fn __share(&mut self) -> &mut Share<T> {
        &mut self.share
    }

    /// Waits for the goroutine to end and returns its result.
    ///
    /// # Errors
    /// The panic's payload if the goroutine panicked; the scope itself then does not panic for it.
    ///
    /// # Panics
    /// If a `join` arm of a [`select!`](crate::select) has taken the result.
    #[track_caller]
    pub fn join(mut self) -> std::thread::Result<T> {
        self.share.join(Location::caller())
    }

    /// As [`JoinHandle::wait_timeout`](super::JoinHandle::wait_timeout).
    #[track_caller]
    #[must_use = "the time may be over"]
    pub fn wait_timeout(&mut self, timeout: Duration) -> bool {
        self.share.wait(Bound::timeout(timeout), Location::caller())
    }

    /// As [`JoinHandle::wait_deadline`](super::JoinHandle::wait_deadline).
    #[track_caller]
    #[must_use = "the time may be over"]
    pub fn wait_deadline(&mut self, deadline: Instant) -> bool {
        self.share.wait(Bound::deadline(deadline), Location::caller())
    }

    /// As [`JoinHandle::wait_ctx`](super::JoinHandle::wait_ctx). The scope waits for the goroutine all the same.
    ///
    /// # Errors
    /// The context has ended first.
    ///
    /// # Examples
    /// ```
    /// let (ctx, cancel) = gort::context::background().with_cancel();
    /// cancel.cancel();
    /// gort::scope(|s| {
    ///     let mut parked = s.spawn(gort::park);
    ///     assert!(parked.wait_ctx(&ctx).unwrap_err().is_cancelled());
    ///     parked.goroutine().unpark();
    /// });
    /// ```
    #[track_caller]
    pub fn wait_ctx(&mut self, ctx: &Context) -> Result<(), Ended> {
        self.share.wait_ctx(ctx, Location::caller())
    }

    /// True if the goroutine has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.share.is_done()
    }

    /// The goroutine behind the handle.
    #[must_use]
    pub fn goroutine(&self) -> Goroutine {
        self.share.goroutine()
    }
}

impl<T> Drop for ScopedJoinHandle<'_, T> {
    fn drop(&mut self) {
        if self.share.detach() {
            // Relaxed: the parent's wait, or the caller's own end, synchronises.
            self.data.panicked.store(true, Relaxed);
        }
    }
}

impl<T> fmt::Debug for ScopedJoinHandle<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedJoinHandle")
            .field("goroutine", &self.goroutine())
            .field("finished", &self.is_finished())
            .finish()
    }
}

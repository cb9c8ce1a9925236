//! The join word: who takes the result, and who gives the record back.
//!
//! ```text
//! bits        set by                         meaning
//! DETACHED 1  the handle's drop              nobody will ask
//! ENDING   2  the goroutine, at its end      the result is in the body
//! DONE     4  the scheduler, after the last switch away from the goroutine
//! address     a joiner, before it parks       to be kicked by DONE; taken back by one that gives up
//! ```
//!
//! The result belongs to the handle from ENDING on, unless DETACHED came first: then to the goroutine, which drops it on its own stack. The
//! record belongs to whoever comes second of DONE and DETACHED, or to the joiner, who waits for DONE. Each step is one read-modify-write of
//! the same word, so there is always exactly one second.

use super::{Goroutine, task};
use crate::context::{Bound, Context, Ended};
use crate::g::record::PANICKED;
use crate::g::{G, Status, WaitReason};
use crate::sched::{self, P};
use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::time::{Duration, Instant};

const DETACHED: usize = 1;
const ENDING: usize = 2;
const DONE: usize = 4;
const FLAGS: usize = 63;

/// Owned permission to join on a goroutine, as [`std::thread::JoinHandle`].
///
/// Dropping it detaches: the goroutine goes on, its result is dropped when it ends, and a panic is reported all the same.
pub struct JoinHandle<T>(Share<T>);

impl<T> JoinHandle<T> {
    pub(super) fn new(g: &'static G, name: Option<Arc<str>>) -> Self {
        Self(Share::new(g, name))
    }

    /// For the `join` arm of a `select!`.
    #[doc(hidden)]
    pub fn __share(&mut self) -> &mut Share<T> {
        &mut self.0
    }

    /// Waits for the goroutine to end, its thread-local destructors included, and returns its result.
    ///
    /// Parks the calling goroutine; blocks a plain thread.
    ///
    /// # Errors
    /// The panic's payload if the goroutine panicked.
    ///
    /// # Panics
    /// If a `join` arm of a [`select!`](crate::select) has taken the result.
    ///
    /// # Examples
    /// ```
    /// let fails = gort::go(|| if true { panic!("no luck") });
    /// assert_eq!(*fails.join().unwrap_err().downcast::<&str>().unwrap(), "no luck");
    /// ```
    #[track_caller]
    pub fn join(mut self) -> std::thread::Result<T> {
        self.0.join(Location::caller())
    }

    /// Waits for the goroutine to end, for `timeout` at most: true says that [`join`](Self::join) will not wait. Waiting ends nothing: after a
    /// false one may wait again.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// let mut parked = gort::go(gort::park);
    /// assert!(!parked.wait_timeout(Duration::from_millis(1)));
    /// parked.goroutine().unpark();
    /// assert!(parked.wait_timeout(Duration::MAX));
    /// ```
    #[track_caller]
    #[must_use = "the time may be over"]
    pub fn wait_timeout(&mut self, timeout: Duration) -> bool {
        self.0.wait(Bound::timeout(timeout), Location::caller())
    }

    /// Waits for the goroutine to end, until `deadline` at most. As [`wait_timeout`](Self::wait_timeout).
    ///
    /// # Examples
    /// ```
    /// let mut quick = gort::go(|| 7);
    /// while !quick.wait_deadline(std::time::Instant::now()) {
    ///     gort::yield_now();
    /// }
    /// assert_eq!(quick.join().unwrap(), 7);
    /// ```
    #[track_caller]
    #[must_use = "the time may be over"]
    pub fn wait_deadline(&mut self, deadline: Instant) -> bool {
        self.0.wait(Bound::deadline(deadline), Location::caller())
    }

    /// Waits for the goroutine to end, until `ctx` ends: `Ok` says that [`join`](Self::join) will not wait. A goroutine that has ended wins over
    /// a context that has.
    ///
    /// # Errors
    /// The context has ended first. The goroutine goes on, and can be waited for again.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// let mut parked = gort::go(gort::park);
    /// let (ctx, _) = gort::context::background().with_timeout(Duration::from_millis(1));
    /// assert!(parked.wait_ctx(&ctx).unwrap_err().is_deadline_exceeded());
    /// parked.goroutine().unpark();
    /// parked.join().unwrap();
    /// ```
    #[track_caller]
    pub fn wait_ctx(&mut self, ctx: &Context) -> Result<(), Ended> {
        self.0.wait_ctx(ctx, Location::caller())
    }

    /// True if the goroutine has ended: [`join`](Self::join) will not wait.
    ///
    /// # Examples
    /// ```
    /// let quick = gort::go(|| ());
    /// while !quick.is_finished() {
    ///     gort::yield_now();
    /// }
    /// ```
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.0.is_done()
    }

    /// The goroutine behind the handle.
    ///
    /// # Examples
    /// ```
    /// let parked = gort::go(gort::park);
    /// parked.goroutine().unpark();
    /// parked.join().unwrap();
    /// ```
    #[must_use]
    pub fn goroutine(&self) -> Goroutine {
        self.0.goroutine()
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle")
            .field("goroutine", &self.goroutine())
            .field("finished", &self.is_finished())
            .finish()
    }
}

/// A handle's share in a goroutine: what [`JoinHandle`] and `ScopedJoinHandle` have in common.
#[doc(hidden)]
pub struct Share<T> {
    g: &'static G,
    id: u64,
    name: Option<Arc<str>>,
    /// The result has been taken, and the record is somebody else's.
    is_joined: bool,
    result: PhantomData<T>,
}

// SAFETY: it gives access to the result, a `T`, and nothing else of the goroutine.
unsafe impl<T: Send> Send for Share<T> {}
// SAFETY: a shared one cannot reach the result.
unsafe impl<T> Sync for Share<T> {}

impl<T> Share<T> {
    pub(super) fn new(g: &'static G, name: Option<Arc<str>>) -> Self {
        Self { g, id: g.id(), name, is_joined: false, result: PhantomData }
    }

    pub(super) fn goroutine(&self) -> Goroutine {
        Goroutine::new(self.g, self.id, self.name.clone())
    }

    pub(super) fn is_done(&self) -> bool {
        // Acquire: pairs with `publish_end`, so that what the goroutine did is seen.
        self.is_joined || self.g.join.load(Acquire) & DONE != 0
    }

    /// True if the result has been taken.
    pub(crate) fn is_joined(&self) -> bool {
        self.is_joined
    }

    /// True if the goroutine has ended and its result is still here.
    pub(crate) fn is_ready(&self) -> bool {
        !self.is_joined && self.is_done()
    }

    /// Moves the word's address on, if it is `from` and the goroutine goes on: true.
    fn stand(&self, from: usize, to: usize) -> bool {
        let step = |word: usize| (word & DONE == 0 && word & !FLAGS == from).then_some(word & FLAGS | to);
        // AcqRel: releases nothing but that we wait; DONE is acquired.
        self.g.join.fetch_update(AcqRel, Acquire, step).is_ok()
    }

    /// Asks that `me` be kicked at the end. False: it has ended. Not if the result has been taken: then the record is somebody else's.
    pub(crate) fn enlist(&self, me: &'static G) -> bool {
        debug_assert!(!self.is_joined);
        self.stand(0, me.address())
    }

    /// Takes [`enlist`](Self::enlist) back. A kick may be on its way, which says no more than "look".
    pub(crate) fn delist(&self, me: &'static G) {
        self.stand(me.address(), 0);
    }

    /// Waits for the end, or until the time is over: true for the end.
    pub(super) fn wait(&mut self, bound: Bound<'_>, site: &'static Location<'static>) -> bool {
        let me = super::wait_record();
        sched::begin_call(me);
        // Nobody else waits for it: the share is ours alone.
        if self.is_done() || !self.enlist(me) {
            return true;
        }
        while !self.is_done() {
            if bound.is_over() && self.stand(me.address(), 0) {
                return false;
            }
            bound.park(me, WaitReason::Join, self.id as usize, site);
        }
        true
    }

    pub(super) fn wait_ctx(&mut self, ctx: &Context, site: &'static Location<'static>) -> Result<(), Ended> {
        if self.wait(Bound::ctx(ctx), site) { Ok(()) } else { Err(ctx.ended()) }
    }

    /// Waits for the end and takes the result.
    pub(crate) fn join(&mut self, site: &'static Location<'static>) -> std::thread::Result<T> {
        assert!(!self.is_joined, "join: a `join` arm of a select! has taken the result of goroutine {}", self.id);
        self.wait(Bound::NONE, site);
        self.is_joined = true;
        // SAFETY: DONE, and the share that could take it is this one.
        let outcome = unsafe { task::take_outcome::<T>(self.g) };
        task::recycle(self.g);
        outcome
    }

    /// The handle goes: leaves the goroutine to itself, or cleans up after it. True: what it dropped was a panic.
    pub(super) fn detach(&mut self) -> bool {
        // SAFETY: it is the only share, of this type; `is_joined` says that it has no part in the goroutine any more.
        !std::mem::replace(&mut self.is_joined, true) && unsafe { detach::<T>(self.g) }
    }
}

impl<T> Drop for Share<T> {
    fn drop(&mut self) {
        self.detach();
    }
}

impl<T> fmt::Debug for Share<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Share").field(&self.goroutine()).finish()
    }
}

/// The handle goes: leaves the goroutine to itself, or cleans up after it. True: what it dropped was a panic.
///
/// # Safety
/// The caller is the only handle of `g`, of result type `T`, and does not use it again.
unsafe fn detach<T>(g: &'static G) -> bool {
    let mut word = g.join.load(Acquire);
    loop {
        if word & (ENDING | DONE) != 0 {
            // The result is ours.
            let panicked = g.has(PANICKED);
            // SAFETY: the handle has not taken it.
            unsafe { task::drop_outcome::<T>(g) };
            // AcqRel: the second of the two gives the record back.
            if g.join.fetch_or(DETACHED, AcqRel) & DONE != 0 {
                task::recycle(g);
            }
            return panicked;
        }
        match g.join.compare_exchange_weak(word, word | DETACHED, AcqRel, Acquire) {
            Ok(_) => return false,
            Err(now) => word = now,
        }
    }
}

/// A goroutine that has not been queued never had a handle.
pub(super) fn let_go(g: &'static G) {
    // Relaxed: whoever readies it publishes it.
    g.join.store(DETACHED, Relaxed);
}

/// The goroutine has its result. True: the handle is gone, the result is the goroutine's to drop.
pub(super) fn begin_end(g: &'static G) -> bool {
    // AcqRel: publishes the result to the handle's drop.
    g.join.fetch_or(ENDING, AcqRel) & DETACHED != 0
}

/// The goroutine has left its stack for good. Runs in the scheduler.
pub(crate) fn publish_end(g: &'static G, p: Option<&'static P>) {
    let scope = g.wait_object();
    g.set_status(Status::Done);
    // AcqRel: publishes the result, and all the goroutine did, to the joiner. If DETACHED was not set, the record may be gone after this.
    let word = g.join.fetch_or(DONE, AcqRel);
    if word & !FLAGS != 0 {
        // SAFETY: only joiners store addresses, those of their records.
        let joiner = unsafe { G::from_address(word & !FLAGS) };
        // One that has seen DONE by itself is kicked once too often, which every wait allows.
        if joiner.park.kick() {
            sched::park::ready_in_scheduler(joiner, p);
        }
    }
    if word & DETACHED != 0 {
        g.set_status(Status::Free);
        match p {
            // SAFETY: the scheduler passes its own P.
            Some(p) => unsafe { p.give_record(g) },
            None => crate::g::registry::give_free(&[g]),
        }
    }
    if scope != 0 {
        // SAFETY: the scope's owner waits for this very call.
        unsafe { super::scope::child_done(scope, p) };
    }
}

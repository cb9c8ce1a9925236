//! The join word: who takes the result, and who gives the record back.
//!
//! ```text
//! bits        set by                         meaning
//! DETACHED 1  the handle's drop              nobody will ask
//! ENDING   2  the goroutine, at its end      the result is in the body
//! DONE     4  the scheduler, after the last switch away from the goroutine
//! address     a joiner, on the scheduler     to be readied by DONE
//! ```
//!
//! The result belongs to the handle from ENDING on, unless DETACHED came first: then to the goroutine, which drops it on its own stack. The
//! record belongs to whoever comes second of DONE and DETACHED, or to the joiner, who waits for DONE. Each step is one read-modify-write of
//! the same word, so there is always exactly one second.

use super::{Goroutine, task};
use crate::g::record::PANICKED;
use crate::g::{G, Status, WaitReason};
use crate::sched::{self, P};
use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

const DETACHED: usize = 1;
const ENDING: usize = 2;
const DONE: usize = 4;
const FLAGS: usize = 63;

/// Owned permission to join on a goroutine, as [`std::thread::JoinHandle`].
///
/// Dropping it detaches: the goroutine goes on, its result is dropped when it ends, and a panic is reported all the same.
pub struct JoinHandle<T> {
    g: &'static G,
    id: u64,
    name: Option<Arc<str>>,
    result: PhantomData<T>,
}

// SAFETY: the handle gives access to the result, a `T`, and nothing else of the goroutine.
unsafe impl<T: Send> Send for JoinHandle<T> {}
// SAFETY: a shared handle cannot reach the result.
unsafe impl<T> Sync for JoinHandle<T> {}

impl<T> JoinHandle<T> {
    pub(super) fn new(g: &'static G, name: Option<Arc<str>>) -> Self {
        Self { g, id: g.id(), name, result: PhantomData }
    }

    /// Waits for the goroutine to end, its thread-local destructors included, and returns its result.
    ///
    /// Parks the calling goroutine; blocks a plain thread.
    ///
    /// # Errors
    /// The panic's payload if the goroutine panicked.
    ///
    /// # Examples
    /// ```
    /// let fails = gort::go(|| if true { panic!("no luck") });
    /// assert_eq!(*fails.join().unwrap_err().downcast::<&str>().unwrap(), "no luck");
    /// ```
    #[track_caller]
    pub fn join(self) -> std::thread::Result<T> {
        let this = ManuallyDrop::new(self);
        wait(this.g, this.id, Location::caller());
        // SAFETY: DONE, and the handle that could take it is this one.
        let outcome = unsafe { task::take_outcome::<T>(this.g) };
        task::recycle(this.g);
        let mut this = this;
        drop(this.name.take());
        outcome
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
        is_done(self.g)
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
        Goroutine::new(self.g, self.id, self.name.clone())
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        // SAFETY: the handle is of type `T` and is being dropped.
        unsafe { detach::<T>(self.g) };
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

/// True if the goroutine has ended.
pub(super) fn is_done(g: &'static G) -> bool {
    // Acquire: pairs with `publish_end`, so that what the goroutine did is seen.
    g.join.load(Acquire) & DONE != 0
}

/// Waits until `g` is DONE.
pub(super) fn wait(g: &'static G, id: u64, site: &'static Location<'static>) {
    while !is_done(g) {
        let me = super::wait_record();
        sched::park(me, WaitReason::Join, id as usize, site, |me| {
            let mut word = g.join.load(Acquire);
            loop {
                if word & DONE != 0 {
                    return false;
                }
                // AcqRel: releases our saved context to the one who readies us.
                match g.join.compare_exchange_weak(word, word & FLAGS | me.address(), AcqRel, Acquire) {
                    Ok(_) => return true,
                    Err(now) => word = now,
                }
            }
        });
    }
}

/// The handle goes: leaves the goroutine to itself, or cleans up after it. True: what it dropped was a panic.
///
/// # Safety
/// The caller is the only handle of `g`, of result type `T`, and does not use it again.
pub(super) unsafe fn detach<T>(g: &'static G) -> bool {
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
        // SAFETY: only `wait` stores an address, that of a parked record.
        sched::park::ready_in_scheduler(unsafe { G::from_address(word & !FLAGS) }, p);
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

//! Runs a model: under loom in every interleaving within a bound, otherwise many times on real threads.
//!
//! A model is a closure that builds its words, starts two or three threads and says at the end what must hold. So every
//! model is a stress test, too, on the hardware at hand and with the real constants.
//!
//! The protocols of those who wait are given a lock, parties and a list of those to be readied from outside. Here is what the models give
//! them: loom's lock, and parties that sleep on their [`WakeWord`] as goroutines do.

use core::sync::atomic::Ordering::Relaxed;
use std::vec::Vec;

use crate::atomics::AtomicU32;
use crate::claim;
use crate::crowd::Guarded;
use crate::wait_list::Wakes;
use crate::wake_word::WakeWord;

#[cfg(gort_loom)]
pub(crate) use loom::{
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
};
#[cfg(not(gort_loom))]
pub(crate) use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
};

/// Every interleaving with at most `preemptions` preemptions; `LOOM_MAX_PREEMPTIONS` overrides it.
#[cfg(gort_loom)]
pub(crate) fn check(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(preemptions);
    builder.check(model);
}

/// The same closure on real threads, for a quarter of a second.
#[cfg(not(gort_loom))]
pub(crate) fn check(_preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let rounds = if cfg!(miri) { 3 } else { 3000 };
    let start = std::time::Instant::now();
    for _ in 0..rounds {
        model();
        if start.elapsed() > std::time::Duration::from_millis(250) {
            return;
        }
    }
}

impl<T> Guarded for Mutex<T> {
    type Value = T;
    type Guard<'a>
        = MutexGuard<'a, T>
    where
        T: 'a;

    fn lock(&self) -> MutexGuard<'_, T> {
        self.lock().unwrap()
    }
}

/// A party that sleeps as a goroutine does.
pub(crate) struct Sleeper {
    word: WakeWord,
    is_late: AtomicU32,
    is_ready: Mutex<bool>,
    changed: Condvar,
}

/// How a [`Sleeper`] is known: it stays until the end of its model.
#[derive(Clone, Copy)]
pub(crate) struct Id(*const Sleeper);

// SAFETY: a sleeper is made to be shared.
unsafe impl Send for Id {}

impl Sleeper {
    pub(crate) fn new() -> Self {
        Self { word: WakeWord::new(), is_late: AtomicU32::new(0), is_ready: Mutex::new(false), changed: Condvar::new() }
    }

    /// One that does not want to wait at all.
    pub(crate) fn late() -> Self {
        let this = Self::new();
        this.is_late.store(1, Relaxed);
        this
    }

    /// Its timer comes up, or somebody calls its wait off.
    pub(crate) fn make_late(&self) {
        // Relaxed: the kick publishes it.
        self.is_late.store(1, Relaxed);
        if self.word.kick() {
            self.make_ready();
        }
    }

    fn make_ready(&self) {
        *self.is_ready.lock().unwrap() = true;
        self.changed.notify_one();
    }
}

impl claim::Party for Sleeper {
    type Id = Id;

    fn id(&self) -> Id {
        Id(self)
    }

    fn is_late(&self) -> bool {
        // Relaxed: whoever writes it kicks.
        self.is_late.load(Relaxed) != 0
    }

    fn sleep(&self, _may_leave: bool) {
        if self.word.commit_sleep() {
            let mut is_ready = self.is_ready.lock().unwrap();
            while !*is_ready {
                is_ready = self.changed.wait(is_ready).unwrap();
            }
            *is_ready = false;
        }
    }
}

/// Those to be readied, when the lock has been let go.
pub(crate) struct ReadyList(Vec<Id>);

impl ReadyList {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn ready_all(self) {
        for Id(sleeper) in self.0 {
            // SAFETY: it stays until the end of the model.
            unsafe { (*sleeper).make_ready() };
        }
    }
}

impl Wakes for ReadyList {
    type Id = Id;

    fn kick(&mut self, id: Id) {
        // SAFETY: as above.
        if unsafe { (*id.0).word.kick() } {
            self.0.push(id);
        }
    }
}

//! The lock for inside the runtime: a word, a short spin, a futex.
//!
//! Why not `std::sync::Mutex`: it may run where the thread pointer is a goroutine's that has already been let go (see `sys::raw`), and std's
//! poisoning reads the panic count, a thread-local. This one touches none, never allocates, and has no poison: a panic while it is held is a
//! bug of the runtime.
//!
//! States of the word (anyone may change it):
//! - `FREE` to `HELD`: locked without contention.
//! - `HELD` or `FREE` to `CONTENDED`: by who is about to sleep or was asleep; the holder must wake one when it lets go.
//! - anything to `FREE`: by the holder.
//!
//! Lost wake-up: a sleeper sleeps only if the word is `CONTENDED`, which the futex checks again. Whoever frees the lock swaps the word; if
//! it was `CONTENDED` it wakes one. The woken one takes the lock as `CONTENDED`, since it cannot know whether others sleep: at worst the
//! next release makes one call too many, never one too few.
//!
//! Lock order: **that of the layers**. While a lock of a layer is held only locks of lower layers may be taken (sched, then netpoll and
//! timer, then g, then stack); two of the same layer only where that layer's module says in which order. Never park with one held: in
//! debug builds the lock knows its owner's thread and reports taking it twice, which is how parking with it usually ends.
//!
//! Source: Drepper, "Futexes are tricky", mutex 3; Go `runtime/lock_futex.go`.
//! Rejected: a ticket lock (fair, but a holder that the kernel has descheduled stops everyone behind it); a look after each pause (a channel that
//! two Ps used cost 100 ns per message instead of 37); letting go by a load and a store, which spares a read-modify-write, with sleepers that nap
//! because nobody may wake them (with hundreds of threads on two processors holders are interrupted between the two, and naps of milliseconds
//! add up: 1,000 blocking calls took a third longer, a ticker beside them was late by 100 ms).

use crate::sys::{fork, futex};
use gort_lockfree::crowd::Guarded;
use std::{
    cell::UnsafeCell,
    fmt,
    marker::PhantomData,
    ops::{Deref, DerefMut},
    sync::atomic::{
        AtomicU32,
        Ordering::{Acquire, Relaxed, Release},
    },
};

const FREE: u32 = 0;
const HELD: u32 = 1;
const CONTENDED: u32 = 2;

/// Before the first look at the word, once it was held. Long enough that the holder, who works in the same cache line, gets on with it: a channel that
/// two Ps use is faster if each has it for some operations in a row.
const FIRST_PAUSES: u32 = 8;
/// The longest pause between two looks before sleeping. Each is twice the one before: every look takes the word's cache line from the holder, who
/// lets go all the later. All together they last about as long as a wake-up costs.
const MOST_PAUSES: u32 = 64;

/// A value that one thread at a time may use.
pub(crate) struct Lock<T: ?Sized> {
    word: AtomicU32,
    /// Kernel id of the thread that holds it, 0 if none.
    #[cfg(debug_assertions)]
    owner: AtomicU32,
    value: UnsafeCell<T>,
}

// SAFETY: the value moves between threads (whoever locks may take it out), which is what `T: Send` allows; it is never used by two at a time.
unsafe impl<T: ?Sized + Send> Sync for Lock<T> {}
// SAFETY: sending the lock sends the value.
unsafe impl<T: ?Sized + Send> Send for Lock<T> {}

impl<T> Lock<T> {
    pub(crate) const fn new(value: T) -> Lock<T> {
        Lock {
            word: AtomicU32::new(FREE),
            #[cfg(debug_assertions)]
            owner: AtomicU32::new(0),
            value: UnsafeCell::new(value),
        }
    }
}

impl<T: ?Sized> Lock<T> {
    /// Locks, waiting as long as it takes.
    ///
    /// # Panics
    /// In debug builds, if this thread holds it already.
    #[inline]
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        // Acquire: pairs with the Release in `Guard::drop`. Relaxed on failure: the value is not touched.
        if self.word.compare_exchange(FREE, HELD, Acquire, Relaxed).is_err() {
            self.lock_contended();
        }
        self.locked()
    }

    #[inline]
    fn locked(&self) -> Guard<'_, T> {
        #[cfg(debug_assertions)]
        // Relaxed: only ever compared with the reader's own id; another thread's stale value cannot equal it.
        self.owner.store(crate::sys::thread::gettid(), Relaxed);
        Guard { lock: self, not_send: PhantomData }
    }

    #[cold]
    fn lock_contended(&self) {
        #[cfg(debug_assertions)]
        // Relaxed: as in `locked`.
        if self.owner.load(Relaxed) == crate::sys::thread::gettid() {
            panic!("a runtime lock is taken twice by one thread (parked or called back with it held?)");
        }
        // Nobody is left in there who could let go.
        fork::refuse_child();
        let mut pauses = FIRST_PAUSES;
        while pauses <= MOST_PAUSES {
            for _ in 0..pauses {
                std::hint::spin_loop();
            }
            pauses *= 2;
            // Relaxed: only a hint when to try; the exchange below acquires.
            match self.word.load(Relaxed) {
                // Acquire: pairs with the Release in `Guard::drop`. Relaxed on failure: try again.
                FREE if self.word.compare_exchange(FREE, HELD, Acquire, Relaxed).is_ok() => {
                    return;
                }
                CONTENDED => break,
                _ => {}
            }
        }
        // Acquire: pairs with the Release in `Guard::drop`.
        while self.word.swap(CONTENDED, Acquire) != FREE {
            futex::wait(&self.word, CONTENDED, None);
        }
    }
}

impl<T> Guarded for Lock<T> {
    type Value = T;
    type Guard<'a>
        = Guard<'a, T>
    where
        T: 'a;

    #[inline]
    fn lock(&self) -> Guard<'_, T> {
        self.lock()
    }
}

impl<T: ?Sized> fmt::Debug for Lock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Relaxed: a snapshot for a human.
        f.debug_struct("Lock").field("held", &(self.word.load(Relaxed) != FREE)).finish_non_exhaustive()
    }
}

/// The right to use the value of a [`Lock`]; dropping it unlocks.
pub(crate) struct Guard<'a, T: ?Sized> {
    lock: &'a Lock<T>,
    /// Owned by a thread (debug builds check that), so it stays there.
    not_send: PhantomData<*const ()>,
}

// SAFETY: a shared guard gives shared access to the value and nothing else.
unsafe impl<T: ?Sized + Sync> Sync for Guard<'_, T> {}

impl<T: ?Sized> Drop for Guard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        let word = &self.lock.word;
        #[cfg(debug_assertions)]
        // Relaxed: as in `locked`; the next owner's store comes after the release below.
        self.lock.owner.store(0, Relaxed);
        let address = word.as_ptr();
        // Release: pairs with the Acquire of whoever locks next. From here on the lock may be gone.
        let has_sleepers = word.swap(FREE, Release) == CONTENDED;
        if has_sleepers {
            futex::wake_at(address, 1);
        }
    }
}

impl<T: ?Sized> Deref for Guard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard proves that this thread holds the lock.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for Guard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard proves that this thread holds the lock, and it is borrowed alone.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized> fmt::Debug for Guard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn increments_of_many_threads_are_all_there() {
        let lock = Lock::new(0_u64);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50_000 {
                        *lock.lock() += 1;
                    }
                });
            }
        });
        assert_eq!(*lock.lock(), 200_000);
    }

    #[test]
    fn a_thread_that_waits_asleep_is_woken() {
        let lock = Lock::new(false);
        let guard = lock.lock();
        std::thread::scope(|scope| {
            scope.spawn(|| *lock.lock() = true);
            // Relaxed: the value itself is what is waited for.
            while lock.word.load(Relaxed) != CONTENDED {
                std::thread::yield_now();
            }
            drop(guard);
        });
        assert!(*lock.lock());
    }

    #[test]
    fn a_panic_while_held_unlocks_and_does_not_poison() {
        let lock = Lock::new(1);
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _guard = lock.lock();
            panic!("on purpose");
        }));
        assert!(caught.is_err());
        assert_eq!(*lock.lock(), 1);
    }

    #[cfg(debug_assertions)]
    #[test]
    #[should_panic(expected = "taken twice by one thread")]
    fn taking_it_twice_is_reported() {
        let lock = Lock::new(());
        let _first = lock.lock();
        let _second = lock.lock();
    }

    #[test]
    fn a_lock_may_be_static() {
        static LOCK: Lock<Vec<u32>> = Lock::new(Vec::new());
        LOCK.lock().push(1);
        assert_eq!(*LOCK.lock(), [1]);
    }
}

//! One reader, one writer, any number of other users, and a close that waits for the last of them.
//!
//! The fd must not be closed while a system call uses it: the kernel would give the number to
//! somebody else, and the call would read a stranger's socket.
//!
//! # States
//!
//! | bits | meaning |
//! |---|---|
//! | 0 | closed: no new users |
//! | 1, 2 | read side, write side locked; the holder has a reference, too |
//! | 3..=22 | references |
//! | 23..=42, 43..=62 | parties waiting for the read side, the write side |
//!
//! # The argument
//! **The fd is released once and after everybody.** A reference is added only while the word is not
//! closed, in the same compare-and-swap. So once closed the count only falls, and exactly one write
//! makes it 0 with closed set: that one returns "last". Each drop is a Release and the last one an
//! Acquire, so all uses of the fd happen before it is released.
//!
//! **No waiter is left.** Who waits was counted by the same compare-and-swap that saw the side
//! locked, so the holder's unlock sees the count and wakes one (and subtracts it, so that a second
//! unlock wakes another one). A close takes all counts at once and wakes that many. The semaphore on
//! which they park keeps a wake that comes before the park; a woken party calls
//! [`lock`](FdMutex::lock) again and may find the side taken by a newcomer, as in Go.
//!
//! **One that stops waiting takes no wake along.** It leaves the semaphore first and takes its count
//! back after that ([`withdraw`](FdMutex::withdraw)). Counts carry no names: if an unlock has taken
//! its count meanwhile, it takes another waiter's, and the wake under way serves that one. If no
//! count is left, a wake is under way that nobody needs, and the semaphore swallows it. So the
//! counts, the wakes under way and those in the semaphore are together always as many as wait.
//!
//! **One holder per side.** The lock bit goes 0 to 1 by compare-and-swap (Acquire) and back by
//! unlock (Release).
//!
//! Rejected: handing the lock over to the woken party (it costs a switch per operation under
//! contention); a count of references apart from the lock (two writes per read).
//! Models: `fd_mutex/model.rs`. Source: Go `internal/poll/fd_mutex.go`.

use core::fmt;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use crate::atomics::{AtomicU64, const_unless_loom};
use crate::mutate::mutated;

#[cfg(test)]
mod model;
#[cfg(all(test, not(gort_loom)))]
mod tests;

const CLOSED: u64 = 1;
const REF: u64 = 1 << 3;
const COUNT_BITS: u32 = 20;
const COUNT_MAX: u64 = (1 << COUNT_BITS) - 1;
const REFS: u64 = COUNT_MAX * REF;

/// A direction of a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Reading, accepting.
    Read,
    /// Writing, connecting.
    Write,
}

impl Side {
    /// 0 for reading, 1 for writing.
    #[inline]
    pub const fn index(self) -> usize {
        match self {
            Side::Read => 0,
            Side::Write => 1,
        }
    }

    const fn lock_bit(self) -> u64 {
        match self {
            Side::Read => 1 << 1,
            Side::Write => 1 << 2,
        }
    }

    const fn waiter(self) -> u64 {
        match self {
            Side::Read => 1 << 23,
            Side::Write => 1 << 43,
        }
    }

    const fn waiters(self, word: u64) -> u32 {
        ((word / self.waiter()) & COUNT_MAX) as u32
    }
}

/// The descriptor is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the descriptor is closed")
    }
}

impl core::error::Error for Closed {}

/// Whom a close must wake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the waiters must be woken and the reference dropped"]
pub struct Closing {
    /// Parties waiting for the read side.
    pub wake_readers: u32,
    /// Parties waiting for the write side.
    pub wake_writers: u32,
}

/// What [`FdMutex::lock`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "only `Acquired` holds the side"]
pub enum Lock {
    /// The side is the caller's, with a reference.
    Acquired,
    /// The descriptor is closed.
    Closed,
    /// The caller is counted as waiting: park on the side's semaphore, then lock again.
    Wait,
}

/// What [`FdMutex::unlock`] leaves to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a waiter or the fd may be left to the caller"]
pub struct Unlock {
    /// Release the side's semaphore once.
    pub wake: bool,
    /// Closed, and this was the last reference: release the fd.
    pub last: bool,
}

/// Who may use a descriptor. See the [module's documentation](self).
pub struct FdMutex(AtomicU64);

impl FdMutex {
    const_unless_loom! {
        /// Open and unused.
        pub const fn new() -> Self {
            Self(AtomicU64::new(0))
        }
    }

    /// A new descriptor lives in the slot. The one before must be closed and without references.
    #[inline]
    pub fn reset(&self) {
        debug_assert!(
            matches!(self.0.load(Relaxed), 0 | CLOSED),
            "FdMutex::reset: the descriptor before is still in use"
        );
        // Relaxed: the slot is handed on by its owner, who synchronises.
        self.0.store(0, Relaxed);
    }

    /// Adds a reference: the fd stays open until [`decref`](Self::decref).
    ///
    /// # Errors
    /// [`Closed`] if the descriptor is closed.
    ///
    /// # Panics
    /// If there are 2^20 - 1 references.
    #[inline]
    pub fn incref(&self) -> Result<(), Closed> {
        // Relaxed: the compare-and-swap decides.
        let mut word = self.0.load(Relaxed);
        loop {
            if word & CLOSED != 0 {
                return Err(Closed);
            }
            // Acquire: pairs with the AcqRel of every drop; what users before did to the descriptor is
            // seen. Relaxed on failure: we look again.
            match self.0.compare_exchange_weak(word, add_ref(word), Acquire, Relaxed) {
                Ok(_) => return Ok(()),
                Err(now) => word = now,
            }
        }
    }

    /// Closes: no new users from here on. The caller gets a reference, wakes those named, makes
    /// the others leave, and drops the reference. `None` if it was closed already.
    ///
    /// # Panics
    /// If there are 2^20 - 1 references.
    pub fn incref_and_close(&self) -> Option<Closing> {
        // Relaxed: the compare-and-swap decides.
        let mut word = self.0.load(Relaxed);
        loop {
            if word & CLOSED != 0 {
                return None;
            }
            let closing = Closing { wake_readers: Side::Read.waiters(word), wake_writers: Side::Write.waiters(word) };
            let waiters = COUNT_MAX * (Side::Read.waiter() + Side::Write.waiter());
            let waiters = if mutated!("fd_close_keeps_waiters") { 0 } else { waiters };
            let closed = (add_ref(word) | CLOSED) & !waiters;
            // AcqRel: as a user and as one who tells the others; pairs with every other write.
            // Relaxed on failure: we look again.
            match self.0.compare_exchange_weak(word, closed, AcqRel, Relaxed) {
                Ok(_) => return Some(closing),
                Err(now) => word = now,
            }
        }
    }

    /// Drops a reference. True: closed, and it was the last; the caller releases the fd.
    ///
    /// # Panics
    /// If there is no reference.
    #[inline]
    #[must_use = "the last one releases the fd"]
    pub fn decref(&self) -> bool {
        // Relaxed: the compare-and-swap decides.
        let mut word = self.0.load(Relaxed);
        loop {
            assert!(word & REFS != 0, "FdMutex::decref: there is no reference to drop");
            let left = word - REF;
            // AcqRel: all uses happen before the drop, and the last drop after all others.
            // Relaxed on failure: we look again.
            let order = if mutated!("fd_decref_relaxed") { Relaxed } else { AcqRel };
            match self.0.compare_exchange_weak(word, left, order, Relaxed) {
                Ok(_) => return is_last(left),
                Err(now) => word = now,
            }
        }
    }

    /// Takes a side and a reference, or gets counted as waiting for it.
    ///
    /// # Panics
    /// If there are 2^20 - 1 references or waiters.
    #[inline]
    pub fn lock(&self, side: Side) -> Lock {
        // Relaxed: the compare-and-swap decides.
        let mut word = self.0.load(Relaxed);
        loop {
            if word & CLOSED != 0 && !mutated!("fd_lock_ignores_closed") {
                return Lock::Closed;
            }
            let free = word & side.lock_bit() == 0;
            let next = if free {
                add_ref(word) | side.lock_bit()
            } else {
                assert!(
                    side.waiters(word) < COUNT_MAX as u32,
                    "FdMutex::lock: more than 2^20 - 1 operations wait for one side of a descriptor"
                );
                word + side.waiter()
            };
            // Acquire: pairs with the AcqRel in `unlock`; the holder before is done.
            // Relaxed on failure: we look again.
            match self.0.compare_exchange_weak(word, next, Acquire, Relaxed) {
                Ok(_) if free => return Lock::Acquired,
                Ok(_) => return Lock::Wait,
                Err(now) => word = now,
            }
        }
    }

    /// Stops waiting for a side: [`lock`](Self::lock) said [`Lock::Wait`], and the caller has left the
    /// side's semaphore without having been woken. False: one wake more than there are waiters is
    /// under way, and the caller takes it from the semaphore, which may go below zero until it comes.
    #[must_use = "a wake that nobody needs must be taken from the semaphore"]
    pub fn withdraw(&self, side: Side) -> bool {
        // Relaxed: the compare-and-swap decides; and nothing is published, only a number taken back.
        let mut word = self.0.load(Relaxed);
        while side.waiters(word) != 0 {
            match self.0.compare_exchange_weak(word, word - side.waiter(), Relaxed, Relaxed) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        mutated!("fd_withdraw_forgets_wake")
    }

    /// Gives a side back, and its reference.
    ///
    /// # Panics
    /// If the side is not locked.
    #[inline]
    pub fn unlock(&self, side: Side) -> Unlock {
        // Relaxed: the compare-and-swap decides.
        let mut word = self.0.load(Relaxed);
        loop {
            assert!(word & side.lock_bit() != 0 && word & REFS != 0, "FdMutex::unlock: the side is not locked");
            let wake = side.waiters(word) != 0;
            let mut left = (word & !side.lock_bit()) - REF;
            if wake && !mutated!("fd_unlock_keeps_count") {
                left -= side.waiter();
            }
            // AcqRel: as in `decref`; the Release also pairs with the Acquire in `lock`.
            // Relaxed on failure: we look again.
            match self.0.compare_exchange_weak(word, left, AcqRel, Relaxed) {
                Ok(_) => return Unlock { wake, last: is_last(left) },
                Err(now) => word = now,
            }
        }
    }
}

#[inline]
fn add_ref(word: u64) -> u64 {
    assert!(word & REFS != REFS, "FdMutex: more than 2^20 - 1 operations use one descriptor at the same time");
    word + REF
}

#[inline]
fn is_last(word: u64) -> bool {
    word & (CLOSED | REFS) == CLOSED
}

impl Default for FdMutex {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for FdMutex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Relaxed: a picture for people.
        let word = self.0.load(Relaxed);
        f.debug_struct("FdMutex")
            .field("closed", &(word & CLOSED != 0))
            .field("read_locked", &(word & Side::Read.lock_bit() != 0))
            .field("write_locked", &(word & Side::Write.lock_bit() != 0))
            .field("refs", &((word & REFS) / REF))
            .field("read_waiters", &Side::Read.waiters(word))
            .field("write_waiters", &Side::Write.waiters(word))
            .finish()
    }
}

//! One direction (read or write) of a socket under an edge-triggered poller.
//!
//! The poller reports an edge once. Whoever waits for it may be anywhere between "I will try the
//! call" and "I am parked" when it comes, on another thread, while a third moves the deadline and a
//! fourth closes.
//!
//! # States
//!
//! | bits | meaning | set by | cleared by |
//! |---|---|---|---|
//! | 6..=47 | address of the waiter (64-byte aligned), 0 = none | `commit` | `event`, `kick`, `close` |
//! | READY | something happened since the last try began | `event`, `kick` | `begin_try` |
//! | CLOSED | no more tries | `close` | `reset` |
//! | DRAINED | the last try took all there was: the next would say EAGAIN | `set_drained` | `begin_try`, `commit` |
//! | ALWAYS_TRY | a short read proves nothing on this socket | `set_always_try`, `event(sticky)` | `reset` |
//!
//! A waiter goes round: [`begin_try`](SideWord::begin_try); its own deadline against the clock; the
//! system call, unless the answer was [`Try::Drained`]; [`set_drained`](SideWord::set_drained) after
//! a short read; on EAGAIN it leaves its stack and the scheduler calls
//! [`commit`](SideWord::commit); false: round again. One waiter at a time (`fd_mutex` sees to it).
//!
//! # The argument
//! **An event is not lost.** All changes are read-modify-writes of one word. The event falls
//! - before `begin_try` clears READY: the try comes after (Acquire) and sees the data;
//! - between that and `commit`: READY is set, the commit refuses, the waiter tries again;
//! - after `commit`: the event takes the waiter, who tries when it runs.
//!
//! `begin_try` may read an old word without READY, and then writes nothing: the commit is a
//! compare-and-swap and sees READY. The event is a read-modify-write even where READY is set
//! already: a plain look may be as old as the try that has cleared it since.
//!
//! **READY is not left with a taken waiter**, since the waiter will try anyway; nor DRAINED by a
//! commit, since a woken waiter must try. So a woken reader makes exactly one system call.
//!
//! **Readied once.** The waiter leaves the word by one read-modify-write, whoever made it readies.
//!
//! **Deadlines.** Nobody but the waiter decides that a deadline is over. Who moves it stores the new
//! one and then kicks; an expiring timer kicks. A kick is an event without data: either the waiter
//! reads the deadline after it (Acquire in `begin_try`), or its commit refuses, or it is taken and
//! wakes. Data and deadline together: the waiter decides by its order of looking, and there is no
//! third word that could disagree (golang/go#68273).
//!
//! **Close.** CLOSED is set in the same write that takes the waiter; a commit after it refuses, a
//! `begin_try` after it says so.
//!
//! **Reuse.** The slot is type-stable and the poller compares its sequence before it calls `event`.
//! An event that passes the comparison and comes late all the same costs the next user of the slot
//! one try in vain (READY) and at worst the shortcut after short reads (ALWAYS_TRY), nothing else:
//! whatever wakes a waiter, it looks for itself.
//!
//! **Why ALWAYS_TRY.** After a short read from a stream the buffer was empty, and what comes later is
//! a new edge: the next read can park without asking the kernel. But data and FIN (or RST) may
//! share one edge; then the short read is followed by no edge at all, and the reader would wait for
//! ever. So any sign of an end, an error or urgent data sets ALWAYS_TRY for good, in the same
//! write as READY: a reader that saw neither refuses to commit, one that saw both tries once more.
//! Setting it after READY would leave a gap in which a reader takes READY, reads short, sets DRAINED
//! and parks. Sockets whose short reads mean nothing (Unix streams, datagrams) have it from the
//! start.
//!
//! Rejected: clearing readiness after EAGAIN, with a tick to compare (tokio): one more field and one
//! more write per wait; bits cleared too much stalled reads there (tokio#5866).
//! Models: `side_word/model.rs`. Source: Go `netpoll.go`, `netpollblock`, `netpollunblock`.

use core::fmt;
use core::num::NonZeroU64;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use crate::atomics::{AtomicU64, const_unless_loom};
use crate::mutate::mutated;

#[cfg(test)]
mod model;
#[cfg(all(test, not(gort_loom)))]
mod tests;

const READY: u64 = 1;
const CLOSED: u64 = 1 << 1;
const DRAINED: u64 = 1 << 2;
const ALWAYS_TRY: u64 = 1 << 3;
/// Bits 6..=47: user addresses have 47 bits, waiters are 64-byte aligned.
const WAITER: u64 = ((1 << 48) - 1) & !63;

/// One direction of a socket. See the [module's documentation](self).
pub struct SideWord(AtomicU64);

/// What a round of waiting begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Try {
    /// The socket is closed: give up.
    Closed,
    /// The call would say EAGAIN: commit without making it.
    Drained,
    /// Make the call.
    Go,
}

impl SideWord {
    const_unless_loom! {
        /// Open, nothing happened, nobody waits.
        pub const fn new() -> Self {
            Self(AtomicU64::new(0))
        }
    }

    /// A new descriptor lives in the slot. The one before must be closed and have no waiter.
    #[inline]
    pub fn reset(&self) {
        debug_assert!(!self.has_waiter(), "SideWord::reset: somebody still waits");
        // Relaxed: the descriptor is handed to other threads by its owner, to the poller by the
        // kernel.
        self.0.store(0, Relaxed);
    }

    /// Begins a round: whether to make the call. Events from here on are not lost.
    #[inline]
    pub fn begin_try(&self) -> Try {
        // Acquire: pairs with the Release in `event`, `kick` and `close`; the deadline read after
        // this is the one stored before the kick.
        let word = self.0.load(Acquire);
        if word & (CLOSED | DRAINED | READY) == 0 {
            return Try::Go;
        }
        if word & CLOSED != 0 {
            return Try::Closed;
        }
        if word & DRAINED != 0 && word & (READY | ALWAYS_TRY) == 0 {
            return Try::Drained;
        }
        // Acquire: as above, for an event since. Cleared *before* the call: what comes after this
        // sets READY again.
        let word = self.0.fetch_and(!(READY | DRAINED), Acquire);
        if word & CLOSED != 0 { Try::Closed } else { Try::Go }
    }

    /// A short read showed that nothing is left. No effect where that proves nothing.
    #[inline]
    pub fn set_drained(&self) {
        // Relaxed: only saves the RMW. An event since then has left READY, which counts more than
        // DRAINED, or ALWAYS_TRY, which does too.
        if self.0.load(Relaxed) & ALWAYS_TRY == 0 {
            // Relaxed: a hint for the waiter itself.
            self.0.fetch_or(DRAINED, Relaxed);
        }
    }

    /// From now on short reads prove nothing.
    #[inline]
    pub fn set_always_try(&self) {
        // Relaxed: it concerns tries that begin after the caller has told the reader.
        self.0.fetch_or(ALWAYS_TRY, Relaxed);
    }

    /// Parks `waiter`, a 64-byte aligned address below 2^48. False: something happened since the try
    /// began, go round again.
    ///
    /// On the scheduler's stack: after true, anybody may resume the waiter.
    #[inline]
    pub fn commit(&self, waiter: u64) -> bool {
        debug_assert!(waiter != 0 && waiter & !WAITER == 0, "SideWord::commit: not a waiter's address");
        // Relaxed: the compare-and-swap decides; on refusal `begin_try` acquires.
        let mut word = self.0.load(Relaxed);
        loop {
            let refuse = if mutated!("side_commit_ignores_closed") { READY } else { READY | CLOSED };
            let refuse = if mutated!("side_commit_ignores_ready") { CLOSED } else { refuse };
            if word & refuse != 0 {
                return false;
            }
            debug_assert!(word & WAITER == 0, "SideWord::commit: somebody waits already");
            // Release: pairs with the Acquire in `take`; whoever takes the waiter sees its context.
            // Relaxed on failure: we look again.
            match self.0.compare_exchange_weak(word, (word & !DRAINED) | waiter, Release, Relaxed) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
    }

    /// The poller saw an edge. Returns the waiter, whom the caller readies; without one the edge is
    /// kept for the next try. `sticky`: the edge carried an end, an error or urgent data.
    #[inline]
    #[must_use = "the waiter must be readied"]
    pub fn event(&self, sticky: bool) -> Option<NonZeroU64> {
        if mutated!("side_event_sticky_apart") {
            let waiter = self.take(READY, 0);
            if sticky {
                self.set_always_try();
            }
            return waiter;
        }
        self.take(READY, if sticky { ALWAYS_TRY } else { 0 })
    }

    /// A deadline was moved or came up: the waiter is to look again. Returns it, for the caller to
    /// ready. As an event without data: one try in vain at worst.
    #[inline]
    #[must_use = "the waiter must be readied"]
    pub fn kick(&self) -> Option<NonZeroU64> {
        self.take(READY, 0)
    }

    /// Closes the side: no more tries, no more commits. Returns the waiter, for the caller to ready.
    #[inline]
    #[must_use = "the waiter must be readied"]
    pub fn close(&self) -> Option<NonZeroU64> {
        self.take(0, CLOSED)
    }

    /// Takes the waiter; leaves `always`, and `if_none` if nobody waited.
    #[inline]
    fn take(&self, if_none: u64, always: u64) -> Option<NonZeroU64> {
        // Relaxed: the compare-and-swap decides.
        let mut word = self.0.load(Relaxed);
        loop {
            let waiter = word & WAITER;
            if mutated!("side_event_skips_rmw") && waiter == 0 && word & READY != 0 && always == 0 {
                return None;
            }
            let taken = if mutated!("side_event_leaves_waiter") && always == 0 { 0 } else { WAITER };
            let left = (word & !taken) | always | if waiter == 0 { if_none } else { 0 };
            // AcqRel: Acquire pairs with `commit`, the waiter's context; Release pairs with
            // `begin_try`, the deadline stored or the data seen before. Also if nothing changes.
            // Relaxed on failure: we look again.
            match self.0.compare_exchange_weak(word, left, AcqRel, Relaxed) {
                Ok(_) => return NonZeroU64::new(waiter),
                Err(now) => word = now,
            }
        }
    }

    /// Whether somebody waits: a racy look.
    #[inline]
    pub fn has_waiter(&self) -> bool {
        // Relaxed: for dumps and checks.
        self.0.load(Relaxed) & WAITER != 0
    }

    /// Whether the side is closed.
    #[inline]
    pub fn is_closed(&self) -> bool {
        // Relaxed: the bit alone is asked for; nothing is read because of it.
        self.0.load(Relaxed) & CLOSED != 0
    }
}

impl Default for SideWord {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for SideWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Relaxed: a picture for people.
        let word = self.0.load(Relaxed);
        f.debug_struct("SideWord")
            .field("waiter", &format_args!("{:#x}", word & WAITER))
            .field("ready", &(word & READY != 0))
            .field("closed", &(word & CLOSED != 0))
            .field("drained", &(word & DRAINED != 0))
            .field("always_try", &(word & ALWAYS_TRY != 0))
            .finish()
    }
}

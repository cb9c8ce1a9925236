//! One parked goroutine or thread whose waits end by a token or by a look at the clock.
//!
//! # States
//! The id of the party (so that a late unpark cannot reach the next user of its record), and four
//! bits:
//!
//! | bit | meaning | set by | cleared by |
//! |---|---|---|---|
//! | TOKEN | an unpark not yet taken | `unpark` | `take_token` |
//! | KICKED | look at the clock again | `kick`, if nobody waited | a commit that it makes refuse |
//! | PARKED | waits for either | `commit_park` | `unpark`, `kick` |
//! | SLEEPING | waits for a kick | `commit_sleep` | `kick` |
//!
//! The party goes round: take the token (not for a sleep), look at the clock, arm the timer, leave
//! the stack; the scheduler commits; refused or woken: round again.
//!
//! # The argument
//! **No lost wake-up.** Commit, unpark and kick are read-modify-writes of one word. One that comes
//! before the commit has left its bit, and the commit refuses; one that comes after finds PARKED or
//! SLEEPING. So a timer may come up between arming and commit, and nothing else guards that window.
//!
//! **Readied once.** Leaving PARKED or SLEEPING is one compare-and-swap, whoever wins it readies.
//!
//! **A stale kick is harmless.** It says no more than "look at the clock": a timer that comes up for
//! a wait that is over costs the next one a round. So timers need no generation (as in `side_word`).
//!
//! **A token is told from a kick.** An unpark that ends a park leaves the token, too, and the party
//! alone takes it: a park that ended without one ended by its deadline.
//!
//! **Unpark and kick synchronise, also if their bit is there already.** What a thread wrote before is
//! visible to the party that takes the token or is refused: the chain of read-modify-writes is read
//! by an Acquire. The same argument as in std's futex parker.
//!
//! Models: `wake_word/model.rs`. Source: std `sys/sync/thread_parking/futex.rs`.

use core::fmt;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use crate::atomics::{AtomicU64, const_unless_loom};
use crate::mutate::mutated;

#[cfg(test)]
mod model;
#[cfg(all(test, not(gort_loom)))]
mod tests;

const TOKEN: u64 = 1;
const KICKED: u64 = 1 << 1;
const PARKED: u64 = 1 << 2;
const SLEEPING: u64 = 1 << 3;
const ID_SHIFT: u32 = 4;

/// The state of one party that waits. See the [module's documentation](self).
pub struct WakeWord(AtomicU64);

impl WakeWord {
    const_unless_loom! {
        /// Nobody's, running.
        pub const fn new() -> Self {
            Self(AtomicU64::new(0))
        }
    }

    /// For the party `id` (of which 60 bits count), new on this record.
    #[inline]
    pub fn reset(&self, id: u64) {
        // Relaxed: the record is handed on by its owner, who synchronises. A kick for the last user
        // may come before or after, and is stale.
        #[cfg(not(gort_loom))]
        self.0.store(id << ID_SHIFT, Relaxed);
        // Loom may order a plain store before an RMW that did not see it; a swap it orders as a processor does.
        #[cfg(gort_loom)]
        self.0.swap(id << ID_SHIFT, Relaxed);
    }

    /// Takes the token if there is one. The party itself calls this.
    #[inline]
    pub fn take_token(&self) -> bool {
        // Relaxed: only decides whether the RMW is worth it; a token seen too late makes the commit
        // refuse.
        if self.0.load(Relaxed) & TOKEN == 0 {
            return false;
        }
        // Acquire: pairs with the AcqRel in `unpark`. Only the party clears TOKEN, so it is there.
        self.0.fetch_and(!TOKEN, Acquire);
        true
    }

    /// Parks. False: a token or a kick is there, go round again.
    ///
    /// On the scheduler's stack: after true, anybody may resume the party.
    #[inline]
    #[must_use = "a party that was refused must go round again"]
    pub fn commit_park(&self) -> bool {
        self.commit(TOKEN | KICKED, PARKED)
    }

    /// Sleeps: no token ends it. False: a kick is there, look at the clock again. As
    /// [`commit_park`](Self::commit_park).
    #[inline]
    #[must_use = "a party that was refused must go round again"]
    pub fn commit_sleep(&self) -> bool {
        self.commit(KICKED, SLEEPING)
    }

    #[inline]
    fn commit(&self, refuse: u64, state: u64) -> bool {
        let refuse = if mutated!("wake_commit_ignores_kick") { refuse & !KICKED } else { refuse };
        let refuse = if mutated!("wake_commit_ignores_token") { refuse & !TOKEN } else { refuse };
        // Relaxed: the compare-and-swap decides.
        let mut word = self.0.load(Relaxed);
        loop {
            debug_assert!(word & (PARKED | SLEEPING) == 0, "WakeWord: committed twice");
            let refused = word & refuse != 0;
            let next = if refused { word & !KICKED } else { word | state };
            // AcqRel: Release pairs with `end`, whoever ends the wait sees the saved context; Acquire
            // pairs with it, too, a party that is refused sees what was written before.
            // Relaxed on failure: we look again.
            match self.0.compare_exchange_weak(word, next, AcqRel, Relaxed) {
                Ok(_) => return !refused,
                Err(now) => word = now,
            }
        }
    }

    /// Leaves a token for the party `id`, if the record is still its. True: it was parked and the
    /// caller must ready it.
    #[inline]
    #[must_use = "a parked party must be readied"]
    pub fn unpark(&self, id: u64) -> bool {
        let ends = if mutated!("wake_unpark_ends_sleep") { PARKED | SLEEPING } else { PARKED };
        self.end(Some(id), ends, TOKEN, TOKEN)
    }

    /// A deadline came up. True: the party waited, and the caller must ready it.
    #[inline]
    #[must_use = "a waiting party must be readied"]
    pub fn kick(&self) -> bool {
        self.end(None, PARKED | SLEEPING, KICKED, 0)
    }

    /// Ends one of `states` and leaves `ended`; if the party is in none of them, leaves `missed`.
    #[inline]
    fn end(&self, id: Option<u64>, states: u64, missed: u64, ended: u64) -> bool {
        // Relaxed: the compare-and-swap decides; an id never comes back to a record, so an old look
        // at it is enough to turn somebody away.
        let mut word = self.0.load(Relaxed);
        loop {
            let is_other = id.is_some_and(|id| word >> ID_SHIFT != (id << ID_SHIFT) >> ID_SHIFT);
            if is_other && !mutated!("wake_unpark_any_id") {
                return false;
            }
            let waits = word & states != 0;
            if mutated!("wake_skips_rmw") && !waits && word & missed != 0 {
                return false;
            }
            let next = if waits { (word & !states) | ended } else { word | missed };
            // AcqRel: Acquire pairs with `commit`, the saved context; Release pairs with
            // `take_token` and `commit`, what the caller wrote before. Also if nothing changes.
            // Relaxed on failure: we look again.
            let order = if mutated!("wake_end_without_release") { Acquire } else { AcqRel };
            match self.0.compare_exchange_weak(word, next, order, Relaxed) {
                Ok(_) => return waits,
                Err(_) if mutated!("wake_end_without_cas") && waits => return true,
                Err(now) => word = now,
            }
        }
    }
}

impl Default for WakeWord {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for WakeWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Relaxed: a picture for people.
        let word = self.0.load(Relaxed);
        f.debug_struct("WakeWord")
            .field("id", &(word >> ID_SHIFT))
            .field("token", &(word & TOKEN != 0))
            .field("kicked", &(word & KICKED != 0))
            .field("parked", &(word & PARKED != 0))
            .field("sleeping", &(word & SLEEPING != 0))
            .finish()
    }
}

//! One waiter, several things that may end its wait, and exactly one that does.
//!
//! A goroutine in a `select!` stands in the queues of several channels at once, has a deadline, and
//! may be cancelled. Whoever wants to give it something must be the only one.
//!
//! # States
//!
//! | state | meaning | set by |
//! |---|---|---|
//! | WAITING | anybody may take it | the waiter, when the wait begins |
//! | TAKEN by *n* | whoever serves case *n* hands something over, or takes it away | [`take`](Claim::take) |
//! | DONE by *n*, outcome | the hand-over is complete | [`finish`](Claim::finish), by who took it |
//!
//! The waiter takes its own claim in order to give up. The word lies on its stack.
//!
//! # The argument
//! **One winner.** WAITING is left by compare-and-swap only, and never entered again in one wait.
//!
//! **The hand-over is whole.** What the winner did to the waiter's memory happens before `finish`, a
//! Release; the waiter looks at its slot after [`state`](Claim::state), an Acquire, has said DONE.
//!
//! **The memory is there.** A loser finds the claim through a node of a queue, under the queue's
//! lock, and the waiter does not leave before it has taken its nodes out under those locks. The
//! winner needs no lock between `take` and `finish`: TAKEN holds the waiter. `finish` is its last
//! access; it copies whom to wake before.
//!
//! **The waiter is woken.** The winner kicks it (`wake_word`) after `finish`. One that finds TAKEN
//! sleeps like one that finds WAITING, so a winner may take its time, sleep even, in between; but it
//! is too late to give up then, whatever the clock says.
//!
//! Rejected: locking all queues of a `select!` at once (Go): two locks per case and a sort.
//! Models: `claim/model.rs`. Source: crossbeam-channel `context.rs`, `Context::try_select`.

use core::fmt;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::atomics::{AtomicU32, const_unless_loom};
use crate::mutate::mutated;

#[cfg(test)]
mod model;

const WAITING: u32 = 0;
const TAKEN: u32 = 1;
const DONE: u32 = 2;
const OUTCOME_SHIFT: u32 = 2;
const CASE_SHIFT: u32 = 8;
/// The case of a waiter that gives up.
const MYSELF: u32 = Claim::CASES - 1;

/// Who ends a wait. See the [module's documentation](self).
pub struct Claim(AtomicU32);

/// One that waits: what the protocols here need to know of it.
pub trait Party {
    /// How it is known to others.
    type Id: Copy;

    /// Its own.
    fn id(&self) -> Self::Id;

    /// True if it does not want to wait any longer: its time is over, or somebody has called it off.
    fn is_late(&self) -> bool;

    /// Sleeps until it is kicked, or for no reason. With `may_leave` it is kicked, too, when [`is_late`](Self::is_late) becomes true.
    fn sleep(&self, may_leave: bool);
}

impl<P: Party> Party for &P {
    type Id = P::Id;

    fn id(&self) -> P::Id {
        (**self).id()
    }

    fn is_late(&self) -> bool {
        (**self).is_late()
    }

    fn sleep(&self, may_leave: bool) {
        (**self).sleep(may_leave);
    }
}

/// How a wait has ended: by which case, with which outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// The case given to [`Claim::take`].
    pub case: u32,
    /// The outcome given to [`Claim::finish`].
    pub outcome: u8,
}

/// What has become of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing yet.
    Waiting,
    /// Somebody is at it, and will wake the waiter when it is done.
    Taken,
    /// It is over.
    Done(End),
}

impl Claim {
    /// Cases are numbered below this.
    pub const CASES: u32 = 1 << (32 - CASE_SHIFT);

    const_unless_loom! {
        /// A wait that begins.
        pub const fn new() -> Self {
            Self(AtomicU32::new(WAITING))
        }
    }

    /// Tries to be the one that ends the wait, for `case`. True: the caller must [`finish`](Self::finish).
    #[inline]
    #[must_use = "who has taken a claim must finish it"]
    pub fn take(&self, case: u32) -> bool {
        debug_assert!(case < Self::CASES, "Claim::take: no such case");
        let taken = TAKEN | case << CASE_SHIFT;
        if mutated!("claim_take_without_cas") {
            let free = self.0.load(Relaxed) == WAITING;
            if free {
                self.0.store(taken, Relaxed);
            }
            return free;
        }
        // The Acquire pairs with nothing, since no Release stores WAITING: that the winner sees the waiter's slot is due to the lock under which
        // it found the waiter's node. Relaxed on failure: the loser touches nothing.
        self.0.compare_exchange(WAITING, taken, Acquire, Relaxed).is_ok()
    }

    /// Ends the wait that the caller has taken. The waiter's memory is not the caller's from here on.
    #[inline]
    pub fn finish(&self, outcome: u8) {
        debug_assert!(u32::from(outcome) < 1 << (CASE_SHIFT - OUTCOME_SHIFT));
        // Relaxed: the caller's own store, in `take`; or the waiter's own, which has handed the claim over with a Release (`Taken::directly`).
        let taken = self.0.load(Relaxed);
        debug_assert!(taken & 3 == TAKEN, "Claim::finish: not taken");
        // Release: pairs with the Acquire in `state`; the waiter sees what it was given.
        let order = if mutated!("claim_finish_relaxed") { Relaxed } else { Release };
        self.0.store((taken & !3) | DONE | u32::from(outcome) << OUTCOME_SHIFT, order);
    }

    /// What has become of the wait.
    #[inline]
    pub fn state(&self) -> State {
        // Acquire: pairs with the Release in `finish`.
        let word = self.0.load(Acquire);
        match word & 3 {
            WAITING => State::Waiting,
            TAKEN => State::Taken,
            _ => State::Done(End {
                case: word >> CASE_SHIFT,
                outcome: ((word >> OUTCOME_SHIFT) & ((1 << (CASE_SHIFT - OUTCOME_SHIFT)) - 1)) as u8,
            }),
        }
    }

    /// True if somebody has been the one that ends the wait.
    #[inline]
    pub fn is_taken(&self) -> bool {
        self.state() != State::Waiting
    }

    /// Ends the caller's own wait with nothing; false if somebody has been faster.
    pub fn give_up(&self) -> bool {
        let is_first = self.take(MYSELF);
        if is_first {
            self.finish(0);
        }
        is_first
    }

    /// Waits until somebody has ended the wait, or the party is late: `None`, and nobody will end it any more.
    #[inline(always)]
    pub fn wait(&self, party: &impl Party) -> Option<End> {
        let mut has_slept = false;
        loop {
            let may_leave = match self.state() {
                State::Done(end) => return Some(end),
                State::Taken => false,
                State::Waiting => {
                    let is_late = party.is_late() && !(has_slept && mutated!("claim_looks_at_the_clock_once"));
                    if is_late && self.give_up() {
                        return None;
                    }
                    !is_late
                }
            };
            party.sleep(may_leave);
            has_slept = true;
        }
    }
}

impl Default for Claim {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Claim").field(&self.state()).finish()
    }
}

#[cfg(all(test, not(gort_loom)))]
mod tests {
    use super::{Claim, End, State};

    #[test]
    fn a_claim_is_taken_once_and_says_by_whom_and_how_it_ended() {
        let claim = Claim::new();
        assert_eq!(claim.state(), State::Waiting);
        assert!(claim.take(Claim::CASES - 1));
        assert!(!claim.take(3));
        assert_eq!(claim.state(), State::Taken);
        claim.finish(63);
        assert!(!claim.take(3));
        assert_eq!(claim.state(), State::Done(End { case: Claim::CASES - 1, outcome: 63 }));
    }
}

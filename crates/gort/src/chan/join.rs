//! The `join` arm of a `select!`: the end of a goroutine beside what channels have to offer.
//!
//! A goroutine's end has no queue: the join word (`spawn::join`) has room for one who waits, which is enough, since the arm borrows the handle
//! mutably. Nor has it a lock, so who ends cannot take the claim of a `select!`: it kicks the party that waits, which then looks at its arms
//! ([`Arm::has_come`]) and gives its claim up. Losing takes the address out of the word again; a kick that is already on its way says no more
//! than "look".
//!
//! The result stays with the goroutine until the arm has won, so a losing arm has nothing to give back. A handle whose result an arm has taken is as
//! a channel on which nothing ever comes.

use super::arm::Arm;
use super::arm::sealed::Sealed;
use super::look::Look;
use crate::g::Source;
use crate::spawn::join::Share;
use crate::timer::NEVER;
use crate::wait::Caller;
use gort_lockfree::claim::Claim;
use std::cell::Cell;
use std::fmt;
use std::panic::Location;

/// `join(handle)`.
#[doc(hidden)]
pub struct JoinArm<'a, T> {
    share: &'a mut Share<T>,
    /// Who stands in the word.
    stands: Cell<Option<Caller>>,
}

impl<'a, T> JoinArm<'a, T> {
    /// See the trait.
    pub fn new(share: &'a mut Share<T>) -> Self {
        Self { share, stands: Cell::new(None) }
    }

    /// The result, once it has won.
    ///
    /// # Panics
    /// If it has not.
    #[track_caller]
    pub fn take(&mut self) -> std::thread::Result<T> {
        assert!(self.share.is_ready(), "select: this operation was not selected");
        self.share.join(Location::caller())
    }
}

impl<T> JoinArm<'_, T> {
    fn leave(&self) {
        if let Some(caller) = self.stands.take() {
            self.share.delist(caller.me);
        }
    }
}

impl<T> Drop for JoinArm<'_, T> {
    fn drop(&mut self) {
        // Nothing unwinds while it stands; if something did, the word must not keep an address that the next wait does not expect.
        self.leave();
    }
}

impl<T> Sealed for JoinArm<'_, T> {}

impl<T> Arm for JoinArm<'_, T> {
    fn attempt(&self, _: Caller) -> bool {
        self.share.is_ready()
    }

    fn look(&self) -> Look {
        if self.share.is_ready() { Look::COME } else { Look::NOTHING }
    }

    fn is_ready(&self) -> bool {
        self.share.is_ready()
    }

    fn has_come(&self) -> bool {
        self.share.is_ready()
    }

    unsafe fn enlist(&self, caller: Caller, _: &Claim, _: u32, _: bool) -> bool {
        if self.share.is_joined() {
            return false;
        }
        let stands = self.share.enlist(caller.me);
        self.stands.set(stands.then_some(caller));
        !stands
    }

    unsafe fn delist(&self) {
        self.leave();
    }

    unsafe fn settle(&self, _: u8) -> bool {
        unreachable!("a goroutine's end takes no claim")
    }

    fn prospect(&self) -> (u64, Source) {
        (NEVER, Source::Other)
    }
}

impl<T> fmt::Debug for JoinArm<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("JoinArm").field(&self.share).finish()
    }
}

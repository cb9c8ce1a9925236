//! A glance at a channel, without its lock: may an operation go on?
//!
//! Most looks of a `select!` with `default` find nothing. They should cost a few loads and no call, so all of this is inlined where the `select!`
//! stands, and whatever may be something is left to [`select`](super::arm::select).
//!
//! **None can go on** is said only of a moment at which none could. A value may move from a channel that has not been looked at yet to one that
//! has; so each channel counts its changes, and as long as there were any in between, all are looked at again. The counts only grow: what
//! looks the same twice has not changed meanwhile, and the moment between both rounds is that moment. One alone is looked at in one moment anyway.

use super::arm::Limit;
use super::core::{CHANGE, Chan, READABLE, WRITABLE};
use crate::sched;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::sync::atomic::fence;

/// What a glance has shown: in the lowest bit whether there may be something, above it the number of changes.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look(u32);

impl Look {
    /// There is nothing, nor was there before.
    pub(super) const NOTHING: Self = Self(0);
    /// There was nothing before, and now there will always be something.
    pub(super) const COME: Self = Self(CHANGE | 1);
    /// Only an attempt can tell.
    pub(super) const PERHAPS: Self = Self(1);

    /// Another number than before if an operation that has failed could go on now.
    pub(super) fn changes(self) -> u32 {
        self.0 / CHANGE
    }

    #[inline(always)]
    fn is_hopeful(self) -> bool {
        self.0 & 1 != 0
    }
}

impl<T> Chan<T> {
    /// For a receive.
    #[inline(always)]
    pub(super) fn look_for_value(&self) -> Look {
        let hint = self.hint();
        Look(hint & !(CHANGE - 1) | u32::from(hint & READABLE != 0))
    }

    /// For a send: room, or a receiver.
    #[inline(always)]
    pub(super) fn look_for_room(&self) -> Look {
        let hint = self.hint();
        Look(hint & !(CHANGE - 1) | u32::from(hint & WRITABLE != 0))
    }

    /// False: a receive finds nothing now.
    #[inline(always)]
    pub(super) fn seems_readable(&self) -> bool {
        self.look_for_value().is_hopeful()
    }

    /// False: a send finds neither room nor a receiver now.
    #[inline(always)]
    pub(super) fn seems_writable(&self) -> bool {
        self.look_for_room().is_hopeful()
    }

    #[inline(always)]
    fn hint(&self) -> u32 {
        // Relaxed: whoever knows of a call has synchronised with it. For several channels see `is_hopeless`.
        self.hint.load(Relaxed)
    }
}

/// True if a `select!` need not begin: it would not wait, and none of its operations can go on. `look` looks at all of them, in one round.
#[doc(hidden)]
#[inline(always)]
pub fn is_hopeless<const N: usize>(limit: &Limit, look: impl Fn() -> [Look; N]) -> bool {
    if !matches!(limit, Limit::NotAtAll) {
        return false;
    }
    let first = look();
    if first.iter().any(|look| look.is_hopeful()) {
        return false;
    }
    if N > 1 {
        // Acquire: pairs with the Release in `publish`. The second round sees of each party that the first has seen what it had done before.
        fence(Acquire);
        if look() != first {
            return false;
        }
    }
    // A loop around it gives way like any other that calls gort.
    !sched::is_wanted()
}

//! What gort itself keeps in thread-locals for the party that runs.
//!
//! In migrating mode they lie in the goroutine's own thread block, and nobody has to do anything. In bound mode all goroutines of an M have one
//! set of thread-locals, so an M keeps the words of a goroutine that has left, at the upper end of that one's stack, and puts them back when it
//! resumes it. Whoever comes next, the M's own loop included, finds none set.

use crate::context::{Context, ambient};
use crate::g::G;
use crate::spawn::local::{self, Values};
use crate::spawn::report;
use crate::stack::layout::WORDS_BYTES;
use std::ptr;

/// The words of one party.
pub(crate) struct Words {
    current: Option<&'static G>,
    context: *const Context,
    spoken: Option<report::Mark>,
    values: *mut Values,
}

impl Words {
    /// Nobody's.
    pub(super) const NONE: Words = Words { current: None, context: ptr::null(), spoken: None, values: ptr::null_mut() };

    /// Makes these the calling thread's and returns those that were.
    pub(crate) fn replace(self) -> Words {
        Words {
            current: super::run::replace_current(self.current),
            context: ambient::replace(self.context),
            spoken: report::replace_spoken(self.spoken),
            values: local::replace(self.values),
        }
    }
}

const _: () = assert!(size_of::<Words>() <= WORDS_BYTES && align_of::<Words>() <= 64);

/// Where the words of `g`, which has a stack, are kept: below the name of its slot.
fn place(g: &'static G) -> *mut Words {
    ptr::with_exposed_provenance_mut(g.tp.get() - WORDS_BYTES)
}

/// `g` begins.
///
/// # Safety
/// It has a stack, in bound mode, and has not run.
pub(super) unsafe fn begin(g: &'static G) {
    // SAFETY: the place is part of the slot, and nobody's frame.
    unsafe { place(g).write(Words::NONE) };
}

/// `g` is about to be resumed by the calling M.
///
/// # Safety
/// It has left its stack, in bound mode, or [`begin`] was called.
pub(super) unsafe fn come(g: &'static G) {
    // SAFETY: `begin` and `go` have written there. A copy, which counts from here on.
    unsafe { place(g).read() }.replace();
}

/// `g` has left to the calling M.
///
/// # Safety
/// As [`come`].
pub(super) unsafe fn go(g: &'static G) {
    // SAFETY: as in `begin`; a goroutine that has ended has its stack until `settle`.
    unsafe { place(g).write(Words::NONE.replace()) };
}

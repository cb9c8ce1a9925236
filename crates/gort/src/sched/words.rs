//! What gort itself keeps in thread-locals for the party that runs.
//!
//! In migrating mode they lie in the goroutine's own thread block, and nobody has to do anything. In bound mode all goroutines of an M have one
//! set of thread-locals, so each takes its words along when it leaves, onto its own stack, and puts them back when it is resumed: on the same
//! thread, since it is bound. Whoever comes next, the M's own loop included, finds none set.

use crate::context::{Context, ambient};
use crate::g::G;
use crate::spawn::local::{self, Values};
use crate::spawn::report;
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

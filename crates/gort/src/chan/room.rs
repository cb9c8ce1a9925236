//! The room of an unbounded channel: it grows with the backlog, and is given back as the backlog is received.
//!
//! Half of it goes when three quarters are free. So between two changes of its size at least a quarter of the ring is sent or received, which is
//! what moving the rest costs; and a queue that swings up to [`KEPT`] values allocates nothing once it has been that long. A channel with a
//! capacity keeps its room: whoever named the capacity has said how much it may be.

use super::core::{Chan, Inner};
use std::collections::VecDeque;

/// Room for so many values stays.
const KEPT: usize = 256;

impl<T> Chan<T> {
    /// A value has been taken out of the ring.
    #[inline(always)]
    pub(super) fn give_room_back(&self, inner: &mut Inner<T>) {
        let room = inner.ring.capacity();
        if room > KEPT && inner.ring.len() <= room / 4 && self.capacity == usize::MAX && size_of::<T>() > 0 {
            halve(&mut inner.ring);
        }
    }
}

#[cold]
fn halve<T>(ring: &mut VecDeque<T>) {
    ring.shrink_to((ring.capacity() / 2).max(KEPT));
}

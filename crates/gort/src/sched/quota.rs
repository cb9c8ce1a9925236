//! The number of Ps follows the CPU quota and the affinity mask while the program runs, as long as nobody has said a number: neither the environment
//! nor a builder nor `set_max_procs`.
//!
//! Sysmon looks while something runs. An idle process is not woken for it: the number does not matter there, and whatever runs next is looked at.
//! A look opens a handful of files, 100 µs and more, hence seldom, and the more seldom the longer it takes: mount tables can be long.

use super::resize;
use crate::sys::{clock, cpu};

const SHORTEST_NS: u64 = 2_000_000_000;
/// A change is followed within 30 s.
const LONGEST_NS: u64 = 20_000_000_000;
/// A look may use this part of the time.
const SHARE: u64 = 1000;

/// What sysmon remembers from look to look.
#[derive(Debug)]
pub(super) struct Watch {
    next_ns: u64,
}

impl Watch {
    pub(super) fn new() -> Self {
        // The number has just been found out.
        Self { next_ns: clock::now_ns() + SHORTEST_NS }
    }

    /// Looks if it is time. Something runs.
    #[inline]
    pub(super) fn look(&mut self, now_ns: u64) {
        if now_ns >= self.next_ns && resize::follows() {
            self.follow(now_ns);
        }
    }

    #[cold]
    fn follow(&mut self, now_ns: u64) {
        // What cannot be read any more is no reason to change anything.
        if let Ok(count) = cpu::procs_now() {
            resize::follow(count);
        }
        let end_ns = clock::now_ns();
        self.next_ns = end_ns + ((end_ns - now_ns) * SHARE).clamp(SHORTEST_NS, LONGEST_NS);
    }
}

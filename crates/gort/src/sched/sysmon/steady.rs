//! A clock that is fair to those who are watched.

use crate::sys::clock;

/// Sysmon may be late by so much without more ado: see `Steady`.
const LATE_NS: u64 = 5_000_000;

/// The clock by which sysmon judges others: it stands still while sysmon itself, which had a time to be woken, did not run. Then the whole process was
/// stopped, most likely, by a signal, a debugger or the kernel (a control group's quota), and nobody is to blame. Should only sysmon have been
/// kept from running, it judges a little later.
#[derive(Default)]
pub(super) struct Steady {
    /// What it has stood still.
    pub(super) lost_ns: u64,
}

impl Steady {
    pub(super) fn at(&self, now_ns: u64) -> u64 {
        now_ns - self.lost_ns
    }

    /// Sysmon has waited, until this time at most.
    pub(super) fn has_waited(&mut self, until_ns: u64) {
        self.lost_ns += clock::now_ns().saturating_sub(until_ns.saturating_add(LATE_NS));
    }
}

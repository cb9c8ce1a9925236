//! The watchdog: says who keeps a thread for long, and why.
//!
//! | file | what it looks for |
//! |---|---|
//! | `stuck` | goroutines that have lost their P and not come back |
//! | `waits` | who waits for whom: locks, joins, scopes |
//! | `locks` | locks that are held by somebody who waits |
//! | `search` | who refers to a channel |
//! | `asleep` | goroutines that sleep for ever because of channels |
//! | `deadlocks` | goroutines that wait for one another, as values |
//! | `circles` | all of that, and says what is new |
//! | `print` | nothing; it prints, on a thread of its own |
//!
//! Everything here is sysmon's, and found out when something is to be said: a program without such goroutines pays nothing. Each call site is
//! reported once. `GORT_WATCHDOG` and `GORT_WATCHDOG_AFTER`, or the runtime's builder, say whether, and after what time.

mod asleep;
mod circles;
pub(crate) mod deadlocks;
mod locks;
mod print;
pub(crate) mod search;
mod stuck;
mod waits;

use super::M;
use super::hogs::Hogs;
use super::{SCHED, fixed, snapshot, stop};
use crate::config::WatchdogPolicy;
use crate::dump;
use crate::g::{Status, registry};
use crate::timer::NEVER;
use print::Printer;
use std::cell::Cell;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU8, AtomicU64};
use std::time::Duration;
use stuck::Stuck;

/// What is said of, if nobody says otherwise. Whatever others wait for, they do not wait for this: it is a hint, and should rarely be wrong.
pub(super) const AFTER: Duration = Duration::from_secs(5);

/// What each start may set anew.
pub(super) struct Settings {
    policy: AtomicU8,
    after_ns: AtomicU64,
}

impl Settings {
    pub(super) const fn new() -> Self {
        Self { policy: AtomicU8::new(WatchdogPolicy::Off as u8), after_ns: AtomicU64::new(0) }
    }

    // Relaxed, all of them: written before the phase says that the runtime runs, as the other settings.

    pub(super) fn set(&self, policy: WatchdogPolicy, after: Duration) {
        self.policy.store(policy as u8, Relaxed);
        self.after_ns.store(crate::sys::clock::nanos(after), Relaxed);
    }

    fn is_on(&self) -> bool {
        self.policy.load(Relaxed) != WatchdogPolicy::Off as u8
    }

    fn aborts(&self) -> bool {
        self.policy.load(Relaxed) == WatchdogPolicy::Abort as u8
    }

    fn after_ns(&self) -> u64 {
        self.after_ns.load(Relaxed)
    }
}

/// How much there was to report, the repeated included.
pub(crate) struct Found {
    /// Goroutines without a P.
    pub(crate) stuck: AtomicU64,
    pub(crate) coarse_locks: AtomicU64,
    pub(crate) deadlocks: AtomicU64,
}

impl Found {
    pub(super) const fn new() -> Self {
        Self { stuck: AtomicU64::new(0), coarse_locks: AtomicU64::new(0), deadlocks: AtomicU64::new(0) }
    }
}

/// What sysmon knows. Times are those of its own clock, which stands still while the process does.
pub(super) struct Watch {
    stuck: Stuck,
    pub(super) hogs: Hogs,
    printer: Printer,
    /// When to look next at who waits for whom.
    waits_due_ns: u64,
    /// At the last such look: the time that was lost to stops before, and the moment, as waits are noted.
    lost_ns: u64,
    looked_ms: Option<u64>,
    /// The latest of the waits that began after that, and what there was to see when it was looked for.
    latest: Cell<(Option<u64>, Option<Seen>)>,
}

/// As long as this is the same nobody has begun to wait: all Ps are idle when it is asked for, and whoever has none comes from user code.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Seen {
    runs: u64,
    /// The sum of the numbers of the Ms' stays.
    stays: u64,
    looked_ms: Option<u64>,
}

impl Watch {
    pub(super) fn new() -> Self {
        Self {
            stuck: Stuck::new(),
            hogs: Hogs::new(),
            printer: Printer::new(),
            waits_due_ns: 0,
            lost_ns: 0,
            looked_ms: None,
            latest: Cell::new((None, None)),
        }
    }

    /// The goroutine on `m` has lost its P in its visit `seq` to user code, or keeps others waiting, or is blocked; its thread had used `cpu_ns` when it was seen there
    /// first. Not for marked sections: who has said that he may block is where he is supposed to be.
    pub(super) fn note(&mut self, m: &'static M, seq: u64, cpu_ns: u64, now_ns: u64) {
        if SCHED.watchdog.is_on() && stop::is_running() {
            self.stuck.add(m, seq, cpu_ns, now_ns);
        }
    }

    /// Whether [`note`](Self::note) was told of this visit, or need not be.
    pub(super) fn has_noted(&self, m: &'static M, seq: u64) -> bool {
        !SCHED.watchdog.is_on() || self.stuck.has(m, seq)
    }

    /// Looks whether there is something to say. `lost_ns`: for how long the process has been stopped until now.
    pub(super) fn look(&mut self, now_ns: u64, lost_ns: u64) {
        if !SCHED.watchdog.is_on() {
            return;
        }
        let after_ns = SCHED.watchdog.after_ns();
        while let Some(report) = self.stuck.next_report(now_ns, after_ns) {
            self.printer.print(&report, SCHED.watchdog.aborts());
        }
        if self.waits_due_ns == 0 {
            self.waits_due_ns = now_ns + after_ns;
        }
        if now_ns >= self.waits_due_ns && stop::is_running() {
            // Who waits goes by the usual clock. What was lost before the last look is of no account: from there on it has been this long.
            let age_ms = (after_ns + (lost_ns - self.lost_ns)) / 1_000_000;
            self.waits_due_ns = now_ns + after_ns;
            self.lost_ns = lost_ns;
            self.looked_ms = Some(dump::now_ms().saturating_sub(age_ms));
            self.printer.look(age_ms, SCHED.watchdog.aborts());
        }
    }

    /// When to look again in a process where nothing happens, by the usual clock: at those that keep threads; and at those that wait for others, when
    /// they have done so for long enough: once, if that look has shown all there is.
    pub(super) fn next_ns(&self, lost_ns: u64) -> u64 {
        if !SCHED.watchdog.is_on() {
            return NEVER;
        }
        let after_ns = SCHED.watchdog.after_ns();
        let due_ns = self
            .latest_ms()
            .map_or(circles::again_ns(), |ms| fixed().start_ns + (ms + 1) * 1_000_000 + after_ns)
            .max(self.waits_due_ns.saturating_add(lost_ns));
        self.stuck.next_ns(after_ns).saturating_add(lost_ns).min(due_ns)
    }

    /// When the last of those began to wait for others who have done so since the last look.
    fn latest_ms(&self) -> Option<u64> {
        let stays = snapshot::ms().fold(0, |sum: u64, m| sum.wrapping_add(m.stay.sample()));
        let seen = Some(Seen { runs: snapshot::runs(), stays, looked_ms: self.looked_ms });
        let (known_ms, known) = self.latest.get();
        if known == seen {
            return known_ms;
        }
        let mut latest_ms = None;
        registry::for_each(|g| {
            let (reason, since_ms) = g.wait();
            let is_new = self.looked_ms.is_none_or(|looked_ms| since_ms > looked_ms);
            if g.status() == Status::Waiting && !g.is_thread() && reason.is_for_others() && is_new {
                latest_ms = latest_ms.max(Some(since_ms));
            }
        });
        self.latest.set((latest_ms, seen));
        latest_ms
    }

    /// True while there is a thread that prints.
    pub(super) fn is_printing(&mut self) -> bool {
        self.printer.is_at_work()
    }
}

//! The clock behind `time::Timer` and `time::Ticker`: one due time, which can be moved while somebody waits for it.
//!
//! As with `after`, nothing runs while nobody waits: whoever receives waits until the due time with the timer that its own wait has anyway, and
//! takes the message when it gets there. So a timer that is made, reset and stopped without anybody waiting for it costs a lock and no heap
//! entry, and no message lies in a buffer: **after `stop` or `reset` has returned nobody receives a message of before**, since taking a message
//! and moving the due time exclude each other.
//!
//! States, under the lock: `due_ns` is the next message's time, [`NEVER`] if none will come; `period_ns` is 0 for a timer. Those who wait stand
//! in a list wanting news. Whoever moves the due time does so before it tells them; they stand in the list before they look at the due time for
//! their own timers. So nobody waits for a time that does not hold any more.
//!
//! A message's time is the due time as an [`Instant`]. The two clocks are compared once for the process ([`Anchor`]), so that a reset reads one of
//! them once; by as much as that comparison may be wrong, tens of nanoseconds, every message is late. So its time is never before the moment that
//! was asked for, and never after the one at which it is received.
//!
//! Source: Go 1.23 `time.go` (timers whose channel nobody waits on are in no heap; no stale values).

use super::core::Fail;
use crate::g::{GList, WaitList, Waiter};
use crate::prim::lock::Lock;
use crate::sched;
use crate::sys::clock;
use crate::timer::NEVER;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// See the module.
pub(crate) struct Alarm {
    inner: Lock<Inner>,
}

struct Inner {
    due_ns: u64,
    period_ns: u64,
    waiters: WaitList,
}

impl Alarm {
    /// One that is due `wait` from now, and each `period` after that, unless it is zero.
    pub(crate) fn new(wait: Duration, period: Duration) -> Self {
        let due_ns = due_after(wait);
        let period_ns = clock::nanos(period);
        Self { inner: Lock::new(Inner { due_ns, period_ns, waiters: WaitList::new() }) }
    }

    /// Takes the message that is due.
    pub(super) fn take(&self) -> Result<Instant, Fail> {
        let mut inner = self.inner.lock();
        let due_ns = inner.due_ns;
        if due_ns == NEVER {
            return Err(Fail::Late);
        }
        let now_ns = clock::now_ns();
        if now_ns < due_ns {
            return Err(Fail::Late);
        }
        inner.due_ns = match inner.period_ns {
            0 => NEVER,
            // Times that have passed meanwhile are left out; the others stay where they would have been.
            period_ns => due_ns.saturating_add(period_ns.saturating_mul(1 + (now_ns - due_ns) / period_ns)),
        };
        drop(inner);
        Ok(ANCHOR.instant(due_ns))
    }

    /// When the next message is due.
    pub(crate) fn due_ns(&self) -> u64 {
        self.inner.lock().due_ns
    }

    /// Moves the due time to `wait` from now, and the period. True if a message was to come, or had come and nobody had taken it.
    pub(crate) fn reset(&self, wait: Duration, period: Duration) -> bool {
        self.set(due_after(wait), clock::nanos(period))
    }

    /// No message will come. True as for [`reset`](Self::reset).
    pub(crate) fn stop(&self) -> bool {
        self.set(NEVER, 0)
    }

    fn set(&self, due_ns: u64, period_ns: u64) -> bool {
        let mut ready = GList::new();
        let mut inner = self.inner.lock();
        let was_active = inner.due_ns != NEVER;
        let before_ns = inner.due_ns;
        (inner.due_ns, inner.period_ns) = (due_ns, period_ns);
        // If it is later, those who wait look too early, and go on waiting.
        if inner.due_ns < before_ns {
            inner.waiters.tell(&mut ready);
        }
        drop(inner);
        sched::ready_list(&mut ready);
        was_active
    }

    /// Stands in the list; the node wants news.
    ///
    /// # Safety
    /// As for [`WaitList::push`], until after [`Alarm::leave`].
    pub(super) unsafe fn enter(&self, node: &Waiter) {
        // SAFETY: the caller's promise.
        unsafe { self.inner.lock().waiters.push(node) };
    }

    /// Leaves it.
    pub(super) fn leave(&self, node: &Waiter) {
        self.inner.lock().waiters.remove(node);
    }
}

/// The time `wait` from now.
fn due_after(wait: Duration) -> u64 {
    clock::after(wait).saturating_add(ANCHOR.slack_ns)
}

/// One moment by both clocks.
struct Anchor {
    /// Not before `ns`, and not more than `slack_ns` after it.
    instant: Instant,
    ns: u64,
    slack_ns: u64,
}

/// The best of some comparisons: the one between whose readings the least time has passed.
static ANCHOR: LazyLock<Anchor> = LazyLock::new(|| {
    let compare = |_| {
        let (ns, instant) = (clock::now_ns(), Instant::now());
        Anchor { instant, ns, slack_ns: clock::now_ns() - ns }
    };
    (0..32).map(compare).min_by_key(|anchor| anchor.slack_ns).expect("there are some")
});

impl Anchor {
    /// The due time `ns`, which has passed and lies `slack_ns` after what was asked for, as an instant between the two.
    fn instant(&self, ns: u64) -> Instant {
        let asked_ns = ns - self.slack_ns;
        if asked_ns >= self.ns {
            self.instant + Duration::from_nanos(asked_ns - self.ns)
        } else {
            self.instant - Duration::from_nanos(self.ns - asked_ns)
        }
    }
}

impl std::fmt::Debug for Alarm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Alarm").field("due_ns", &self.due_ns()).finish_non_exhaustive()
    }
}

//! Sysmon's own look at the network, for when no M has the time.
//!
//! Not while the Ms work through what the last poll has brought: more would only make their queues longer, and go before those who came first. On a busy server
//! with thousands of connections that is more than these 10 ms, and such polls cost 8 % of its CPU time (docs/decisions/0004). A limit remains: a poll may have
//! brought what is no run of a goroutine, such as a plain thread's turn.

use crate::g::GList;
use crate::netpoll::Batch;
use crate::sched::find::{POLL_BRIEF, POLL_NOBODY};
use crate::sched::{SCHED, fixed, snapshot};
use crate::sys::poller::Timeout;
use gort_lockfree::runq::CAP;
use std::sync::atomic::Ordering::{Acquire, Relaxed, SeqCst};

const GAP_NS: u64 = 10_000_000;
/// The same when every P is in the hands of an M that does not poll.
const GAP_HOGGED_NS: u64 = 1_000_000;
/// The same while what the last poll has brought has not all run.
const GAP_BUSY_NS: u64 = 50_000_000;

pub(super) struct Poll {
    batch: Batch,
    /// When the last poll was that has been seen, and how many runs there had been by then.
    seen_ns: u64,
    seen_runs: u64,
}

impl Poll {
    pub(super) fn new() -> Self {
        Self { batch: Batch::new(), seen_ns: 0, seen_runs: 0 }
    }

    /// Polls if nobody has for long enough.
    pub(super) fn look(&mut self, now_ns: u64, is_hogged: bool, ready: &mut GList) {
        // Relaxed: hints.
        let last_ns = SCHED.last_poll_ns.load(Relaxed);
        let runs = snapshot::runs();
        if self.seen_ns != last_ns {
            (self.seen_ns, self.seen_runs) = (last_ns, runs);
        }
        let has_idle = SCHED.spinning.idle() > 0;
        let left = (SCHED.last_poll_events.load(Relaxed) as u64).saturating_sub(runs.saturating_sub(self.seen_runs));
        if now_ns.saturating_sub(last_ns) < gap_ns(is_hogged, has_idle, left)
            || SCHED.polling.load(Relaxed) != POLL_NOBODY
        {
            return;
        }
        // Acquire and Release: the poller's duty is a lock that is only ever tried.
        if SCHED.polling.compare_exchange(POLL_NOBODY, POLL_BRIEF, Acquire, Relaxed).is_err() {
            return;
        }
        let before = ready.len();
        fixed().netpoll.poll(&mut self.batch, CAP, Timeout::Now, ready);
        SCHED.last_poll_events.store(ready.len() - before, Relaxed);
        SCHED.last_poll_ns.store(now_ns, Relaxed);
        SCHED.polling.store(POLL_NOBODY, SeqCst);
        SCHED.sysmon_polls.fetch_add(1, Relaxed);
    }
}

/// So long nobody may have polled; `left` of what the last poll has brought have not run.
fn gap_ns(is_hogged: bool, has_idle: bool, left: u64) -> u64 {
    match is_hogged {
        true if !has_idle => GAP_HOGGED_NS,
        false if left > 0 => GAP_BUSY_NS,
        _ => GAP_NS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Turns of plain threads are events, and no runs: what is left of a batch may be left for ever.
    #[test]
    fn what_is_left_of_a_batch_keeps_the_network_waiting_for_50_ms_at_most() {
        assert_eq!(gap_ns(false, false, u64::MAX), 50_000_000);
        assert_eq!(gap_ns(false, true, 1), 50_000_000);
        assert_eq!(gap_ns(false, false, 0), 10_000_000);
        // Whoever has all Ps does not poll, whatever is left.
        assert_eq!(gap_ns(true, false, 1), 1_000_000);
        assert_eq!(gap_ns(true, true, 1), 10_000_000);
    }
}

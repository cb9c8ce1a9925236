//! Threads that nobody needs leave.
//!
//! After a burst of blocking calls there are as many Ms as there were calls at once. They cost a kernel stack, a megabyte of address space and what
//! was touched of it, each. So an M that becomes idle while there are enough idle ones sleeps with a limit; when that has come, it takes itself
//! out of the idle ones and ends (`leave`). Its record waits for the next thread. The *warm* ones, who find few idle, sleep without a limit: so the
//! next burst finds somebody, and a process at rest makes no wake-ups.
//!
//! They go and stay by themselves, one wake-up for each that goes. The list of idle Ms is a stack, so it is the latest of them that work, and the
//! earliest that have been idle for long.
//!
//! Nobody is left behind: who leaves has no P and is in no list, so it has no duty either. Whoever looks for an M and finds none asks for a new
//! thread. One that somebody has taken out of the list meanwhile is needed, and stays.
//!
//! Source: golang/go#14592, which is what it is like without. Rejected: sysmon looks after them (it sleeps when all are idle).

use super::global::Central;
use super::{M, SCHED, bound};
use crate::sys::clock;
use crate::timer::NEVER;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// What is kept without a setting.
pub(super) const KEEP: Duration = Duration::from_secs(10);
/// So many more Ms than Ps are kept asleep for ever. One that polls and one that minds timers may come on top: they have a duty.
const WARM: usize = 2;

/// As a setting is kept: nanoseconds, [`NEVER`] for what is longer than they can say.
pub(super) fn keep_ns(keep: Duration) -> u64 {
    u64::try_from(keep.as_nanos()).unwrap_or(NEVER)
}

fn is_spare(central: &Central) -> bool {
    // Relaxed: a setting may change at any time.
    central.idle_m_count > SCHED.procs.load(Relaxed) + WARM
}

/// When `m`, which is among the idle ones and minds no timers, should leave; [`NEVER`]: it is one of the warm ones.
pub(super) fn leave_time(central: &Central, m: &'static M) -> u64 {
    // Relaxed: a setting of the start.
    let keep_ns = SCHED.thread_keep_ns.load(Relaxed);
    if keep_ns == NEVER || !is_spare(central) || bound::must_stay(m) {
        return NEVER;
    }
    clock::now_ns().saturating_add(keep_ns)
}

/// Takes `m` out of the idle ones if that time has come and it is still one too many. It is to end then.
pub(super) fn leaves(m: &'static M, leave_ns: u64) -> bool {
    if leave_ns == NEVER || clock::now_ns() < leave_ns {
        return false;
    }
    let mut central = SCHED.central.lock();
    // What stops the runtime dismisses those it finds, and waits for them.
    is_spare(&central) && !central.phase.lets_ms_go() && central.remove_idle_m(m)
}

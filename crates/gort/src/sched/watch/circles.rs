//! One look at who waits for whom, and what is to be said of it: on the watchdog's own thread, since it may take a while among many goroutines.

use super::deadlocks::Deadlock;
use super::waits;
use super::{locks, search};
use crate::dump;
use crate::prim::lock::Lock;
use crate::sched::SCHED;
use crate::sys::clock;
use crate::timer::NEVER;
use std::fmt::Write;
use std::panic::Location;
use std::sync::atomic::Ordering::Relaxed;

/// More is not said.
const MOST: usize = 256;

/// After so many searches in a row for which there was no quiet moment there is no other one until somebody waits anew.
const MOST_IN_VAIN: u32 = 8;

/// What has been said.
struct Said {
    locks: Vec<&'static Location<'static>>,
    /// One goroutine of each circle: it stays there.
    circles: Vec<u64>,
    /// No search before that.
    search_ns: u64,
    /// The last one has not been made, or has come to nothing.
    is_open: bool,
    in_vain: u32,
}

static SAID: Lock<Said> =
    Lock::new(Said { locks: Vec::new(), circles: Vec::new(), search_ns: 0, is_open: false, in_vain: 0 });

/// What is new among those who have waited for `age_ms` at least.
pub(super) fn look(age_ms: u64) -> String {
    search::wiped(look_now, age_ms)
}

#[inline(never)]
fn look_now(age_ms: u64) -> String {
    let now_ms = dump::now_ms();
    let (all, latest_ms) = (waits::picture(), now_ms.saturating_sub(age_ms));
    let mut text = String::new();
    for (site, report) in locks::reports(&all, now_ms, latest_ms) {
        if is_new(|said| &mut said.locks, site) {
            // Relaxed: a statistic.
            SCHED.found.coarse_locks.fetch_add(1, Relaxed);
            text += &report;
        }
    }
    let mut found = Deadlock::certain(&all, now_ms, latest_ms);
    found.extend(suspected(now_ms, latest_ms));
    for deadlock in found {
        let first = deadlock.goroutines().iter().map(|sleeper| sleeper.id().as_u64()).min();
        if first.is_some_and(|id| is_new(|said| &mut said.circles, id)) {
            // Relaxed: as above.
            SCHED.found.deadlocks.fetch_add(1, Relaxed);
            let _ = write!(text, "gort: watchdog: {deadlock}");
        }
    }
    text
}

/// Those that sleep because of channels, if it is time to search: that may take a while, and gets a hundredth of it.
fn suspected(now_ms: u64, latest_ms: u64) -> Vec<Deadlock> {
    let start_ns = clock::now_ns();
    {
        let mut said = SAID.lock();
        if start_ns < said.search_ns {
            said.is_open = true;
            return Vec::new();
        }
    }
    let found = Deadlock::suspected_in_time(now_ms, latest_ms);
    let end_ns = clock::now_ns();
    let mut said = SAID.lock();
    said.search_ns = end_ns + 100 * (end_ns - start_ns);
    said.in_vain = if found.is_some() { 0 } else { said.in_vain + 1 };
    said.is_open = (1..=MOST_IN_VAIN).contains(&said.in_vain);
    drop(said);
    found.unwrap_or_default()
}

/// From when on one should look once more at those who were looked at already; never, if that would show nothing new.
pub(super) fn again_ns() -> u64 {
    let said = SAID.lock();
    if said.is_open { said.search_ns } else { NEVER }
}

fn is_new<T: PartialEq>(list: fn(&mut Said) -> &mut Vec<T>, value: T) -> bool {
    let mut said = SAID.lock();
    let list = list(&mut said);
    let is_new = list.len() < MOST && !list.contains(&value);
    if is_new {
        list.push(value);
    }
    is_new
}

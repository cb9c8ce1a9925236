//! Coarse locks: one that is held by a goroutine which waits for something else, while others wait for the lock.
//!
//! What the holder does is seen of its own wait; that it holds the lock, from who waits for it (`waits`). So nothing is paid for it while locks change
//! hands quickly. A lock held for reading is put down to the last reader, as long as none has left since.

use super::waits::Party;
use crate::g::{Seen, WaitReason};
use crate::sched::left::LeftGoroutine;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::panic::Location;

/// What is to be said of holders and queues who have waited since `latest_ms`: where the lock was taken, and the words.
pub(super) fn reports(all: &[Party], now_ms: u64, latest_ms: u64) -> Vec<(&'static Location<'static>, String)> {
    let mut queues = BTreeMap::<usize, Vec<&Party>>::new();
    for party in all.iter().filter(|party| party.waits_for_lock()) {
        queues.entry(party.object()).or_default().push(party);
    }
    queues.values_mut().filter_map(|waiters| report(all, waiters, now_ms, latest_ms)).collect()
}

fn report(
    all: &[Party],
    waiters: &mut [&Party],
    now_ms: u64,
    latest_ms: u64,
) -> Option<(&'static Location<'static>, String)> {
    waiters.sort_by_key(|waiter| waiter.since_ms);
    let first = *waiters.first()?;
    let seen = first.seen?;
    let holder = Seen::by(seen)?;
    let holder = all.iter().find(|party| std::ptr::eq(party.g, holder))?;
    if first.since_ms.max(holder.since_ms) > latest_ms {
        return None;
    }
    // Who waits for another lock does so because of that one's holder; who waits for others' ends or for ever may be in a circle, and is named there.
    if holder.waits_for_lock() || matches!(holder.reason, WaitReason::Join | WaitReason::Scope) {
        return None;
    }
    let locked_at = first.locked_at()?;
    let who = LeftGoroutine::of(holder.g, now_ms)?;
    if !holder.is_still() {
        return None;
    }
    let mut text = format!("gort: watchdog: goroutine {}", who.id());
    if let Some(name) = who.name() {
        let _ = write!(text, " {name:?}");
    }
    let how = if seen.is_reader() { "held for reading" } else { "held" };
    let longest_ms = now_ms.saturating_sub(first.since_ms);
    let _ = writeln!(
        text,
        " waits with a lock {how}, and {} wait for that lock, the first for {longest_ms} ms",
        waiters.len()
    );
    let _ = writeln!(text, "\tlocked at {locked_at}");
    let site = |site: Option<&Location<'_>>| site.map(|site| format!(" at {site}")).unwrap_or_default();
    let _ = writeln!(text, "\twaits{} [{}]", site(who.wait_site()), who.state());
    let _ = writeln!(text, "\tthe lock is wanted{}", site(first.g.call_site().filter(|_| first.is_still())));
    let _ = writeln!(text, "\tcreated{}", site(who.spawn_site()));
    let _ = writeln!(
        text,
        "\tWhat it waits for holds up all of them: take what is needed out of the lock, let go of it, and wait then."
    );
    Some((locked_at, text))
}

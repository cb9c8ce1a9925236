//! Who holds the threads, said once, before there are none left.
//!
//! Most of the threads that a program has beyond its Ps are held: by calls that block, by goroutines that have locked them. When there are so many
//! that few are left to be started, somebody should know by whom; when all are gone it may be too late to ask.
//!
//! Looked at only when a thread is made, and found out only once.

use super::{M, SCHED, names, retakes, snapshot, start};
use crate::g::Status;
use crate::g::record::LOCKED;
use crate::sys::{aloud, fault, thread};
use gort_lockfree::owner::Stay;
use std::fmt::Write;
use std::panic::Location;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

/// Of 100 threads that may be started beyond the Ps.
const MANY: usize = 80;
/// So many are named.
const NAMED: usize = 8;

/// What keeps a thread from running others.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Holder {
    how: How,
    site: Option<&'static Location<'static>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Class(&'static str),
    Marked,
    Locked,
    Unmarked,
}

/// A thread has been made, by sysmon.
pub(super) fn look() {
    static SAID: AtomicBool = AtomicBool::new(false);
    // Relaxed, all of them: pictures, and only sysmon makes threads while the runtime runs.
    let (live, most) = (start::threads_in_use(), SCHED.max_threads.load(Relaxed));
    let procs = SCHED.procs.load(Relaxed);
    if live.saturating_sub(procs) * 100 < most.saturating_sub(procs) * MANY || SAID.load(Relaxed) {
        return;
    }
    let mut holders: Vec<(Holder, usize)> = Vec::new();
    for holder in snapshot::ms().filter_map(holder_of) {
        match holders.iter_mut().find(|(known, _)| *known == holder) {
            Some((_, count)) => *count += 1,
            None => holders.push((holder, 1)),
        }
    }
    let held: usize = holders.iter().map(|(_, count)| count).sum();
    // With few threads or many Ps it is they who run.
    if held == 0 || SAID.swap(true, Relaxed) {
        return;
    }
    let text = describe(live, most, holders);
    // The pipe may be full and its reader asleep.
    let theirs = text.clone();
    if thread::spawn("gort-warns", move || fault::write_stderr(theirs.as_bytes())).is_err() {
        aloud::offer(text.as_bytes());
    }
}

/// Who holds the thread of `m`, if somebody does who has no P.
fn holder_of(m: &'static M) -> Option<Holder> {
    let g = m.current()?;
    let has_p = m.p_hint().is_some_and(|p| p.owner.current().m == m.id);
    let how = match g.status() {
        _ if has_p => return None,
        // Its M runs nobody else, also while it waits.
        Status::Free | Status::Dormant | Status::Done => return None,
        _ if g.has(LOCKED) => How::Locked,
        _ if !Stay::in_user_code(m.stay.sample()) => return None,
        Status::Blocking => names::of(g.section_class()).map_or(How::Marked, How::Class),
        Status::Running | Status::Ending => How::Unmarked,
        Status::Runnable | Status::Waiting => return None,
    };
    Some(Holder { how, site: retakes::site_of(g) })
}

fn describe(live: usize, most: usize, mut holders: Vec<(Holder, usize)>) -> String {
    holders.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    let mut text = format!(
        "gort: {live} of at most {most} threads are in use (GORT_MAX_THREADS, or runtime::Builder::max_threads); when all are, goroutines wait for \
         one. They are held by:\n"
    );
    for (Holder { how, site }, count) in holders.iter().take(NAMED) {
        let _ = match how {
            How::Class(name) => write!(text, "\t{count} in the blocking class {name:?}"),
            How::Marked => write!(text, "\t{count} in gort::blocking"),
            How::Locked => write!(text, "\t{count} locked by their goroutines (gort::lock_os_thread)"),
            How::Unmarked => write!(text, "\t{count} without a mark"),
        };
        let _ = match (how, site) {
            (_, None) => writeln!(text),
            (How::Class(_) | How::Marked, Some(site)) => writeln!(text, ", at {site}"),
            (_, Some(site)) => writeln!(text, ", last seen at {site}"),
        };
    }
    let others: usize = holders.iter().skip(NAMED).map(|(_, count)| count).sum();
    if others > 0 {
        let _ = writeln!(text, "\t{others} elsewhere");
    }
    text.push_str("\tA blocking class bounds how many calls of a kind there are at once: gort::BlockingClass.\n");
    text
}

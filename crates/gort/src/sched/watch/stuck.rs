//! Goroutines without a P: they have lost it and not come to gort since. Also those that are blocked in the kernel and keep their P, since nobody wants it; and
//! in bound mode those that keep it, since nobody else can use it, while others wait that have begun on the same thread.
//!
//! One note for each such M, in the order of time, so a look costs a comparison as long as nobody is due. A note holds for one
//! visit to user code; when its time has come and the M is still in that visit, the goroutine is reported.
//!
//! One that computes is reported only if its thread has used a fair share of the time. A thread that was stopped or throttled, or had no processor
//! because the machine has more to do, is no hog; it is looked at again later.

use super::super::{M, SCHED, fixed, idle, retakes, start};
use crate::g::{G, Status, registry};
use crate::sys::call::Place;
use crate::sys::thread;
use crate::timer::NEVER;
use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

/// A goroutine that computes has used this part of the time at least.
const FAIR_SHARE: u64 = 4;

/// See the module.
pub(super) struct Stuck {
    /// By the number of the M: its last note.
    notes: Vec<Option<Note>>,
    /// Those whose note is to be looked at, the oldest first.
    order: VecDeque<u32>,
}

#[derive(Clone, Copy)]
struct Note {
    seq: u64,
    since_ns: u64,
    cpu_ns: u64,
}

impl Stuck {
    pub(super) fn new() -> Self {
        Self { notes: Vec::new(), order: VecDeque::new() }
    }

    /// The goroutine on `m` keeps it in the visit `seq`.
    pub(super) fn add(&mut self, m: &'static M, seq: u64, cpu_ns: u64, now_ns: u64) {
        let at = m.id as usize;
        if self.notes.len() <= at {
            self.notes.resize(at + 1, None);
        }
        if !self.has(m, seq) {
            self.order.retain(|&other| other != m.id);
            self.again(m, seq, cpu_ns, now_ns);
        }
    }

    /// A note, at the end of the order.
    fn again(&mut self, m: &'static M, seq: u64, cpu_ns: u64, now_ns: u64) {
        self.notes[m.id as usize] = Some(Note { seq, since_ns: now_ns, cpu_ns });
        self.order.push_back(m.id);
    }

    /// Whether there is a note of this visit.
    pub(super) fn has(&self, m: &'static M, seq: u64) -> bool {
        self.notes.get(m.id as usize).copied().flatten().is_some_and(|note| note.seq == seq)
    }

    /// When the first of them is due.
    pub(super) fn next_ns(&self, after_ns: u64) -> u64 {
        self.order.front().and_then(|&id| self.notes[id as usize]).map_or(NEVER, |note| note.since_ns + after_ns)
    }

    /// What is to be said of the next one that is due and still stuck.
    pub(super) fn next_report(&mut self, now_ns: u64, after_ns: u64) -> Option<String> {
        while now_ns >= self.next_ns(after_ns) {
            let id = self.order.pop_front()?;
            // It stays, so that there is no other of the same visit.
            let note = self.notes[id as usize]?;
            let m = idle::m_by_id(id)?;
            if m.stay.sample() != note.seq {
                continue;
            }
            // Relaxed: set before the M took its first P.
            let tid = m.tid.load(Relaxed);
            let cpu_ns = thread::cpu_ns(tid).unwrap_or(0);
            let has_computed = cpu_ns.saturating_sub(note.cpu_ns) >= after_ns / FAIR_SHARE;
            let place = Place::of(tid);
            if place == Some(Place::OnCpu) && !has_computed {
                self.again(m, note.seq, cpu_ns, now_ns);
                continue;
            }
            let Some(g) = m.current() else { continue };
            if g.status() == Status::Blocking {
                // A marked section begins without a visit to the runtime where there is no P to give away.
                self.again(m, note.seq, cpu_ns, now_ns);
                continue;
            }
            let siblings = m.residents.alive().saturating_sub(1);
            let report = report(g, place, has_computed, now_ns - note.since_ns, siblings);
            // It may have come back meanwhile, and then nothing of this need be true.
            if m.stay.sample() != note.seq {
                continue;
            }
            // Relaxed: a statistic.
            SCHED.found.stuck.fetch_add(1, Relaxed);
            if retakes::site_of(g).is_some_and(retakes::is_first_report) {
                return Some(report);
            }
        }
        None
    }
}

fn report(g: &'static G, place: Option<Place>, has_computed: bool, for_ns: u64, siblings: u32) -> String {
    let mut text = format!("gort: watchdog: goroutine {}", g.id());
    // Cloned, so that nothing is allocated under the registry's lock.
    let name = registry::with_extra(g, |extra| extra.and_then(|extra| extra.name.clone()));
    if let Some(name) = name {
        let _ = write!(text, " {name:?}");
    }
    let _ = write!(text, " has kept a thread for {} ms without calling gort. It is ", for_ns / 1_000_000);
    let _ = match place {
        Some(place) => write!(text, "{place}"),
        None if has_computed => write!(text, "{}", Place::OnCpu),
        None => write!(text, "in the kernel (in which call cannot be seen without /proc)"),
    };
    text.push('\n');
    for (what, site) in [("last waited in gort at", g.call_site()), ("created at", g.spawn_site())] {
        if let Some(site) = site {
            let _ = writeln!(text, "\t{what} {site}");
        }
    }
    if siblings > 0 {
        let (word, verb) = if siblings == 1 { ("goroutine", "has") } else { ("goroutines", "have") };
        let _ =
            writeln!(text, "\t{siblings} {word} that {verb} begun on its thread cannot go on meanwhile (bound mode)");
    }
    let is_for_good = place.is_some_and(Place::is_futex) && (siblings > 0 || start::is_at_limit());
    let advice = match is_for_good {
        true => LOCKED,
        false if siblings > 0 => BEHIND,
        false if !fixed().retake => KEPT,
        false => advice(place, has_computed),
    };
    let _ = writeln!(text, "\t{advice}");
    text
}

fn advice(place: Option<Place>, has_computed: bool) -> &'static str {
    match place {
        Some(place) if place.is_futex() => {
            "Others run on, but it keeps a thread: gort::sync and gort::chan park instead, gort::blocking marks a wait that must be."
        }
        Some(place) if place.is_sleep() => "Others run on, but it keeps a thread: gort::sleep parks instead.",
        Some(Place::OnCpu) => CPU,
        None if has_computed => CPU,
        _ => {
            "Others run on, but it keeps a thread: gort::blocking marks such a call, gort::blocking_class bounds how many there are at once."
        }
    }
}

/// A lock, where whoever holds it may have no thread to go on.
const LOCKED: &str = "If whoever would let it go has no thread to go on, this never ends: wait with gort::sync or gort::chan, which park, hold no std lock \
     across a wait of gort's, or allow more threads (GORT_MAX_THREADS).";
const BEHIND: &str = "They go on when it has ended: gort::blocking_send gives such a call a thread of its own.";
const KEPT: &str = "It keeps its processor as well, and what is queued there may wait for it: GORT_RETAKE=off forbids to take it away.";
const CPU: &str = "Others run on, but share the CPUs with it: gort::yield_now() now and then lets it take turns, gort::blocking marks it as meant so.";

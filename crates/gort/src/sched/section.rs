//! Marked sections: whose processor is given away at once.
//!
//! A marked section that ends within microseconds keeps its P, which makes it cheap. One that lasts loses it to sysmon, which takes its time: two
//! looks, 20 µs apart, for each P. A thousand goroutines that all block would be held up by that, one after the other.
//!
//! So sections are remembered by call site. Where the last ones have lost their P, the next one gives it away on entering, if anybody waits for it
//! and a thread sleeps that can have it; a section that has done so and turns out to be short makes the site an unknown one again. Nothing but
//! speed depends on what is remembered: sites share their places, and several threads may write at once.
//!
//! A thread that does not exist yet is no reason to hurry: those come at sysmon's pace, so that there are no more of them than are of use.
//!
//! Rejected: giving it away always, as Go does for calls that it knows to block: a hand-over costs some microseconds and a thread's wake-up,
//! and most sections end sooner.

use super::{M, P, SCHED, enter, fixed, global, idle, perturb};
use crate::g::{G, Status};
use crate::sys::clock;
use std::panic::Location;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::Relaxed;

/// Lost so often in a row, a P is given away at once.
const SURE: u8 = 2;
/// A section that has lasted for less should have kept its P.
const SHORT_NS: u64 = 50_000;
const PLACES: usize = 256;

/// How often in a row the sections of a site have lost their P.
static LOSSES: [AtomicU8; PLACES] = [const { AtomicU8::new(0) }; PLACES];

fn losses_at(site: &'static Location<'static>) -> &'static AtomicU8 {
    // Locations lie in rows of 24 bytes.
    let at = std::ptr::from_ref(site) as usize >> 3;
    &LOSSES[(at ^ at >> 8) % PLACES]
}

/// A section that has been entered; ends when dropped, also by a panic.
#[derive(Debug)]
pub(crate) struct Section {
    g: &'static G,
    before: Status,
    /// The class of the section around this one, if there is one.
    outer: Option<usize>,
    losses: &'static AtomicU8,
    /// When the P was given away, 0 if it was kept.
    given_ns: u64,
}

impl Section {
    /// Marks what the goroutine `g`, which calls this, does from here on as blocking, in a class (an object that has a name: `names`) or in
    /// none, 0.
    #[inline]
    pub(crate) fn begin(g: &'static G, class: usize, site: &'static Location<'static>) -> Self {
        let losses = losses_at(site);
        let before = g.status();
        let outer = if before == Status::Blocking { Some(g.section_class()) } else { None };
        g.note_call(site);
        g.note_section(class);
        g.set_status(Status::Blocking);
        // Relaxed: see the module.
        let at_once = losses.load(Relaxed) >= SURE || perturb::is_on() && perturb::gives_away_now();
        let is_given = at_once && give_away(g);
        let given_ns = if is_given { clock::now_ns() } else { 0 };
        Self { g, before, outer, losses, given_ns }
    }
}

impl Drop for Section {
    #[inline]
    fn drop(&mut self) {
        self.g.set_status(self.before);
        if let Some(class) = self.outer {
            self.g.note_section(class);
        }
        if self.given_ns != 0 {
            if clock::now_ns() - self.given_ns < SHORT_NS {
                self.losses.store(0, Relaxed);
            }
        } else if enter::has_lost_p(self.g) {
            self.losses.store((self.losses.load(Relaxed) + 1).min(SURE), Relaxed);
        }
        enter::checkpoint(self.g);
    }
}

/// Gives the P of `g`, which calls this, to a thread that sleeps, if anybody waits for it. False: it was kept, or is gone already.
#[cold]
fn give_away(g: &'static G) -> bool {
    // In bound mode its next call of gort's would queue it behind others that live on this thread, and they may block it.
    // SAFETY: `g` is the goroutine that runs this.
    if fixed().is_bound() || unsafe { M::of(g) }.p.get().is_none() {
        return false;
    }
    let inside = enter::enter(g);
    let is_wanted = !inside.p.queue.is_empty() || global::has_work();
    let is_given = is_wanted && give_to_sleeper(inside.m, inside.p);
    if is_given {
        // As if sysmon had taken it: at its next visit the goroutine queues for a P.
        inside.m.stay.set_mark();
        // Relaxed: statistics.
        SCHED.handoffs.fetch_add(1, Relaxed);
    }
    inside.leave();
    is_given
}

/// Gives the P of `m`, which is inside the runtime, to an M that sleeps; false, and nothing has happened, if there is none.
fn give_to_sleeper(m: &'static M, p: &'static P) -> bool {
    if p.is_retired() {
        return false;
    }
    let sleeper = {
        let mut central = SCHED.central.lock();
        if central.has_idle_m_to_spare() { central.pop_idle_m() } else { None }
    };
    let Some(sleeper) = sleeper else { return false };
    // What `m` did to the P came before this; from here on it touches nothing of it.
    idle::release(m, p);
    idle::hand(sleeper, Some(p), false);
    true
}

//! Goroutines that compute without a P: how many there are, and how much of the machine they get.
//!
//! A goroutine that computes for longer than a slice loses its P and goes on as an ordinary thread. The kernel shares the processors among all
//! threads, so with many of those the Ms that have the Ps get little: beside 64 of them on two processors a ticker of 1 ms came up once in 10 ms.
//! Two things help, together and only together (docs/decisions/0009):
//!
//! - As many of them as there are Ps are left as they are. Those beyond are made *nice*: they get what others leave, which is everything where nobody
//!   else wants it.
//! - As long as there are such ones, the other Ms and sysmon ask the kernel for short turns: who asks for less is let in earlier.
//!
//! A thread without privileges cannot take back that it is nice. So an M that was made nice and comes back without that right ends, and another
//! thread is made when one is needed.
//!
//! Not those locked to their thread, whose settings belong to the goroutine, and not in bound mode, where a thread is more than one goroutine's. Marked
//! sections neither: they say that they are meant so.
//!
//! An M's word says what was done to its thread. Sysmon writes it, and M takes it when it comes back ([`comes_back`]). If M comes back while it is
//! made nice, sysmon sees that by the `Stay` afterwards and writes the word once more: then M finds it the next time.

use super::{M, SCHED, fixed, idle, snapshot};
use crate::g::record::LOCKED;
use crate::sys::priority;
use gort_lockfree::owner::Stay;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// Nothing was done.
pub(super) const ORDINARY: u8 = 0;
/// It has lost its P while it computed.
const HOG: u8 = 1;
/// And was made nice.
const NICE: u8 = 2;

/// By so much, of 19: a tenth of what another thread gets. Less was measured, and does not help.
pub(super) const NICER_BY: u8 = 10;
/// The turns of the others meanwhile. The shortest that the kernel knows.
const TURN_NS: u64 = 100_000;
/// Between two looks.
const GAP_NS: u64 = 10_000_000;

/// There are nice ones.
static IS_CROWDED: AtomicBool = AtomicBool::new(false);

/// What sysmon knows: those that have lost their P computing, in that order, as long as they have not come back.
#[derive(Debug)]
pub(super) struct Hogs {
    known: Vec<Known>,
    next_ns: u64,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    m: &'static M,
    /// It is the same visit to user code.
    seq: u64,
}

impl Hogs {
    pub(super) const fn new() -> Self {
        Self { known: Vec::new(), next_ns: 0 }
    }

    /// `m` has lost its P in its visit `seq` to user code, where it computes.
    pub(super) fn add(&mut self, m: &'static M, seq: u64) {
        m.hog.store(HOG, Relaxed);
        if is_crowded() {
            set_turn(m, 0);
        }
        self.known.push(Known { m, seq });
    }

    /// Looks after them, if it is time.
    #[inline]
    pub(super) fn look(&mut self, now_ns: u64) {
        if now_ns >= self.next_ns && (!self.known.is_empty() || is_crowded()) {
            self.next_ns = now_ns + GAP_NS;
            self.look_after();
        }
    }

    #[cold]
    fn look_after(&mut self) {
        self.known.retain(|known| known.m.stay.sample() == known.seq);
        // Relaxed, both: pictures.
        let nicer_by = fixed().hog_nice;
        if nicer_by > 0 && !fixed().is_bound() {
            for known in self.known.iter().skip(SCHED.procs.load(Relaxed)) {
                if known.m.hog.load(Relaxed) == HOG && !known.m.current().is_some_and(|g| g.has(LOCKED)) {
                    known.make_nice(nicer_by);
                }
            }
        }
        let is_crowded = self.known.iter().any(|known| known.m.hog.load(Relaxed) == NICE);
        if IS_CROWDED.swap(is_crowded, Relaxed) != is_crowded {
            let turn_ns = if is_crowded { TURN_NS } else { 0 };
            priority::set_turn(0, turn_ns);
            for m in snapshot::ms().filter(|m| m.hog.load(Relaxed) == ORDINARY) {
                set_turn(m, turn_ns);
            }
        }
    }
}

impl Known {
    fn make_nice(self, nicer_by: u8) {
        // Release: the M, which takes it, sees nothing of ours, but the thread is made nice after that at the earliest.
        self.m.hog.store(NICE, Release);
        let tid = self.m.tid.load(Relaxed);
        // 0 would be the monitor itself: the M has come back and left.
        if tid != 0 {
            priority::make_nice(tid, nicer_by);
        }
        if self.m.stay.sample() != self.seq {
            // It may have come back in between, and taken the word before its thread was nice.
            self.m.hog.store(NICE, Release);
        }
    }
}

fn set_turn(m: &'static M, turn_ns: u64) {
    // Relaxed: a picture. 0 would be the monitor itself: the M has left.
    let tid = m.tid.load(Relaxed);
    if tid != 0 {
        priority::set_turn(tid, turn_ns);
    }
}

/// `m`, whose goroutine enters the runtime, has lost its P. It takes the scheduler's lock before it comes back ([`comes_back`]), and must not be without a
/// processor there.
#[inline]
pub(super) fn enters(m: &'static M) {
    // Relaxed: a hint. The word stays as it is: who cannot undo it is found out later.
    if m.hog.load(Relaxed) == NICE {
        priority::make_ordinary();
    }
}

/// True as long as there are nice ones.
fn is_crowded() -> bool {
    IS_CROWDED.load(Relaxed)
}

/// A thread begins to run goroutines.
pub(super) fn begin() {
    if is_crowded() {
        priority::set_turn(0, TURN_NS);
    }
}

/// `m`, which runs this and has no P, is to go on as any other. False: it cannot, and must end.
#[inline]
pub(super) fn comes_back(m: &'static M) -> bool {
    // Relaxed: a hint; what is written later is found the next time.
    m.hog.load(Relaxed) == ORDINARY || comes_back_slow(m)
}

#[cold]
fn comes_back_slow(m: &'static M) -> bool {
    // Acquire: pairs with the Release in `make_nice`.
    let was = m.hog.swap(ORDINARY, Acquire);
    if was == NICE && !priority::make_ordinary() {
        // Its goroutine may have gone to the global queue, and this M would have looked there.
        idle::wake_for_work();
        return false;
    }
    begin();
    true
}

/// How many goroutines compute without a P.
pub(crate) fn count() -> usize {
    let is_hog = |m: &&M| {
        let has_p = m.p_hint().is_some_and(|p| p.owner.current().m == m.id);
        m.hog.load(Relaxed) != ORDINARY && !has_p && Stay::in_user_code(m.stay.sample())
    };
    snapshot::ms().filter(is_hog).count()
}

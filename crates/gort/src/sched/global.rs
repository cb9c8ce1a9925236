//! What all Ps share, under one lock: the global queue, the idle Ps, the idle Ms, the Ms that claim a P.
//!
//! The global queue takes what has no P of its own: goroutines made ready by plain threads, those whose P was retaken, half of an
//! overflowing ring. Every P looks at it every 61st run and when its own queue is empty. At its head are those that are *late*: sysmon has seen
//! to timers and the network for Ps that did not, or a timer has fired at a P whose ring is full. For them a P looks whenever it looks for
//! timers, and when sysmon asks it to.
//!
//! Where there is more to do than can be done, somebody is late all the time. So every fourth of those that are taken is one of the others, if
//! there are any, and each that a P takes in its 61st run: new ones, those whose P was taken, those that a thread has made ready. Before, none of them
//! ever had a turn.

use super::m::Rest;
use super::p::P;
use super::stop::{Phase, ShuttingDown};
use super::{M, SCHED};
use crate::g::{G, GList};
use gort_lockfree::runq::CAP;
use std::collections::VecDeque;
use std::ptr;
use std::sync::atomic::Ordering::{Relaxed, Release, SeqCst};

/// Most goroutines that one look takes along.
const BATCH: usize = 128;
/// So many that are late are taken in a row while others wait. Each of the others may compute for long, and delay all that are late.
const LATE_IN_A_ROW: u32 = 3;
/// Of so many threads one is kept for those who are late, if it sleeps.
const KEPT_ONE_IN: usize = 32;

/// See the module.
pub(crate) struct Central {
    /// Has room for every record, so that a push never allocates (`g::registry`).
    queue: VecDeque<&'static G>,
    /// Before all of those. A list, since many may come while many wait.
    late: GList,
    /// How many of those were taken in a row.
    late_in_a_row: u32,
    idle_ps: *const P,
    pub(super) idle_p_count: usize,
    idle_ms: *const M,
    pub(super) idle_m_count: usize,
    /// Ms that have residents to run and no P, the first and the last of the line. While there is one, no P is idle.
    claim_first: *const M,
    claim_last: *const M,
    /// Ms without a thread.
    vacant_ms: *const M,
    /// The truth of what `stop::phase` shows.
    pub(super) phase: Phase,
    /// The idle M that sleeps until the earliest timer of an idle P, and that time.
    pub(super) keeper: *const M,
    pub(super) keeper_ns: u64,
    /// Until when the M that blocks in the poller waits; never if none does.
    pub(super) poll_until_ns: u64,
}

// SAFETY: the pointers are to Ps and Ms, which are `Sync` and never freed.
unsafe impl Send for Central {}

impl Central {
    pub(super) const fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            late: GList::new(),
            late_in_a_row: 0,
            idle_ps: ptr::null(),
            idle_p_count: 0,
            idle_ms: ptr::null(),
            idle_m_count: 0,
            claim_first: ptr::null(),
            claim_last: ptr::null(),
            vacant_ms: ptr::null(),
            phase: Phase::New,
            keeper: ptr::null(),
            keeper_ns: crate::timer::NEVER,
            poll_until_ns: crate::timer::NEVER,
        }
    }

    pub(super) fn push(&mut self, g: &'static G) {
        debug_assert!(self.queue.len() < self.queue.capacity());
        self.queue.push_back(g);
        self.publish_len();
    }

    pub(super) fn push_list(&mut self, list: &mut GList) {
        while let Some(g) = list.pop() {
            debug_assert!(self.queue.len() < self.queue.capacity());
            self.queue.push_back(g);
        }
        self.publish_len();
    }

    /// Adds goroutines that are late, before all that are not.
    pub(super) fn push_late(&mut self, list: &mut GList) {
        self.late.append(list);
        self.publish_len();
    }

    /// Adds those in `array`.
    pub(super) fn push_all(&mut self, array: &[&'static G]) {
        debug_assert!(self.queue.len() + array.len() <= self.queue.capacity());
        self.queue.extend(array);
        self.publish_len();
    }

    /// Takes one that is not late, if there is one.
    pub(super) fn take_other(&mut self) -> Option<&'static G> {
        let first = self.queue.pop_front().or_else(|| self.late.pop());
        self.publish_len();
        first
    }

    /// Takes a goroutine, and a fair share of the others into the ring of `p`.
    ///
    /// # Safety
    /// The caller owns `p`.
    pub(super) unsafe fn take(&mut self, p: &'static P, share: bool) -> Option<&'static G> {
        let first = self.pop()?;
        if share {
            let procs = SCHED.procs.load(Relaxed).max(1);
            let room = (CAP - p.queue.ring_len()).min(BATCH);
            for _ in 0..(self.len() / procs).min(room) {
                let Some(g) = self.pop() else { break };
                // SAFETY: the caller owns the P.
                if unsafe { p.queue.push(ptr::NonNull::from(g)) }.is_err() {
                    // A thief has not finished with the places that it has taken from.
                    self.late.push(g);
                    break;
                }
            }
        }
        self.publish_len();
        Some(first)
    }

    fn pop(&mut self) -> Option<&'static G> {
        if self.late_in_a_row < LATE_IN_A_ROW
            && let Some(g) = self.late.pop()
        {
            self.late_in_a_row += 1;
            return Some(g);
        }
        self.late_in_a_row = 0;
        self.queue.pop_front().or_else(|| self.late.pop())
    }

    fn len(&self) -> usize {
        self.late.len() + self.queue.len()
    }

    fn publish_len(&self) {
        // Release: a reader without the lock uses it as a hint only; the lock orders the queue itself.
        SCHED.global_len.store(self.len(), Release);
        SCHED.global_late.store(self.late.len(), Release);
    }

    /// Puts a P down that nobody runs: among the idle ones, or `Some` M has claimed one and the caller must hand it over.
    #[must_use = "the P belongs to the M that claims it"]
    pub(super) fn lay_down(&mut self, p: &'static P) -> Option<&'static M> {
        let claimant = self.pop_claim();
        if claimant.is_none() {
            self.push_idle_p(p);
        }
        claimant
    }

    /// Adds an M that claims a P. There is no idle one.
    pub(super) fn push_claim(&mut self, m: &'static M) {
        debug_assert!(self.idle_ps.is_null() && m.link.get().is_null());
        m.rest.set(Rest::Claims);
        // SAFETY: null or an M, and Ms are never freed; the links belong to the lock's holder.
        match unsafe { self.claim_last.as_ref() } {
            Some(last) => last.link.set(m),
            None => self.claim_first = m,
        }
        self.claim_last = m;
        // Relaxed: a hint for running Ms; who gives a P up looks here.
        SCHED.p_claims.fetch_add(1, Relaxed);
    }

    /// Takes the M that has claimed a P for longest.
    pub(super) fn pop_claim(&mut self) -> Option<&'static M> {
        // SAFETY: as above.
        let m: &'static M = unsafe { self.claim_first.as_ref()? };
        self.claim_first = m.link.replace(ptr::null());
        if self.claim_first.is_null() {
            self.claim_last = ptr::null();
        }
        m.rest.set(Rest::Up);
        // Relaxed: as above.
        SCHED.p_claims.fetch_sub(1, Relaxed);
        Some(m)
    }

    /// Takes `m`, which rests, in order to give it a P; false if it does not, or claims one already.
    pub(super) fn take_resting(&mut self, m: &'static M) -> bool {
        match m.rest.get() {
            Rest::Idle => self.remove_idle_m(m),
            Rest::Aside => {
                m.rest.set(Rest::Up);
                true
            }
            Rest::Up | Rest::Claims => false,
        }
    }

    /// Adds a P that nobody runs, and that no M claims.
    pub(super) fn push_idle_p(&mut self, p: &'static P) {
        debug_assert!(self.claim_first.is_null());
        p.link.set(self.idle_ps);
        self.idle_ps = p;
        self.idle_p_count += 1;
        SCHED.spinning.p_idle();
        // SeqCst: together with the fence in `idle`, pairs with the timer sets' SeqCst publication; too early is harmless.
        SCHED.idle_next_ns.fetch_min(p.timers.next_ns(), SeqCst);
    }

    /// Takes an idle P.
    pub(super) fn pop_idle_p(&mut self) -> Option<&'static P> {
        // SAFETY: null or a P, and Ps are never freed.
        let p: &'static P = unsafe { self.idle_ps.as_ref()? };
        self.idle_ps = p.link.replace(ptr::null());
        self.idle_p_count -= 1;
        SCHED.spinning.p_busy();
        Some(p)
    }

    /// Takes one idle P that `unwanted` names out of the list.
    pub(super) fn remove_idle_p(&mut self, unwanted: impl Fn(&P) -> bool) -> Option<&'static P> {
        let mut from: *const P = ptr::null();
        let mut at = self.idle_ps;
        // SAFETY: as in `pop_idle_p`; the links belong to the lock's holder.
        while let Some(p) = unsafe { at.as_ref() } {
            let next = p.link.get();
            if unwanted(p) {
                // SAFETY: as above.
                match unsafe { from.as_ref() } {
                    Some(from) => from.link.set(next),
                    None => self.idle_ps = next,
                }
                p.link.set(ptr::null());
                self.idle_p_count -= 1;
                SCHED.spinning.p_busy();
                return Some(p);
            }
            from = at;
            at = next;
        }
        None
    }

    /// Calls `f` for every idle P.
    pub(super) fn for_idle_ps(&self, mut f: impl FnMut(&'static P)) {
        let mut at = self.idle_ps;
        // SAFETY: as in `pop_idle_p`; the links belong to the lock's holder.
        while let Some(p) = unsafe { at.as_ref() } {
            f(p);
            at = p.link.get();
        }
    }

    pub(super) fn push_idle_m(&mut self, m: &'static M) {
        m.link.set(self.idle_ms);
        m.rest.set(Rest::Idle);
        self.idle_ms = m;
        self.idle_m_count += 1;
    }

    /// Takes an idle M, one that sleeps rather than the one that polls.
    pub(super) fn pop_idle_m(&mut self) -> Option<&'static M> {
        // SAFETY: null or an M, and Ms are never freed.
        let mut at: &'static M = unsafe { self.idle_ms.as_ref()? };
        let mut chosen = at;
        // Relaxed: a preference; an M that begins or ends its poll meanwhile is woken all the same (`idle::hand`).
        while chosen.in_poll.load(Relaxed) || ptr::eq(chosen, self.keeper) {
            // SAFETY: as above.
            match unsafe { at.link.get().as_ref() } {
                Some(next) => at = next,
                None => break,
            }
            chosen = at;
        }
        self.remove_idle_m(chosen);
        Some(chosen)
    }

    /// Takes `m` out of the idle ones; false if somebody was faster.
    pub(super) fn remove_idle_m(&mut self, m: &'static M) -> bool {
        if m.rest.get() != Rest::Idle {
            return false;
        }
        m.rest.set(Rest::Up);
        self.idle_m_count -= 1;
        if ptr::eq(self.keeper, m) {
            self.keeper = ptr::null();
            self.keeper_ns = crate::timer::NEVER;
        }
        let mut from: *const M = ptr::null();
        let mut at = self.idle_ms;
        // SAFETY: as in `pop_idle_m`.
        while let Some(here) = unsafe { at.as_ref() } {
            if ptr::eq(here, m) {
                let next = here.link.replace(ptr::null());
                // SAFETY: as in `pop_idle_m`.
                match unsafe { from.as_ref() } {
                    Some(from) => from.link.set(next),
                    None => self.idle_ms = next,
                }
                return true;
            }
            from = at;
            at = here.link.get();
        }
        unreachable!("an M that says it is listed is")
    }

    /// Takes an M into use that has no thread.
    pub(super) fn take_vacant_m(&mut self) -> Option<&'static M> {
        // SAFETY: as in `pop_idle_m`.
        let m: &'static M = unsafe { self.vacant_ms.as_ref()? };
        self.vacant_ms = m.link.replace(ptr::null());
        m.is_vacant.store(false, Relaxed);
        SCHED.ms_live.fetch_add(1, Relaxed);
        Some(m)
    }

    /// `m` has no thread any more.
    pub(super) fn push_vacant_m(&mut self, m: &'static M) {
        debug_assert!(m.rest.get() == Rest::Up);
        m.link.set(self.vacant_ms);
        self.vacant_ms = m;
        // Relaxed, here and above: whoever decides something by it holds the lock.
        m.is_vacant.store(true, Relaxed);
        SCHED.ms_live.fetch_sub(1, Relaxed);
    }

    /// Until when timers are minded: somebody wakes at this time at the latest.
    pub(super) fn covered_ns(&self) -> u64 {
        self.keeper_ns.min(self.poll_until_ns)
    }

    pub(super) fn has_idle_m(&self) -> bool {
        !self.idle_ms.is_null()
    }

    /// An M sleeps that need not be kept for somebody who is late. Were the last ones given to sections that block as soon as they run, a timer
    /// that comes up would find none; and more threads than those would soon be made (docs/decisions/0005).
    pub(super) fn has_idle_m_to_spare(&self) -> bool {
        // Relaxed: changed under this lock.
        self.idle_m_count > SCHED.ms_live.load(Relaxed) / KEPT_ONE_IN
    }
}

/// Makes room for `count` goroutines. Allocates, outside the lock.
pub(crate) fn reserve(count: usize) {
    let mut room = VecDeque::with_capacity(count);
    let mut central = SCHED.central.lock();
    if central.queue.capacity() < count {
        room.extend(central.queue.drain(..));
        std::mem::swap(&mut central.queue, &mut room);
    }
    drop(central);
}

/// Adds a new goroutine, which a plain thread has made, unless the runtime takes none. The caller wakes somebody.
///
/// # Errors
/// The runtime is being shut down, or has been since the caller looked.
pub(crate) fn push_new(g: &'static G) -> Result<(), ShuttingDown> {
    let mut central = SCHED.central.lock();
    if central.phase != Phase::Running {
        return Err(ShuttingDown);
    }
    // Relaxed: under the lock under which new ones begin to be refused; who waits for the end of all counts later (`stop`).
    SCHED.spawned_outside.fetch_add(1, Relaxed);
    SCHED.created_outside.fetch_add(1, Relaxed);
    central.push(g);
    Ok(())
}

/// Adds a goroutine to the global queue. The caller wakes somebody.
pub(crate) fn push(g: &'static G) {
    SCHED.central.lock().push(g);
}

/// Adds those that are late to the global queue. The caller wakes somebody.
pub(super) fn push_late(list: &mut GList) {
    SCHED.central.lock().push_late(list);
}

/// Adds an array to the global queue.
pub(super) fn push_all(array: &[&'static G]) {
    SCHED.central.lock().push_all(array);
}

/// Adds a list to the global queue.
pub(crate) fn push_list(list: &mut GList) {
    SCHED.central.lock().push_list(list);
}

/// True if the global queue is not empty.
#[inline(always)]
pub(super) fn has_work() -> bool {
    // Relaxed: a hint; an M that goes to sleep looks under the lock.
    SCHED.global_len.load(Relaxed) > 0
}

/// True if there are goroutines at its head that are late.
#[inline(always)]
pub(super) fn has_late() -> bool {
    // Relaxed: as above.
    SCHED.global_late.load(Relaxed) > 0
}

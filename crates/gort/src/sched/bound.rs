//! Bound goroutines: those that have begun on an M and stay there.
//!
//! Where a goroutine cannot have thread-locals of its own (`mode`), it may run anywhere until it begins, and then on one M only. So there are two
//! kinds of runnable goroutines. Those that have not begun lie in the queues of Ps and in the global queue, and everything said there holds for
//! them. Those that have begun are *residents* of their M. They carry the flag `BOUND`, which decides everything here: nobody asks for the mode.
//!
//! ```text
//!   go(f) ──▶ queue of this P ──▶ begins on M ──▶ park ──▶ ready: by a resident of M ───▶ M's next slot, M's queue ──▶ run on M …
//!                  steal, inject                                by anybody else ────────▶ M's inbox ──▶ M's queue
//! ```
//!
//! An M still needs a P to run anything.
//! - **With a P** it runs from both sides: its own queue and the P's take turns, each for as many as were there when its turn began. That is first
//!   come, first served, but for those who come to one side while it is the other's turn.
//! - **Without one, and with residents to run**, it claims one: an idle P, or the next that anybody gives up. No P is idle while an M claims one
//!   (`Central::lay_down`, `claim`). If all Ps are at work, the M that has had one for a millisecond passes it on and claims one itself.
//! - **Asleep**, it is woken by who fills its inbox (`gort_lockfree::inbox`): `rouse` gives it an idle P or makes its claim for it.
//!
//! Sysmon takes the P of an M that is stuck in user code, as ever: what has not begun goes on elsewhere, and so do residents of other Ms. The
//! stuck M's own residents wait; there is no other thread for them. When it comes back it claims a P.
//!
//! A goroutine that holds `lock_os_thread` *closes* its M: nothing begins there any more. Residents that are there already go on there; they have
//! nowhere else to go, and if they waited instead, one for which the locked goroutine waits would wait for ever.

use super::global::Central;
use super::{M, P, SCHED, find, fixed, forked, global, idle, perturb, resize, run, snapshot};
use crate::g::record::{BOUND, THREAD};
use crate::g::{G, GList, Status};
use crate::sys::clock;
use gort_lockfree::inbox::Inbox;
use std::cell::{Cell, UnsafeCell};
use std::ptr::NonNull;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU32};

/// An M that has had a P for so long passes it on if another claims one.
const TURN_NS: u64 = 1_000_000;

/// What has not begun is left to others for so long at most: a thread may have to be woken, or made, on a busy machine.
const LEAVES_NS: u64 = 10_000_000;
/// An M with no more residents than this takes what there is.
const FEW: usize = 2;

/// Whose queue has its turn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Residents,
    Proc,
}

/// The residents of one M. Only the inbox is for others.
pub(super) struct Residents {
    inbox: Inbox<G>,
    /// As the run-next slot of a P.
    next: Cell<Option<&'static G>>,
    queue: UnsafeCell<GList>,
    /// True if one of the two held somebody when the M last looked; for sysmon.
    have_waited: AtomicBool,
    side: Cell<Side>,
    /// How many more come from that side.
    left: Cell<usize>,
    /// Residents alive. Others read it for dumps.
    alive: AtomicU32,
    /// How many of them hold `lock_os_thread`.
    closed_by: Cell<u32>,
    /// Since when the M has its P.
    since_ns: Cell<u64>,
    /// Since when it has left what has not begun to others; 0 if it does not.
    leaves_since_ns: Cell<u64>,
}

impl Residents {
    pub(super) const fn new() -> Self {
        Self {
            inbox: Inbox::new(),
            next: Cell::new(None),
            queue: UnsafeCell::new(GList::new()),
            have_waited: AtomicBool::new(false),
            side: Cell::new(Side::Residents),
            left: Cell::new(0),
            alive: AtomicU32::new(0),
            closed_by: Cell::new(0),
            since_ns: Cell::new(0),
            leaves_since_ns: Cell::new(0),
        }
    }

    /// Residents alive, as a picture.
    pub(super) fn alive(&self) -> u32 {
        self.alive.load(Relaxed)
    }

    /// True if nothing must begin here.
    #[inline(always)]
    pub(super) fn is_closed(&self) -> bool {
        self.closed_by.get() > 0
    }

    /// Uses the queue. Only the M's own thread does; `f` calls nothing that comes back here.
    fn with_queue<R>(&self, f: impl FnOnce(&mut GList) -> R) -> R {
        // SAFETY: as just said.
        f(unsafe { &mut *self.queue.get() })
    }

    fn is_queue_empty(&self) -> bool {
        self.with_queue(|queue| queue.is_empty())
    }

    /// Residents are due, or were at the M's last look. As seen from sysmon.
    pub(super) fn may_be_due(&self) -> bool {
        // Relaxed: a hint.
        self.have_waited.load(Relaxed) || self.inbox.is_filled()
    }

    /// Takes in what others have made ready.
    fn collect(&self) {
        if !self.inbox.has_news() {
            return;
        }
        let mut oldest_first = GList::new();
        self.inbox.take(|g| {
            // SAFETY: the inbox holds records, which are never freed.
            let g: &'static G = unsafe { g.as_ref() };
            let older = g.link.get();
            oldest_first.push_front(g);
            older
        });
        self.with_queue(|queue| queue.append(&mut oldest_first));
    }

    /// True if no resident is due. The M's own thread.
    fn is_empty(&self) -> bool {
        self.next.get().is_none() && self.is_queue_empty() && !self.inbox.is_filled()
    }

    /// The M wants to rest. False: a resident is due. The caller holds the scheduler's lock, under which `rouse` looks for the M.
    fn rests(&self) -> bool {
        self.is_empty() && self.inbox.sleep()
    }

    /// True if what has not begun should be left for others to take: they are about to look, or could be woken, and have fewer residents. For
    /// goroutines that begin stay, and a burst would begin here before anybody else is awake.
    ///
    /// Not for long, and only while a resident is due: it costs nothing but the order.
    fn leaves_it_to_others(&self) -> bool {
        let alive = self.alive() as usize;
        if alive < FEW || self.is_queue_empty() || SCHED.spinning.idle() + SCHED.spinning.spinning() == 0 {
            self.leaves_since_ns.set(0);
            return false;
        }
        let procs = SCHED.procs.load(Relaxed);
        let all = snapshot::ms().map(|m| m.residents.alive() as usize).sum::<usize>();
        // More than two and five quarters of the average.
        if alive * 4 * procs <= FEW * 4 * procs + all * 5 {
            self.leaves_since_ns.set(0);
            return false;
        }
        let now_ns = clock::now_ns();
        if self.leaves_since_ns.get() == 0 {
            self.leaves_since_ns.set(now_ns);
            idle::wake_for_work();
        }
        now_ns - self.leaves_since_ns.get() < LEAVES_NS
    }

    /// The next from the queue of whoever has its turn.
    ///
    /// # Safety
    /// The M owns `p`.
    unsafe fn take_turn(&self, p: &'static P) -> Option<&'static G> {
        // The side that has its turn, the other one, and the first again if it got more meanwhile.
        for _ in 0..3 {
            let left = self.left.get();
            if left > 0 {
                let g = match self.side.get() {
                    Side::Residents => self.with_queue(GList::pop),
                    Side::Proc if self.leaves_it_to_others() => None,
                    // SAFETY: the M owns the P; entries are records, which are never freed.
                    Side::Proc => unsafe { p.queue.pop().map(|g| g.as_ref()) },
                };
                if g.is_some() {
                    self.left.set(left - 1);
                    return g;
                }
            }
            let (side, left) = match self.side.get() {
                Side::Proc => (Side::Residents, self.with_queue(|queue| queue.len())),
                Side::Residents => (Side::Proc, p.queue.ring_len()),
            };
            if side == Side::Proc && left == 0 {
                // Others have taken it, or there was none: the next burst is another one.
                self.leaves_since_ns.set(0);
            }
            self.side.set(side);
            self.left.set(left);
        }
        None
    }
}

/// The M on which `g`, which is bound, runs.
#[inline]
fn home(g: &'static G) -> &'static M {
    // SAFETY: set before its first run, and Ms are never freed. Relaxed: whoever has `g` has it from somebody who knew.
    unsafe { &*g.m.load(Relaxed).cast::<M>() }
}

/// `g` is about to run on `m`: from its first time on it is bound to it.
#[inline]
pub(super) fn settle_down(m: &'static M, g: &'static G) {
    // Relaxed: for sysmon.
    m.residents.have_waited.store(m.residents.next.get().is_some() || !m.residents.is_queue_empty(), Relaxed);
    if !g.has(BOUND) {
        g.put(BOUND, true);
        // Relaxed: only the M's own thread writes it.
        m.residents.alive.store(m.residents.alive() + 1, Relaxed);
    }
}

/// A resident of `m` has ended.
pub(super) fn move_out(m: &'static M) {
    m.residents.alive.store(m.residents.alive() - 1, Relaxed);
}

/// Makes `g` ready; called by anybody outside the scheduler.
#[cold]
pub(super) fn ready(g: &'static G) {
    if perturb::is_on() {
        perturb::delay_wake();
    }
    // It need not enter the runtime, where the child of a fork would be noticed.
    forked::refuse_child();
    g.set_status(Status::Runnable);
    let m = home(g);
    match run::current() {
        // SAFETY: `me` is the goroutine that runs this.
        Some(me) if !me.has(THREAD) && std::ptr::eq(unsafe { M::of(me) }, m) => put_next(m, g),
        _ => deliver(m, g),
    }
}

/// As [`ready`], in the scheduler, by the M that owns `p`.
pub(super) fn ready_in_scheduler(g: &'static G, p: Option<&'static P>) {
    g.set_status(Status::Runnable);
    let m = home(g);
    if p.is_some_and(|p| p.owner.current().m == m.id) { put_next(m, g) } else { deliver(m, g) }
}

/// To the end of its M's queue; `here` is the calling M.
pub(super) fn put_back(here: &'static M, g: &'static G) {
    let m = home(g);
    if std::ptr::eq(m, here) {
        m.residents.with_queue(|queue| queue.push(g));
    } else {
        deliver(m, g);
    }
}

/// Next on `m`, whose thread runs this.
fn put_next(m: &'static M, g: &'static G) {
    // Relaxed: for sysmon; the caller may be a goroutine that does not come to the scheduler for long.
    m.residents.have_waited.store(true, Relaxed);
    if let Some(before) = m.residents.next.replace(Some(g)) {
        m.residents.with_queue(|queue| queue.push(before));
    }
}

/// Sends `g` to its M, and wakes that if need be.
fn deliver(m: &'static M, g: &'static G) {
    if m.residents.inbox.push(NonNull::from(g), |older| g.link.set(older)) {
        rouse(m);
    }
}

/// A resident of `m`, which sleeps, is due.
#[cold]
fn rouse(m: &'static M) {
    let mut central = SCHED.central.lock();
    if !central.take_resting(m) {
        // It is awake, or somebody has given it a P, or it claims one already: it looks into its inbox before it sleeps again.
        return;
    }
    match central.pop_idle_p() {
        Some(p) => {
            drop(central);
            idle::hand(m, p, false);
        }
        None => central.push_claim(m),
    }
}

/// How many Ms claim a P: there is no idle one then.
#[inline(always)]
pub(super) fn is_p_claimed() -> bool {
    // Relaxed: a hint; who gives a P up looks under the lock.
    SCHED.p_claims.load(Relaxed) > 0
}

/// `m` goes to rest, under the scheduler's lock. False: a resident is due.
#[inline]
pub(super) fn may_rest(m: &'static M) -> bool {
    !fixed().is_bound() || m.residents.rests()
}

/// True if a resident of `m` is due.
#[inline]
pub(super) fn is_due(m: &'static M) -> bool {
    fixed().is_bound() && !m.residents.is_empty()
}

/// `m` has taken a P.
#[inline]
pub(super) fn note_p(m: &'static M) {
    if fixed().is_bound() {
        m.residents.since_ns.set(clock::now_ns());
        m.residents.collect();
    }
}

/// True if a yield of a resident of `m` has somebody to give way to, apart from the P's queue.
#[inline]
pub(super) fn has_others(m: &'static M) -> bool {
    !m.residents.is_empty() || is_p_claimed()
}

/// The next goroutine for `m`: a resident, or one that begins. As `P::pick`.
///
/// # Safety
/// `m`, whose thread runs this, owns `p`.
#[inline]
pub(super) unsafe fn pick(m: &'static M, p: &'static P) -> Option<&'static G> {
    let own = &m.residents;
    // SAFETY: the M owns the P.
    unsafe {
        if !p.is_chain_over() {
            if let Some(g) = own.next.take() {
                p.lengthen_chain();
                return Some(g);
            }
            if let Some(g) = p.queue.take_next() {
                p.lengthen_chain();
                return Some(g.as_ref());
            }
        } else {
            if let Some(g) = own.next.take() {
                own.with_queue(|queue| queue.push(g));
            }
            if let Some(g) = p.queue.take_next() {
                p.put_back(g.as_ref());
            }
        }
        p.reset_chain();
        p.tick.set(p.tick.get().wrapping_add(1));
        own.collect();
        own.take_turn(p)
    }
}

/// What a poll or a timer has made ready, and the calling M `here` has no P to run: residents go to their Ms, what has not begun stays in the list.
pub(super) fn send_home(here: &'static M, ready: &mut GList) {
    if !fixed().is_bound() {
        return;
    }
    let mut others = GList::new();
    while let Some(g) = ready.pop() {
        if g.has(BOUND) {
            put_back(here, g);
        } else {
            others.push(g);
        }
    }
    *ready = others;
}

/// The address of the resident that comes after the next, for a prefetch; null if there is none.
#[inline]
pub(super) fn peek(m: &'static M) -> *const G {
    m.residents.with_queue(|queue| queue.first())
}

/// True if `m` has had its P for long enough, and others wait for it.
pub(super) fn must_pass_on(m: &'static M, p: &'static P) -> bool {
    let is_wanted = is_p_claimed() || m.residents.is_closed() && (!p.queue.is_empty() || global::has_work());
    is_wanted && clock::now_ns().saturating_sub(m.residents.since_ns.get()) >= TURN_NS
}

/// Gives the P to an M that claims one or, from a closed M, to one on which something can begin.
pub(super) fn pass_on(m: &'static M, p: &'static P) {
    if m.spinning.replace(false) {
        SCHED.spinning.stop_without_work();
    }
    let claimant = {
        let mut central = SCHED.central.lock();
        let claimant = central.pop_claim();
        if claimant.is_some() || m.residents.is_closed() {
            idle::release(m, p);
        }
        claimant
    };
    match claimant {
        Some(other) => idle::hand(other, p, false),
        None if m.residents.is_closed() => idle::handoff_or_idle(p),
        // Somebody was faster.
        None => m.residents.since_ns.set(clock::now_ns()),
    }
}

/// `m` claims a P, under the scheduler's lock, where it has found no idle one. It then waits in `idle::take_handed`.
pub(super) fn claim(central: &mut Central, m: &'static M) {
    idle::expect_p(m);
    central.push_claim(m);
}

/// As `find`, for an M on which nothing must begin.
pub(super) fn find_resident(m: &'static M) -> (&'static G, &'static P) {
    loop {
        let Some(p) = m.p.get() else {
            idle::acquire_for_residents(m);
            continue;
        };
        if p.is_retired() {
            resize::give_up(m, p);
            continue;
        }
        if must_pass_on(m, p) {
            pass_on(m, p);
            continue;
        }
        find::look_outside(m, p);
        m.residents.collect();
        p.tick.set(p.tick.get().wrapping_add(1));
        if let Some(g) = m.residents.next.take().or_else(|| m.residents.with_queue(GList::pop)) {
            return (g, p);
        }
        idle::stand_aside(m, p);
    }
}

/// `g` takes `lock_os_thread` on `m`, or lets go of it. Returns how many others share the thread.
pub(super) fn close(m: &'static M, on: bool) -> u32 {
    let count = m.residents.closed_by.get();
    m.residents.closed_by.set(if on { count + 1 } else { count - 1 });
    m.residents.alive() - 1
}

//! The goroutines that are bound to one M: where they wait for their turn, and how they take turns with those that have not begun.
//!
//! Only the inbox is for others; everything else here is the M's own thread's, but for pictures that sysmon and dumps look at.

use super::{P, SCHED};
use crate::g::{G, GList};
use crate::sys::clock;
use gort_lockfree::inbox::Inbox;
use std::cell::{Cell, UnsafeCell};
use std::ptr::NonNull;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU32};

/// What has not begun is left to others for so long at most: a thread may have to be woken, or made, on a busy machine.
const LEAVES_NS: u64 = 10_000_000;

/// Whose queue has its turn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Residents,
    Proc,
}

/// See the module.
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
    /// Residents alive.
    alive: AtomicU32,
    /// How many of them hold `lock_os_thread`.
    closed_by: AtomicU32,
    /// Since when the M has its P.
    pub(super) since_ns: Cell<u64>,
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
            closed_by: AtomicU32::new(0),
            since_ns: Cell::new(0),
            leaves_since_ns: Cell::new(0),
        }
    }

    // Relaxed, in all of these: pictures for others, written by one thread.

    /// Residents alive.
    pub(super) fn alive(&self) -> u32 {
        self.alive.load(Relaxed)
    }

    /// One more has begun here.
    pub(super) fn move_in(&self) {
        self.alive.store(self.alive() + 1, Relaxed);
    }

    /// One has ended.
    pub(super) fn move_out(&self) {
        self.alive.store(self.alive() - 1, Relaxed);
    }

    /// True if nothing must begin here.
    #[inline(always)]
    pub(super) fn is_closed(&self) -> bool {
        self.closed_by.load(Relaxed) > 0
    }

    /// One of them takes `lock_os_thread`, or lets go of it. Returns how many share the thread with it.
    pub(super) fn close(&self, on: bool) -> u32 {
        let count = self.closed_by.load(Relaxed);
        self.closed_by.store(if on { count + 1 } else { count - 1 }, Relaxed);
        self.alive() - 1
    }

    /// Residents are due, or were at the M's last look, as seen by sysmon.
    pub(super) fn may_be_due(&self) -> bool {
        self.have_waited.load(Relaxed) || self.inbox.is_filled()
    }

    /// The M is about to run one of them: sysmon shall know whether others wait.
    pub(super) fn note_waiting(&self) {
        self.have_waited.store(self.next.get().is_some() || !self.with_queue(|queue| queue.is_empty()), Relaxed);
    }

    /// Uses the queue. Only the M's own thread does; `f` calls nothing that comes back here.
    fn with_queue<R>(&self, f: impl FnOnce(&mut GList) -> R) -> R {
        // SAFETY: as just said.
        f(unsafe { &mut *self.queue.get() })
    }

    /// `g` is due, and the caller another thread. True: the M sleeps, and must be woken.
    #[must_use = "an M that sleeps must be woken"]
    pub(super) fn deliver(&self, g: &'static G) -> bool {
        self.inbox.push(NonNull::from(g), |older| g.link.set(older))
    }

    /// To the end of the queue.
    pub(super) fn push(&self, g: &'static G) {
        self.with_queue(|queue| queue.push(g));
    }

    /// Next, before all others.
    pub(super) fn put_next(&self, g: &'static G) {
        // The caller may be a goroutine that does not come to the scheduler for long.
        self.have_waited.store(true, Relaxed);
        if let Some(before) = self.next.replace(Some(g)) {
            self.push(before);
        }
    }

    /// Who is next before all others.
    pub(super) fn take_next(&self) -> Option<&'static G> {
        self.next.take()
    }

    /// Takes in what others have made ready.
    pub(super) fn collect(&self) {
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

    /// True if no resident is due.
    pub(super) fn is_empty(&self) -> bool {
        self.next.get().is_none() && self.with_queue(|queue| queue.is_empty()) && !self.inbox.is_filled()
    }

    /// The M wants to rest. False: a resident is due. The caller holds the scheduler's lock, under which `bound::rouse` looks for the M.
    pub(super) fn rests(&self) -> bool {
        // It may have said so before, and been woken for something else.
        self.collect();
        self.is_empty() && self.inbox.sleep()
    }

    /// The first of the queue, for a prefetch; null if it is empty.
    pub(super) fn peek(&self) -> *const G {
        self.with_queue(|queue| queue.first())
    }

    /// The next resident, whatever else there is.
    pub(super) fn pop(&self) -> Option<&'static G> {
        self.collect();
        self.next.take().or_else(|| self.with_queue(GList::pop))
    }

    /// True if what has not begun should be left for others to take: they are about to look, or could be woken, and a resident is due here. For who
    /// begins stays, and a burst would begin here before anybody else is awake. It costs nothing but the order.
    pub(super) fn leaves_it_to_others(&self) -> bool {
        let is_due = !self.with_queue(|queue| queue.is_empty());
        if !is_due || SCHED.spinning.idle() + SCHED.spinning.spinning() == 0 {
            self.leaves_since_ns.set(0);
            return false;
        }
        let now_ns = clock::now_ns();
        if self.leaves_since_ns.get() == 0 {
            self.leaves_since_ns.set(now_ns);
        }
        now_ns - self.leaves_since_ns.get() < LEAVES_NS
    }

    /// The next from the queue of whoever has its turn: residents, or what waits on `p`. Each side gives as many as it had when its turn began,
    /// which is first come, first served, but for those who come to one side while it is the other's turn.
    ///
    /// # Safety
    /// The M owns `p`.
    pub(super) unsafe fn take_turn(&self, p: &'static P) -> Option<&'static G> {
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
                // Taken by others, or there was none: the next is another matter.
                self.leaves_since_ns.set(0);
            }
            self.side.set(side);
            self.left.set(left);
        }
        None
    }
}

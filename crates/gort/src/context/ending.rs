//! What ends contexts: a tree of endings, from the parent to its children.
//!
//! Each context made by a `with_…` has an ending of its own; values live beside the tree, so contexts that differ in values share one.
//!
//! # States
//! An ending is open until `why` is set, under its lock and once; `has_ended` says so to those who do not hold the lock. Who sets it takes
//! everything out of the ending, and tells: those who wait (two lists, see below), the functions to be called, the children.
//!
//! **Deadlines need no timer.** The effective deadline, the earliest along the way to the root, never changes. Whoever waits takes it along as
//! the deadline of its own wait, and whoever asks looks at the clock, so an ending whose deadline has passed counts as ended from that moment on;
//! the first who notices sets `why`. Only a function that is to be called needs a timer, and brings it along (`after_func`). A cancellation that
//! comes after the deadline has passed comes too late, whoever notices first: [`Ending::end`] looks at the clock.
//!
//! # Those who wait
//! - *choosers* receive from `done()`, alone or in a `select!`: claims of theirs are taken, and they look again.
//! - *watchers* wait for something else that has no claim: a descriptor, a join, a time. They leave a timer's [`Target`] in their node, and are
//!   kicked as if their time had come. They look again, and see why.
//!
//! Whoever waits stands in the list first and looks at `has_ended` after that, or is told that it has ended instead of getting in.
//!
//! # Lock order
//! **One at a time.** A child registers with its parent under the parent's lock, and leaves under it; telling children is done after the lock has
//! been released, with a list of work instead of a recursion. So a cancel that goes down, a child that leaves upwards, a child made meanwhile
//! and a function that is stopped cannot wait for each other in a circle. A child made meanwhile either is in the list that is taken, or finds
//! `why`. Nobody is readied, and nothing of the user's dropped, with a lock held. A wake list that takes several locks in turn is gathered first
//! and readied at the end, so that a goroutine that it wakes does not see half of the tree ended: all that it can reach from above has.
//!
//! # Who keeps whom
//! A child keeps its parent; a parent knows its children weakly. A child that nobody uses any more leaves its parent's list. Functions that are
//! still to be called move to the parent then: it is the only one left that can end them early. Not to the root, where they would gather as long as
//! the program runs.
//!
//! Source: Go `context.go`. Rejected: a lock for the whole tree (contexts of unrelated requests would meet there); children that look at all
//! ancestors instead of being told (every look, and every wait, would cost the depth of the tree).

use super::error::{DeadlineExceeded, Ended};
use super::slots::Slots;
use crate::g::{G, GList, WaitList, Waiter};
use crate::prim::lock::Lock;
use crate::sched;
use crate::sys::clock;
use crate::timer::{CellRef, NEVER, Target};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Weak};
use std::time::Instant;

/// See the module.
pub(crate) struct Ending {
    parent: Option<Arc<Ending>>,
    /// See `root`.
    is_root: bool,
    /// The child's number with its parent, under the parent's lock.
    slot: AtomicUsize,
    deadline: Option<Instant>,
    deadline_ns: u64,
    has_ended: AtomicBool,
    inner: Lock<Inner>,
}

struct Inner {
    why: Option<Ended>,
    children: Slots<Weak<Ending>>,
    funcs: Slots<CellRef>,
    choosers: WaitList,
    watchers: WaitList,
}

const NOWHERE: usize = usize::MAX;

impl Ending {
    /// An ending below `parent`, with a deadline of its own if that is earlier.
    pub(super) fn child_of(parent: Option<&Arc<Self>>, deadline: Option<Instant>) -> Arc<Self> {
        let own_ns = deadline.map_or(NEVER, clock::deadline_ns);
        let inherited = parent.map_or((None, NEVER), |parent| (parent.deadline, parent.deadline_ns));
        let (deadline, deadline_ns) = if own_ns < inherited.1 { (deadline, own_ns) } else { inherited };
        let this = Self::new(parent, false, deadline, deadline_ns);
        if let Some(parent) = parent {
            let known = Arc::downgrade(&this);
            let why = {
                let mut above = parent.inner.lock();
                if above.why.is_none() {
                    // Relaxed: under the parent's lock.
                    this.slot.store(above.children.insert(known), Relaxed);
                }
                above.why.clone()
            };
            if let Some(why) = why {
                this.end(why);
            }
        }
        this
    }

    /// One that only a shutdown ends.
    pub(super) fn root() -> Arc<Self> {
        Self::new(None, true, None, NEVER)
    }

    fn new(parent: Option<&Arc<Self>>, is_root: bool, deadline: Option<Instant>, deadline_ns: u64) -> Arc<Self> {
        Arc::new(Self {
            parent: parent.cloned(),
            is_root,
            slot: AtomicUsize::new(NOWHERE),
            deadline,
            deadline_ns,
            has_ended: AtomicBool::new(false),
            inner: Lock::new(Inner {
                why: None,
                children: Slots::new(),
                funcs: Slots::new(),
                choosers: WaitList::new(),
                watchers: WaitList::new(),
            }),
        })
    }

    pub(super) fn is_root(&self) -> bool {
        self.is_root
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The effective deadline; [`NEVER`] without one.
    pub(crate) fn deadline_ns(&self) -> u64 {
        self.deadline_ns
    }

    /// Why it has ended, if it has.
    pub(crate) fn why(self: &Arc<Self>) -> Option<Ended> {
        if !self.has_ended() {
            return None;
        }
        // Only a deadline ends it without anybody's doing; if somebody has been faster, his reason stays.
        if !self.has_ended.load(Acquire) {
            self.end(Ended::DeadlineExceeded(DeadlineExceeded));
        }
        self.inner.lock().why.clone()
    }

    /// True if it has ended.
    #[inline]
    pub(crate) fn has_ended(&self) -> bool {
        // Acquire: pairs with the Release in `end`.
        self.has_ended.load(Acquire) || self.deadline_ns != NEVER && clock::now_ns() >= self.deadline_ns
    }

    /// Ends it, and all below it.
    pub(super) fn end(self: &Arc<Self>, why: Ended) {
        let mut ready = GList::new();
        let mut work = vec![(self.clone(), why)];
        while let Some((ending, mut why)) = work.pop() {
            if ending.deadline_ns != NEVER && clock::now_ns() >= ending.deadline_ns {
                why = Ended::DeadlineExceeded(DeadlineExceeded);
            }
            let Some((children, funcs)) = ending.close(&why, &mut ready) else { continue };
            ending.leave_parent();
            for func in funcs {
                func.start(&mut ready);
            }
            work.extend(children.filter_map(|child| Some((child.upgrade()?, why.clone()))));
        }
        sched::ready_list(&mut ready);
    }

    /// Sets `why` and takes everything out; `None` if it was set before.
    #[allow(clippy::type_complexity, reason = "private, and the names say it")]
    fn close(
        &self,
        why: &Ended,
        ready: &mut GList,
    ) -> Option<(impl Iterator<Item = Weak<Self>> + use<>, impl Iterator<Item = CellRef> + use<>)> {
        let mut inner = self.inner.lock();
        if inner.why.is_some() {
            return None;
        }
        inner.why = Some(why.clone());
        // Release: pairs with the Acquire in `has_ended`.
        self.has_ended.store(true, Release);
        inner.choosers.tell(ready);
        while let Some(slot) = inner.watchers.pop_slot() {
            // SAFETY: `watch` leaves the word of a target there. The time means nothing: no watcher is a timer's cell.
            unsafe { Target::from_word(slot as usize) }.kick(0, ready);
        }
        Some((inner.children.take(), inner.funcs.take()))
    }

    /// The parent need not know it any more.
    fn leave_parent(&self) {
        let Some(parent) = &self.parent else { return };
        let known = {
            let mut above = parent.inner.lock();
            // Relaxed: under the parent's lock.
            let slot = self.slot.swap(NOWHERE, Relaxed);
            // The numbers of an ending that has ended mean nothing.
            if slot == NOWHERE || above.why.is_some() { None } else { above.children.remove(slot) }
        };
        drop(known);
    }

    /// Registers a function to be started at the end: its number; `None` if it has ended.
    pub(super) fn add_func(&self, func: CellRef) -> Option<usize> {
        let mut inner = self.inner.lock();
        if inner.why.is_some() {
            drop(inner);
            return None;
        }
        Some(inner.funcs.insert(func))
    }

    /// Takes back [`add_func`](Self::add_func).
    pub(super) fn remove_func(&self, slot: usize) {
        let func = {
            let mut inner = self.inner.lock();
            if inner.why.is_some() { None } else { inner.funcs.remove(slot) }
        };
        drop(func);
    }

    /// Children that have not ended, and functions that are still to be called.
    pub(super) fn child_count(&self) -> usize {
        let (children, funcs): (Vec<_>, Vec<_>) = {
            let inner = self.inner.lock();
            (inner.children.iter().cloned().collect(), inner.funcs.iter().cloned().collect())
        };
        // Outside the lock: the last reference to a child may be the one made here.
        let alive = children.iter().filter(|child| child.upgrade().is_some_and(|child| !child.has_ended()));
        alive.count() + funcs.iter().filter(|func| func.is_dormant()).count()
    }

    /// Stands among the choosers. If it ends, or has, the node's claim is taken.
    ///
    /// # Safety
    /// As for [`WaitList::push`], until after [`Ending::leave`].
    pub(crate) unsafe fn enter(&self, node: &Waiter) {
        let mut inner = self.inner.lock();
        if inner.why.is_none() {
            // SAFETY: the caller's promise.
            unsafe { inner.choosers.push(node) };
        }
    }

    /// Leaves the choosers.
    pub(crate) fn leave(&self, node: &Waiter) {
        self.inner.lock().choosers.remove(node);
    }

    /// Runs `wait`, which parks `me`, so that the end kicks `target`. Returns at once if it has been ended by somebody; a deadline is the caller's
    /// to mind.
    pub(crate) fn while_watched(&self, me: &'static G, target: Target, wait: impl FnOnce()) {
        struct Leave<'a>(&'a Ending, Waiter);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                self.0.inner.lock().watchers.remove(&self.1);
            }
        }
        let watch = Leave(self, Waiter::with_slot(me, target.to_word() as *mut ()));
        {
            let mut inner = self.inner.lock();
            if inner.why.is_some() {
                drop(inner);
                return;
            }
            // SAFETY: the node stays where it is until `Leave` has taken it out.
            unsafe { inner.watchers.push(&watch.1) };
        }
        wait();
    }
}

impl Ending {
    /// Nobody uses it any more: takes it out of the tree, and its parent from it.
    fn retire(&mut self) -> Option<Arc<Self>> {
        self.leave_parent();
        let parent = self.parent.take()?;
        if parent.is_root {
            return Some(parent);
        }
        let funcs = self.inner.lock().funcs.take();
        for func in funcs.filter(CellRef::is_dormant) {
            if parent.add_func(func.clone()).is_none() {
                let mut ready = GList::new();
                func.start(&mut ready);
                sched::ready_list(&mut ready);
            }
        }
        Some(parent)
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        // One after the other: a long line of ancestors must not become a deep recursion.
        let mut next = self.retire();
        while let Some(mut parent) = next.and_then(Arc::into_inner) {
            next = parent.retire();
        }
    }
}

impl std::fmt::Debug for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ending").field("has_ended", &self.has_ended()).finish_non_exhaustive()
    }
}

//! One operation, in the frame of the goroutine that waits for it.
//!
//! # Who has it
//! `holds` counts the ways in which the ring's thread has it: one for the operation, one for a wish to give it up. The goroutine sets it before each push; the
//! thread lowers it when it will not touch that part any more, and readies the goroutine when nothing is left. So until `holds` is 0 the frame must stay, with
//! whatever the operation points to, and from then on the thread is gone from it: it reads the goroutine's record, which is never freed, before.
//!
//! **Given up means awaited.** A wish to give up is a message like the operation itself, behind it in the same queue. When the thread gets there, either the
//! operation is over, and there is nothing to do, or the kernel has it, and is asked to cancel it (which means that it may end sooner, and how is
//! what its result says). The wish is done then; the goroutine waits for the operation's own result in any case. The request to cancel names the operation
//! by its address, which another one may have later; but that one is handed over later, too, and the kernel takes them in order.
//!
//! No loom model: the queue has one (`inbox`), the wait has one (`wake_word`), and what is left is a counter that one side raises before it pushes
//! and the other lowers as its last access, as in a reference count.

use super::{INBOX, wake};
use crate::g::{G, GList};
use crate::sys::uring::Sqe;
use std::cell::Cell;
use std::ptr::{self, NonNull};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

/// Instead of a result: io_uring could not be had, and nothing has been done.
pub(crate) const NOT_DONE: i32 = i32::MIN;

/// See the module.
pub(crate) struct Op {
    sqe: Sqe,
    g: &'static G,
    holds: AtomicU32,
    /// The thread's while it holds the operation, the goroutine's after that.
    result: Cell<i32>,
    /// The thread's.
    is_over: Cell<bool>,
    /// The thread's: its neighbours in [`InFlight`].
    before: Cell<*const Op>,
    after: Cell<*const Op>,
    request: Node,
    gives_up: Node,
}

// SAFETY: who may touch the cells stands at the fields, and in the module who holds an operation when; `holds` orders the two.
unsafe impl Sync for Op {}

/// A message to the thread.
pub(super) struct Node {
    link: Cell<*mut Node>,
    op: Cell<*const Op>,
    gives_up: bool,
}

impl Node {
    fn new(gives_up: bool) -> Self {
        Self { link: Cell::new(ptr::null_mut()), op: Cell::new(ptr::null()), gives_up }
    }

    pub(super) fn link(&self) -> &Cell<*mut Node> {
        &self.link
    }

    pub(super) fn op(&self) -> *const Op {
        self.op.get()
    }

    pub(super) fn gives_up(&self) -> bool {
        self.gives_up
    }
}

impl Op {
    /// An operation that `g` will wait for.
    pub(crate) fn new(g: &'static G, sqe: Sqe) -> Self {
        let (request, gives_up) = (Node::new(false), Node::new(true));
        Self {
            sqe,
            g,
            holds: AtomicU32::new(0),
            result: Cell::new(NOT_DONE),
            is_over: Cell::new(false),
            before: Cell::new(ptr::null()),
            after: Cell::new(ptr::null()),
            request,
            gives_up,
        }
    }

    /// Hands it to the ring's thread. True: there is none, and the monitor has to hear of it.
    ///
    /// # Safety
    /// Once for each operation. Until [`is_done`](Self::is_done) it stays where it is, what it points to is valid for what it does, and its descriptor
    /// stays open.
    #[must_use = "nobody else tells the monitor"]
    pub(crate) unsafe fn submit(&self) -> bool {
        // Relaxed: the push publishes it.
        self.holds.store(1, Relaxed);
        self.send(&self.request)
    }

    /// Asks the kernel to end it early. Once, after `submit`. As there.
    #[must_use = "nobody else tells the monitor"]
    pub(crate) fn give_up(&self) -> bool {
        // Relaxed: the push publishes it. The operation may have ended just now; the thread knows.
        self.holds.fetch_add(1, Relaxed);
        self.send(&self.gives_up)
    }

    fn send(&self, node: &Node) -> bool {
        node.op.set(self);
        INBOX.push(NonNull::from(node), |next| node.link.set(next)) && wake()
    }

    /// True once the thread is gone from it.
    pub(crate) fn is_done(&self) -> bool {
        // Acquire: pairs with the AcqRel in `let_go`.
        self.holds.load(Acquire) == 0
    }

    /// What came of it: a count, a negative error number, or [`NOT_DONE`]. Once it is done.
    pub(crate) fn result(&self) -> i32 {
        debug_assert!(self.is_done());
        self.result.get()
    }

    pub(super) fn sqe(&self) -> Sqe {
        self.sqe.with(ptr::from_ref(self).expose_provenance() as u64)
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.get()
    }

    /// The thread has its result.
    ///
    /// # Safety
    /// `op` is held, for the operation itself, and not used after this.
    pub(super) unsafe fn end(op: *const Self, result: i32, ready: &mut GList) {
        // SAFETY: as the caller says.
        unsafe {
            (*op).result.set(result);
            (*op).is_over.set(true);
            Self::let_go(op, ready);
        }
    }

    /// The thread is done with one part of it; the goroutine is added to `ready` if that was the last one and it waits.
    ///
    /// # Safety
    /// `op` is held, for that part, which is not used after this.
    pub(super) unsafe fn let_go(op: *const Self, ready: &mut GList) {
        // SAFETY: as the caller says. The record is read before, since the frame may go as soon as nothing holds it.
        let (g, was) = unsafe {
            let g = (*op).g;
            // AcqRel: Release pairs with the Acquire in `is_done`, the goroutine sees the result; with the other part's, so both parts' stores are seen.
            (g, (*op).holds.fetch_sub(1, AcqRel))
        };
        if was == 1 && g.park.kick() {
            ready.push(g);
        }
    }
}

/// The operations that have no result yet, for the day on which none comes any more.
pub(super) struct InFlight {
    first: *const Op,
}

impl InFlight {
    pub(super) fn new() -> Self {
        Self { first: ptr::null() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_null()
    }

    pub(super) fn count(&self) -> usize {
        // SAFETY: what is in the list is held.
        std::iter::successors(unsafe { self.first.as_ref() }, |op| unsafe { op.after.get().as_ref() }).count()
    }

    /// # Safety
    /// `op` is held by the thread until it is taken out, and in no list.
    pub(super) unsafe fn add(&mut self, op: &Op) {
        op.before.set(ptr::null());
        op.after.set(self.first);
        // SAFETY: what is in the list is held.
        if let Some(first) = unsafe { self.first.as_ref() } {
            first.before.set(op);
        }
        self.first = op;
    }

    /// # Safety
    /// `op` is in the list.
    pub(super) unsafe fn remove(&mut self, op: &Op) {
        let (before, after) = (op.before.get(), op.after.get());
        // SAFETY: what is in the list is held, and `op`'s neighbours are.
        unsafe {
            match before.as_ref() {
                Some(before) => before.after.set(after),
                None => self.first = after,
            }
            if let Some(after) = after.as_ref() {
                after.before.set(before);
            }
        }
    }

    /// Takes one out.
    pub(super) fn pop(&mut self) -> Option<*const Op> {
        let first = self.first;
        // SAFETY: what is in the list is held.
        unsafe { self.remove(first.as_ref()?) };
        Some(first)
    }
}

impl std::fmt::Debug for Op {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Op").field("is_done", &self.is_done()).finish_non_exhaustive()
    }
}

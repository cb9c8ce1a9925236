//! `select!`: the first of several operations, and no other.
//!
//! Each arm, in random order, looks whether it can go on: one that can does, and that is all. Otherwise all stand in their channels' queues with
//! one claim, until somebody serves one of them: the walk, and why it loses nothing, are in `gort_lockfree::select`. Unless one was served, all
//! start again.
//!
//! A receiving arm that wins has its value. A sending arm that wins has a turn (see `core`): the value's expression is evaluated after that, so
//! what a losing arm would have sent has not been touched.
//!
//! **None can go on** is said only of a moment at which none could: see `look`. The counts of changes only grow, hence equal sums are equal counts.
//!
//! Source: Go `select.go` for the order, crossbeam-channel `select.rs` for standing in one queue after the other.

use super::core::{FOR_EVER, Fail, NOT_AT_ALL, Turn};
use super::enlist::ArmEnd;
use super::error::{RecvError, SendError};
use super::flavor::Flavor;
use super::look::Look;
use super::order::Order;
use super::{Receiver, Sender};
use crate::context::Bound;
use crate::g::{Choice, G, Source, WaitReason, Waiter, Want};
use crate::sys::clock;
use crate::timer::NEVER;
use crate::wait::{Caller, Waiting};
use gort_lockfree::claim::{Claim, Party};
use gort_lockfree::select as walk;
use std::cell::{Cell, UnsafeCell};
use std::fmt;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::Ordering::Acquire;
use std::sync::atomic::fence;
use std::time::{Duration, Instant};

pub(super) mod sealed {
    /// No other crate can name it.
    pub trait Sealed {}
}

impl<T> sealed::Sealed for RecvArm<'_, T> {}
impl<T> sealed::Sealed for SendArm<'_, T> {}

/// One operation of a `select!`. Sealed: only the types of this crate have it.
///
/// What `select!` expands to is safe code, which anybody could write. So nothing here that is safe to call may be unsound, whoever calls it: an arm
/// believes that it has won only if it has found out itself, or by an `unsafe` call.
/// ```compile_fail
/// use gort::chan::__private::{Arm, RecvArm};
/// let (_s, r) = gort::chan::bounded::<String>(0);
/// let arm = RecvArm::new(&r);
/// arm.settle(0); // "A value has been delivered."
/// arm.take();
/// ```
#[doc(hidden)]
pub trait Arm: sealed::Sealed {
    /// Goes on if it can at once.
    #[doc(hidden)]
    fn attempt(&self, caller: Caller) -> bool;

    /// Whether it may go on at once: a glance, without a lock.
    #[doc(hidden)]
    fn look(&self) -> Look;

    /// True if it could go on at once.
    #[doc(hidden)]
    fn is_ready(&self) -> bool;

    /// Stands in the queue; with `news`, only to hear that something has changed. True: it could go on after all.
    ///
    /// # Safety
    /// Arm and claim stay where they are, and the claim, if taken, is finished, until after `delist`.
    #[doc(hidden)]
    unsafe fn enlist(&self, caller: Caller, claim: &Claim, case: u32, news: bool) -> bool;

    /// Leaves the queue.
    ///
    /// # Safety
    /// It was enlisted.
    #[doc(hidden)]
    unsafe fn delist(&self);

    /// Its case has ended the wait: true if that was a success.
    ///
    /// # Safety
    /// It has, with this outcome, and this is said once.
    #[doc(hidden)]
    unsafe fn settle(&self, outcome: u8) -> bool;

    /// True if what it waits for has come without taking the claim. Who brings it kicks the party.
    #[doc(hidden)]
    fn has_come(&self) -> bool {
        false
    }

    /// When it can go on without anybody's doing, and else by whose.
    #[doc(hidden)]
    fn prospect(&self) -> (u64, Source);
}

/// A node that is written when its arm enlists: most arms of a `select!` with `default` never do.
struct Node(UnsafeCell<MaybeUninit<Waiter>>);

impl Node {
    const fn new() -> Self {
        Self(UnsafeCell::new(MaybeUninit::uninit()))
    }

    /// A fresh one.
    ///
    /// # Safety
    /// The one before is in no queue.
    unsafe fn begin(&self) -> &Waiter {
        // SAFETY: nobody else knows it.
        unsafe { (*self.0.get()).write(Waiter::new()) }
    }

    /// The one that was begun.
    ///
    /// # Safety
    /// One was.
    unsafe fn get(&self) -> &Waiter {
        // SAFETY: the caller's promise.
        unsafe { (*self.0.get()).assume_init_ref() }
    }
}

/// `recv(r)`.
#[doc(hidden)]
pub struct RecvArm<'a, T> {
    pub(super) receiver: &'a Receiver<T>,
    node: Node,
    slot: UnsafeCell<MaybeUninit<T>>,
    state: Cell<Received>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Received {
    Nothing,
    /// A value, in the slot.
    Value,
    /// The end.
    Closed,
}

impl<'a, T> RecvArm<'a, T> {
    /// See the trait.
    pub fn new(receiver: &'a Receiver<T>) -> Self {
        let slot = UnsafeCell::new(MaybeUninit::uninit());
        Self { receiver, node: Node::new(), slot, state: Cell::new(Received::Nothing) }
    }

    /// What it has received, once it has won.
    ///
    /// # Panics
    /// If it has not.
    pub fn take(&self) -> Result<T, RecvError> {
        match self.state.replace(Received::Nothing) {
            // SAFETY: the state says that it is there, which is said by `attempt`, which has written it, and by `settle`; and it is taken once.
            Received::Value => Ok(unsafe { (*self.slot.get()).assume_init_read() }),
            Received::Closed => Err(RecvError),
            Received::Nothing => panic!("select: this operation was not selected"),
        }
    }
}

impl<T> Drop for RecvArm<'_, T> {
    fn drop(&mut self) {
        if self.state.get() == Received::Value {
            drop(self.take());
        }
    }
}

impl<T> Arm for RecvArm<'_, T> {
    #[inline]
    fn attempt(&self, caller: Caller) -> bool {
        let received = match &self.receiver.flavor {
            Flavor::Chan(chan) => chan.recv(NOT_AT_ALL, caller),
            other => other.take(),
        };
        let value = match received {
            Ok(value) => value,
            Err(Fail::Late) => return false,
            Err(Fail::Closed) => {
                self.state.set(Received::Closed);
                return true;
            }
        };
        // SAFETY: nobody else knows the slot: the arm is in no queue.
        unsafe { (*self.slot.get()).write(value) };
        self.state.set(Received::Value);
        true
    }

    #[inline(always)]
    fn look(&self) -> Look {
        match &self.receiver.flavor {
            Flavor::Chan(chan) => chan.look_for_value(),
            Flavor::Never => Look::NOTHING,
            _ => Look::PERHAPS,
        }
    }

    fn is_ready(&self) -> bool {
        match &self.receiver.flavor {
            Flavor::Chan(chan) => chan.is_readable(),
            time => time.due_ns() <= clock::now_ns(),
        }
    }

    unsafe fn enlist(&self, caller: Caller, claim: &Claim, case: u32, news: bool) -> bool {
        // SAFETY: an arm is enlisted once at a time.
        let node = unsafe { self.node.begin() };
        let Flavor::Chan(chan) = &self.receiver.flavor else {
            // SAFETY: the caller's promise. What is due by now ends the wait at once.
            unsafe { self.receiver.flavor.enter(node, caller, claim, case) };
            return false;
        };
        let want = if news { Want::News } else { Want::Value };
        node.set(caller.me, claim, case, want, self.slot.get().cast());
        // SAFETY: the caller's promise; the slot is the arm's.
        unsafe { chan.enlist_receiver(node, claim) }
    }

    unsafe fn delist(&self) {
        // SAFETY: only what was enlisted is delisted.
        let node = unsafe { self.node.get() };
        match &self.receiver.flavor {
            Flavor::Chan(chan) => chan.delist_receiver(node),
            other => other.leave(node),
        }
    }

    unsafe fn settle(&self, outcome: u8) -> bool {
        let state = match ArmEnd::of(outcome) {
            ArmEnd::Delivered => Received::Value,
            ArmEnd::Closed => Received::Closed,
            _ => return false,
        };
        self.state.set(state);
        true
    }

    fn prospect(&self) -> (u64, Source) {
        self.receiver.flavor.prospect()
    }
}

impl<T> fmt::Debug for RecvArm<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecvArm { .. }")
    }
}

/// `send(s, value)`.
#[doc(hidden)]
pub struct SendArm<'a, T> {
    pub(super) sender: &'a Sender<T>,
    node: Node,
    turn: Cell<Option<Turn>>,
    is_closed: Cell<bool>,
}

impl<'a, T> SendArm<'a, T> {
    /// See the trait.
    pub fn new(sender: &'a Sender<T>) -> Self {
        Self { sender, node: Node::new(), turn: Cell::new(None), is_closed: Cell::new(false) }
    }

    /// Sends the value, once it has won.
    ///
    /// # Panics
    /// If it has not.
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        match self.turn.take() {
            Some(turn) => self.sender.chan.use_turn(turn, value).map_err(SendError),
            None if self.is_closed.take() => Err(SendError(value)),
            None => panic!("select: this operation was not selected"),
        }
    }
}

impl<T> Drop for SendArm<'_, T> {
    fn drop(&mut self) {
        // It has won, and the value's expression panicked.
        if let Some(turn) = self.turn.take() {
            self.sender.chan.abandon_turn(turn);
        }
    }
}

impl<T> Arm for SendArm<'_, T> {
    #[inline]
    fn attempt(&self, _: Caller) -> bool {
        match self.sender.chan.try_turn() {
            Ok(None) => return false,
            Ok(turn) => self.turn.set(turn),
            Err(()) => self.is_closed.set(true),
        }
        true
    }

    #[inline(always)]
    fn look(&self) -> Look {
        self.sender.chan.look_for_room()
    }

    fn is_ready(&self) -> bool {
        self.sender.chan.is_writable()
    }

    unsafe fn enlist(&self, caller: Caller, claim: &Claim, case: u32, news: bool) -> bool {
        let want = if news { Want::News } else { Want::Turn };
        // SAFETY: an arm is enlisted once at a time.
        let node = unsafe { self.node.begin() };
        node.set(caller.me, claim, case, want, (&raw const self.turn).cast_mut().cast());
        // SAFETY: the caller's promise; the slot is the arm's.
        unsafe { self.sender.chan.enlist_sender(node, claim) }
    }

    unsafe fn delist(&self) {
        // SAFETY: only what was enlisted is delisted.
        self.sender.chan.delist_sender(unsafe { self.node.get() });
    }

    unsafe fn settle(&self, outcome: u8) -> bool {
        match ArmEnd::of(outcome) {
            ArmEnd::Turn => self.turn.set(Some(self.turn.take().unwrap_or(Turn::Place))),
            ArmEnd::Closed => self.is_closed.set(true),
            _ => return false,
        }
        true
    }

    fn prospect(&self) -> (u64, Source) {
        (NEVER, Source::Channel(ptr::from_ref(&*self.sender.chan).addr()))
    }
}

impl<T> fmt::Debug for SendArm<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendArm { .. }")
    }
}

/// How long a `select!` waits.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    /// Without `default`.
    ForEver,
    /// `default`.
    NotAtAll,
    /// `default(timeout)`.
    For(Duration),
    /// Until this moment.
    Until(Instant),
}

impl Limit {
    fn until_ns(self) -> u64 {
        match self {
            Self::ForEver => FOR_EVER,
            Self::NotAtAll => NOT_AT_ALL,
            Self::For(duration) => clock::after(duration),
            Self::Until(instant) => clock::deadline_ns(instant),
        }
    }
}

/// What a `select!` looks for, and in which order.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Manner {
    /// The first that can go on, instead of any.
    pub biased: bool,
    /// Only look.
    pub news: bool,
}

/// Runs the operations `arms`: the number of the one that was, `None` when the limit has come.
///
/// Each is borrowed for itself, so none is there twice: it has one node, which cannot stand in two places.
/// ```compile_fail
/// use gort::chan::__private::{Arm, Limit, Manner, RecvArm, select};
/// let (_s, r) = gort::chan::bounded::<u8>(0);
/// let arm = RecvArm::new(&r);
/// select(&[&arm, &arm], Limit::NotAtAll, Manner::default());
/// ```
#[doc(hidden)]
#[track_caller]
pub fn select(arms: &[&mut dyn Arm], limit: Limit, manner: Manner) -> Option<usize> {
    let caller = Caller::begin();
    let until_ns = limit.until_ns();
    // One arm alone is looked at in one moment anyway, and who waits for ever does not ask for one.
    let counts = arms.len() > 1 && until_ns != FOR_EVER;
    let changes =
        || if counts { arms.iter().fold(0, |sum: u32, arm| sum.wrapping_add(arm.look().changes())) } else { 0 };
    let order = Order::new(arms.len(), manner.biased, caller.me);
    let order = order.as_slice();
    loop {
        let before = changes();
        for &at in order {
            let arm = &arms[usize::from(at)];
            if if manner.news { arm.is_ready() } else { arm.attempt(caller) } {
                return Some(usize::from(at));
            }
        }
        if until_ns == NOT_AT_ALL || until_ns != FOR_EVER && clock::now_ns() >= until_ns {
            // Acquire: as in `is_hopeless`.
            fence(Acquire);
            if changes() == before {
                return None;
            }
            continue;
        }
        let won = wait(arms, order, until_ns, manner.news, caller);
        if won.is_some() {
            return won;
        }
    }
}

/// Waits once: the arm that has won meanwhile; `None` if all should look again.
fn wait(arms: &[&mut dyn Arm], order: &[u16], until_ns: u64, news: bool, caller: Caller) -> Option<usize> {
    let claim = Claim::new();
    let mut choice = Choice::new();
    let end = walk::wait(
        &claim,
        order.len(),
        // SAFETY: it is delisted below, after the wait; claim and arms stay until then, and nothing in between unwinds.
        |place| unsafe { arms[usize::from(order[place])].enlist(caller, &claim, u32::from(order[place]), news) },
        || {
            let mut due_ns = until_ns;
            for arm in arms {
                let (arm_due_ns, source) = arm.prospect();
                due_ns = due_ns.min(arm_due_ns);
                choice.add(source);
            }
            let reason = if arms.is_empty() { WaitReason::SelectNoCases } else { WaitReason::Select };
            Chooser { waiting: caller.until(Bound::at(due_ns), reason, choice.address()), arms }
        },
        // SAFETY: only what was enlisted is delisted.
        |place| unsafe { arms[usize::from(order[place])].delist() },
    )?;
    // SAFETY: the claim says so.
    unsafe { arms[end.case as usize].settle(end.outcome) }.then_some(end.case as usize)
}

/// The party: one of its arms' coming makes it late, as the clock does; it gives its claim up and looks at all of them again.
struct Chooser<'a, 'b> {
    waiting: Waiting<'a>,
    arms: &'a [&'b mut dyn Arm],
}

impl Party for Chooser<'_, '_> {
    type Id = &'static G;

    fn id(&self) -> &'static G {
        self.waiting.id()
    }

    fn is_late(&self) -> bool {
        self.waiting.is_late() || self.arms.iter().any(|arm| arm.has_come())
    }

    fn sleep(&self, may_leave: bool) {
        self.waiting.sleep(may_leave);
    }
}

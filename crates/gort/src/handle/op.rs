//! One operation on one side of a descriptor, from the lock of the side to its result.
//!
//! 1. Take the side; another reader (writer) may be at it.
//! 2. Clear the readiness. Whatever happens to the side from here on, an event or a deadline that moves, sets it again, so none is lost.
//! 3. Look at the deadline, before any I/O: an expired one fails even if data waits. Then try the call.
//! 4. It would block: arm the deadline's timer and park. The commit refuses if the side was touched since step 2; go there.
//!
//! The ambient context counts as a deadline of its own, and its cancellation as one that is set to now: both are looked at in step 2. The end of the
//! root, when the runtime is shut down, ends waits only, and is looked at in step 4: what has come can still be read, and answered.
//!
//! Events, deadlines that change, timers, contexts that end and the close all do the same to a parked party: they make it go to step 2 (`SideWord`). So there is
//! nothing to tell apart and nothing to count.

use crate::context::ambient;
use crate::g::{G, WaitReason, Waiter};
use crate::netpoll::{Desc, Half, Side, Waits};
use crate::sched;
use crate::sys::clock;
use crate::sys::raw::Errno;
use crate::timer::{NEVER, Target};
use gort_lockfree::fd_mutex::Lock;
use gort_lockfree::side_word::Try;
use std::io;
use std::panic::Location;
use std::sync::atomic::Ordering::{Acquire, Relaxed};

/// The error of every operation on a descriptor that lets no more users in: it was closed, or never registered.
#[cold]
pub(super) fn closed(desc: &Desc) -> io::Error {
    // Relaxed: set before anybody else knew the descriptor, if at all.
    match Errno(desc.refused.load(Relaxed)) {
        Errno(0) => io::Error::new(io::ErrorKind::NotConnected, "the descriptor was closed"),
        why => refused(why),
    }
}

/// The error of a descriptor that the poller did not take.
fn refused(why: Errno) -> io::Error {
    let hint = match why.0 {
        libc::ENOSPC => ", the limit on watched descriptors: raise /proc/sys/fs/epoll/max_user_watches",
        libc::EPERM => ": files and folders are always ready, and block in the call: gort::blocking is for those",
        _ => "",
    };
    let why = io::Error::from(why);
    io::Error::new(why.kind(), format!("cannot watch the descriptor with epoll: {why}{hint}"))
}

/// A side that is ours, with a reference to the descriptor.
pub(super) struct Held {
    pub(super) desc: &'static Desc,
    pub(super) half: &'static Half,
    pub(super) me: &'static G,
    side: Side,
    reason: WaitReason,
    site: &'static Location<'static>,
    /// When this call times out by the side's timeout; 0 until it is known.
    timeout_at_ns: u64,
}

impl Held {
    /// Takes `side` of `desc`, waiting for whoever has it.
    #[inline]
    pub(super) fn take(
        desc: &'static Desc,
        side: Side,
        me: &'static G,
        site: &'static Location<'static>,
    ) -> io::Result<Self> {
        sched::begin_call(me);
        let (reason, reason_of_turn) = match side {
            Side::Read => (WaitReason::Read, WaitReason::ReadLock),
            Side::Write => (WaitReason::Write, WaitReason::WriteLock),
        };
        let half = desc.side(side);
        let mut timeout_at_ns = 0;
        loop {
            match desc.users.lock(side) {
                Lock::Acquired => return Ok(Self { desc, half, me, side, reason, site, timeout_at_ns }),
                Lock::Closed => return Err(closed(desc)),
                Lock::Wait => {
                    // The wait for our turn counts. Deadlines need no care here: they end the holder's call, and then ours.
                    if timeout_at_ns == 0 {
                        timeout_at_ns = timeout_from_now(half);
                    }
                    let until_ns = if timeout_at_ns == 0 { NEVER } else { timeout_at_ns };
                    if let Err(error) = wait_in_queue(desc.waits(side), me, reason_of_turn, desc.fd(), site, until_ns) {
                        if !desc.users.withdraw(side) {
                            desc.waits(side).queue.lock().permits -= 1;
                        }
                        return Err(error);
                    }
                }
            }
        }
    }

    /// Runs `call` until it does something else than `WouldBlock`.
    #[inline]
    pub(super) fn run<R>(&mut self, mut call: impl FnMut(i32) -> Result<R, Errno>) -> io::Result<R> {
        loop {
            // First, so that a deadline set after the look at it makes the commit refuse.
            let attempt = self.half.word.begin_try();
            let deadline_ns = self.check_deadline()?;
            match attempt {
                Try::Closed => return Err(closed(self.desc)),
                // Readiness comes with polls. Who parks gets it in time; who does not asks the kernel.
                Try::Drained if !self.is_nonblocking() => {}
                Try::Go | Try::Drained => match call(self.desc.fd()) {
                    Ok(result) => return Ok(result),
                    Err(Errno::AGAIN) => {}
                    Err(Errno::INTR) => continue,
                    Err(error) => return Err(error.into()),
                },
            }
            self.wait(deadline_ns)?;
        }
    }

    /// The deadline that holds now; an error if it has passed.
    #[inline]
    fn check_deadline(&self) -> io::Result<u64> {
        let ambient_ns = ambient::check_but_root()?;
        // Acquire: pairs with `Handle::set_deadline`'s store, which a kick follows.
        let deadline_ns = match self.half.deadline_ns.load(Acquire) {
            0 => NEVER,
            deadline_ns => deadline_ns,
        };
        let deadline_ns = match self.timeout_at_ns {
            0 => deadline_ns,
            timeout_at_ns => deadline_ns.min(timeout_at_ns),
        };
        if deadline_ns != NEVER && clock::now_ns() >= deadline_ns {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(deadline_ns.min(ambient_ns))
    }

    /// Waits until `until_ns` with the side held: for a call that is to be tried again although no event will say when. Ends earlier if the
    /// deadline comes, the descriptor is closed, or waiting is forbidden.
    pub(super) fn pause(&mut self, until_ns: u64) -> io::Result<()> {
        loop {
            // Takes the readiness, which loses nothing: the call follows.
            if self.half.word.begin_try() == Try::Closed {
                return Err(closed(self.desc));
            }
            self.begin_timeout();
            let deadline_ns = self.check_deadline()?;
            if clock::now_ns() >= until_ns || self.is_nonblocking() {
                return Ok(());
            }
            let root = ambient::Root::look()?;
            self.park_until(deadline_ns.min(until_ns));
            root.check()?;
        }
    }

    /// The call waits: from here on its timeout counts.
    fn begin_timeout(&mut self) {
        if self.timeout_at_ns == 0 {
            self.timeout_at_ns = timeout_from_now(self.half);
        }
    }

    /// After a try that has failed: waits for an event, or until `until_ns`, since none may come.
    pub(super) fn wait_until(&mut self, until_ns: u64) -> io::Result<()> {
        self.begin_timeout();
        let deadline_ns = self.check_deadline()?;
        self.wait(deadline_ns.min(until_ns))
    }

    /// The user wants `WouldBlock` instead of waits.
    pub(super) fn is_nonblocking(&self) -> bool {
        self.desc.is_nonblocking()
    }

    /// Parks until the side has changed, unless the user wants no waits.
    fn wait(&mut self, deadline_ns: u64) -> io::Result<()> {
        if self.is_nonblocking() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let root = ambient::Root::look()?;
        if self.me.is_thread() {
            // Somebody has to poll.
            sched::start::ensure();
        }
        self.begin_timeout();
        self.park_until(match self.timeout_at_ns {
            0 => deadline_ns,
            timeout_at_ns => deadline_ns.min(timeout_at_ns),
        });
        root.check()
    }

    /// Parks until the side has changed or the time has come.
    fn park_until(&mut self, until_ns: u64) {
        let target = Target::descriptor(self.desc, self.side);
        ambient::while_watched_but_by_root(self.me, target, || {
            if until_ns != NEVER {
                sched::park::arm(self.me, &self.desc.waits(self.side).timer, target, until_ns);
            }
            let word = &self.half.word;
            let fd = self.desc.fd() as usize;
            sched::park(self.me, self.reason, fd, self.site, |me| word.commit(me.address() as u64));
            if until_ns != NEVER {
                self.desc.waits(self.side).timer.clear();
            }
        });
    }
}

/// When a call that begins now times out; 0 without a timeout.
fn timeout_from_now(half: &Half) -> u64 {
    // Relaxed: a setting; a change takes effect for the next call.
    match half.timeout_ns.load(Relaxed) {
        0 => 0,
        timeout_ns => clock::now_ns().saturating_add(timeout_ns),
    }
}

impl Drop for Held {
    #[inline]
    fn drop(&mut self) {
        let unlock = self.desc.users.unlock(self.side);
        if unlock.wake {
            release_queue(self.desc.waits(self.side), 1);
        }
        if unlock.last {
            super::owned::finish(self.desc);
        }
    }
}

/// Waits for a permit of the side's queue.
///
/// # Errors
/// There was none before `until_ns`, or before the ambient context ended.
#[cold]
fn wait_in_queue(
    waits: &'static Waits,
    me: &'static G,
    reason: WaitReason,
    fd: i32,
    site: &'static Location<'static>,
    until_ns: u64,
) -> io::Result<()> {
    let root = ambient::Root::look()?;
    let waiter = Waiter::alone(me);
    {
        let mut queue = waits.queue.lock();
        if queue.permits > 0 {
            queue.permits -= 1;
            return Ok(());
        }
        // SAFETY: every way out of this function removes the node, or finds it removed, under the lock; nothing in between unwinds.
        unsafe { queue.waiters.push(&waiter) };
    }
    loop {
        let mut over = None;
        match root.check().and_then(|()| ambient::check()) {
            Ok(_) if until_ns != NEVER && clock::now_ns() >= until_ns => over = Some(io::ErrorKind::TimedOut.into()),
            Ok(ambient_ns) => {
                let timer_ns = until_ns.min(ambient_ns);
                ambient::while_watched(me, Target::goroutine(me), || {
                    sched::park::arm(me, &me.timer, Target::goroutine(me), timer_ns);
                    sched::park(me, reason, fd as usize, site, |me| me.park.commit_sleep());
                    if timer_ns != NEVER {
                        me.timer.clear();
                    }
                });
            }
            Err(error) => over = Some(error),
        }
        let mut queue = waits.queue.lock();
        if !queue.waiters.is_member(&waiter) {
            return Ok(());
        }
        if let Some(error) = over {
            queue.waiters.remove(&waiter);
            return Err(error);
        }
    }
}

/// Gives `count` permits to the side's queue.
///
/// The kick may come after its receiver has seen by itself that it was taken out, and has gone on: then it is one too many, which every wait
/// allows.
#[cold]
pub(super) fn release_queue(waits: &'static Waits, count: u32) {
    for _ in 0..count {
        let waiter = {
            let mut queue = waits.queue.lock();
            // Below zero the permit is one that nobody needs.
            let waiter = if queue.permits < 0 { None } else { queue.waiters.pop() };
            if waiter.is_none() {
                queue.permits += 1;
            }
            waiter
        };
        if let Some(waiter) = waiter
            && waiter.park.kick()
        {
            sched::ready(waiter);
        }
    }
}

//! An fd that parks: a descriptor of the poller's, owned. Sockets, pipes and whatever else epoll takes are thin layers over this.

use super::op::{self, Held, closed};
use crate::g::{G, GList, WaitReason};
use crate::netpoll::{self, Desc, Side};
use crate::sched;
use crate::sys::clock;
use crate::sys::raw::Errno;
use crate::sys::socket as sys;
use std::cell::Cell;
use std::fmt;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::panic::Location;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::time::{Duration, Instant};

/// An fd registered with the netpoller. Closed when dropped.
///
/// The descriptor stays with the handle until that is dropped, also after a [`close`](Handle::close): so it tells every later call that it is
/// closed, and never serves another handle under our feet. The fd itself goes when the last call under way has ended.
pub(crate) struct Handle {
    desc: &'static Desc,
}

// Panics leave no handle half changed: everything in a descriptor is atomic or under a lock that is not held while user code runs.
impl std::panic::UnwindSafe for Handle {}
impl std::panic::RefUnwindSafe for Handle {}

impl Handle {
    /// Registers `fd`, which must be in non-blocking mode. `is_ours`: nobody else knows the open file description.
    ///
    /// # Errors
    /// What the poller says: no memory, or the limit on watches (`/proc/sys/fs/epoll/max_user_watches`).
    pub(crate) fn new(fd: OwnedFd, is_plain_tcp: bool, is_ours: bool) -> io::Result<Self> {
        Self::new_or_refused(fd, is_plain_tcp, is_ours).unless_refused()
    }

    /// Registers `fd`; if that cannot be done, every operation says why. For callers that cannot return an error.
    pub(crate) fn new_or_refused(fd: OwnedFd, is_plain_tcp: bool, is_ours: bool) -> Self {
        sched::start::ensure();
        let this = Self { desc: netpoll::allocate(fd.into_raw_fd(), is_plain_tcp) };
        if !is_plain_tcp || !is_ours {
            this.desc.distrust();
        }
        // Relaxed: nobody else has the descriptor yet.
        this.desc.shared.store(!is_ours, Relaxed);
        if let Err(why) = sched::fixed().netpoll.add(this.desc) {
            this.refuse(why);
        }
        this
    }

    /// As [`Handle::new_or_refused`], for an fd that comes from somewhere else. It is put into non-blocking mode.
    pub(crate) fn adopt(fd: OwnedFd) -> Self {
        let raw = fd.as_raw_fd();
        let mode = sys::set_nonblocking(raw, true);
        let this = Self::new_or_refused(fd, sys::protocol_is_plain_tcp(raw), false);
        if let Err(why) = mode {
            this.refuse(why);
        }
        this
    }

    /// Lets no user in. Only before anybody else has the handle.
    fn refuse(&self, why: Errno) {
        self.desc.refused.store(why.0, Relaxed);
        if self.desc.users.incref_and_close().is_some() {
            sched::fixed().netpoll.delete(self.desc.fd());
            for side in [Side::Read, Side::Write] {
                let _ = self.desc.side(side).word.close();
            }
            let _ = self.desc.users.decref();
        }
    }

    /// The handle, if it could be registered.
    pub(crate) fn unless_refused(self) -> io::Result<Self> {
        // Relaxed: set before anybody else had the handle.
        if self.desc.refused.load(Relaxed) != 0 { Err(closed(self.desc)) } else { Ok(self) }
    }

    pub(super) fn desc(&self) -> &'static Desc {
        self.desc
    }

    /// Reads bytes: `call` gets the fd and says how many came. A short read of plain TCP proves that the socket is drained, and the next call
    /// parks without asking the kernel again.
    #[inline]
    pub(crate) fn read(
        &self,
        wanted: usize,
        site: &'static Location<'static>,
        call: impl FnMut(RawFd) -> Result<usize, Errno>,
    ) -> io::Result<usize> {
        let me = crate::spawn::wait_record();
        let mut held = Held::take(self.desc, Side::Read, me, site)?;
        let got = held.run(counted(me, call))?;
        if got > 0 && got < wanted && self.desc.is_plain_tcp() {
            held.half.word.set_drained();
        }
        Ok(got)
    }

    /// Any other operation of the reading side: peek, accept.
    pub(crate) fn read_other<R>(
        &self,
        site: &'static Location<'static>,
        call: impl FnMut(RawFd) -> Result<R, Errno>,
    ) -> io::Result<R> {
        let me = crate::spawn::wait_record();
        Held::take(self.desc, Side::Read, me, site)?.run(counted(me, call))
    }

    /// An operation of the writing side.
    #[inline]
    pub(crate) fn write<R>(
        &self,
        site: &'static Location<'static>,
        call: impl FnMut(RawFd) -> Result<R, Errno>,
    ) -> io::Result<R> {
        let me = crate::spawn::wait_record();
        Held::take(self.desc, Side::Write, me, site)?.run(counted(me, call))
    }

    /// Runs `f` with the fd, which stays open meanwhile.
    ///
    /// # Errors
    /// The handle was closed, or what `f` says.
    pub(crate) fn with_fd<R>(&self, f: impl FnOnce(RawFd) -> Result<R, Errno>) -> io::Result<R> {
        self.desc.users.incref().map_err(|_| closed(self.desc))?;
        let result = f(self.desc.fd());
        if self.desc.users.decref() {
            finish(self.desc);
        }
        Ok(result?)
    }

    /// Sets or clears the absolute deadline of one side; whoever waits looks at it at once.
    pub(crate) fn set_deadline(&self, side: Side, deadline: Option<Instant>) -> io::Result<()> {
        self.with_fd(|_| {
            let deadline_ns = deadline.map_or(0, clock::deadline_ns);
            // Release: pairs with `Held::check_deadline`; the kick orders it for one that is about to park.
            self.desc.side(side).deadline_ns.store(deadline_ns, Release);
            let mut ready = GList::new();
            self.desc.kick(side, &mut ready);
            sched::ready_list(&mut ready);
            Ok(())
        })
    }

    /// Sets or clears the time that each call of one side may take.
    ///
    /// # Errors
    /// `InvalidInput` for zero, as std.
    pub(crate) fn set_timeout(&self, side: Side, timeout: Option<Duration>) -> io::Result<()> {
        if timeout == Some(Duration::ZERO) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "cannot set a 0 duration timeout"));
        }
        self.with_fd(|_| {
            // Relaxed: a setting; calls under way keep theirs.
            self.desc.side(side).timeout_ns.store(timeout.map_or(0, clock::nanos), Relaxed);
            Ok(())
        })
    }

    /// The time that each call of one side may take.
    pub(crate) fn timeout(&self, side: Side) -> io::Result<Option<Duration>> {
        self.with_fd(|_| {
            let timeout_ns = self.desc.side(side).timeout_ns.load(Relaxed);
            Ok((timeout_ns != 0).then(|| Duration::from_nanos(timeout_ns)))
        })
    }

    /// With `true`, calls fail with `WouldBlock` instead of parking; so do those that are parked.
    pub(crate) fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.with_fd(|_| {
            self.desc.set_nonblocking(nonblocking);
            self.kick_both();
            Ok(())
        })
    }

    /// Makes whoever waits look again.
    fn kick_both(&self) {
        let mut ready = GList::new();
        for side in [Side::Read, Side::Write] {
            self.desc.kick(side, &mut ready);
        }
        sched::ready_list(&mut ready);
    }

    /// Ends reading, writing or both of a socket. Whoever is parked here looks again: Linux makes no event of it for the writer of a full Unix socket.
    pub(crate) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.with_fd(|fd| {
            sys::shutdown(fd, how)?;
            self.kick_both();
            Ok(())
        })
    }

    /// Takes over what `other` has been told: timeouts, deadlines, whether it may park.
    fn set_as(&self, other: &Self) {
        // Relaxed, all of them: nobody else has this handle yet.
        for side in [Side::Read, Side::Write] {
            let (mine, its) = (self.desc.side(side), other.desc.side(side));
            mine.timeout_ns.store(its.timeout_ns.load(Relaxed), Relaxed);
            mine.deadline_ns.store(its.deadline_ns.load(Relaxed), Relaxed);
        }
        self.desc.set_nonblocking(other.desc.is_nonblocking());
    }

    /// Closes: calls under way end with an error, later ones fail at once. Returns when the last call has let go of the fd and it is closed.
    ///
    /// # Errors
    /// The handle was closed before.
    pub(crate) fn close(&self, site: &'static Location<'static>) -> io::Result<()> {
        let desc = self.desc;
        let me = crate::spawn::wait_record();
        let closing = desc.users.incref_and_close().ok_or_else(|| closed(desc))?;
        for (side, waiters) in [(Side::Read, closing.wake_readers), (Side::Write, closing.wake_writers)] {
            if let Some(waiter) = desc.side(side).word.close() {
                // SAFETY: words of descriptors hold addresses of goroutine records only.
                sched::ready(unsafe { G::from_address(waiter.get() as usize) });
            }
            op::release_queue(desc.waits(side), waiters);
        }
        // Relaxed: the decrement below publishes it to whoever decrements last.
        desc.closer.store(me.address() as u64, Relaxed);
        let is_last = Cell::new(false);
        // The decrement is what publishes the goroutine, so it is the commit.
        sched::park(me, WaitReason::Close, desc.fd() as usize, site, |_| {
            if desc.users.decref() {
                is_last.set(true);
                return false;
            }
            true
        });
        if is_last.get() {
            // Relaxed: we are the last.
            desc.closer.store(0, Relaxed);
            finish(desc);
        }
        Ok(())
    }

    /// The fd, for others to use: from now on nothing is taken for granted about it. -1 after a close.
    pub(crate) fn expose_fd(&self) -> RawFd {
        // An error means closed, where the number is -1, or refused, where there is nothing to take for granted.
        let _ = self.with_fd(|_| {
            self.distrust();
            Ok(())
        });
        self.desc.fd()
    }

    /// The fd, for others to use as long as the handle lives: a close from now on leaves it open until the handle is dropped.
    ///
    /// # Errors
    /// The handle was closed before.
    pub(crate) fn lend_fd(&self) -> io::Result<BorrowedFd<'_>> {
        let lent = self.with_fd(|_| {
            self.distrust();
            // Relaxed: the reference that we hold is dropped after this, and `finish` runs after all drops.
            self.desc.lent.store(true, Relaxed);
            Ok(())
        });
        // Relaxed: set under a reference, if at all, as above; or before anybody had the handle.
        if lent.is_err() && !self.desc.lent.load(Relaxed) && self.desc.refused.load(Relaxed) == 0 {
            return Err(closed(self.desc));
        }
        // SAFETY: lent or refused, so the fd stays open until the handle is dropped, which the lifetime excludes.
        Ok(unsafe { BorrowedFd::borrow_raw(self.desc.fd()) })
    }

    /// Another fd for the same open file description.
    fn duplicate(&self) -> io::Result<OwnedFd> {
        self.with_fd(|fd| {
            self.distrust();
            sys::dup_cloexec(fd)
        })
    }

    /// A second handle for the same open file description, told the same.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        let clone = Self::new(self.duplicate()?, self.desc.is_plain_tcp(), false)?;
        clone.set_as(self);
        Ok(clone)
    }

    /// Others may use the open file description. The caller holds a reference, so that a close from now on sees it.
    fn distrust(&self) {
        self.desc.distrust();
        // Relaxed: `finish` runs after the caller's reference is dropped.
        self.desc.shared.store(true, Relaxed);
    }

    /// Takes the fd out, in blocking mode unless the user asked for non-blocking.
    ///
    /// # Errors
    /// The handle was closed.
    pub(crate) fn into_fd(self) -> io::Result<OwnedFd> {
        let desc = self.desc;
        // No call can be under way, since each borrows the handle. A refused handle has been closed to users, but not by the user.
        let is_open = if desc.users.incref_and_close().is_some() {
            for side in [Side::Read, Side::Write] {
                let _ = desc.side(side).word.close();
            }
            let is_last = desc.users.decref();
            debug_assert!(is_last, "a call is under way on a handle that nobody borrows");
            sched::fixed().netpoll.delete(desc.fd());
            true
        } else {
            desc.refused.load(Relaxed) != 0
        };
        if !is_open {
            return Err(closed(desc));
        }
        // Relaxed: a setting of this handle, which is ours alone.
        let nonblocking = desc.is_nonblocking();
        let fd = desc.take_fd().ok_or_else(|| closed(desc))?;
        // SAFETY: the fd was the handle's, which has none any more.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        // Cannot fail on a handle that we own, and what cannot be switched stays as it came.
        let _ = sys::set_nonblocking(fd.as_raw_fd(), nonblocking);
        Ok(fd)
    }

    /// Whether it is plain TCP, and so is what it accepts.
    pub(crate) fn is_plain_tcp(&self) -> bool {
        self.desc.is_plain_tcp()
    }

    /// True after [`Handle::close`].
    pub(crate) fn is_closed(&self) -> bool {
        // Relaxed: set before anybody else had the handle, if at all.
        self.desc.side(Side::Read).word.is_closed() && self.desc.refused.load(Relaxed) == 0
    }
}

/// Counts system calls for the metrics.
#[inline]
pub(super) fn counted<R>(
    me: &'static G,
    mut call: impl FnMut(RawFd) -> Result<R, Errno>,
) -> impl FnMut(RawFd) -> Result<R, Errno> {
    move |fd| {
        sched::count_io_call(me);
        call(fd)
    }
}

/// The last user of a closed descriptor is gone: closes the fd, and tells whoever waits for that.
pub(super) fn finish(desc: &'static Desc) {
    // Relaxed, all of it: stored under references that were dropped before ours, the last one.
    let is_lent = desc.lent.load(Relaxed);
    if is_lent || desc.shared.load(Relaxed) {
        sched::fixed().netpoll.delete(desc.fd());
    }
    if !is_lent {
        close_fd(desc);
    }
    let closer = desc.closer.load(Relaxed);
    if closer != 0 {
        // From here on the descriptor may belong to another handle.
        // SAFETY: the word holds addresses of goroutine records only.
        sched::ready(unsafe { G::from_address(closer as usize) });
    }
}

/// Closes the fd, if it is still there.
fn close_fd(desc: &Desc) {
    if let Some(fd) = desc.take_fd() {
        // SAFETY: the fd was the descriptor's, and nobody uses it any more. What close says changes nothing: the fd is gone.
        let _ = sys::close(unsafe { OwnedFd::from_raw_fd(fd) });
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let desc = self.desc;
        // No call is under way, since each borrows the handle.
        if desc.users.incref_and_close().is_some() {
            for side in [Side::Read, Side::Write] {
                let _ = desc.side(side).word.close();
            }
            let is_last = desc.users.decref();
            debug_assert!(is_last, "a call is under way on a handle that nobody borrows");
            finish(desc);
        }
        // Still there if it was lent, or never registered.
        close_fd(desc);
        netpoll::release(desc);
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_closed() { f.write_str("closed") } else { write!(f, "{}", self.desc.fd()) }
    }
}

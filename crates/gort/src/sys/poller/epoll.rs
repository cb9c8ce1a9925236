//! The poller over epoll and an eventfd.
//!
//! Descriptors are registered with every event of interest and EPOLLET, once, so that no epoll_ctl is needed between operations.
//!
//! **Wake.** `pending` says "a wake is on its way"; only the call that sets it pays for a write. The eventfd is registered *level*-triggered:
//! a look-in ([`Timeout::Now`]) that meets the wake leaves it alone, and the thread that blocks, or is about to, still gets it. The one
//! that blocked drains the eventfd first and clears `pending` second, with these consequences:
//! - a wake after the clearing writes anew: the next blocking wait ends at once;
//! - a wake between the draining and the clearing finds `pending` set and writes nothing, but the waiter it was meant for is about to return
//!   from `wait` and to look at everything again, and the exchanges on `pending` make it see what was stored before the wake;
//! - in the other order a wake between the two would set `pending` and have its write drained: every later wake would be swallowed.
//!
//! Stress test: `a_wake_is_never_lost_whoever_else_wakes_or_looks_in`, which fails with the other order and with an edge-triggered eventfd.
//!
//! Rejected: an edge-triggered eventfd, which saves the read. A look-in that happens to collect the one edge would have to hand it on, and with
//! nobody blocked yet it would do so, by a system call, at every look-in.
//!
//! **Time.** `epoll_pwait2` takes nanoseconds (Linux 5.11). Where it is missing or filtered, `epoll_pwait` with milliseconds, rounded up.
//!
//! Source: Go `runtime/netpoll_epoll.go` (same wake, same choice of level-triggering).

use super::{
    super::{
        clock,
        raw::{self, Errno},
    },
    Event, Timeout,
};
use std::{
    fmt, io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    sync::atomic::{
        AtomicBool,
        Ordering::{AcqRel, Relaxed},
    },
};

/// The token of the eventfd; no descriptor may have it.
const WAKE_TOKEN: u64 = u64::MAX;

const INTEREST: u32 = (libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLPRI | libc::EPOLLET) as u32;
const STICKY: u32 = (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR | libc::EPOLLPRI) as u32;
// Whatever ends or disturbs the stream is something a reader must come and see.
const READABLE: u32 = libc::EPOLLIN as u32 | STICKY;
const WRITABLE: u32 = (libc::EPOLLOUT | libc::EPOLLHUP | libc::EPOLLERR) as u32;

/// An epoll instance and the eventfd that interrupts a wait on it.
#[derive(Debug)]
pub(crate) struct Poller {
    epoll: OwnedFd,
    eventfd: OwnedFd,
    /// A wake was written and not yet drained.
    pending: AtomicBool,
    /// `epoll_pwait2` is missing.
    milliseconds_only: AtomicBool,
}

/// Room for the events of one wait.
pub(crate) struct EventBuf {
    raw: Box<[libc::epoll_event]>,
    filled: usize,
}

impl EventBuf {
    /// Room for up to `capacity` events at a time.
    pub(crate) fn new(capacity: usize) -> EventBuf {
        let raw = vec![libc::epoll_event { events: 0, u64: 0 }; capacity.max(1)];
        EventBuf { raw: raw.into_boxed_slice(), filled: 0 }
    }

    /// The event at `index` of the last wait.
    #[inline]
    pub(crate) fn get(&self, index: usize) -> Event {
        let raw = self.raw[..self.filled][index];
        let (token, events) = (raw.u64, raw.events);
        Event {
            token,
            readable: events & READABLE != 0,
            writable: events & WRITABLE != 0,
            sticky: events & STICKY != 0,
        }
    }

    /// The events of the last wait.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = Event> + '_ {
        (0..self.filled).map(|index| self.get(index))
    }
}

impl fmt::Debug for EventBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Poller {
    pub(crate) fn new() -> io::Result<Poller> {
        // SAFETY: a new descriptor; no memory is involved.
        let epoll = unsafe { owned(raw::syscall1(libc::SYS_epoll_create1, libc::EPOLL_CLOEXEC as usize)) }
            .map_err(|e| context("create an epoll instance", e))?;
        // SAFETY: as above.
        let eventfd =
            unsafe { owned(raw::syscall2(libc::SYS_eventfd2, 0, (libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) as usize)) }
                .map_err(|e| context("create an eventfd", e))?;
        let poller =
            Poller { epoll, eventfd, pending: AtomicBool::new(false), milliseconds_only: AtomicBool::new(false) };
        poller
            .control(libc::EPOLL_CTL_ADD, poller.eventfd.as_raw_fd(), libc::EPOLLIN as u32, WAKE_TOKEN)
            .map_err(|e| context("register an eventfd with epoll", e))?;
        Ok(poller)
    }

    /// Reports every future change of `fd`, and its state of now, under `token` (any but `u64::MAX`).
    pub(crate) fn add(&self, fd: RawFd, token: u64) -> Result<(), Errno> {
        debug_assert_ne!(token, WAKE_TOKEN, "the token of the poller itself");
        self.control(libc::EPOLL_CTL_ADD, fd, INTEREST, token)
    }

    /// Reports `fd` no more. An event that a wait has already taken may still be on its way.
    pub(crate) fn delete(&self, fd: RawFd) -> Result<(), Errno> {
        self.control(libc::EPOLL_CTL_DEL, fd, 0, 0)
    }

    fn control(&self, operation: i32, fd: RawFd, events: u32, token: u64) -> Result<(), Errno> {
        let mut event = libc::epoll_event { events, u64: token };
        // SAFETY: the kernel reads `event`, which lives as long as the call.
        unsafe {
            raw::syscall4(
                libc::SYS_epoll_ctl,
                self.epoll.as_raw_fd() as usize,
                operation as usize,
                fd as usize,
                std::ptr::from_mut(&mut event) as usize,
            )
        }
        .map(drop)
    }

    /// Fills `events` with at most `max` events (1 at least, and no more than there is room for) and says how many. None when the time is up,
    /// after a [`wake`](Self::wake), and after a signal; so none does not mean that the time is up.
    ///
    /// # Errors
    /// None that a caller could provoke; a kernel that refuses is reported.
    pub(crate) fn wait(&self, events: &mut EventBuf, max: usize, timeout: Timeout) -> Result<usize, Errno> {
        let max = max.clamp(1, events.raw.len());
        events.filled = 0;
        let filled = match self.wait_once(events, max, timeout) {
            Ok(filled) => filled,
            Err(Errno::INTR) => 0,
            Err(other) => return Err(other),
        };
        events.filled = filled;
        let wake_at = events.raw[..filled].iter().position(|event| event.u64 == WAKE_TOKEN);
        if let Some(at) = wake_at {
            events.raw.swap(at, filled - 1);
            events.filled -= 1;
            if timeout != Timeout::Now {
                self.drain_wake();
            }
        }
        Ok(events.filled)
    }

    fn wait_once(&self, events: &mut EventBuf, max: usize, timeout: Timeout) -> Result<usize, Errno> {
        // Relaxed: a constant of the kernel, found out at the first wait; whoever misses it finds out again.
        if !self.milliseconds_only.load(Relaxed) {
            match self.wait_ns(events, max, timeout) {
                // Filters in front of the kernel answer EPERM where it would say ENOSYS.
                Err(Errno::NOSYS | Errno::PERM) => self.milliseconds_only.store(true, Relaxed),
                other => return other,
            }
        }
        self.wait_ms(events, max, timeout)
    }

    fn wait_ns(&self, events: &mut EventBuf, max: usize, timeout: Timeout) -> Result<usize, Errno> {
        let relative = match timeout {
            Timeout::Now => Some(clock::timespec(0)),
            Timeout::Until(deadline_ns) => Some(clock::timespec(deadline_ns.saturating_sub(clock::now_ns()))),
            Timeout::Forever => None,
        };
        // SAFETY: the kernel writes at most `max` events, and `raw` has room for them; it reads the timespec, which lives as
        // long as the call; no signal mask is given.
        unsafe {
            raw::syscall6(
                libc::SYS_epoll_pwait2,
                self.epoll.as_raw_fd() as usize,
                events.raw.as_mut_ptr() as usize,
                max,
                relative.as_ref().map_or(0, |t| std::ptr::from_ref(t) as usize),
                0,
                0,
            )
        }
    }

    fn wait_ms(&self, events: &mut EventBuf, max: usize, timeout: Timeout) -> Result<usize, Errno> {
        let relative_ms: i32 = match timeout {
            Timeout::Now => 0,
            Timeout::Until(deadline_ns) => {
                // Longer than an i32 of milliseconds (24 days): comes back early with no event, which `wait` allows.
                deadline_ns.saturating_sub(clock::now_ns()).div_ceil(1_000_000).min(i32::MAX as u64) as i32
            }
            Timeout::Forever => -1,
        };
        // SAFETY: as in `wait_ns`, with the timeout by value.
        unsafe {
            raw::syscall6(
                libc::SYS_epoll_pwait,
                self.epoll.as_raw_fd() as usize,
                events.raw.as_mut_ptr() as usize,
                max,
                relative_ms as usize,
                0,
                0,
            )
        }
    }

    /// Makes the current blocking wait return, or the next one if there is none now.
    pub(crate) fn wake(&self) {
        // AcqRel: Release pairs with the exchange in `drain_wake`, so that the woken thread sees what was stored before this call even when
        // somebody else's write woke it; Acquire keeps the write below after the exchange.
        if self.pending.swap(true, AcqRel) {
            return;
        }
        let one = 1_u64;
        // SAFETY: the kernel reads the 8 bytes of `one`.
        let written = unsafe {
            raw::syscall3(
                libc::SYS_write,
                self.eventfd.as_raw_fd() as usize,
                std::ptr::from_ref(&one) as usize,
                size_of::<u64>(),
            )
        };
        // The counter is drained before `pending` is cleared, so it is 0 or 1 here and cannot be full.
        debug_assert_eq!(written, Ok(size_of::<u64>()));
    }

    /// Ends the wake that a blocking wait has seen. The order matters, see the head of this file.
    fn drain_wake(&self) {
        let mut count = 0_u64;
        // SAFETY: the kernel writes 8 bytes into `count`. EAGAIN (a second blocking waiter drained it) is as good.
        let _ = unsafe {
            raw::syscall3(
                libc::SYS_read,
                self.eventfd.as_raw_fd() as usize,
                std::ptr::from_mut(&mut count) as usize,
                size_of::<u64>(),
            )
        };
        // AcqRel: Acquire pairs with the exchanges in `wake`, skipped ones included; Release keeps the read above before it.
        self.pending.swap(false, AcqRel);
    }
}

/// # Safety
/// A successful `outcome` must be a descriptor that nobody else owns.
unsafe fn owned(outcome: Result<usize, Errno>) -> Result<OwnedFd, Errno> {
    // SAFETY: by contract.
    outcome.map(|fd| unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

fn context(what: &str, errno: Errno) -> io::Error {
    let hint =
        if matches!(errno, Errno::MFILE | Errno::NFILE) { " (raise the descriptor limit: ulimit -n)" } else { "" };
    io::Error::new(io::Error::from(errno).kind(), format!("cannot {what}: {errno}{hint}"))
}

#[cfg(test)]
impl Poller {
    /// As on a kernel before 5.11.
    pub(super) fn without_nanoseconds() -> Poller {
        let poller = Poller::new().unwrap();
        // Relaxed: not shared yet.
        poller.milliseconds_only.store(true, Relaxed);
        poller
    }

    pub(super) fn has_pending_wake(&self) -> bool {
        // Relaxed: for a test that has already synchronised.
        self.pending.load(Relaxed)
    }
}

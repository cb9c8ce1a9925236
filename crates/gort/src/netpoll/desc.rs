//! The descriptor: what the runtime keeps for one kernel fd, from registration to close.
//!
//! Type-stable, like goroutine records: an event or a timer that comes late finds a descriptor, and the sequence (events) or the timer word
//! (timers) tells it that it came late. Reading and writing are apart: each half has its own word, deadline, timer and queue.

use crate::g::{G, GList, WaitList};
use crate::prim::lock::Lock;
use crate::timer::TimerWord;
use gort_lockfree::fd_mutex::{FdMutex, Side};
use gort_lockfree::side_word::SideWord;
use std::cell::Cell;
use std::ptr;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, fence};

/// One direction of a descriptor: what every call and every event looks at.
#[repr(C)]
pub(crate) struct Half {
    /// The parked party and the readiness of this side.
    pub(crate) word: SideWord,
    /// Absolute deadline set by the user, in ns of the monotonic clock; 0 for none.
    pub(crate) deadline_ns: AtomicU64,
    /// Time allowed for each call, in ns; 0 for none.
    pub(crate) timeout_ns: AtomicU64,
}

/// The same direction: what waits with a limit need, and those for their turn.
pub(crate) struct Waits {
    /// The entry that ends a wait.
    pub(crate) timer: TimerWord,
    /// Goroutines that wait until another one has finished with this side.
    pub(crate) queue: Lock<Queue>,
}

/// A FIFO semaphore: waiters, and wake-ups that came before their waiter; below zero, wake-ups to come that nobody needs any more.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) waiters: WaitList,
    pub(crate) permits: i32,
}

impl Half {
    const fn new() -> Self {
        Self { word: SideWord::new(), deadline_ns: AtomicU64::new(0), timeout_ns: AtomicU64::new(0) }
    }
}

impl Waits {
    const fn new() -> Self {
        Self { timer: TimerWord::new(), queue: Lock::new(Queue { waiters: WaitList::new(), permits: 0 }) }
    }
}

/// The record of one descriptor. Its first cache line is all that an event and the call after it touch: with ten thousand connections each line is one that
/// the cache does not have.
#[repr(C, align(64))]
pub(crate) struct Desc {
    read: Half,
    write: Half,
    /// Users in flight, the two locks, closed: decides who releases the fd.
    pub(crate) users: FdMutex,
    fd: AtomicI32,
    /// The sequence, and the flags above it.
    state: AtomicU32,
    reads: Waits,
    writes: Waits,
    /// The open file description may be known under another fd too, so that closing ours does not end its registration.
    pub(crate) shared: AtomicBool,
    /// The fd was lent out for as long as its owner lives: a close leaves it open.
    pub(crate) lent: AtomicBool,
    /// Why the fd could not be registered; 0 if it was.
    pub(crate) refused: AtomicI32,
    /// The goroutine to ready when the last user has let go of a closed descriptor.
    pub(crate) closer: AtomicU64,
    pub(super) link: Cell<*const Desc>,
}

// SAFETY: everything is atomic or under a lock but `link`, which only the slab's lock holder touches.
unsafe impl Sync for Desc {}

/// Sequence numbers fill the bits that a 64-aligned address below 2^47 leaves free: 17 above, 6 below.
const SEQUENCE_BITS: u32 = 23;
const SEQUENCE: u32 = (1 << SEQUENCE_BITS) - 1;
/// Short reads prove that the socket is drained (plain TCP only).
const PLAIN_TCP: u32 = 1 << 30;
/// `set_nonblocking(true)`: never park.
const NONBLOCKING: u32 = 1 << 31;

const _: () = assert!(std::mem::offset_of!(Desc, reads) == 64);

impl Desc {
    pub(super) fn new() -> Self {
        Self {
            read: Half::new(),
            write: Half::new(),
            users: FdMutex::new(),
            fd: AtomicI32::new(-1),
            state: AtomicU32::new(0),
            reads: Waits::new(),
            writes: Waits::new(),
            shared: AtomicBool::new(false),
            lent: AtomicBool::new(false),
            refused: AtomicI32::new(0),
            closer: AtomicU64::new(0),
            link: Cell::new(ptr::null()),
        }
    }

    /// Takes a free descriptor into use for `fd`.
    pub(super) fn open(&self, fd: i32, plain_tcp: bool) {
        for side in [Side::Read, Side::Write] {
            let (half, waits) = (self.side(side), self.waits(side));
            half.word.reset();
            half.deadline_ns.store(0, Relaxed);
            half.timeout_ns.store(0, Relaxed);
            waits.timer.clear();
            waits.queue.lock().permits = 0;
        }
        // Relaxed: the descriptor is ours alone; the registration with the kernel and the owner's handle publish it.
        self.state.store(self.sequence() | if plain_tcp { PLAIN_TCP } else { 0 }, Relaxed);
        self.shared.store(false, Relaxed);
        self.lent.store(false, Relaxed);
        self.refused.store(0, Relaxed);
        self.closer.store(0, Relaxed);
        self.fd.store(fd, Relaxed);
        self.users.reset();
        // Pairs with the fence in `sched::stop`, whose kick may have come before the words were reset: then whoever waits here finds that
        // the runtime is being shut down.
        fence(SeqCst);
    }

    /// Ends the use: from here on events with the old token find another sequence.
    pub(super) fn retire(&self) {
        let next = (self.sequence() + 1) & SEQUENCE;
        // Release: pairs with the Acquire in `from_token`; a poller that sees the new sequence drops the event.
        self.state.store(next, Release);
        self.fd.store(-1, Relaxed);
    }

    fn sequence(&self) -> u32 {
        self.state.load(Relaxed) & SEQUENCE
    }

    pub(crate) fn address(&self) -> usize {
        ptr::from_ref(self) as usize
    }

    /// The descriptor at `address`.
    ///
    /// # Safety
    /// `address` must come from [`Desc::address`].
    pub(crate) unsafe fn from_address(address: usize) -> &'static Self {
        // SAFETY: descriptors are never freed.
        unsafe { &*(address as *const Self) }
    }

    /// What the kernel hands back with each event: address and sequence.
    pub(crate) fn token(&self) -> u64 {
        let sequence = u64::from(self.sequence());
        (sequence >> 6) << 47 | self.address() as u64 | sequence & 63
    }

    /// The descriptor of a token, unless it has been closed since.
    ///
    /// # Safety
    /// `token` must come from [`Desc::token`].
    #[inline]
    pub(super) unsafe fn from_token(token: u64) -> Option<&'static Self> {
        let address = token & ((1 << 47) - 1) & !63;
        // SAFETY: the address part came from a descriptor.
        let desc = unsafe { Self::from_address(address as usize) };
        let sequence = ((token >> 47) << 6 | token & 63) as u32;
        // Acquire: pairs with `retire`. A descriptor that is closed and reused right after this look gets a spurious kick, which its words allow.
        (desc.state.load(Acquire) & SEQUENCE == sequence).then_some(desc)
    }

    #[inline(always)]
    pub(crate) fn side(&self, side: Side) -> &Half {
        match side {
            Side::Read => &self.read,
            Side::Write => &self.write,
        }
    }

    #[inline(always)]
    pub(crate) fn waits(&self, side: Side) -> &Waits {
        match side {
            Side::Read => &self.reads,
            Side::Write => &self.writes,
        }
    }

    #[inline(always)]
    pub(crate) fn fd(&self) -> i32 {
        // Relaxed: users hold a reference (`users`), and the number changes only when there is none.
        self.fd.load(Relaxed)
    }

    /// Takes the fd out, for whoever is the last to have it; `None` if somebody was before.
    pub(crate) fn take_fd(&self) -> Option<i32> {
        // Relaxed: only the last user does this, and the descriptor's owner after it.
        let fd = self.fd.swap(-1, Relaxed);
        (fd >= 0).then_some(fd)
    }

    #[inline(always)]
    pub(crate) fn is_plain_tcp(&self) -> bool {
        self.state.load(Relaxed) & PLAIN_TCP != 0
    }

    /// The user wants `WouldBlock` instead of waits.
    #[inline(always)]
    pub(crate) fn is_nonblocking(&self) -> bool {
        // Relaxed: whoever is about to park is kicked after a change, and the kick orders it.
        self.state.load(Relaxed) & NONBLOCKING != 0
    }

    pub(crate) fn set_nonblocking(&self, nonblocking: bool) {
        // Relaxed: see `is_nonblocking`. The caller is a user, so the sequence stays.
        if nonblocking {
            self.state.fetch_or(NONBLOCKING, Relaxed);
        } else {
            self.state.fetch_and(!NONBLOCKING, Relaxed);
        }
    }

    /// From now on a short read proves nothing: the fd left our hands, or never was plain TCP.
    pub(crate) fn distrust(&self) {
        self.read.word.set_always_try();
        self.write.word.set_always_try();
    }

    /// Makes whoever waits on `side` look again.
    pub(crate) fn kick(&self, side: Side, ready: &mut GList) {
        if let Some(waiter) = self.side(side).word.kick() {
            // SAFETY: words of descriptors hold addresses of goroutine records only.
            ready.push(unsafe { G::from_address(waiter.get() as usize) });
        }
    }
}

impl std::fmt::Debug for Desc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desc").field("fd", &self.fd()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_finds_its_descriptor_until_it_is_retired_and_never_after() {
        let desc: &'static Desc = Box::leak(Box::new(Desc::new()));
        for _ in 0..300 {
            let token = desc.token();
            // SAFETY: the token was just made by this descriptor.
            assert!(unsafe { Desc::from_token(token) }.is_some_and(|found| ptr::eq(found, desc)));
            desc.retire();
            // SAFETY: as above.
            assert!(unsafe { Desc::from_token(token) }.is_none());
        }
        desc.state.store(SEQUENCE, Relaxed);
        let token = desc.token();
        // SAFETY: as above.
        assert!(unsafe { Desc::from_token(token) }.is_some());
    }
}

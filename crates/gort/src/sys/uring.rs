//! io_uring: a queue of operations for the kernel, and a queue of their results, in memory that both sides see.
//!
//! # The memory
//! One mapping holds both queues' counters and the results (`IORING_FEAT_SINGLE_MMAP`), another one the operations (SQEs). Each queue is a ring with
//! a head, moved by its reader, and a tail, moved by its writer, both of 32 bits that run on and are masked for a place:
//!
//! | | written here | written by the kernel | pairs |
//! |---|---|---|---|
//! | submissions | tail, Release, after the SQE | head, with Release, once it has copied the SQE | kernel: `smp_load_acquire(&rings->sq.tail)` in `io_sqring_entries`; `smp_store_release(&rings->sq.head)` in `io_commit_sqring`, Acquire here |
//! | completions | head, Release, after the results were read | tail, with Release, after the result | kernel: `smp_store_release(&rings->cq.tail)` in `io_commit_cqring`, Acquire here; the kernel's look at `cq.head` |
//!
//! (`io_uring/io_uring.c`; names as in Linux 6.18.)
//!
//! # Whose it is
//! A ring belongs to the thread that made it: operations are bound to the submitting thread, and end with an error if it ends. So [`Ring`] is not
//! `Send`. What an operation points to is the kernel's until its result has been read; that is what `unsafe` of [`Ring::push`] is about.
//!
//! Needed from the kernel: Linux 5.15, for a limit on the threads that it makes (`IORING_REGISTER_IOWQ_MAX_WORKERS`). Results that found no room are
//! kept by it since 5.5 (`IORING_FEAT_NODROP`), and handed in at the next [`enter`](Ring::enter).
//!
//! # How it ends while the kernel has operations
//! [`enter`](Ring::enter) may be refused at any time: by a sandbox that begins later, or for want of memory for a result. No result comes to us from then on, but
//! the kernel still uses what the operations point to. So the ring has the only writing end of a pipe among its own files
//! (`IORING_REGISTER_FILES`). When the ring is closed the kernel cancels what it can, waits for the rest, and then lets go of its files: the pipe's
//! reading end, which we keep, says that all of it is over ([`close`](Ring::close)).

use super::raw::{self, Errno};
use super::{pipe, socket};
use std::fmt;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

mod abi;
#[cfg(test)]
mod tests;

pub(crate) use abi::Sqe;
use abi::{Cqe, Params, Probe};

/// A ring, of the thread that made it.
pub(crate) struct Ring {
    fd: OwnedFd,
    queues: Map,
    sqes: Map,
    params: Params,
    /// Pushed, and not told to the kernel.
    unsubmitted: u32,
    /// Hangs up when the kernel has let go of the ring, and so of all its operations.
    end: OwnedFd,
    not_send: PhantomData<*mut ()>,
}

/// Why there is no ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// This call was refused.
    Call(&'static str, Errno),
    /// The kernel is too old.
    Lacks(&'static str),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Call(call, errno) => write!(f, "{call}: {errno}"),
            Self::Lacks(what) => write!(f, "the kernel is too old (before Linux 5.15): no {what}"),
        }
    }
}

impl Refusal {
    /// There was no descriptor or no memory at the moment (`EBADR`: none for a result), so another try may succeed.
    pub(crate) fn is_momentary(&self) -> bool {
        matches!(self, Self::Call(_, Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::AGAIN | Errno::BADR))
    }
}

impl Ring {
    /// A ring with room for so many operations at a time, and so many results; both powers of two.
    ///
    /// # Errors
    /// The kernel refuses (`EPERM`: a sandbox or `kernel.io_uring_disabled`; `ENOSYS`; `ENOMEM`: the limit on locked memory, before Linux 5.12), or is
    /// too old.
    pub(crate) fn new(entries: u32, results: u32) -> Result<Self, Refusal> {
        let basic = abi::SETUP_CQSIZE | abi::SETUP_CLAMP;
        // Work is done when the ring's thread asks for results, and not by interrupting it: 6.1, 5.19, and before.
        let ways =
            [basic | abi::SETUP_SINGLE_ISSUER | abi::SETUP_DEFER_TASKRUN, basic | abi::SETUP_COOP_TASKRUN, basic];
        let mut outcome = Err(Errno::INVAL);
        let mut params = Params::default();
        for flags in ways {
            params = Params::asking(flags, results);
            // SAFETY: the kernel reads and writes `params`, which is laid out as it expects.
            outcome = unsafe { raw::syscall2(libc::SYS_io_uring_setup, entries as usize, &raw mut params as usize) };
            if outcome != Err(Errno::INVAL) {
                break;
            }
        }
        let fd = outcome.map_err(|errno| Refusal::Call("io_uring_setup", errno))?;
        // SAFETY: a new descriptor, which nobody else has.
        let fd = unsafe { OwnedFd::from_raw_fd(fd as i32) };
        for (feature, name) in abi::NEEDED_FEATURES {
            if params.features & feature == 0 {
                return Err(Refusal::Lacks(name));
            }
        }
        let queues = Map::of(&fd, params.queue_bytes(), abi::OFF_SQ_RING)?;
        let sqes = Map::of(&fd, params.sq_entries as usize * size_of::<Sqe>(), abi::OFF_SQES)?;
        let (end, held) = pipe::pipe().map_err(|errno| Refusal::Call("pipe2", errno))?;
        let ring = Self { fd, queues, sqes, params, unsubmitted: 0, end, not_send: PhantomData };
        ring.check_operations()?;
        let held = [held.as_raw_fd()];
        ring.register("IORING_REGISTER_FILES", abi::REGISTER_FILES, held.as_ptr() as usize, held.len() as u32)?;
        // Operations lie where their number says, always.
        for place in 0..ring.params.sq_entries {
            ring.sq_word(ring.params.sq_off.array + 4 * place).store(place, Relaxed);
        }
        Ok(ring)
    }

    fn check_operations(&self) -> Result<(), Refusal> {
        let mut probe = Probe::new();
        self.register("IORING_REGISTER_PROBE", abi::REGISTER_PROBE, &raw mut probe as usize, probe.len())?;
        match abi::NEEDED_OPERATIONS.iter().find(|(code, _)| !probe.has(*code)) {
            Some((_, name)) => Err(Refusal::Lacks(name)),
            None => Ok(()),
        }
    }

    /// The kernel makes at most so many threads of its own for this thread's operations: for files, and for whatever else.
    ///
    /// # Errors
    /// The kernel is too old.
    pub(crate) fn limit_workers(&self, most: u32) -> Result<(), Refusal> {
        let mut most = [most; 2];
        let name = "IORING_REGISTER_IOWQ_MAX_WORKERS";
        match self.register(name, abi::REGISTER_IOWQ_MAX_WORKERS, most.as_mut_ptr() as usize, most.len() as u32) {
            Err(Refusal::Call(_, Errno::INVAL)) => Err(Refusal::Lacks(name)),
            outcome => outcome,
        }
    }

    /// `argument` is what the operation `code` takes, `count` of them, and live.
    fn register(&self, name: &'static str, code: u32, argument: usize, count: u32) -> Result<(), Refusal> {
        let fd = self.fd.as_raw_fd() as usize;
        // SAFETY: as the comment above says; it is called above only.
        let outcome =
            unsafe { raw::syscall4(libc::SYS_io_uring_register, fd, code as usize, argument, count as usize) };
        outcome.map(drop).map_err(|errno| Refusal::Call(name, errno))
    }

    /// Leaves an operation for the next [`enter`](Self::enter). False: there is no room until then.
    ///
    /// # Safety
    /// What it points to is valid for what the operation does with it until its result has been reaped, and its descriptor stays open as long.
    pub(crate) unsafe fn push(&mut self, sqe: Sqe) -> bool {
        let tail_word = self.sq_word(self.params.sq_off.tail);
        // Relaxed: we alone write it.
        let tail = tail_word.load(Relaxed);
        // Acquire: the kernel has copied what lies before its head (see the module).
        let head = self.sq_word(self.params.sq_off.head).load(Acquire);
        if tail.wrapping_sub(head) >= self.params.sq_entries {
            return false;
        }
        let place = (tail & (self.params.sq_entries - 1)) as usize;
        // SAFETY: the mapping holds `sq_entries` of them, a power of two, and the kernel does not look at this one before the tail says so.
        unsafe { self.sqes.at(place * size_of::<Sqe>()).cast::<Sqe>().write(sqe) };
        // Release: see the module.
        tail_word.store(tail.wrapping_add(1), Release);
        self.unsubmitted += 1;
        true
    }

    /// Hands in what was pushed, and waits for `least` results. A signal, or results without room, end that early: the caller reaps and comes again.
    ///
    /// # Errors
    /// The kernel does not do this any more: nothing was handed in, and no result will come that cannot be reaped now.
    pub(crate) fn enter(&mut self, least: u32) -> Result<(), Refusal> {
        let fd = self.fd.as_raw_fd() as usize;
        // SAFETY: numbers only; what the operations point to is as `push` demands.
        let outcome = unsafe {
            raw::syscall6(
                libc::SYS_io_uring_enter,
                fd,
                self.unsubmitted as usize,
                least as usize,
                abi::ENTER_GETEVENTS as usize,
                0,
                0,
            )
        };
        match outcome {
            Ok(count) => self.unsubmitted -= count as u32,
            // A signal; no memory for a request at the moment; results without room that have to be reaped first.
            Err(Errno::INTR | Errno::AGAIN | Errno::BUSY | Errno::NOMEM) => {}
            Err(errno) => return Err(Refusal::Call("io_uring_enter", errno)),
        }
        Ok(())
    }

    /// Gives the ring back and waits until the kernel is done with all operations; their results are lost. On the ring's thread, which the kernel needs for it.
    ///
    /// # Errors
    /// It cannot be known when that is: somebody has closed our descriptors.
    pub(crate) fn close(self) -> Result<(), Errno> {
        let Self { fd, queues, sqes, end, .. } = self;
        drop((queues, sqes, fd));
        // Nothing is ever written there.
        let events = socket::poll(end.as_raw_fd(), 0, None)?;
        if events & libc::POLLHUP != 0 { Ok(()) } else { Err(Errno::BADF) }
    }

    /// Calls `f` for each result that has come: the `user_data` of its operation, and a count or a negative error number. Returns how many.
    pub(crate) fn reap(&mut self, mut f: impl FnMut(u64, i32)) -> usize {
        let head_word = self.cq_word(self.params.cq_off.head);
        // Relaxed: we alone write it.
        let mut head = head_word.load(Relaxed);
        // Acquire: see the module.
        let tail = self.cq_word(self.params.cq_off.tail).load(Acquire);
        let count = tail.wrapping_sub(head) as usize;
        while head != tail {
            let place = (head & (self.params.cq_entries - 1)) as usize;
            let offset = self.params.cq_off.cqes as usize + place * size_of::<Cqe>();
            // SAFETY: the mapping holds `cq_entries` of them, a power of two, and the kernel writes none between head and tail.
            let cqe = unsafe { self.queues.at(offset).cast::<Cqe>().read() };
            head = head.wrapping_add(1);
            // Before the call, which may panic. Release: see the module; the result is in `cqe`.
            self.cq_word(self.params.cq_off.head).store(head, Release);
            f(cqe.user_data, cqe.res);
        }
        count
    }

    /// True if there are results to reap.
    pub(crate) fn has_results(&self) -> bool {
        // Relaxed, both: `reap` acquires.
        self.cq_word(self.params.cq_off.head).load(Relaxed) != self.cq_word(self.params.cq_off.tail).load(Relaxed)
    }

    fn sq_word(&self, offset: u32) -> &AtomicU32 {
        self.queues.word(offset)
    }

    fn cq_word(&self, offset: u32) -> &AtomicU32 {
        self.queues.word(offset)
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring").field("fd", &self.fd).field("entries", &self.params.sq_entries).finish_non_exhaustive()
    }
}

/// Memory shared with the kernel.
struct Map {
    base: usize,
    bytes: usize,
}

impl Map {
    fn of(fd: &OwnedFd, bytes: usize, offset: usize) -> Result<Self, Refusal> {
        let protection = (libc::PROT_READ | libc::PROT_WRITE) as usize;
        let flags = (libc::MAP_SHARED | libc::MAP_POPULATE) as usize;
        // SAFETY: a new mapping at a place of the kernel's choice.
        let mapped =
            unsafe { raw::syscall6(libc::SYS_mmap, 0, bytes, protection, flags, fd.as_raw_fd() as usize, offset) };
        let base = mapped.map_err(|errno| Refusal::Call("mmap of an io_uring", errno))?;
        // A child of a fork has no use for it. Refused by no kernel that is new enough; and if, only the child sees it.
        // SAFETY: advice about the mapping just made.
        unsafe { raw::syscall3(libc::SYS_madvise, base, bytes, libc::MADV_DONTFORK as usize) }.ok();
        Ok(Self { base, bytes })
    }

    fn at(&self, offset: usize) -> *mut u8 {
        debug_assert!(offset < self.bytes);
        (self.base + offset) as *mut u8
    }

    fn word(&self, offset: u32) -> &AtomicU32 {
        // SAFETY: the kernel says where its words are, within the mapping and aligned; both sides use them as atomics.
        unsafe { &*self.at(offset as usize).cast::<AtomicU32>() }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: our own mapping; the ring has no more operations, or the process ends.
        unsafe { raw::syscall2(libc::SYS_munmap, self.base, self.bytes) }.ok();
    }
}

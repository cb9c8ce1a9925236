//! A thread block in memory of ours: made once, then reset for each next goroutine.
//!
//! ```text
//!   tp - static_bytes                      tp (= struct pthread)                 tp + record_bytes
//!   | surplus | thread-locals of modules  | header | list tid robust .. keys .. resolver .. |
//! ```
//!
//! `_dl_allocate_tls` writes the vector of thread-local blocks (on the heap), its address into the header, and the images. The rest of the
//! record is zeroed memory, and what pthread_create would write besides is written here. Each word says why.
//!
//! The order of a block's life follows glibc's own for a thread whose stack it uses again (`get_cached_stack` in nptl/allocatestack.c):
//! destructors, keys, libc's own clean-up, then the images again.

use super::super::{Unavailable, next_tid, thread_pointer};
use super::Identity;
use super::symbols::{ROBUST_HEAD_AFTER_TID, ROBUST_PREV_AFTER_TID};
use std::io;

/// The header's words, `tcbhead_t`. Its layout is fixed: compilers emit code that reads them.
pub(super) mod header {
    /// The address of the header itself: what `fs:0` gives to compute addresses of thread-locals.
    pub(in super::super) const SELF: usize = 0;
    /// The same for `pthread_self`.
    pub(super) const THREAD: usize = 0x10;
    /// Whether the process has more than one thread: libc then uses locked instructions.
    pub(super) const MULTIPLE_THREADS: usize = 0x18;
    /// The canary that functions with buffers compare.
    pub(super) const STACK_GUARD: usize = 0x28;
    /// What setjmp and registered destructors are scrambled with.
    pub(super) const POINTER_GUARD: usize = 0x30;
    /// Control-flow enforcement that is on.
    pub(super) const FEATURES: usize = 0x48;
    /// Those that are the same in all threads of a process.
    pub(in super::super) const INHERITED: [usize; 4] = [MULTIPLE_THREADS, STACK_GUARD, POINTER_GUARD, FEATURES];
}

/// Bit of the header's features: shadow stacks are on.
const FEATURE_SHADOW_STACK: u32 = 2;

/// The value by which libc says in a restartable-sequence area that the kernel does not know it and never will: users fall back to the
/// system call. The kernel goes on writing into the area of the M, where nobody looks.
const RSEQ_NOT_REGISTERED: i32 = -2;
const RSEQ_CPU_ID: isize = 4;

/// Whether the current thread runs with a shadow stack, which would have to be switched too.
pub(super) fn has_shadow_stack() -> bool {
    // SAFETY: a word of the current thread's header.
    let features = unsafe { *((thread_pointer() + header::FEATURES) as *const u32) };
    features & FEATURE_SHADOW_STACK != 0
}

impl Identity {
    /// Makes a block at `tp`.
    ///
    /// It costs about 1 us, most of it page faults and the heap allocation of glibc's vector, which stays with the block.
    ///
    /// # Errors
    /// Out of memory.
    ///
    /// # Safety
    /// `tp` is a multiple of [`Identity::alignment`]; from `tp - bytes_below_tp()` to `tp + bytes_above_tp()` lies zeroed private anonymous
    /// memory that nobody else uses. The current thread pointer is an OS thread's own.
    pub(crate) unsafe fn make(&self, tp: usize) -> io::Result<()> {
        // SAFETY: as the caller says; glibc writes the vector's address and the images, inside those bounds.
        if unsafe { (self.functions.allocate)(tp as *mut _) }.is_null() {
            return Err(io::Error::new(
                io::ErrorKind::OutOfMemory,
                "no memory for a goroutine's thread block (glibc allocates a few hundred bytes of heap for each)",
            ));
        }
        let own = thread_pointer();
        let offsets = &self.offsets;
        let write = |at: usize, value: usize| {
            // SAFETY: `at` is inside the record, which the caller owns; all offsets were checked against its size.
            unsafe { *((tp + at) as *mut usize) = value }
        };
        // SAFETY: the same place in the current thread's record.
        let inherited = |at: usize| unsafe { *((own + at) as *const usize) };
        // SAFETY: the block is being made.
        unsafe { self.record.give(tp) };
        write(header::SELF, tp);
        write(header::THREAD, tp);
        for at in header::INHERITED {
            write(at, inherited(at));
        }
        // A node linked to itself, until `enlist`: fork's child takes the current thread out of glibc's list, which must not write through null.
        write(offsets.list, tp + offsets.list);
        write(offsets.list + 8, tp + offsets.list);
        // Mutexes compare it with their owner.
        write(offsets.tid, next_tid() as usize);
        // An empty list of held robust mutexes is one that points at itself. The kernel is never told of it.
        let robust = offsets.tid + ROBUST_HEAD_AFTER_TID;
        write(offsets.tid + ROBUST_PREV_AFTER_TID, tp + robust);
        write(robust, tp + robust);
        write(robust + 8, inherited(robust + 8));
        // The first 32 keys have their values inside the record.
        write(offsets.specific, tp + self.first_keys);
        // SAFETY: the block is being made.
        unsafe { self.exit.note(tp) };
        // SAFETY: the block is made, and the caller's alone.
        unsafe {
            self.forbid_rseq(tp);
            self.words.connect(tp);
            self.words.restore(tp);
            self.image.discard_zeros(tp);
        }
        Ok(())
    }

    /// Says in the block at `tp` that its restartable-sequence area is not registered.
    ///
    /// # Safety
    /// Memory of a block that nobody uses.
    pub(super) unsafe fn forbid_rseq(&self, tp: usize) {
        if let Some(rseq) = self.offsets.rseq {
            // SAFETY: inside the block, as checked.
            unsafe { *((tp as isize + rseq + RSEQ_CPU_ID) as *mut i32) = RSEQ_NOT_REGISTERED };
        }
    }

    /// Makes the block at `tp` known to glibc as a thread's, for good: see `roster`.
    ///
    /// # Safety
    /// A made block that is not yet known, and whose memory is never unmapped. The current thread pointer is an OS thread's own.
    pub(crate) unsafe fn enlist(&self, tp: usize) {
        // SAFETY: as the caller says.
        unsafe { self.roster.add(tp) };
        if self.late.is_any() {
            // A library with initial-exec thread-locals may have been loaded after `make` had looked and before the loader knew the block.
            // SAFETY: the block is made, and nobody uses it.
            unsafe { self.restore_late(tp) };
        }
    }

    /// Makes the block at `tp` what it was after [`Identity::make`], for the next goroutine.
    ///
    /// Touches no thread-local and calls nothing that does, so it may run in the scheduler, whatever the current thread pointer is.
    ///
    /// Not undone: the block's tid, which belongs to it (see [`next_tid`]), its place in glibc's list, and libc's caches. Thread-locals of
    /// libraries loaded after the start were reset when the goroutine ended (`late`).
    ///
    /// # Safety
    /// A made block whose goroutine has run its destructors and will not run again.
    #[inline]
    pub(crate) unsafe fn reset(&self, tp: usize) {
        // SAFETY: the caller's block.
        unsafe {
            // First: a mutex may lie in a thread-local.
            self.leave_robust(tp);
            self.image.restore(tp);
            self.words.restore(tp);
            if let Some(words) = &self.malloc {
                words.forget(tp);
            }
            self.record.forget_cancel(tp);
            self.exit.note_again(tp);
        }
    }

    /// At a goroutine's start: what a thread asks for at its own, since the block may have waited for long.
    ///
    /// # Safety
    /// The current thread pointer is a block of ours whose goroutine has done nothing yet.
    #[inline]
    pub(crate) unsafe fn follow_locale(&self) {
        // SAFETY: as the caller says.
        unsafe { self.words.follow_locale(thread_pointer()) };
    }

    /// Whether a block's record is what a new thread's is.
    ///
    /// # Safety
    /// A made block that nobody uses.
    pub(in super::super) unsafe fn record_is_as_new(&self, tp: usize) -> Result<(), Unavailable> {
        // SAFETY: as the caller says.
        unsafe {
            if !self.exit.is_noted(tp) {
                return Err(Unavailable::new("a block's record names another place for pthread_exit than ours"));
            }
            self.record.compare(tp, self.offsets.record_bytes)
        }
    }

    /// Frees what glibc keeps for a block. Its memory may then be unmapped or used for another.
    ///
    /// # Safety
    /// A made block that nobody uses or will use and that is not on glibc's list; the current thread pointer is an OS thread's own.
    pub(super) unsafe fn discard(&self, tp: usize) {
        // SAFETY: the vector was made by `_dl_allocate_tls`; `false` leaves the memory, which is not glibc's.
        unsafe { (self.functions.deallocate)(tp as *mut _, false) };
    }

    /// Undoes [`Identity::enlist`], before the block is unmapped.
    ///
    /// # Safety
    /// The block is known, and nobody uses it. The current thread pointer is an OS thread's own.
    #[cfg(test)]
    pub(crate) unsafe fn delist(&self, tp: usize) {
        // SAFETY: as the caller says.
        unsafe { self.roster.remove(tp) };
    }
}

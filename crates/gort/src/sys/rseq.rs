//! Restartable sequences: keeps a goroutine from registering an area of its own with the kernel.
//!
//! Code that knows nothing of goroutines (an allocator, librseq) registers an area in a thread-local where nobody has before: with glibc 2.34, or if
//! `GLIBC_TUNABLES=glibc.pthread.rseq=0`. On a goroutine the kernel would then write into a block that is another's by now, and abort nobody's sequences
//! after a move. There is one area for each kernel thread, so an M registers one in which nobody looks: all further tries fail, and who
//! tries does without. Where glibc has registered its own, this fails, too.

use super::raw;
use std::cell::UnsafeCell;

const BYTES: usize = 32;
/// What precedes the code to which an aborted sequence goes; glibc's and everybody's. There are no sequences here.
const SIGNATURE: usize = 0x5305_3053;

/// `struct rseq`, as the kernel first had it: the processor twice, no sequence, no flags.
#[repr(C, align(32))]
#[derive(Debug)]
pub(crate) struct Area(UnsafeCell<[u32; BYTES / 4]>);

// SAFETY: only the kernel uses it.
unsafe impl Sync for Area {}

impl Area {
    pub(crate) const fn new() -> Self {
        Self(UnsafeCell::new([0; BYTES / 4]))
    }

    /// Makes it the calling thread's, if the thread has none. For as long as that lives.
    pub(crate) fn occupy(&'static self) {
        // SAFETY: the kernel writes there, in memory that is never freed and at which nobody looks.
        unsafe { raw::syscall4(libc::SYS_rseq, self.0.get() as usize, BYTES, 0, SIGNATURE) }.ok();
    }
}

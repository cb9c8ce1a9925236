//! glibc's allocator keeps two words per thread, a cache of free chunks and the arena in use, and they must not be a goroutine's.
//!
//! A cache of its own costs each goroutine that allocates 14 KB and makes malloc 10 to 30 times slower once there are thousands: freed
//! chunks lie in caches of goroutines that are parked. So an M lends its two words to the goroutine it resumes and takes them back when the
//! goroutine leaves. glibc then finds exactly the words it would find on the M's own thread pointer; nobody else uses them meanwhile, since
//! the M runs nothing else.
//!
//! They are found by experiment: the words of libc's thread-locals that the first malloc and free of a thread change. (Looking for the
//! known sizes of glibc's structures, as one could, breaks when a release changes them.) The self-check then frees a chunk with lent
//! words and expects the lender's next malloc to return it. With another allocator in malloc's place nothing changes and nothing is lent.

use std::ffi::c_void;
use std::hint::black_box;

/// At most so many words are believed to be the allocator's; more means something else changed as well.
pub(super) const MAX_WORDS: usize = 2;

/// The words, by how far below the thread pointer they lie. With only one, both are the same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MallocWords {
    below: [usize; MAX_WORDS],
    /// What they are in a new block.
    initial: [usize; MAX_WORDS],
}

/// Makes the calling thread allocate and free once, so that it owns a cache.
pub(super) fn warm() {
    // SAFETY: allocates and frees.
    unsafe {
        let chunk: *mut c_void = black_box(libc::malloc(black_box(100)));
        libc::free(chunk);
    }
}

impl MallocWords {
    /// Compares libc's thread-locals with what they were before the thread's first malloc. `Err` says why nothing can be lent.
    ///
    /// # Safety
    /// `tp` is the current thread's and `libc` (start below it, bytes) libc's thread-locals; `before` are their words at its start.
    pub(super) unsafe fn find(tp: usize, libc: (usize, usize), before: &[usize]) -> Result<MallocWords, &'static str> {
        let start = libc.0;
        warm();
        let mut found = [(0, 0); MAX_WORDS];
        let mut count = 0;
        for (index, &initial) in before.iter().enumerate() {
            // SAFETY: inside libc's thread-locals. Volatile: libc writes them behind the compiler's back.
            let now = unsafe { ((tp - start + 8 * index) as *const usize).read_volatile() };
            if now == initial {
                continue;
            }
            if count == MAX_WORDS {
                return Err("malloc changes more than two of libc's thread-locals");
            }
            if now < 4096 || !now.is_multiple_of(8) {
                return Err("malloc changes a thread-local of libc that is no pointer");
            }
            found[count] = (start - 8 * index, initial);
            count += 1;
        }
        match count {
            0 => Err("malloc is not glibc's"),
            1 => {
                found[1] = found[0];
                Ok(())
            }
            _ => Ok(()),
        }?;
        Ok(MallocWords { below: found.map(|(below, _)| below), initial: found.map(|(_, initial)| initial) })
    }

    /// Copies the words from the block at `from` to the block at `to`.
    ///
    /// # Safety
    /// Both blocks are made; nobody but the caller uses either's words.
    #[inline(always)]
    pub(crate) unsafe fn copy(&self, from: usize, to: usize) {
        for below in self.below {
            // SAFETY: words of libc's thread-locals in both blocks.
            unsafe { *((to - below) as *mut usize) = *((from - below) as *const usize) };
        }
    }

    /// Sets the words to what they are in a new block: they may name a cache that has gone with its thread.
    ///
    /// # Safety
    /// A made block that nobody uses.
    #[inline]
    pub(super) unsafe fn forget(&self, tp: usize) {
        for (below, initial) in self.below.iter().zip(self.initial) {
            // SAFETY: a word of libc's thread-locals in that block.
            unsafe { *((tp - below) as *mut usize) = initial };
        }
    }

    /// The words of the block at `tp`.
    ///
    /// # Safety
    /// A made block.
    pub(super) unsafe fn read(&self, tp: usize) -> [usize; MAX_WORDS] {
        // SAFETY: words of libc's thread-locals in that block. Volatile: libc writes them behind the compiler's back.
        self.below.map(|below| unsafe { ((tp - below) as *const usize).read_volatile() })
    }
}

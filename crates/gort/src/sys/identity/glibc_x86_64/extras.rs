//! Some blocks more, to try something as so many threads without starting any.

use super::super::{call_with_thread_pointer, thread_pointer};
use super::Identity;
use super::self_check::Scratch;
use std::io;

/// Made blocks that no goroutine will ever have, each a thread of its own to the code that is run as it. Dropping ends them.
///
/// For the OS thread that made them.
pub(crate) struct Extras<'a> {
    identity: &'a Identity,
    blocks: Vec<Scratch>,
}

impl<'a> Extras<'a> {
    /// # Errors
    /// No memory.
    pub(crate) fn new(identity: &'a Identity, count: usize) -> io::Result<Self> {
        // It has a cache to lend from now on.
        identity.warm_malloc();
        let mut extras = Self { identity, blocks: Vec::with_capacity(count) };
        for _ in 0..count {
            let scratch = Scratch::new(identity)?;
            // SAFETY: fresh memory of the right size and alignment; this is an OS thread.
            unsafe { identity.make(scratch.tp()) }?;
            extras.blocks.push(scratch);
        }
        Ok(extras)
    }

    /// Calls `step(argument)` as one of them, with the allocator's words of the calling thread, as a goroutine on it.
    ///
    /// # Safety
    /// `step` may be called with this argument, neither parks nor unwinds, and leaves no reference to a thread-local behind.
    pub(crate) unsafe fn run(&self, which: usize, step: unsafe extern "C" fn(*mut ()), argument: *mut ()) {
        let (own, tp) = (thread_pointer(), self.blocks[which].tp());
        // SAFETY: a made block that only this thread uses; the step is the caller's.
        unsafe {
            self.identity.lend_malloc(own, tp);
            call_with_thread_pointer(tp, step, argument);
            self.identity.return_malloc(tp, own);
        }
    }
}

/// # Safety
/// `identity` is one, and the current block one of its own that is used no more.
unsafe extern "C" fn end(identity: *mut ()) {
    // SAFETY: as above.
    unsafe { (*identity.cast::<Identity>()).run_destructors() };
}

impl Drop for Extras<'_> {
    fn drop(&mut self) {
        for (which, block) in self.blocks.iter().enumerate() {
            // SAFETY: the end of the block; then nobody uses it. It was never on glibc's list.
            unsafe {
                self.run(which, end, std::ptr::from_ref(self.identity).cast_mut().cast());
                self.identity.discard(block.tp());
            }
        }
    }
}

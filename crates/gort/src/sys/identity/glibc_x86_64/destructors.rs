//! What runs when a thread ends, for a goroutine: its thread-locals' destructors, then its pthread keys', then libc's own clean-up.
//!
//! The order is glibc's (`start_thread` in nptl/pthread_create.c). Keys are walked here, since glibc's own walk cannot be called: the same
//! rounds, the same check that the key still is the one whose value was set, the same freeing of what was allocated for high keys.

use super::super::thread_pointer;
use super::Identity;
use super::symbols::{KEY_BLOCKS, KEYS_PER_BLOCK, KeyValue};
use std::ptr;

/// PTHREAD_DESTRUCTOR_ITERATIONS.
const ROUNDS: usize = 4;

impl Identity {
    /// Runs the destructors of the current thread pointer.
    ///
    /// They are the user's code: they may park and go on in another thread, take locks, register further ones, and panic (which ends the
    /// process, as it does in a thread).
    ///
    /// May be called again, for 4 ns, if more of the user's code has run since.
    ///
    /// # Safety
    /// The current thread pointer is a block of ours whose goroutine has nothing else left to run.
    pub(crate) unsafe fn run_destructors(&self) {
        let tp = thread_pointer();
        // SAFETY: the current block's list; those of the current thread pointer, which nobody else runs.
        unsafe {
            if self.words.has_destructors(tp) {
                (self.functions.call_destructors)();
            }
        }
        let used = (tp + self.offsets.specific_used) as *mut bool;
        // SAFETY: a flag inside the current block, verified by `reference`.
        if unsafe { used.read() } {
            // SAFETY: as this function.
            unsafe { self.end_keys(tp, used) };
        }
        // SAFETY: the current block's, after the last user code.
        unsafe { self.words.end(tp, self.functions.close_resolver) };
        if self.late.is_any() {
            // Mutexes that are still held may lie in what is freed.
            // SAFETY: as above; the mutexes exist until here, as for a thread.
            unsafe {
                self.leave_robust(tp);
                self.free_late(tp);
            }
        }
    }

    /// A key's destructor may have used a thread-local for the first time, which glibc would leak, and that one's destructor may set a key: by
    /// turns until there is nothing left, or as often as there are rounds. What is set by then is forgotten.
    ///
    /// # Safety
    /// As `run_destructors`; `used` is the flag in the block at `tp`.
    #[cold]
    unsafe fn end_keys(&self, tp: usize, used: *mut bool) {
        for _ in 0..ROUNDS {
            // SAFETY: as the caller says. Volatile: pthread_setspecific sets it.
            unsafe {
                if !used.read_volatile() {
                    return;
                }
                self.run_key_destructors(tp, used);
                (self.functions.call_destructors)();
            }
        }
        // SAFETY: as the caller says.
        unsafe { self.forget_keys(tp, used) };
    }

    /// # Safety
    /// As `end_keys`.
    unsafe fn run_key_destructors(&self, tp: usize, used: *mut bool) {
        let blocks = (tp + self.offsets.specific) as *mut *mut KeyValue;
        for _ in 0..ROUNDS {
            // SAFETY: the flag in the current block. Volatile: pthread_setspecific sets it again.
            unsafe { used.write_volatile(false) };
            for index in 0..KEY_BLOCKS * KEYS_PER_BLOCK {
                // SAFETY: one of the record's pointers to blocks of values.
                let block = unsafe { blocks.add(index / KEYS_PER_BLOCK).read_volatile() };
                if !block.is_null() {
                    // SAFETY: a block has that many values.
                    unsafe { self.run_key_destructor(index, block.add(index % KEYS_PER_BLOCK)) };
                }
            }
            // SAFETY: as above.
            if !unsafe { used.read_volatile() } {
                break;
            }
        }
        // SAFETY: as the caller says.
        unsafe { self.forget_keys(tp, used) };
    }

    /// # Safety
    /// As `end_keys`.
    unsafe fn forget_keys(&self, tp: usize, used: *mut bool) {
        let blocks = (tp + self.offsets.specific) as *mut *mut KeyValue;
        // SAFETY: the blocks of the current record: the first is part of it, the others are glibc's heap allocations.
        unsafe {
            ptr::write_bytes(blocks.read(), 0, KEYS_PER_BLOCK);
            for index in 1..KEY_BLOCKS {
                let block = blocks.add(index).replace(ptr::null_mut());
                libc::free(block.cast());
            }
            used.write_volatile(false);
        }
    }

    /// # Safety
    /// `value` is the current thread's for the key `index`.
    unsafe fn run_key_destructor(&self, index: usize, value: *mut KeyValue) {
        // SAFETY: as the caller says; no reference is held while the destructor runs.
        let (sequence, data) = unsafe { ((*value).sequence, (*value).data) };
        if data.is_null() {
            return;
        }
        // SAFETY: as above.
        unsafe { (*value).data = ptr::null_mut() };
        // SAFETY: the table has 1024 entries. Volatile: other threads create and delete keys; a stale entry has another sequence.
        let key = unsafe { self.keys.add(index).read_volatile() };
        if key.sequence == sequence
            && let Some(destructor) = key.destructor
        {
            // SAFETY: the destructor that was given with this key, and the value that was set for it.
            unsafe { destructor(data) };
        }
    }
}

//! Robust mutexes that a goroutine still holds when it ends: what the kernel does for a thread (`exit_robust_list`).
//!
//! A thread tells the kernel where its list is, and at its end the kernel marks each mutex on it as left behind and wakes somebody who waits. A
//! block's list is known to nobody else. Left as it is it would keep the mutexes locked for ever, and the next goroutine's first robust mutex would
//! be linked into memory that may be gone.

use super::Identity;
use super::symbols::{ROBUST_HEAD_AFTER_TID, ROBUST_PREV_AFTER_TID};
use crate::sys::raw;
use std::sync::atomic::{
    AtomicU32,
    Ordering::{Relaxed, Release},
};

/// `struct robust_list_head`.
#[repr(C)]
struct Head {
    first: usize,
    /// From an entry to its futex word.
    futex_offset: isize,
    /// What was about to be locked or unlocked.
    pending: usize,
}

/// As the kernel, in case the list has become a circle without us.
const MOST: usize = 2048;

impl Identity {
    /// Lets go of the robust mutexes that the block at `tp` holds, and empties its list. One cache line to look at if there are none.
    ///
    /// Touches no thread-local: system calls are made by hand.
    ///
    /// # Safety
    /// A made block whose goroutine will not run again; the mutexes on its list still exist, as for a thread's.
    #[inline]
    pub(super) unsafe fn leave_robust(&self, tp: usize) {
        let head = (tp + self.offsets.tid + ROBUST_HEAD_AFTER_TID) as *mut Head;
        // SAFETY: inside the block's record. Volatile: libc writes it.
        let (first, pending) = unsafe { ((&raw const (*head).first).read_volatile(), (*head).pending) };
        if first != head as usize || pending != 0 {
            // SAFETY: as the caller says.
            unsafe { self.leave_each(tp, head) };
        }
    }

    #[cold]
    unsafe fn leave_each(&self, tp: usize, head: *mut Head) {
        // SAFETY: the block's id.
        let tid = unsafe { *((tp + self.offsets.tid) as *const u32) };
        // SAFETY: inside the block's record.
        let Head { first, futex_offset, pending } = unsafe { head.read() };
        // The lowest bit says that the mutex inherits priority.
        let (mut entry, mut left) = (first, MOST);
        while entry & !1 != head as usize && entry & !1 != 0 && left > 0 {
            // SAFETY: an entry of the list, in a mutex that exists. Read before the mutex goes to somebody else, who links it anew.
            let next = unsafe { *((entry & !1) as *const usize) };
            if entry & !1 != pending & !1 {
                // SAFETY: as above.
                unsafe { leave(entry, futex_offset, tid, false) };
            }
            (entry, left) = (next, left - 1);
        }
        if pending != 0 {
            // SAFETY: as above.
            unsafe { leave(pending, futex_offset, tid, true) };
        }
        // SAFETY: inside the block's record: the list, empty.
        unsafe {
            (*head).first = head as usize;
            (*head).pending = 0;
            *((tp + self.offsets.tid + ROBUST_PREV_AFTER_TID) as *mut usize) = head as usize;
        }
    }
}

/// Marks one mutex as left behind, if it is `tid`'s (`handle_futex_death`).
///
/// # Safety
/// `entry` is of a robust mutex that exists.
unsafe fn leave(entry: usize, futex_offset: isize, tid: u32, pending: bool) {
    let inherits = entry & 1 != 0;
    let address = (entry & !1).wrapping_add_signed(futex_offset);
    // SAFETY: the word of the mutex, which everybody uses atomically.
    let word = unsafe { AtomicU32::from_ptr(address as *mut u32) };
    let leave = |value: u32| {
        (value & libc::FUTEX_TID_MASK == tid).then_some(value & libc::FUTEX_WAITERS | libc::FUTEX_OWNER_DIED)
    };
    // Release: pairs with the Acquire of whoever locks it next.
    let is_waited_for = match word.fetch_update(Release, Relaxed, leave) {
        Ok(before) => before & libc::FUTEX_WAITERS != 0,
        // Unlocked already, and perhaps nobody woken.
        Err(now) => pending && now == 0,
    };
    if is_waited_for && !inherits {
        // glibc waits for robust mutexes as for ones that processes share.
        // SAFETY: wakes whoever waits at the address.
        unsafe { raw::syscall3(libc::SYS_futex, address, libc::FUTEX_WAKE as usize, 1) }.ok();
    }
}

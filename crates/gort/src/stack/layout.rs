//! What lies where in a slot: guard, frames, thread block, footer.
//!
//! ```text
//!  base                                                                                             top = base + size
//!  |                                                                                                  |
//!  | guard | frames, growing down <-- | surplus | thread-locals | header || rest of the record | free | footer |
//!          |                          |                         |        ||                           |
//!        limit                    frames_top                    tp     top - 4096                   top - 64
//!                                 |<------- one page ------------------->||<--------- one page ------------->|
//! ```
//!
//! The thread pointer lies 64 bytes before the end of a page. So the header that every access to a thread-local reads, the thread-locals,
//! libc's surplus (kept free for libraries loaded later) and the first frames share one page, and the colder rest of glibc's record has
//! the next, and last: a shallow goroutine costs two pages. With the thread pointer in the last page alone it would be three as soon as the
//! first frames spill over. (Measured on an echo server with 10,000 connections: 0.13 us less per request.)
//!
//! A program with large thread-locals gets more pages below the thread pointer, one with a larger record more above it; a thread-local with
//! a large alignment moves the thread pointer down to a multiple of it. Nothing else changes.
//!
//! In bound mode goroutines have no thread block. The thread pointer of a slot is then no thread pointer but a name for the slot: the address of
//! its footer. Below lie a few words of the scheduler's, then frames, and a shallow goroutine costs one page. Slots are larger than with blocks,
//! for wider guards ([`WIDE_CLASS`]): in address space, and in page tables (1 KiB each).
//!
//! The footer is found from any address in the slot, since slots are aligned to their size: that is how a fault finds its goroutine.

use crate::sys::identity::{Identity, SAID_BYTES};
use crate::sys::stackmem::PAGE;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicUsize, Ordering::Relaxed};

/// The smallest slot, of class 0; each class is twice the one before.
pub(crate) const SMALLEST: usize = 64 << 10;
/// Number of size classes: up to 1 GiB.
pub(crate) const CLASSES: usize = 15;

/// Bytes of a slot of this class.
pub(crate) const fn slot_bytes(class: u8) -> usize {
    SMALLEST << class
}

/// Bytes of guard at the low end of a slot.
///
/// 64 KiB cost no more than a page (the page table exists anyway) and catch C code whose frames skip pages. Small slots cannot spare that, and
/// have [`LEAST_GUARD`]; those of [`WIDE_CLASS`] and above can spare more. Rust's own code touches every page of a large frame in order, so that a
/// page would suffice for it.
pub(crate) const fn guard_bytes(slot_bytes: usize) -> usize {
    if slot_bytes >= SMALLEST << WIDE_CLASS {
        WIDE_GUARD
    } else if slot_bytes >= 256 << 10 {
        64 << 10
    } else {
        LEAST_GUARD
    }
}

/// The smallest class for frames of a thread as libc knows it (bound mode, `with_stack` on a plain thread): glibc puts buffers of up to 64 KiB on its
/// stack, in one frame, which must not step over the guard.
pub(crate) const WIDE_CLASS: u8 = 3;
const WIDE_GUARD: usize = 128 << 10;

/// The smallest guard. glibc puts buffers of up to a page on any stack, between frames that may each take some KiB (a path is 4 KiB), and
/// larger ones on a stack that it takes for large: a thread block says that it is not, see [`SAID_BYTES`].
const LEAST_GUARD: usize = 16 << 10;
const _: () = assert!(SAID_BYTES / 4 + 2 * PAGE <= LEAST_GUARD);

/// Bytes that a footer takes.
const FOOTER_BYTES: usize = 64;
/// In bound mode, below the footer: what the scheduler keeps for a goroutine that does not run (`sched::words`).
pub(crate) const WORDS_BYTES: usize = 64;

/// What a slot knows about itself, at its very end.
#[repr(C, align(64))]
#[derive(Debug)]
pub(crate) struct SlotFooter {
    /// The goroutine that runs on the slot, null if none.
    goroutine: AtomicPtr<()>,
    /// The slot's neighbours on a free list: addresses of footers. The list's lock guards them.
    pub(super) older: AtomicUsize,
    pub(super) newer: AtomicUsize,
    /// It is no goroutine's own: somebody's frames are on it for the time of a call (`with_stack`). Set before and after that call.
    lent: AtomicBool,
    /// It has been so at some time.
    was_lent: AtomicBool,
    /// How far the slot has been prepared. Its owner's, or the list's lock guards it.
    pub(super) progress: AtomicU8,
}

const _: () = assert!(size_of::<SlotFooter>() == FOOTER_BYTES);

impl SlotFooter {
    /// As in a slot that has never been touched.
    #[cfg(test)]
    pub(super) fn new() -> Self {
        Self {
            goroutine: AtomicPtr::new(std::ptr::null_mut()),
            older: AtomicUsize::new(0),
            newer: AtomicUsize::new(0),
            lent: AtomicBool::new(false),
            was_lent: AtomicBool::new(false),
            progress: AtomicU8::new(0),
        }
    }

    /// Says which goroutine runs on the slot, for a fault. Any pointer that `overflow`'s callback understands.
    pub(crate) fn set_goroutine(&self, goroutine: *const ()) {
        // Relaxed: read by the same thread, in a signal handler; by others only as a picture.
        self.goroutine.store(goroutine.cast_mut(), Relaxed);
    }

    /// Says that the slot is used for the frames of a call.
    pub(crate) fn set_lent(&self, lent: bool) {
        // Relaxed: as above.
        self.lent.store(lent, Relaxed);
        if lent {
            self.was_lent.store(true, Relaxed);
            LENT.fetch_add(1, Relaxed);
        } else {
            LENT.fetch_sub(1, Relaxed);
        }
    }

    pub(crate) fn is_lent(&self) -> bool {
        // Relaxed: as above.
        self.lent.load(Relaxed)
    }

    pub(crate) fn was_lent(&self) -> bool {
        // Relaxed: as above.
        self.was_lent.load(Relaxed)
    }

    pub(crate) fn goroutine(&self) -> *const () {
        // Relaxed: as above.
        self.goroutine.load(Relaxed)
    }
}

/// How many slots are lent.
static LENT: AtomicUsize = AtomicUsize::new(0);

/// True while frames of somebody's are on a slot that is no goroutine's own.
pub(crate) fn are_any_lent() -> bool {
    // Relaxed: a picture.
    LENT.load(Relaxed) > 0
}

/// The footer of the slot.
///
/// # Safety
/// `base` is a slot of that size inside a reservation that is never released; footers of slots never used read as zeros.
pub(super) unsafe fn footer(base: usize, slot_bytes: usize) -> &'static SlotFooter {
    // SAFETY: readable, aligned, valid for any contents, never released.
    unsafe { &*((base + slot_bytes - FOOTER_BYTES) as *const SlotFooter) }
}

/// How the thread block of this process fits into a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Layout {
    /// From the thread pointer up to the slot's end.
    pub(crate) above: usize,
    /// From the thread pointer down to the first frame.
    pub(crate) below: usize,
}

impl Layout {
    /// For a block with so many bytes at and above the thread pointer, and below it, whose thread pointer is a multiple of `alignment`.
    pub(crate) const fn new(above: usize, below: usize, alignment: usize) -> Layout {
        // Slots end at multiples of 64 KiB, so a distance from the end is aligned as the address is.
        assert!(alignment.is_power_of_two() && alignment >= 64 && alignment <= SMALLEST);
        let least = above + FOOTER_BYTES;
        let above = if alignment <= 64 {
            // The least distance that is a number of pages and 64 bytes.
            (least - 64).next_multiple_of(PAGE) + 64
        } else {
            least.next_multiple_of(alignment)
        };
        Layout { above, below: below.next_multiple_of(64) }
    }

    /// Without a thread block: the footer, and the words that the scheduler keeps.
    const BARE: Layout = Layout { above: FOOTER_BYTES, below: WORDS_BYTES };

    /// For the thread blocks of this process, if goroutines have any.
    pub(crate) fn of(identity: Option<&Identity>) -> Layout {
        match identity {
            Some(identity) => Layout::new(identity.bytes_above_tp(), identity.bytes_below_tp(), identity.alignment()),
            None => Layout::BARE,
        }
    }

    /// False in bound mode.
    pub(crate) fn has_blocks(self) -> bool {
        self != Layout::BARE
    }

    /// Bytes of a slot that frames cannot have, apart from the guard.
    pub(crate) const fn block_bytes(self) -> usize {
        self.above + self.below
    }

    /// The class for a stack of so many bytes, or `None` if that is more than there is.
    ///
    /// Guard and thread block are part of the size, as they are for a thread. Only what a block takes beyond the usual 8 KiB is added: a
    /// program with large thread-locals shall not run out of stack because of them.
    pub(crate) fn class_for(self, bytes: usize) -> Option<u8> {
        let bytes = bytes.checked_add(self.block_bytes().saturating_sub(2 * PAGE))?;
        (self.least_class()..CLASSES as u8).find(|&class| slot_bytes(class) >= bytes)
    }

    /// The smallest class in which guard and block leave 32 KiB for frames. Without blocks, the smallest with a wide guard.
    pub(crate) fn least_class(self) -> u8 {
        if !self.has_blocks() {
            return WIDE_CLASS;
        }
        let fits = |class: &u8| {
            let slot = slot_bytes(*class);
            slot >= guard_bytes(slot) + self.block_bytes() + SMALLEST / 2
        };
        (0..CLASSES as u8).find(fits).unwrap_or(CLASSES as u8)
    }
}

static ABOVE: AtomicUsize = AtomicUsize::new(0);
static BELOW: AtomicUsize = AtomicUsize::new(0);
static LEAST_CLASS: AtomicU8 = AtomicU8::new(0);

/// Fixes the layout of this process. The same one again changes nothing.
pub(crate) fn fix(layout: Layout) {
    // Relaxed: whoever uses it has a slot, and slots come through a lock that was taken after this.
    ABOVE.store(layout.above, Relaxed);
    BELOW.store(layout.below, Relaxed);
    LEAST_CLASS.store(layout.least_class(), Relaxed);
}

/// The layout of this process, before the first [`fix`] all zeros.
#[inline]
pub(crate) fn current() -> Layout {
    // Relaxed: see `fix`.
    Layout { above: ABOVE.load(Relaxed), below: BELOW.load(Relaxed) }
}

/// [`Layout::least_class`] of this process.
pub(crate) fn least_class() -> u8 {
    // Relaxed: see `fix`.
    LEAST_CLASS.load(Relaxed)
}

/// The first stack address below the thread block: 16-aligned, frames go below it.
#[inline]
pub(crate) fn frames_top(tp: usize) -> usize {
    // Relaxed: see `fix`.
    tp - BELOW.load(Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_block_puts_header_thread_locals_and_first_frames_on_one_page() {
        let layout = Layout::new(2368, 1856, 64);
        assert_eq!(layout.above, PAGE + 64);
        let (tp, frames_top) = (SMALLEST - layout.above, SMALLEST - layout.above - layout.below);
        assert_eq!(tp % PAGE, PAGE - 64);
        assert_eq!(tp / PAGE, frames_top / PAGE);
        assert!(frames_top % PAGE > 1024, "room for the first frames");
    }

    #[test]
    fn a_record_that_just_fits_and_one_that_does_not() {
        assert_eq!(Layout::new(PAGE, 64, 64).above, PAGE + 64);
        assert_eq!(Layout::new(PAGE + 1, 64, 64).above, 2 * PAGE + 64);
    }

    #[test]
    fn a_large_alignment_is_kept() {
        for alignment in [128, 4096, 65536] {
            let layout = Layout::new(2368, 70_000, alignment);
            assert!(layout.above.is_multiple_of(alignment) && layout.above >= 2368 + FOOTER_BYTES);
            assert!(layout.below >= 70_000 && layout.below.is_multiple_of(16));
        }
    }

    #[test]
    fn without_blocks_frames_begin_below_the_footer_on_the_last_page() {
        let bare = Layout::of(None);
        assert!(!bare.has_blocks() && Layout::new(2368, 1856, 64).has_blocks());
        assert_eq!(
            (bare.block_bytes(), bare.least_class(), bare.class_for(256 << 10)),
            (FOOTER_BYTES + WORDS_BYTES, WIDE_CLASS, Some(WIDE_CLASS))
        );
        assert!((SMALLEST - bare.above - bare.below).is_multiple_of(16));
    }

    #[test]
    fn classes_are_the_next_power_of_two_and_grow_with_large_thread_locals() {
        let usual = Layout::new(2368, 1984, 64);
        assert_eq!(usual.class_for(0), Some(0));
        assert_eq!(usual.class_for(64 << 10), Some(0));
        assert_eq!(usual.class_for((64 << 10) + 1), Some(1));
        assert_eq!(usual.class_for(256 << 10), Some(2));
        assert_eq!(usual.class_for(1 << 30), Some(14));
        assert_eq!(usual.class_for((1 << 30) + 1), None);
        assert_eq!(usual.class_for(usize::MAX), None);
        let large = Layout::new(2368, 66_000, 64);
        assert_eq!(large.class_for(64 << 10), Some(1));
        assert_eq!(large.class_for(256 << 10), Some(3));
        assert_eq!((usual.least_class(), large.least_class()), (0, 1));
        assert_eq!(Layout::new(2368, 200_000, 64).class_for(64 << 10), Some(3));
        assert_eq!(Layout::new(2368, 1 << 30, 64).class_for(0), None);
        for class in 0..CLASSES as u8 {
            let slot = slot_bytes(class);
            assert!(guard_bytes(slot) >= PAGE && guard_bytes(slot) <= slot / 4);
        }
    }
}

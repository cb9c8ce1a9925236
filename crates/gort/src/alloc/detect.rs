//! Does the program's global allocator keep a cache for each thread, and meet each goroutine as one?
//!
//! Such an allocator grows with the number of goroutines, and a block that one frees is not there for the next. [`Global`](super::Global) in front of
//! it is the cure. A library cannot install that, so the start finds out whether it is missing: two blocks stand for two goroutines. The first
//! allocates and frees until the allocator gives it the same address again; then the second does, and if it never gets that address, what the
//! first freed was kept for the first alone. So an allocator without caches is no cause for a warning, nor is glibc's, whose caches goroutines
//! share; nor one that never uses an address again. What a goroutine costs is then measured on some more blocks, each of which allocates a little.
//!
//! `Global` itself says that it is there (`SEEN`): the blocks here belong to no goroutine, so it would pass them through.
//!
//! Some 20 µs for an allocator that is not the cause, some milliseconds for one that is, once for a process.

use crate::sys::identity::{Extras, Identity};
use std::alloc::{Layout, alloc, dealloc};
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Set by every allocation of a plain thread through a [`Global`](super::Global).
pub(super) static SEEN: AtomicBool = AtomicBool::new(false);

/// Different classes of any allocator. With each of them the second thread must have been refused: another thread of the program may have
/// been quicker than it.
const SIZES: [usize; 3] = [48, 272, 800];
/// An allocator that is free to choose may have a whole page of blocks before it comes to the same one again.
const TURNS: usize = 1 << 13;
/// Blocks on which the memory is measured, together: so many that a huge page for all of them, or for somebody else, is no explosion.
const MEASURED: usize = 16;

/// What is asked of one thread: to allocate and free until it gets the block at `wanted`, or one that it has had, if that is 0.
struct Search {
    size: usize,
    wanted: usize,
    is_found: bool,
}

/// # Safety
/// `search` is a `Search`.
unsafe extern "C" fn look(search: *mut ()) {
    // SAFETY: as above.
    let search = unsafe { &mut *search.cast::<Search>() };
    let Ok(layout) = Layout::from_size_align(search.size, 8) else { return };
    for _ in 0..TURNS {
        // SAFETY: the layout is not empty; the block is freed with it.
        let block = unsafe {
            let block = black_box(alloc(black_box(layout)));
            if block.is_null() {
                return;
            }
            dealloc(block, layout);
            block as usize
        };
        if block == search.wanted {
            search.is_found = true;
            return;
        }
        if search.wanted == 0 {
            search.wanted = block;
        }
    }
}

/// What a goroutine may do: some blocks of some sizes, none of which stays.
///
/// # Safety
/// None; a function pointer of this type is wanted.
unsafe extern "C" fn use_some(_: *mut ()) {
    for size in (16..=1016).step_by(40) {
        let Ok(layout) = Layout::from_size_align(size, 8) else { return };
        // SAFETY: as in `look`; the block has that size.
        unsafe {
            let block = black_box(alloc(black_box(layout)));
            if !block.is_null() {
                block.write_bytes(0, size);
                dealloc(block, layout);
            }
        }
    }
}

/// Bytes that the global allocator keeps for each goroutine, if it takes each for a thread with a cache of its own.
pub(crate) fn bytes_for_each(identity: &Identity) -> Option<usize> {
    // Relaxed, both: this thread's own store, or that of a thread which proves as much.
    SEEN.store(false, Relaxed);
    drop(black_box(Box::new(0_u64)));
    if SEEN.load(Relaxed) {
        return None;
    }
    let extras = Extras::new(identity, 2 + MEASURED).ok()?;
    for size in SIZES {
        let mut search = Search { size, wanted: 0, is_found: false };
        // SAFETY: the argument is what `look` takes; an allocator neither parks nor unwinds.
        unsafe { extras.run(0, look, (&raw mut search).cast()) };
        if !std::mem::take(&mut search.is_found) {
            return None;
        }
        // SAFETY: as above.
        unsafe { extras.run(1, look, (&raw mut search).cast()) };
        if search.is_found {
            return None;
        }
    }
    let before = resident()?;
    for which in 2..2 + MEASURED {
        // SAFETY: takes nothing, else as above.
        unsafe { extras.run(which, use_some, std::ptr::null_mut()) };
    }
    Some(resident()?.saturating_sub(before) / MEASURED)
}

/// Resident bytes of the process, exactly: what `statm` says may be some pages per processor behind.
fn resident() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"))?;
    Some(line.trim().trim_end_matches(" kB").trim().parse::<usize>().ok()? << 10)
}

//! An allocator for programs with many goroutines: per-thread magazines in front of any global allocator.
//!
//! Allocators keep caches by thread. To them every goroutine is a thread, so ten thousand goroutines would have ten thousand caches, and a malloc
//! in each would find a cold one. [`Global`] gives a goroutine the magazine of the OS thread it happens to run on, as Go's `mcache`: small blocks
//! come from there without asking the allocator, and when it does have to be asked, it is asked as that thread.
//!
//! `#[gort::main]` installs `Global<System>`. With another allocator:
//!
//! ```
//! use std::alloc::System; // or jemalloc, mimalloc, …
//!
//! #[global_allocator]
//! static ALLOCATOR: gort::alloc::Global<System> = gort::alloc::Global::new(System);
//!
//! #[gort::main(allocator = none)]
//! fn main() {
//!     let blocks = gort::go(|| (0..100).map(|n| vec![n; 10]).collect::<Vec<_>>());
//!     assert_eq!(blocks.join().unwrap()[7][0], 7);
//! }
//! ```
//!
//! Threads that gort does not own pass through to the allocator.
//!
//! A program whose allocator keeps caches by thread and is not behind a `Global` is told so when the runtime starts. If what each goroutine would
//! cost is beyond bearing (128 KiB), its goroutines stay on their threads ([`Mode::Bound`](crate::runtime::Mode)) and share what those have, unless it
//! requires that they move. What four allocators cost with and without it stands in `docs/ALLOCATORS.md`.

pub(crate) mod detect;

use crate::sched::{self, M};
use crate::sys::fork;
use std::alloc::{GlobalAlloc, Layout};
use std::fmt;
use std::ptr;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// Sizes are rounded up to a multiple of this, which is also the largest alignment that a magazine serves.
const STEP: usize = 16;
/// Blocks larger than this go to the allocator.
const LARGEST: usize = 1024;
const CLASSES: usize = LARGEST / STEP;
/// Bytes kept for each size: 128 KiB for all of them together.
const CLASS_BYTES: usize = 2048;

/// A global allocator that serves goroutines from their thread's magazine and leaves the rest to `A`.
pub struct Global<A> {
    inner: A,
    /// Makes two of these two places: magazines are known by the address of their allocator.
    #[expect(dead_code, reason = "only its size matters")]
    place: AtomicU8,
}

impl<A> Global<A> {
    /// In front of `inner`.
    ///
    /// For a `static` only, as every global allocator: magazines keep its address.
    pub const fn new(inner: A) -> Self {
        Self { inner, place: AtomicU8::new(0) }
    }

    /// The allocator behind the magazines.
    pub const fn inner(&self) -> &A {
        &self.inner
    }
}

impl<A: fmt::Debug> fmt::Debug for Global<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Global").field("inner", &self.inner).finish()
    }
}

/// Gives every block of a magazine back to its owner.
type Release = unsafe fn(*const (), *mut Magazine);

/// The small blocks of one M, by size. Only the M's own thread touches it, and only while a goroutine runs on it.
pub(crate) struct Magazine {
    /// The [`Global`] whose blocks these are: a second one in the process passes through.
    owner: *const (),
    /// Gives all blocks back to `owner`.
    release: Option<Release>,
    /// Free blocks, linked through their first words.
    heads: [*mut u8; CLASSES],
    counts: [u8; CLASSES],
}

impl Magazine {
    pub(crate) const fn new() -> Self {
        Self { owner: ptr::null(), release: None, heads: [ptr::null_mut(); CLASSES], counts: [0; CLASSES] }
    }
}

impl Magazine {
    /// True if any block is kept.
    pub(crate) fn has_blocks(&self) -> bool {
        self.counts.iter().any(|&count| count > 0)
    }

    /// Gives every block back to the allocator.
    ///
    /// # Safety
    /// The magazine's M runs this, with its own thread pointer.
    pub(crate) unsafe fn give_back(magazine: *mut Self) {
        // SAFETY: the caller is the magazine's only user.
        let (owner, release) = unsafe { ((*magazine).owner, (*magazine).release) };
        if let Some(release) = release {
            // SAFETY: set together with the owner, a global allocator, which lives as long as its blocks.
            unsafe { release(owner, magazine) };
        }
    }
}

/// The most blocks kept of a class.
const fn most(class: usize) -> u8 {
    let fit = CLASS_BYTES / ((class + 1) * STEP);
    if fit < 2 {
        2
    } else if fit > 48 {
        48
    } else {
        fit as u8
    }
}

const MOST: [u8; CLASSES] = {
    let mut table = [0; CLASSES];
    let mut class = 0;
    while class < CLASSES {
        table[class] = most(class);
        class += 1;
    }
    table
};

/// The class of a layout, if a magazine can serve it.
#[inline(always)]
const fn class_of(layout: Layout) -> Option<usize> {
    if layout.size() <= LARGEST && layout.align() <= STEP && layout.size() > 0 {
        Some((layout.size() - 1) / STEP)
    } else {
        None
    }
}

/// What the allocator is asked for in place of a layout of this class: the same on every path, so that a block may be freed on another.
#[inline(always)]
const fn layout_of(class: usize) -> Layout {
    match Layout::from_size_align((class + 1) * STEP, STEP) {
        Ok(layout) => layout,
        Err(_) => unreachable!(),
    }
}

/// The M under the calling goroutine; `None` on any other thread, and in the child of a fork, where the goroutine is all that is left of both.
#[inline(always)]
fn here() -> Option<&'static M> {
    let g = sched::current()?;
    if g.is_thread() || fork::is_child() {
        return None;
    }
    // SAFETY: `g` is the goroutine that runs this.
    Some(unsafe { M::of(g) })
}

/// Calls `f` as the M, so that an allocator sees that.
#[inline(never)]
fn as_thread<R>(m: &'static M, f: impl FnOnce() -> R) -> R {
    struct Call<F, R> {
        f: Option<F>,
        result: Option<R>,
    }
    unsafe extern "C" fn run<F: FnOnce() -> R, R>(argument: *mut ()) {
        // SAFETY: `argument` is the `Call` below.
        let call = unsafe { &mut *argument.cast::<Call<F, R>>() };
        call.result = call.f.take().map(|f| f());
    }
    fn erased<F: FnOnce() -> R, R>(_: &Call<F, R>) -> unsafe extern "C" fn(*mut ()) {
        run::<F, R>
    }
    let mut call = Call { f: Some(f), result: None };
    let function = erased(&call);
    // SAFETY: `m` runs the calling goroutine; the function neither parks nor unwinds, as global allocators may do neither.
    unsafe { m.call(function, (&raw mut call).cast()) };
    match call.result {
        Some(result) => result,
        None => std::process::abort(),
    }
}

impl<A: GlobalAlloc> Global<A> {
    #[inline(always)]
    fn address(&self) -> *const () {
        ptr::from_ref(self).cast()
    }

    /// The magazine of the M under the calling goroutine, if it is ours.
    #[inline(always)]
    fn magazine(&self, m: &'static M) -> Option<*mut Magazine> {
        let magazine = m.magazine.get();
        // SAFETY: the M's own thread runs this, on a goroutine; nothing else touches the magazine meanwhile.
        unsafe {
            if (*magazine).owner.is_null() {
                (*magazine).owner = self.address();
                (*magazine).release = Some(Self::release);
            }
            let is_ours = (*magazine).owner == self.address()
                && (*magazine).release.is_some_and(|release| ptr::fn_addr_eq(release, Self::release as Release));
            is_ours.then_some(magazine)
        }
    }

    /// Gives every block of `magazine` back to the allocator behind `owner`.
    ///
    /// # Safety
    /// `owner` is the `Self` that filled the magazine, which is the caller's; the thread pointer is an OS thread's own.
    unsafe fn release(owner: *const (), magazine: *mut Magazine) {
        // SAFETY: the caller says so.
        let this = unsafe { &*owner.cast::<Self>() };
        for class in 0..CLASSES {
            // SAFETY: the blocks were allocated with this layout and are linked through their first words.
            unsafe {
                while !(*magazine).heads[class].is_null() {
                    let block = (*magazine).heads[class];
                    (*magazine).heads[class] = block.cast::<*mut u8>().read();
                    (*magazine).counts[class] -= 1;
                    this.inner.dealloc(block, layout_of(class));
                }
            }
        }
    }

    /// Fills the class half and returns one block more, or null.
    #[cold]
    fn refill(&self, m: &'static M, magazine: *mut Magazine, class: usize) -> *mut u8 {
        let layout = layout_of(class);
        let wanted = MOST[class] / 2;
        as_thread(m, || {
            // SAFETY: the layout is not empty.
            let first = unsafe { self.inner.alloc(layout) };
            if first.is_null() {
                return first;
            }
            for _ in 0..wanted {
                // SAFETY: as above.
                let block = unsafe { self.inner.alloc(layout) };
                if block.is_null() {
                    break;
                }
                // SAFETY: a block of at least 16 bytes, ours; the magazine is the M's, see `magazine`.
                unsafe {
                    block.cast::<*mut u8>().write((*magazine).heads[class]);
                    (*magazine).heads[class] = block;
                    (*magazine).counts[class] += 1;
                }
            }
            first
        })
    }

    /// Gives half of a full class back.
    #[cold]
    fn flush(&self, m: &'static M, magazine: *mut Magazine, class: usize) {
        let layout = layout_of(class);
        as_thread(m, || {
            for _ in 0..MOST[class].div_ceil(2) {
                // SAFETY: the magazine is the M's; its blocks were allocated with this layout.
                unsafe {
                    let block = (*magazine).heads[class];
                    (*magazine).heads[class] = block.cast::<*mut u8>().read();
                    (*magazine).counts[class] -= 1;
                    self.inner.dealloc(block, layout);
                }
            }
        });
    }
}

// SAFETY: every block comes from `inner` with the layout of its class, or its own if it has none, and goes back with the same; between an
// allocation and its release a block is in no magazine.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Global<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(class) = class_of(layout) else {
            // SAFETY: passed on.
            return unsafe { with(here(), || self.inner.alloc(layout)) };
        };
        let Some(m) = here() else {
            // Relaxed, both: see there. Looked at first, so that the line stays shared.
            if !detect::SEEN.load(Relaxed) {
                detect::SEEN.store(true, Relaxed);
            }
            // SAFETY: at least what was asked for.
            return unsafe { self.inner.alloc(layout_of(class)) };
        };
        let Some(magazine) = self.magazine(m) else {
            // SAFETY: as above.
            return as_thread(m, || unsafe { self.inner.alloc(layout_of(class)) });
        };
        // SAFETY: the magazine is the M's, see `magazine`; a non-null head is a free block whose first word links to the next.
        unsafe {
            let block = (*magazine).heads[class];
            if block.is_null() {
                return self.refill(m, magazine, class);
            }
            (*magazine).heads[class] = block.cast::<*mut u8>().read();
            (*magazine).counts[class] -= 1;
            block
        }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(class) = class_of(layout) else {
            // SAFETY: passed on.
            return unsafe { with(here(), || self.inner.dealloc(block, layout)) };
        };
        let Some(m) = here() else {
            // SAFETY: allocated with this layout, see `alloc`.
            return unsafe { self.inner.dealloc(block, layout_of(class)) };
        };
        let Some(magazine) = self.magazine(m) else {
            // SAFETY: as above.
            return as_thread(m, || unsafe { self.inner.dealloc(block, layout_of(class)) });
        };
        // SAFETY: the block is free from here on, and at least 16 bytes; the magazine is the M's.
        unsafe {
            block.cast::<*mut u8>().write((*magazine).heads[class]);
            (*magazine).heads[class] = block;
            (*magazine).counts[class] += 1;
            if (*magazine).counts[class] >= MOST[class] {
                self.flush(m, magazine, class);
            }
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if class_of(layout).is_none() {
            // SAFETY: passed on.
            return unsafe { with(here(), || self.inner.alloc_zeroed(layout)) };
        }
        // SAFETY: passed on.
        let block = unsafe { self.alloc(layout) };
        if !block.is_null() {
            // SAFETY: fresh, and at least that long.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        block
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller vouches for `new_size` with this alignment.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        match (class_of(layout), class_of(new_layout)) {
            // SAFETY: passed on: the block was allocated with its own layout.
            (None, None) => unsafe { with(here(), || self.inner.realloc(block, layout, new_size)) },
            (Some(old), Some(new)) if old == new => block,
            _ => {
                // SAFETY: not empty, says the caller.
                let fresh = unsafe { self.alloc(new_layout) };
                if !fresh.is_null() {
                    // SAFETY: both are that long and apart; the old block is the caller's to give up.
                    unsafe {
                        ptr::copy_nonoverlapping(block, fresh, layout.size().min(new_size));
                        self.dealloc(block, layout);
                    }
                }
                fresh
            }
        }
    }
}

/// Runs `f` as the M, if there is one.
#[inline]
fn with<R>(m: Option<&'static M>, f: impl FnOnce() -> R) -> R {
    match m {
        Some(m) => as_thread(m, f),
        None => f(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::alloc::System;

    #[test]
    fn a_magazine_gives_everything_back() {
        static GLOBAL: Global<System> = Global::new(System);
        let mut magazine = Magazine::new();
        magazine.owner = GLOBAL.address();
        magazine.release = Some(Global::<System>::release);
        for class in [0, 7, CLASSES - 1] {
            for _ in 0..2 {
                // SAFETY: the layout is not empty; the block is linked in and nowhere else.
                unsafe {
                    let block = System.alloc(layout_of(class));
                    block.cast::<*mut u8>().write(magazine.heads[class]);
                    magazine.heads[class] = block;
                    magazine.counts[class] += 1;
                }
            }
        }
        assert!(magazine.has_blocks());
        // SAFETY: the magazine is ours, on an OS thread.
        unsafe { Magazine::give_back(&raw mut magazine) };
        assert!(!magazine.has_blocks() && magazine.heads.iter().all(|head| head.is_null()));
    }

    #[test]
    fn a_magazine_holds_at_most_128_kib() {
        let most: usize = (0..CLASSES).map(|class| usize::from(MOST[class]) * (class + 1) * STEP).sum();
        assert!(most <= 128 << 10, "{most}");
    }

    #[test]
    fn blocks_wander_between_goroutines_and_threads_and_keep_their_contents() {
        static GLOBAL: Global<System> = Global::new(System);
        struct Block(*mut u8, Layout, u8);
        // SAFETY: a block has one owner at a time.
        unsafe impl Send for Block {}
        let make = |seed: usize| {
            let layout = Layout::from_size_align(1 + seed * 37 % 3000, [1, 8, 16, 64][seed % 4]).unwrap();
            // SAFETY: the layout is not empty.
            let at = unsafe { GLOBAL.alloc(layout) };
            assert!(!at.is_null() && (at as usize).is_multiple_of(layout.align()));
            // SAFETY: just allocated with that size.
            unsafe { at.write_bytes(seed as u8, layout.size()) };
            Block(at, layout, seed as u8)
        };
        let check = |block: Block| {
            let grown = block.1.size() * 2;
            // SAFETY: the block is ours and was allocated by GLOBAL with this layout.
            unsafe {
                let at = GLOBAL.realloc(block.0, block.1, grown);
                for offset in 0..block.1.size() {
                    assert_eq!(at.add(offset).read(), block.2);
                }
                GLOBAL.dealloc(at, Layout::from_size_align(grown, block.1.align()).unwrap());
            }
        };
        for round in 0..20 {
            let made: Vec<Block> = if round % 2 == 0 {
                (0..500).map(make).collect()
            } else {
                crate::go(move || (0..500).map(make).collect()).join().unwrap()
            };
            let half: Vec<_> = made
                .into_iter()
                .map(|block| {
                    crate::go(move || {
                        let block = block;
                        check(block)
                    })
                })
                .collect();
            half.into_iter().for_each(|handle| handle.join().unwrap());
        }
    }
}

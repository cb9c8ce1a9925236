//! Libraries with thread-locals that are loaded after the start.
//!
//! Their thread-locals are *dynamic*: the loader allocates them when a thread first uses them and notes them in the block's vector. For the
//! next goroutine on the block they must be gone, as they are for a new thread: `free_late` does at a goroutine's end what glibc does when
//! it uses a stack again (`get_cached_stack` in nptl/allocatestack.c): it walks the vector, which also names those of libraries that have
//! been unloaded since. Destructors of such thread-locals have run by then: libc keeps them in the same list as all others, and keeps the
//! library loaded until they have.
//!
//! Some libraries insist on static ones, out of the surplus that each block keeps free ("initial-exec": libGL, some sanitizers). The loader
//! writes their initial values into all blocks when such a library is loaded (`roster`); at a goroutine's end they are set back here. What they are
//! says glibc: in a scratch block that it makes, everything in between the places of those present at the start is as in a new thread.
//! Such an image is kept for as long as nothing is loaded or unloaded. No lock of the loader's is taken for it that a callback of
//! the loader's (`dl_iterate_phdr`), which may park, is called with.
//!
//! **Against a `dlopen` meanwhile**, which has its library's values written into this block while those of before are. The loader's table of modules is
//! looked at before and after. An entry gets a new generation whenever its library comes or goes, and the loader writes that before it writes into any
//! block. If it is not seen after the copy, then it came later, and so do the loader's values. Otherwise all is done once more.
//!
//! Most programs load no such library. Then the whole costs one load: the loader's entry for the first module after those present at the
//! start is empty and stays so.

use super::Identity;
use super::self_check::Scratch;
use super::symbols::ModuleTable;
use crate::sys::fault::write_stderr;
use std::ffi::c_void;
use std::ops::Range;
use std::ptr;
use std::sync::Mutex;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::fence;

/// One entry of a block's vector, by module id: `dtv_t`.
#[repr(C)]
struct VectorEntry {
    /// The thread-locals, or [`UNALLOCATED`].
    data: usize,
    /// What to free.
    allocation: *mut c_void,
}

const UNALLOCATED: usize = usize::MAX;
/// Where the header keeps the vector.
pub(super) const VECTOR: usize = 8;

/// How to notice such libraries.
#[derive(Debug)]
pub(super) struct Late {
    table: ModuleTable,
    first: usize,
    /// Not 0 as soon as there was one.
    sign: *const usize,
    /// What lies between the static thread-locals that were there at the start, as distances below the thread pointer.
    between: Vec<Range<usize>>,
    /// The last image that was made. Nobody waits for it: who does not get it makes one.
    image: Mutex<Option<Image>>,
}

/// Which libraries the loader's table has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Version {
    /// The sum of all generations: each of them only grows.
    Sum(usize),
    /// The table has more than its first part. Others cannot be walked: some releases link a part before it is filled.
    Unknown,
}

/// A block that glibc has made, of which nothing is used but what lies between.
#[derive(Debug)]
struct Image {
    scratch: Scratch,
    version: Version,
    /// The newest module that glibc saw when it made it.
    generation: usize,
}

impl Late {
    /// `taken`: where static thread-locals lie, as distances below the thread pointer, of which there are `static_bytes`.
    pub(super) fn new(table: ModuleTable, first: usize, mut taken: Vec<Range<usize>>, static_bytes: usize) -> Late {
        let sign = if first < table.length {
            // SAFETY: an entry of the table.
            unsafe { &raw const (*table.entries.add(first)).generation }
        } else {
            table.next
        };
        taken.sort_by_key(|range| range.start);
        let mut between = Vec::new();
        let mut from = 0;
        for Range { start, end } in taken {
            between.push(from..start);
            from = end.max(from);
        }
        between.push(from..static_bytes);
        between.retain(|range| !range.is_empty());
        Late { table, first, sign, between, image: Mutex::new(None) }
    }

    #[inline]
    pub(super) fn is_any(&self) -> bool {
        // SAFETY: a word of the loader's table, which is never freed. Volatile: the loader writes it in other threads; the goroutine that
        // used such a library has synchronised with its loading, or it could not know it.
        unsafe { self.sign.read_volatile() != 0 }
    }

    fn version(&self) -> Version {
        // SAFETY: a word of the loader's, which is never freed.
        if unsafe { self.table.next.read_volatile() } != 0 {
            return Version::Unknown;
        }
        // SAFETY: an entry of the table. Volatile: the loader writes it.
        let generation = |id: usize| unsafe { (&raw const (*self.table.entries.add(id)).generation).read_volatile() };
        Version::Sum((self.first..self.table.length).map(generation).sum())
    }

    /// Writes what `image` has between into the block at `tp`.
    ///
    /// # Safety
    /// A made block in which nobody uses a library that was loaded after the start.
    unsafe fn copy(&self, image: &Image, tp: usize) {
        for &Range { start, end } in &self.between {
            // SAFETY: the same place in two made blocks.
            unsafe {
                let from = (image.scratch.tp() - end) as *const u8;
                ptr::copy_nonoverlapping(from, (tp - end) as *mut u8, end - start);
            }
        }
    }
}

impl Identity {
    /// Frees the dynamic thread-locals of the block at `tp`, and resets static ones of libraries loaded after the start.
    ///
    /// # Safety
    /// `tp` is the current thread pointer, a block of ours; its goroutine's code and destructors have run.
    #[cold]
    pub(super) unsafe fn free_late(&self, tp: usize) {
        // SAFETY: the block is the caller's.
        unsafe { self.restore_late(tp) };
        // SAFETY: the current block's vector, which only its own thread touches; before its entries it says how many there are.
        let (vector, count) = unsafe {
            let vector = *((tp + VECTOR) as *const *mut VectorEntry);
            (vector, (*vector.sub(1)).data)
        };
        for id in self.late.first..=count {
            // SAFETY: one of those entries. What is to be freed was allocated by the loader with malloc, and is no longer in the vector
            // then; static thread-locals have nothing to be freed.
            unsafe {
                let entry = vector.add(id);
                let VectorEntry { data, allocation } = entry.read();
                if data != UNALLOCATED && !allocation.is_null() {
                    entry.write(VectorEntry { data: UNALLOCATED, allocation: ptr::null_mut() });
                    libc::free(allocation);
                }
            }
        }
    }

    /// Sets static thread-locals of libraries loaded after the start to their initial values.
    ///
    /// # Safety
    /// A made block in which nobody uses such a library now.
    #[cold]
    pub(super) unsafe fn restore_late(&self, tp: usize) {
        let late = &self.late;
        loop {
            let version = late.version();
            let mut kept = late.image.try_lock().ok();
            let known = kept.as_deref_mut().and_then(Option::take);
            let known = known.filter(|image| version != Version::Unknown && image.version == version);
            let image = known.unwrap_or_else(|| self.make_image(version));
            // SAFETY: as the caller says.
            unsafe { late.copy(&image, tp) };
            // Pairs with the locked instructions of the loader's, which writes its table, then the blocks: see the module.
            fence(SeqCst);
            let is_right = match late.version() {
                Version::Unknown => self.make_image(version).generation == image.generation,
                now => now == version,
            };
            if is_right {
                if let Some(mut kept) = kept {
                    *kept = Some(image);
                }
                return;
            }
        }
    }

    /// What a new block has now.
    fn make_image(&self, version: Version) -> Image {
        let Some(image) = self.try_make_image(version) else {
            // As glibc, which has nobody to tell either.
            write_stderr(b"gort: no memory for the initial values of thread-locals\n");
            std::process::abort();
        };
        image
    }

    fn try_make_image(&self, version: Version) -> Option<Image> {
        let scratch = Scratch::new(self).ok()?;
        let tp = scratch.tp();
        // SAFETY: zeroed memory of ours with room for a block; glibc writes the vector's address and the images.
        if unsafe { (self.functions.allocate)(tp as *mut c_void) }.is_null() {
            return None;
        }
        // SAFETY: made just now. The vector's first entry has the generation; then it is freed, and the images stay.
        let generation = unsafe {
            let generation = (**((tp + VECTOR) as *const *const VectorEntry)).data;
            self.discard(tp);
            self.forbid_rseq(tp);
            generation
        };
        Some(Image { scratch, version, generation })
    }
}

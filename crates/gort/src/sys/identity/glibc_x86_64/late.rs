//! Libraries with thread-locals that are loaded after the start.
//!
//! Their thread-locals are *dynamic*: the loader allocates them when a thread first uses them and notes them in the block's vector. For the
//! next goroutine on the block they must be gone, as they are for a new thread: `free_late` does at a goroutine's end what glibc does when
//! it uses a stack again (`get_cached_stack` in nptl/allocatestack.c): it walks the vector, which also names those of libraries that have
//! been unloaded since. Destructors of such thread-locals have run by then: libc keeps them in the same list as all others, and keeps the
//! library loaded until they have.
//!
//! Some libraries insist on static ones, out of the surplus that each block keeps free ("initial-exec": libGL, some sanitizers). The loader
//! writes their initial values into all blocks when such a library is loaded (`roster`); at a goroutine's end they are set back here.
//!
//! Most programs load no such library. Then the whole costs one load: the loader's entry for the first module after those present at the
//! start is empty and stays so.

use super::Identity;
use super::symbols::{LinkMap, ModuleEntry, ModuleTable};
use std::ffi::{c_int, c_void};
use std::ptr;

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
#[derive(Clone, Copy, Debug)]
pub(super) struct Late {
    table: ModuleTable,
    first: usize,
    /// Not 0 as soon as there was one.
    sign: *const usize,
}

struct Restoring<'a> {
    late: &'a Late,
    /// The next link map: the loader tells of objects in the order of its list.
    map: *const LinkMap,
    tp: usize,
    static_bytes: usize,
}

impl Late {
    pub(super) fn new(table: ModuleTable, first: usize) -> Late {
        let sign = if first < table.length {
            // SAFETY: an entry of the table.
            unsafe { &raw const (*table.entries.add(first)).generation }
        } else {
            table.next
        };
        Late { table, first, sign }
    }

    #[inline]
    pub(super) fn is_any(&self) -> bool {
        // SAFETY: a word of the loader's table, which is never freed. Volatile: the loader writes it in other threads; the goroutine that
        // used such a library has synchronised with its loading, or it could not know it.
        unsafe { self.sign.read_volatile() != 0 }
    }

    /// Whether a library with thread-locals may have been loaded since the block at `tp` was made: the table has a newer entry than the block's
    /// vector, or more entries than its first part. Takes no lock of the loader's, which a parked goroutine may hold.
    ///
    /// # Safety
    /// A made block that nobody uses.
    unsafe fn is_newer_than(&self, tp: usize) -> bool {
        // SAFETY: the block's vector, whose first entry has the generation of the newest module that the loader saw when it made it.
        let known = unsafe { (**((tp + VECTOR) as *const *const VectorEntry)).data };
        // SAFETY: a word of the loader's, which is never freed.
        if unsafe { self.table.next.read_volatile() } != 0 {
            return true;
        }
        let is_newer = |id: usize| {
            // SAFETY: an entry of the table. Volatile: the loader writes it, the map first.
            let ModuleEntry { generation, map } = unsafe { self.table.entries.add(id).read_volatile() };
            map != 0 && generation > known
        };
        (self.first..self.table.length).any(is_newer)
    }
}

impl Restoring<'_> {
    /// The link map of the object that the loader tells of. (The table of modules has them, too, but of what is loaded later in parts that may just
    /// be made.)
    ///
    /// # Safety
    /// The loader's lock is held (so: called back by it), and `info` is what it tells.
    unsafe fn map_of(&mut self, info: &libc::dl_phdr_info) -> Option<*const LinkMap> {
        loop {
            let map = self.map;
            // SAFETY: null, or a link map, none of which comes or goes meanwhile.
            let LinkMap { address, name, next, .. } = unsafe { map.as_ref() }?;
            self.map = *next;
            if (*address, *name) == (info.dlpi_addr as usize, info.dlpi_name) {
                return Some(map);
            }
        }
    }

    /// How far below the thread pointer the static thread-locals lie of the object with this map; `None` if they are dynamic.
    ///
    /// # Safety
    /// As for `map_of`, which gave it.
    unsafe fn static_place(&self, map: *const LinkMap) -> Option<usize> {
        // SAFETY: a field of the link map.
        let below = unsafe { map.byte_add(self.late.table.static_offset).cast::<usize>().read() };
        // 0: none. All ones: has to be dynamic.
        (below != 0 && below != usize::MAX).then_some(below)
    }
}

/// # Safety
/// Called by `dl_iterate_phdr` with a `Restoring` as data.
unsafe extern "C" fn restore_one(info: *mut libc::dl_phdr_info, _: libc::size_t, data: *mut c_void) -> c_int {
    // SAFETY: see above.
    let restoring = unsafe { &mut *data.cast::<Restoring<'_>>() };
    // SAFETY: the loader's record, valid during the call.
    let info = unsafe { &*info };
    // SAFETY: the loader holds its lock while it calls us.
    let Some(map) = (unsafe { restoring.map_of(info) }) else { return 0 };
    let id = info.dlpi_tls_modid;
    if id < restoring.late.first {
        return 0;
    }
    // SAFETY: the loader holds its lock while it calls us, and this module is loaded.
    if let Some(below) = unsafe { restoring.static_place(map) }
        && below <= restoring.static_bytes
    {
        // SAFETY: the module's place in the current block, in which nothing of the goroutine's runs any more.
        unsafe { restore_static(info, restoring.tp - below) };
    }
    0
}

/// # Safety
/// `info` is a loaded module whose thread-locals lie at `place`.
unsafe fn restore_static(info: &libc::dl_phdr_info, place: usize) {
    // SAFETY: the module's table of program headers.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
    for header in headers.iter().filter(|header| header.p_type == libc::PT_TLS) {
        let (image, length) = ((info.dlpi_addr + header.p_vaddr) as *const u8, header.p_filesz as usize);
        // SAFETY: the module's image, and so many bytes at its place.
        unsafe {
            ptr::copy_nonoverlapping(image, place as *mut u8, length);
            ptr::write_bytes((place + length) as *mut u8, 0, header.p_memsz as usize - length);
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

    /// Sets to their initial values what a library has in the block that was loaded after the block was made and before the loader knew it.
    ///
    /// # Safety
    /// A made block that nobody uses.
    #[cold]
    pub(super) unsafe fn catch_up(&self, tp: usize) {
        // SAFETY: as the caller says.
        unsafe {
            if self.late.is_newer_than(tp) {
                self.restore_late(tp);
            }
        }
    }

    /// Sets static thread-locals of libraries loaded after the start to their initial values.
    ///
    /// # Safety
    /// A made block in which nobody uses such a library now.
    #[cold]
    unsafe fn restore_late(&self, tp: usize) {
        // SAFETY: a word of the loader's. The program's map, which is the first, never goes.
        let map = unsafe { self.late.table.maps.read_volatile() };
        let mut restoring = Restoring { late: &self.late, map, tp, static_bytes: self.offsets.static_bytes };
        // SAFETY: the callback matches the data passed with it.
        unsafe { libc::dl_iterate_phdr(Some(restore_one), (&raw mut restoring).cast()) };
    }
}

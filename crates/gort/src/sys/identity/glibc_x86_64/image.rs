//! Initial contents of static thread-locals: what a block must look like when a goroutine starts.
//!
//! Every loaded object with thread-locals (a *module*) has an image: some initialised bytes, then zeros. glibc copies it when a block is
//! made; for the next user of the same block we do. The images are copied once, when the runtime starts. A library among them that had been
//! loaded with `dlopen` stays for good from then on: if it were unloaded, glibc would give its place in the block, and its number, to the next
//! library.
//!
//! libc's own module is left out: part of it are caches that a new thread would fill again and an old one frees at its end (the buffer of
//! `strerror`, the allocator's words). Overwriting them would leak; `libc_words` restores those that have a meaning.
//!
//! Large zero parts (a 64 KiB buffer as a const thread-local) are not written but given back to the kernel: a goroutine that never touched
//! them then never pays for them, and one that did pays a fault per page. One call costs about 0.5 us, as much as clearing 16 KiB.

use super::super::Unavailable;
use super::super::thread_pointer;
use super::self_check::own_thread_local;
use crate::sys::stackmem::{self, PAGE};
use std::ffi::{CStr, CString, c_int, c_void};
use std::ops::Range;

/// From this size on, zero pages are given back rather than cleared.
const DISCARD_BYTES: usize = 16 << 10;

/// The static thread-locals of one module.
#[derive(Debug)]
pub(super) struct Module {
    /// The loader's number for it: 1 for the program, then the libraries it was started with.
    pub(super) id: usize,
    /// They start this many bytes below the thread pointer.
    pub(super) below: usize,
    initialised: Box<[u8]>,
    zeros: usize,
}

impl Module {
    pub(super) fn bytes(&self) -> usize {
        self.initialised.len() + self.zeros
    }

    /// Whether it holds the byte this far below the thread pointer.
    fn holds(&self, below: usize) -> bool {
        below <= self.below && below > self.below - self.bytes()
    }
}

/// All of them, in the order of the loader.
#[derive(Debug)]
pub(super) struct Image {
    modules: Vec<Module>,
    /// libc's own.
    pub(super) libc: Module,
}

struct Capture {
    tp: usize,
    static_bytes: usize,
    modules: Vec<Module>,
    /// Where they were loaded from.
    names: Vec<CString>,
}

/// Keeps the object of this name from being unloaded, if it is still there.
fn keep_loaded(name: &CStr) {
    const FLAGS: c_int = libc::RTLD_LAZY | libc::RTLD_NOLOAD | libc::RTLD_NODELETE;
    // SAFETY: loads nothing. The handle is not needed: such an object is never unloaded.
    unsafe { libc::dlopen(name.as_ptr(), FLAGS) };
}

/// # Safety
/// Called by `dl_iterate_phdr` with a `Capture` as data.
unsafe extern "C" fn capture_one(info: *mut libc::dl_phdr_info, _: libc::size_t, data: *mut c_void) -> c_int {
    // SAFETY: see above; nobody else has a reference while the iteration runs.
    let capture = unsafe { &mut *data.cast::<Capture>() };
    // SAFETY: the loader hands out a valid record for the duration of the call.
    let info = unsafe { &*info };
    let start = info.dlpi_tls_data as usize;
    let below = capture.tp.wrapping_sub(start);
    // Null: not allocated in this thread, hence dynamic. Elsewhere than below the thread pointer: dynamic as well.
    if start == 0 || below == 0 || below > capture.static_bytes {
        return 0;
    }
    // SAFETY: the loader's table of program headers, valid during the call.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
    for header in headers.iter().filter(|header| header.p_type == libc::PT_TLS) {
        let image = (info.dlpi_addr + header.p_vaddr) as *const u8;
        // SAFETY: the image is part of the mapped object, and so long. It is not written after relocation.
        let initialised = unsafe { std::slice::from_raw_parts(image, header.p_filesz as usize) }.into();
        let zeros = (header.p_memsz - header.p_filesz) as usize;
        capture.modules.push(Module { id: info.dlpi_tls_modid, below, initialised, zeros });
        // SAFETY: the loader's text, valid during the call.
        capture.names.push(unsafe { CStr::from_ptr(info.dlpi_name) }.into());
    }
    0
}

impl Image {
    /// Copies the images of all modules that now have static thread-locals.
    pub(super) fn capture(static_bytes: usize) -> Result<Image, Unavailable> {
        let tp = thread_pointer();
        let mut kept = Vec::new();
        // Once to know whom to keep, once more with all of them kept, and again if another thread loads libraries meanwhile.
        let mut modules = loop {
            let mut capture = Capture { tp, static_bytes, modules: Vec::new(), names: Vec::new() };
            // SAFETY: the callback matches the data passed with it.
            unsafe { libc::dl_iterate_phdr(Some(capture_one), (&raw mut capture).cast()) };
            if capture.names == kept {
                break capture.modules;
            }
            kept = capture.names;
            // The program has no name.
            kept.iter().filter(|name| !name.is_empty()).for_each(|name| keep_loaded(name));
        };
        // SAFETY: gives the address of the calling thread's errno.
        let errno_below = tp.wrapping_sub(unsafe { libc::__errno_location() } as usize);
        let Some(libc) = modules.iter().position(|module| module.holds(errno_below)) else {
            return Err(Unavailable::new("errno is not among the static thread-locals"));
        };
        let libc = modules.remove(libc);
        let ours = tp.wrapping_sub(own_thread_local());
        // A library that is loaded with dlopen has its thread-locals elsewhere, made anew for each thread: those of a finished goroutine
        // could not be told from those of the next.
        if !modules.iter().any(|module| module.holds(ours)) {
            return Err(Unavailable::new(
                "gort's own thread-locals are not static (a library that contains gort was loaded with dlopen?)",
            ));
        }
        Ok(Image { modules, libc })
    }

    /// Bytes of thread-locals that a block carries, libc's included.
    #[allow(dead_code, reason = "see `Identity::thread_local_bytes`")]
    pub(super) fn bytes(&self) -> usize {
        self.modules.iter().map(Module::bytes).sum::<usize>() + self.libc.bytes()
    }

    /// Where they all lie, libc's own included, as distances below the thread pointer.
    pub(super) fn places(&self) -> Vec<Range<usize>> {
        let all = self.modules.iter().chain([&self.libc]);
        all.map(|module| module.below - module.bytes()..module.below).collect()
    }

    pub(super) fn modules(&self) -> impl Iterator<Item = &Module> {
        self.modules.iter()
    }

    /// The number that the loader gives to the first library with thread-locals that it loads at run time.
    pub(super) fn first_late_module(&self) -> usize {
        let known = |id: usize| self.libc.id == id || self.modules.iter().any(|module| module.id == id);
        (1..).find(|&id| !known(id)).unwrap_or(usize::MAX)
    }

    /// Writes the initial contents into the block at `tp`.
    ///
    /// # Safety
    /// The block is made and nobody uses it.
    #[inline]
    pub(super) unsafe fn restore(&self, tp: usize) {
        for module in &self.modules {
            let start = (tp - module.below) as *mut u8;
            let length = module.initialised.len();
            // SAFETY: the module's place in a made block; the image is elsewhere.
            unsafe { std::ptr::copy_nonoverlapping(module.initialised.as_ptr(), start, length) };
            // SAFETY: the rest of the same place.
            unsafe { clear(start.add(length), module.zeros) };
        }
    }

    /// Gives large zero parts of a block just made back to the kernel: glibc has written them.
    ///
    /// # Safety
    /// As for `restore`.
    pub(super) unsafe fn discard_zeros(&self, tp: usize) {
        for module in self.modules.iter().filter(|module| module.zeros >= DISCARD_BYTES) {
            let zeros = (tp - module.below + module.initialised.len()) as *mut u8;
            // SAFETY: zeros of a module in a made block.
            unsafe { clear(zeros, module.zeros) };
        }
    }
}

/// Zeroes memory, if it is much by giving the whole pages in it back.
///
/// # Safety
/// The range is private anonymous memory that nobody uses.
#[inline]
unsafe fn clear(start: *mut u8, bytes: usize) {
    if bytes < DISCARD_BYTES {
        // SAFETY: the caller's range.
        unsafe { std::ptr::write_bytes(start, 0, bytes) };
    } else {
        // SAFETY: as above.
        unsafe { clear_large(start, bytes) };
    }
}

/// # Safety
/// As for `clear`.
#[cold]
unsafe fn clear_large(start: *mut u8, bytes: usize) {
    let (from, to) = (start as usize, start as usize + bytes);
    let (first, last) = (from.next_multiple_of(PAGE), to & !(PAGE - 1));
    // SAFETY: whole pages inside the caller's range.
    match unsafe { stackmem::discard(first, last - first) } {
        // SAFETY: the two ends that are not whole pages.
        Ok(_) => unsafe {
            std::ptr::write_bytes(start, 0, first - from);
            std::ptr::write_bytes(last as *mut u8, 0, to - last);
        },
        // Locked memory (mlockall) refuses.
        // SAFETY: the caller's range.
        Err(_) => unsafe { std::ptr::write_bytes(start, 0, bytes) },
    }
}

//! What glibc says about itself: its makers of thread blocks, and where the fields of its thread record lie.
//!
//! The functions carry the version GLIBC_PRIVATE: not meant for programs, yet exported, since the dynamic linker, libc and the sanitizers
//! call each other through them. The offsets come from the `_thread_db_*` descriptors that glibc carries for debuggers (libthread_db reads
//! them from the program's memory), so they are those of the very library that is loaded. Nothing here is believed before `reference` and
//! `self_check` have compared it with real threads.

use super::super::Unavailable;
use std::ffi::{CStr, c_int, c_void};
use std::mem::transmute;

/// The functions a block's life needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Functions {
    /// `_dl_allocate_tls`: given memory, makes the vector of thread-local blocks and copies every module's image below the address.
    pub(super) allocate: unsafe extern "C" fn(*mut c_void) -> *mut c_void,
    /// `_dl_deallocate_tls`: frees that vector and what hangs on it; the block itself only if the second argument says so.
    pub(super) deallocate: unsafe extern "C" fn(*mut c_void, bool),
    /// `__call_tls_dtors`: runs and forgets the destructors of thread-local objects of the current thread pointer.
    pub(super) call_destructors: unsafe extern "C" fn(),
    /// `__cxa_thread_atexit_impl`: registers one of them (for the self-check).
    pub(super) register_destructor:
        unsafe extern "C" fn(unsafe extern "C" fn(*mut c_void), *mut c_void, *const c_void) -> c_int,
    /// `__res_nclose`: closes and frees what a resolver state holds.
    pub(super) close_resolver: unsafe extern "C" fn(*mut c_void),
    /// `__libc_alloca_cutoff`, where it is exported: whether a buffer of that size goes onto the stack (for the self-check).
    pub(super) fits_on_stack: Option<unsafe extern "C" fn(usize) -> c_int>,
}

/// Where things lie, relative to the thread pointer (which on x86-64 is the address of `struct pthread`).
#[derive(Clone, Copy, Debug)]
pub(super) struct Offsets {
    /// Size of `struct pthread`.
    pub(super) record_bytes: usize,
    /// Static thread-locals below the thread pointer: what is in use, and glibc's surplus for libraries loaded later.
    pub(super) static_bytes: usize,
    pub(super) alignment: usize,
    /// `tid`, followed (8-aligned) by `robust_prev` and `robust_head`.
    pub(super) tid: usize,
    /// The node by which glibc links its own threads.
    pub(super) list: usize,
    /// `specific`: pointers to blocks of pthread key values.
    pub(super) specific: usize,
    /// Whether the thread has ever set a key: the byte behind `specific`.
    pub(super) specific_used: usize,
    /// The restartable-sequence area, where glibc has one.
    pub(super) rseq: Option<isize>,
}

/// `robust_prev`, seen from `tid`.
pub(super) const ROBUST_PREV_AFTER_TID: usize = 8;
/// `robust_head` (list, futex offset, pending), seen from `tid`.
pub(super) const ROBUST_HEAD_AFTER_TID: usize = 16;

/// One value of a pthread key, as it lies in a thread's record.
#[repr(C)]
#[derive(Debug)]
pub(super) struct KeyValue {
    pub(super) sequence: usize,
    pub(super) data: *mut c_void,
}

/// One entry of the table of pthread keys.
#[repr(C)]
#[derive(Debug)]
pub(super) struct Key {
    /// Odd while the key exists.
    pub(super) sequence: usize,
    pub(super) destructor: Option<unsafe extern "C" fn(*mut c_void)>,
}

/// Values per block, and blocks per thread.
pub(super) const KEYS_PER_BLOCK: usize = 32;
pub(super) const KEY_BLOCKS: usize = 32;

/// The loader's table of modules with thread-locals: an entry per module id. Its first part is never moved or freed.
#[derive(Clone, Copy, Debug)]
pub(super) struct ModuleTable {
    pub(super) entries: *const ModuleEntry,
    pub(super) length: usize,
    /// Where the loader links the next part, once the first is full.
    pub(super) next: *const usize,
}

/// `struct dtv_slotinfo`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct ModuleEntry {
    /// 0 until a library that is loaded at run time gets the entry; grows whenever one gets or leaves it.
    pub(super) generation: usize,
    /// The module's link map, null if it is unloaded.
    _map: usize,
}

/// All of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Symbols {
    pub(super) functions: Functions,
    pub(super) offsets: Offsets,
    /// `__pthread_keys`.
    pub(super) keys: *const Key,
    pub(super) modules: ModuleTable,
}

pub(super) fn find(name: &CStr) -> Option<*mut c_void> {
    // SAFETY: `dlsym` with the default handle and a C string looks the name up and has no other effect.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!address.is_null()).then_some(address)
}

pub(super) fn need(name: &CStr) -> Result<*mut c_void, Unavailable> {
    find(name).ok_or_else(|| {
        Unavailable::new(format!(
            "the C library does not export {} (is it glibc 2.34 or newer?)",
            name.to_string_lossy()
        ))
    })
}

/// A descriptor of libthread_db: size in bits, number of elements, offset.
fn descriptor(name: &CStr) -> Result<[u32; 3], Unavailable> {
    let at = need(name)?.cast::<[u32; 3]>();
    // SAFETY: every `_thread_db_*` descriptor of a field is a constant of three 32-bit words in glibc's read-only data.
    Ok(unsafe { at.read() })
}

pub(super) fn offset(name: &CStr) -> Result<usize, Unavailable> {
    Ok(descriptor(name)?[2] as usize)
}

pub(super) fn size(name: &CStr) -> Result<usize, Unavailable> {
    let at = need(name)?.cast::<u32>();
    // SAFETY: every `_thread_db_sizeof_*` is one 32-bit word in glibc's read-only data.
    Ok(unsafe { at.read() } as usize)
}

fn expect(what: &str, found: usize, expected: usize) -> Result<(), Unavailable> {
    if found == expected {
        return Ok(());
    }
    Err(Unavailable::new(format!(
        "this glibc's thread record differs from all known ones ({what}: {found}, expected {expected})"
    )))
}

impl Symbols {
    pub(super) fn find() -> Result<Symbols, Unavailable> {
        // SAFETY: these are the functions' types in every glibc since they exist (elf/dl-tls.c, stdlib/cxa_thread_atexit_impl.c,
        // resolv/res-close.c); the self-check calls each of them before anything depends on it.
        let functions = unsafe {
            Functions {
                allocate: transmute::<*mut c_void, unsafe extern "C" fn(*mut c_void) -> *mut c_void>(need(
                    c"_dl_allocate_tls",
                )?),
                deallocate: transmute::<*mut c_void, unsafe extern "C" fn(*mut c_void, bool)>(need(
                    c"_dl_deallocate_tls",
                )?),
                call_destructors: transmute::<*mut c_void, unsafe extern "C" fn()>(need(c"__call_tls_dtors")?),
                register_destructor: transmute::<
                    *mut c_void,
                    unsafe extern "C" fn(unsafe extern "C" fn(*mut c_void), *mut c_void, *const c_void) -> c_int,
                >(need(c"__cxa_thread_atexit_impl")?),
                close_resolver: transmute::<*mut c_void, unsafe extern "C" fn(*mut c_void)>(need(c"__res_nclose")?),
                fits_on_stack: find(c"__libc_alloca_cutoff")
                    .map(|at| transmute::<*mut c_void, unsafe extern "C" fn(usize) -> c_int>(at)),
            }
        };
        // SAFETY: void _dl_get_tls_static_info(size_t *, size_t *), kept for the sanitizers.
        let static_info = unsafe {
            transmute::<*mut c_void, unsafe extern "C" fn(*mut usize, *mut usize)>(need(c"_dl_get_tls_static_info")?)
        };
        let (mut total, mut alignment) = (0, 0);
        // SAFETY: both pointers are valid for a write.
        unsafe { static_info(&mut total, &mut alignment) };
        let record_bytes = size(c"_thread_db_sizeof_pthread")?;
        if !alignment.is_power_of_two() || total < record_bytes || record_bytes < 512 {
            return Err(Unavailable::new(format!(
                "glibc's sizes make no sense (static thread-locals with record: {total}, record: {record_bytes}, alignment: \
                 {alignment})"
            )));
        }

        let specific = descriptor(c"_thread_db_pthread_specific")?;
        expect("blocks of keys", specific[0] as usize / usize::BITS as usize, KEY_BLOCKS)?;
        expect("size of a key's value", size(c"_thread_db_sizeof_pthread_key_data")?, size_of::<KeyValue>())?;
        expect("place of a key's value", offset(c"_thread_db_pthread_key_data_data")?, 8)?;
        expect("size of a key", size(c"_thread_db_sizeof_pthread_key_struct")?, size_of::<Key>())?;
        expect("place of a key's destructor", offset(c"_thread_db_pthread_key_struct_destr")?, 8)?;
        let key_count = descriptor(c"_thread_db___pthread_keys")?[1] as usize;
        expect("number of keys", key_count, KEYS_PER_BLOCK * KEY_BLOCKS)?;

        // glibc 2.35 and newer.
        let rseq = find(c"__rseq_offset").map(|at| {
            // SAFETY: `__rseq_offset` is a public constant of type ptrdiff_t.
            unsafe { at.cast::<isize>().read() }
        });
        let offsets = Offsets {
            record_bytes,
            // Room for the alignment of the whole below the pointer, as glibc itself adds it.
            static_bytes: (total - record_bytes).next_multiple_of(alignment.max(64)),
            alignment: alignment.max(64),
            tid: offset(c"_thread_db_pthread_tid")?,
            list: offset(c"_thread_db_pthread_list")?,
            specific: specific[2] as usize,
            specific_used: specific[2] as usize + KEY_BLOCKS * size_of::<usize>(),
            rseq,
        };
        offsets.check()?;
        Ok(Symbols { functions, offsets, keys: need(c"__pthread_keys")?.cast(), modules: ModuleTable::find()? })
    }
}

impl ModuleTable {
    fn find() -> Result<ModuleTable, Unavailable> {
        expect("place of a module's generation", offset(c"_thread_db_dtv_slotinfo_gen")?, 0)?;
        expect("place of a module's map", offset(c"_thread_db_dtv_slotinfo_map")?, 8)?;
        expect("size of a module's entry", size(c"_thread_db_sizeof_dtv_slotinfo")?, size_of::<ModuleEntry>())?;
        let global = need(c"_rtld_global")? as usize;
        // SAFETY: the loader's variable of that description: the address of the table's first part.
        let part =
            unsafe { *((global + offset(c"_thread_db_rtld_global__dl_tls_dtv_slotinfo_list")?) as *const usize) };
        // SAFETY: a field of that part, which is set when it is made.
        let length = unsafe { *((part + offset(c"_thread_db_dtv_slotinfo_list_len")?) as *const usize) };
        Ok(ModuleTable {
            entries: (part + offset(c"_thread_db_dtv_slotinfo_list_slotinfo")?) as *const ModuleEntry,
            length,
            next: (part + offset(c"_thread_db_dtv_slotinfo_list_next")?) as *const usize,
        })
    }
}

impl Offsets {
    /// Every field must lie inside the block that `make` writes.
    fn check(&self) -> Result<(), Unavailable> {
        let inside = |at: usize, bytes: usize| at + bytes <= self.record_bytes && at.is_multiple_of(4);
        let fields = [
            ("tid", self.tid, ROBUST_HEAD_AFTER_TID + 24),
            ("list", self.list, 16),
            ("specific", self.specific, KEY_BLOCKS * 8 + 1),
        ];
        for (name, at, bytes) in fields {
            if !inside(at, bytes) {
                return Err(Unavailable::new(format!(
                    "glibc's description of its thread record is wrong ({name} at {at})"
                )));
            }
        }
        match self.rseq {
            Some(at) if at < -(self.static_bytes as isize) || at + 32 > self.record_bytes as isize => Err(
                Unavailable::new(format!("glibc's restartable-sequence area lies outside the thread block (at {at})")),
            ),
            _ => Ok(()),
        }
    }
}

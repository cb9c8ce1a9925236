//! What a fresh thread of glibc's own looks like.
//!
//! A thread made by plain `pthread_create`, whose start function looks at its own block before anything else has run: this is what a
//! goroutine must find. It also tells what no descriptor says (where the first keys' values and the resolver state lie, which words malloc
//! keeps), and confirms what the descriptors do say (tid, the empty robust list, the key that was just set).

use super::super::{Unavailable, thread_pointer};
use super::block::header;
use super::exits::Exit;
use super::image::Image;
use super::libc_words::LibcWords;
use super::malloc_words::MallocWords;
use super::symbols::{KEYS_PER_BLOCK, KeyValue, ROBUST_HEAD_AFTER_TID, ROBUST_PREV_AFTER_TID, Symbols};
use crate::sys::thread::gettid;
use crate::sys::{clock, futex};
use std::ffi::c_void;
use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::AtomicU32;

/// The thread as it found itself.
#[derive(Debug)]
pub(super) struct Fresh {
    pub(super) tp: usize,
    /// Its static thread-locals, the lowest first.
    pub(super) words: Vec<usize>,
    /// Its record.
    pub(super) record: Vec<usize>,
    /// `header::INHERITED`.
    pub(super) inherited: [usize; header::INHERITED.len()],
}

pub(super) struct Reference {
    pub(super) fresh: Fresh,
    pub(super) first_keys: usize,
    pub(super) exit: Exit,
    pub(super) words: LibcWords,
    pub(super) malloc: Result<MallocWords, &'static str>,
}

struct Measuring<'a> {
    symbols: &'a Symbols,
    libc: (usize, usize),
    key: libc::pthread_key_t,
    fresh: Fresh,
    result: Option<Result<Found, Unavailable>>,
}

struct Found {
    first_keys: usize,
    exit: Exit,
    words: LibcWords,
    malloc: Result<MallocWords, &'static str>,
}

unsafe extern "C" fn no_destructor(_: *mut c_void) {}

/// Runs a thread that std knows nothing of, and waits for it. It takes no signals: a handler of the program's could allocate.
pub(super) fn on_bare_thread(
    start: extern "C" fn(*mut c_void) -> *mut c_void,
    argument: *mut c_void,
) -> Result<(), Unavailable> {
    start_bare(start, argument).map(join_bare)
}

/// Starts such a thread. It is to be joined before anything ends that `argument` points to.
pub(super) fn start_bare(
    start: extern "C" fn(*mut c_void) -> *mut c_void,
    argument: *mut c_void,
) -> Result<libc::pthread_t, Unavailable> {
    let mut thread = 0;
    let mut mask = MaybeUninit::uninit();
    // SAFETY: default attributes. The thread inherits the full mask; the calling thread's own is saved and put back.
    let created = unsafe {
        let mut all = MaybeUninit::uninit();
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), mask.as_mut_ptr());
        let created = libc::pthread_create(&mut thread, ptr::null(), start, argument);
        libc::pthread_sigmask(libc::SIG_SETMASK, mask.as_ptr(), ptr::null_mut());
        created
    };
    if created != 0 {
        let cause = io::Error::from_raw_os_error(created);
        return Err(Unavailable::new(format!("no thread could be started to try it out ({cause})")));
    }
    Ok(thread)
}

/// Waits for it. Once.
pub(super) fn join_bare(thread: libc::pthread_t) {
    // SAFETY: a thread from `start_bare`, joined once.
    unsafe { libc::pthread_join(thread, ptr::null_mut()) };
}

/// Sleeps a moment between two looks at something that tells nobody when it changes. (Yielding instead costs milliseconds on a busy machine.)
pub(super) fn nap() {
    const NAP_NS: u64 = 20_000;
    let never = AtomicU32::new(0);
    futex::wait(&never, 0, Some(clock::now_ns() + NAP_NS));
}

/// Starts the thread and takes its measure.
pub(super) fn measure(symbols: &Symbols, image: &Image) -> Result<Reference, Unavailable> {
    let mut key = 0;
    // SAFETY: a new key with a destructor that does nothing.
    if unsafe { libc::pthread_key_create(&mut key, Some(no_destructor)) } != 0 {
        return Err(Unavailable::new("all 1024 pthread keys are in use"));
    }
    let mut measuring = Measuring {
        symbols,
        libc: (image.libc.below, image.libc.bytes()),
        key,
        fresh: Fresh {
            tp: 0,
            words: vec![0; symbols.offsets.static_bytes / size_of::<usize>()],
            record: vec![0; symbols.offsets.record_bytes / size_of::<usize>()],
            inherited: Default::default(),
        },
        result: None,
    };
    let outcome = on_bare_thread(start, (&raw mut measuring).cast());
    // SAFETY: the key from above; nobody else knows it.
    unsafe { libc::pthread_key_delete(key) };
    outcome?;
    let found = measuring.result.unwrap_or_else(|| Err(Unavailable::new("the thread to try it out did not run")))?;
    let Found { first_keys, exit, words, malloc } = found;
    Ok(Reference { fresh: measuring.fresh, first_keys, exit, words, malloc })
}

extern "C" fn start(argument: *mut c_void) -> *mut c_void {
    // SAFETY: `measure` passes this and waits.
    let measuring = unsafe { &mut *argument.cast::<Measuring<'_>>() };
    let tp = thread_pointer();
    // First of all, and without calling anything: later this thread has a past.
    let bytes = measuring.fresh.words.len() * size_of::<usize>();
    for (index, word) in measuring.fresh.words.iter_mut().enumerate() {
        // SAFETY: static thread-locals of this thread. Volatile: libc writes them behind the compiler's back.
        *word = unsafe { ((tp - bytes + index * size_of::<usize>()) as *const usize).read_volatile() };
    }
    for (index, word) in measuring.fresh.record.iter_mut().enumerate() {
        // SAFETY: as above, of this thread's record.
        *word = unsafe { ((tp + index * size_of::<usize>()) as *const usize).read_volatile() };
    }
    measuring.fresh.tp = tp;
    // SAFETY: words of this thread's header.
    measuring.fresh.inherited = header::INHERITED.map(|at| unsafe { *((tp + at) as *const usize) });
    // SAFETY: `tp` is the current thread's.
    measuring.result = Some(unsafe { look(measuring, tp) });
    ptr::null_mut()
}

/// # Safety
/// `tp` is the current thread's, and it is fresh.
unsafe fn look(measuring: &Measuring<'_>, tp: usize) -> Result<Found, Unavailable> {
    let offsets = &measuring.symbols.offsets;
    let (start, bytes) = measuring.libc;
    let first = (offsets.static_bytes - start) / size_of::<usize>();
    let before = &measuring.fresh.words[first..][..bytes / size_of::<usize>()];
    // SAFETY: libc's thread-locals of this thread, and their words at its start; nothing has allocated since.
    let malloc = unsafe { MallocWords::find(tp, measuring.libc, before) };

    // SAFETY: `at` is inside this thread's record, by `Offsets::check`.
    let word = |at: usize| unsafe { *((tp + at) as *const usize) };
    let robust = offsets.tid + ROBUST_HEAD_AFTER_TID;
    let facts = [
        ("header", word(0), tp),
        ("header", word(0x10), tp),
        ("tid", word(offsets.tid) as u32 as usize, gettid() as usize),
        ("robust list", word(robust), tp + robust),
        ("robust list", word(offsets.tid + ROBUST_PREV_AFTER_TID), tp + robust),
    ];
    for (what, found, expected) in facts {
        if found != expected {
            return Err(Unavailable::new(format!("a thread's record is not laid out as glibc describes it ({what})")));
        }
    }
    let exit = Exit::find(tp, &raw const facts as usize, &measuring.fresh.record)?;
    // SAFETY: this thread's.
    let first_keys = unsafe { look_at_keys(measuring, tp) }?;
    // SAFETY: this thread's, which is not the main one.
    let words = unsafe { LibcWords::find(tp, measuring.libc, measuring.symbols) }?;
    Ok(Found { first_keys, exit, words, malloc })
}

/// Sets the key and looks for it in the record and in the table.
///
/// # Safety
/// `tp` is the current thread's.
unsafe fn look_at_keys(measuring: &Measuring<'_>, tp: usize) -> Result<usize, Unavailable> {
    let (offsets, key) = (&measuring.symbols.offsets, measuring.key);
    let wrong = |what: &str| Unavailable::new(format!("pthread keys are not kept as glibc describes it ({what})"));
    let blocks = (tp + offsets.specific) as *const *const KeyValue;
    // SAFETY: inside this thread's record.
    let first_keys = (unsafe { blocks.read() } as usize).wrapping_sub(tp);
    if first_keys + KEYS_PER_BLOCK * size_of::<KeyValue>() > offsets.record_bytes {
        return Err(wrong("the first block of values is not in the record"));
    }
    // SAFETY: a byte of this thread's record. Volatile: pthread_setspecific writes it.
    let used = || unsafe { ((tp + offsets.specific_used) as *const u8).read_volatile() };
    let before = used();
    let mark = ptr::from_ref(measuring).cast::<c_void>();
    // SAFETY: the key exists; its destructor does nothing.
    unsafe { libc::pthread_setspecific(key, mark) };
    if (before, used()) != (0, 1) {
        return Err(wrong("no flag says that a key was set"));
    }
    let index = key as usize;
    // SAFETY: setting the key has made the block of its value if it was not part of the record. Volatile: glibc wrote it.
    let value = unsafe {
        let block = blocks.add(index / KEYS_PER_BLOCK).read_volatile();
        (!block.is_null()).then(|| block.add(index % KEYS_PER_BLOCK).read_volatile())
    };
    // SAFETY: keys are below 1024, the length of the table.
    let entry = unsafe { measuring.symbols.keys.add(index).read_volatile() };
    // SAFETY: as above.
    unsafe { libc::pthread_setspecific(key, ptr::null()) };
    let Some(value) = value else {
        return Err(wrong("a value that was set is in no block"));
    };
    if value.data.cast_const() != mark || value.sequence != entry.sequence || entry.sequence % 2 == 0 {
        return Err(wrong("a value that was set is not where it should be"));
    }
    if entry.destructor.map(|destructor| destructor as *const ()) != Some(no_destructor as *const ()) {
        return Err(wrong("a destructor is not in the table"));
    }
    Ok(first_keys)
}

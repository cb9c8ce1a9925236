//! The thread-locals of libc itself that have a meaning, and their values in a new thread.
//!
//! - `errno`, `h_errno`: 0.
//! - the locale set by `uselocale`: the global one.
//! - the three tables behind `isalpha` and friends: those of the global locale *now*; `setlocale` may have changed them since the start.
//!   (glibc's own new threads call `__ctype_init` for that. Reading the words from the locale object needs no call and no thread pointer;
//!   their place in it is public ABI, since `isalpha_l` was once a macro.)
//! - the resolver state: every thread's own, inside its record. A block from `_dl_allocate_tls` alone shares the main thread's, so that two
//!   goroutines in `getaddrinfo` would corrupt it.
//!
//! - the last error of `dlopen`: none.
//! - the list of registered destructors: empty. It is, after the end of a goroutine, unless code of its last moments (dropping a result
//!   nobody wants) has used a thread-local for the first time. Such a destructor is forgotten: run at the next goroutine's end it would
//!   find that one's values.
//!
//! What else libc keeps per thread are caches without meaning: the allocator's words (`malloc_words`), the text buffers of `strerror` and
//! `strsignal`, which the next goroutine simply uses on, the state of `getrandom`.

use super::super::Unavailable;
use super::symbols::{Functions, Symbols, need};
use std::ffi::c_void;

unsafe extern "C" {
    fn __ctype_b_loc() -> *mut *const u16;
    fn __ctype_tolower_loc() -> *mut *const i32;
    fn __ctype_toupper_loc() -> *mut *const i32;
    fn __h_errno_location() -> *mut i32;
}

/// The beginning of `struct __locale_struct`: 13 categories, then these.
const TABLES_IN_LOCALE: [usize; 3] = [13 * 8, 14 * 8, 15 * 8];

/// How far below the thread pointer each word lies, and what it is set to.
#[derive(Clone, Copy, Debug)]
pub(super) struct LibcWords {
    errno: usize,
    h_errno: usize,
    locale: usize,
    /// The global locale object.
    global_locale: usize,
    /// The tables of classes, of lower and of upper case letters.
    tables: [usize; 3],
    resolver: usize,
    /// The thread's own resolver state, above the thread pointer.
    resolver_state: usize,
    /// The message that `dlerror` gives.
    loader_error: usize,
    /// The first registered destructor.
    destructors: usize,
}

/// `struct __res_state`: `options` (unsigned long) and the number of name servers, which is 0 until the resolver is first used.
const RESOLVER_OPTIONS: usize = 8;
const RESOLVER_SERVERS: usize = 16;

/// The words that a thread has read out of its block.
#[derive(Clone, Copy)]
struct Seen {
    tables: [usize; 3],
    locale: usize,
}

impl LibcWords {
    /// Finds them. Runs on a fresh thread that is not the main one, and leaves it as it was.
    ///
    /// `libc` is where libc's thread-locals start below the thread pointer, and how many bytes they are.
    ///
    /// # Safety
    /// `tp` is the current thread's; `libc` and `symbols` describe its block.
    pub(super) unsafe fn find(tp: usize, libc: (usize, usize), symbols: &Symbols) -> Result<LibcWords, Unavailable> {
        let (start, bytes) = libc;
        let below = |name: &str, address: usize| {
            let below = tp.wrapping_sub(address);
            if below <= start && below + bytes > start {
                Ok(below)
            } else {
                Err(Unavailable::new(format!("{name} is not among libc's static thread-locals")))
            }
        };
        // SAFETY: these give addresses of thread-locals of the calling thread.
        let (errno, h_errno, tables) = unsafe {
            (
                libc::__errno_location() as usize,
                __h_errno_location() as usize,
                [__ctype_b_loc() as usize, __ctype_tolower_loc() as usize, __ctype_toupper_loc() as usize],
            )
        };
        // For a thread-local this gives the calling thread's instance.
        let resolver = need(c"__resp")? as usize;
        let loader_error = need(c"__libc_dlerror_result")? as usize;
        // SAFETY: the pointer to the resolver state of this thread.
        let state = unsafe { *(resolver as *const usize) };
        let resolver_state = state.wrapping_sub(tp);
        if resolver_state + RESOLVER_SERVERS + 4 > symbols.offsets.record_bytes {
            return Err(Unavailable::new("a thread's resolver state is not in its record"));
        }
        let (locale, seen) = find_locale(tp, libc, tables)?;
        for (place, table) in TABLES_IN_LOCALE.iter().zip(seen.tables) {
            // SAFETY: `seen.locale` is the global locale object, which has these words.
            if unsafe { *((seen.locale + place) as *const usize) } != table {
                return Err(Unavailable::new("glibc's locale object has an unknown layout"));
            }
        }
        Ok(LibcWords {
            errno: below("errno", errno)?,
            h_errno: below("h_errno", h_errno)?,
            locale,
            global_locale: seen.locale,
            tables: [
                below("the table of character classes", tables[0])?,
                below("the table of lower case letters", tables[1])?,
                below("the table of upper case letters", tables[2])?,
            ],
            resolver: below("the resolver's pointer", resolver)?,
            resolver_state,
            loader_error: below("the loader's error", loader_error)?,
            destructors: find_destructors(tp, libc, &symbols.functions)?,
        })
    }

    /// Gives the block at `tp` its own resolver state.
    ///
    /// # Safety
    /// A made block that nobody uses.
    pub(super) unsafe fn connect(&self, tp: usize) {
        // SAFETY: a word of libc's thread-locals in that block.
        unsafe { *((tp - self.resolver) as *mut usize) = tp + self.resolver_state };
    }

    /// Sets the words to what a new thread finds.
    ///
    /// # Safety
    /// A made block that nobody uses. No thread-local of the current thread pointer is touched.
    #[inline]
    pub(super) unsafe fn restore(&self, tp: usize) {
        // SAFETY: words of libc's thread-locals in that block; and the global locale object, which is never freed. Its words are read as
        // volatile because `setlocale` may write them now; glibc's own new threads read them as unsynchronised.
        unsafe {
            *((tp - self.errno) as *mut i32) = 0;
            *((tp - self.h_errno) as *mut i32) = 0;
            *((tp - self.destructors) as *mut usize) = 0;
            *((tp - self.locale) as *mut usize) = self.global_locale;
            self.copy_tables(tp);
        }
    }

    /// Gives the current block, which is in its initial state, the tables of the locale that is the global one now: it may have waited since its
    /// reset. glibc does so at a thread's start (`__ctype_init`).
    ///
    /// # Safety
    /// `tp` is the current thread pointer, a block of ours whose goroutine has done nothing yet.
    #[inline]
    pub(super) unsafe fn follow_locale(&self, tp: usize) {
        // SAFETY: as in `restore`.
        unsafe {
            let now = ((self.global_locale + TABLES_IN_LOCALE[0]) as *const usize).read_volatile();
            if *((tp - self.tables[0]) as *const usize) != now {
                self.copy_tables(tp);
            }
        }
    }

    /// # Safety
    /// As for `restore`.
    #[inline]
    unsafe fn copy_tables(&self, tp: usize) {
        for (below, place) in self.tables.iter().zip(TABLES_IN_LOCALE) {
            // SAFETY: as in `restore`.
            unsafe { *((tp - below) as *mut usize) = ((self.global_locale + place) as *const usize).read_volatile() };
        }
    }

    /// Whether destructors are registered in the block at `tp`.
    ///
    /// # Safety
    /// A made block that is current or that nobody uses.
    #[inline]
    pub(super) unsafe fn has_destructors(&self, tp: usize) -> bool {
        // SAFETY: a word of libc's thread-locals in that block. Volatile: libc writes it.
        unsafe { ((tp - self.destructors) as *const usize).read_volatile() != 0 }
    }

    /// What glibc does when a thread ends (`__libc_thread_freeres`) with the resolver state: close, free, forget the options; and with the
    /// last error of `dlopen`: forget it.
    ///
    /// # Safety
    /// `tp` is the current thread pointer, `close` is `__res_nclose`.
    #[inline]
    pub(super) unsafe fn end(&self, tp: usize, close: unsafe extern "C" fn(*mut c_void)) {
        // SAFETY: a word of libc's thread-locals in the current block.
        if unsafe { *((tp - self.loader_error) as *const usize) } != 0 {
            // The first call gives the message, the second frees it.
            // SAFETY: no pointer to the message is kept.
            unsafe {
                libc::dlerror();
                libc::dlerror();
            }
        }
        let state = tp + self.resolver_state;
        // SAFETY: the state inside the current block; its first fields are public (resolv.h).
        unsafe {
            if *((state + RESOLVER_SERVERS) as *const i32) != 0 {
                close(state as *mut c_void);
                *((state + RESOLVER_OPTIONS) as *mut usize) = 0;
            }
        }
    }
}

/// The words of libc's thread-locals. Volatile: libc writes them behind the compiler's back.
fn words(tp: usize, libc: (usize, usize)) -> Vec<usize> {
    let mut words = vec![0; libc.1 / 8];
    read_words(tp, libc, &mut words);
    words
}

/// The same, without allocating.
fn read_words(tp: usize, libc: (usize, usize), words: &mut [usize]) {
    for (index, word) in words.iter_mut().enumerate() {
        // SAFETY: libc's thread-locals of the current thread.
        *word = unsafe { ((tp - libc.0 + 8 * index) as *const usize).read_volatile() };
    }
}

/// The only index at which `holds`.
fn single(count: usize, holds: impl Fn(usize) -> bool, what: &str) -> Result<usize, Unavailable> {
    let mut found = (0..count).filter(|&index| holds(index));
    match (found.next(), found.next()) {
        (Some(index), None) => Ok(index),
        (None, _) => Err(Unavailable::new(format!("no thread-local of libc holds {what}"))),
        _ => Err(Unavailable::new(format!("more than one thread-local of libc may hold {what}"))),
    }
}

/// The word that `uselocale` sets, found by setting it.
fn find_locale(tp: usize, libc: (usize, usize), tables: [usize; 3]) -> Result<(usize, Seen), Unavailable> {
    let before = words(tp, libc);
    // For this name glibc hands out a static object: nothing is allocated, nothing to free.
    // SAFETY: a valid mask and name, no base; the locale is set back before anything depends on it.
    let (other, during) = unsafe {
        let other = libc::newlocale(libc::LC_ALL_MASK, c"C".as_ptr(), std::ptr::null_mut());
        let previous = libc::uselocale(other);
        let during = words(tp, libc);
        libc::uselocale(previous);
        (other as usize, during)
    };
    let index = single(before.len(), |index| before[index] != other && during[index] == other, "the locale")?;
    // SAFETY: the addresses glibc gave for this thread's pointers to its tables.
    let tables = tables.map(|table| unsafe { *(table as *const usize) });
    Ok((libc.0 - 8 * index, Seen { tables, locale: before[index] }))
}

unsafe extern "C" fn no_destructor(_: *mut c_void) {}

/// The word that changes when a destructor is registered, and is empty when all have run.
///
/// A global allocator may have registered one of its own on this thread, the first time it was used, and does so again if it is used after
/// that has run: so nothing is allocated in between.
fn find_destructors(tp: usize, libc: (usize, usize), functions: &Functions) -> Result<usize, Unavailable> {
    let [mut before, mut during, mut after] = [(); 3].map(|()| words(tp, libc));
    read_words(tp, libc, &mut before);
    // SAFETY: a destructor that does nothing, in the name of the object that contains it.
    let refused =
        unsafe { (functions.register_destructor)(no_destructor, std::ptr::null_mut(), no_destructor as *const c_void) };
    read_words(tp, libc, &mut during);
    // SAFETY: runs it, and an allocator's if there is one: that has to stand being used afterwards, as at the end of every thread.
    unsafe { (functions.call_destructors)() };
    read_words(tp, libc, &mut after);
    let holds = |index: usize| during[index] != before[index] && during[index] != 0 && after[index] == 0;
    if refused != 0 {
        return Err(Unavailable::new("glibc accepts no destructor of a thread-local"));
    }
    Ok(libc.0 - 8 * single(before.len(), holds, "the list of destructors")?)
}

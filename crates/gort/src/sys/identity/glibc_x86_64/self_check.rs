//! One block, tried out on two threads before the first goroutine depends on it.
//!
//! 1. A block just made is compared, word by word, with what fresh threads of glibc's own found (`record`, `reference`).
//! 2. Thread A makes it current and uses it: a thread-local, errno, a destructor, a pthread key. Thread B makes it current while A waits,
//!    and must find all of it, at the same addresses; then it ends it, and both destructors must run once.
//! 3. After a reset everything must be as new, the record as a whole included.
//! 4. A chunk freed with lent malloc words must be the lender's next.
//!
//! What runs with the block is called through [`call_with_thread_pointer`] and through nothing else: the compiler may keep addresses of
//! thread-locals within one function. If 4 fails, the allocator's words are left alone; anything else makes migrating goroutines
//! unavailable. No stack is switched here: that a block works does not depend on which stack is in use.

use super::super::{SAID_BYTES, Unavailable, call_with_thread_pointer, thread_pointer};
use super::Identity;
use super::block::header;
use super::record::{Frame, leave_changed};
use super::reference::{Fresh, on_bare_thread};
use crate::sys::raw;
use std::cell::{Cell, UnsafeCell};
use std::ffi::c_void;
use std::hint::black_box;
use std::io;
use std::ptr;

/// The mark's value in a new thread. It comes from the image, since it is not zero.
const NEW: u64 = 0x676f_7274_2e6e_6577;
const USED: u64 = 1;
const ERRNO: i32 = 4711;

thread_local!(static MARK: Cell<u64> = const { Cell::new(NEW) });

/// The address of a thread-local of gort's own in the current block.
pub(super) fn own_thread_local() -> usize {
    MARK.with(|mark| ptr::from_ref(black_box(mark)) as usize)
}

/// What both threads see. Lives on the stack of the probing thread, which waits.
struct Trial<'a> {
    identity: &'a Identity,
    tp: usize,
    key: libc::pthread_key_t,
    mark_address: Cell<usize>,
    errno_address: Cell<usize>,
    destructors: Cell<u32>,
    key_destructors: Cell<u32>,
    chunk: Cell<usize>,
    malloc_works: Cell<bool>,
    left: UnsafeCell<Frame>,
    failure: Cell<Option<&'static str>>,
    record: Cell<Option<Unavailable>>,
    refused: Cell<bool>,
}

impl Trial<'_> {
    fn check(&self, holds: bool, what: &'static str) {
        if !holds && self.failure.get().is_none() {
            self.failure.set(Some(what));
        }
    }

    /// Runs `step` with the block as the current one and the malloc words of the calling thread.
    fn with_block(&self, step: unsafe extern "C" fn(*mut ())) {
        let own = thread_pointer();
        // SAFETY: the block is made, and only the running one of the two threads uses it.
        unsafe {
            self.identity.lend_malloc(own, self.tp);
            call_with_thread_pointer(self.tp, black_box(step), ptr::from_ref(self).cast_mut().cast());
            self.identity.return_malloc(self.tp, own);
        }
    }

    fn check_malloc(&self) {
        let own = thread_pointer();
        let Some(words) = &self.identity.malloc else { return };
        self.identity.warm_malloc();
        // SAFETY: the calling thread's block.
        let before = unsafe { words.read(own) };
        self.with_block(allocate_and_free);
        // SAFETY: allocates, compares, frees.
        let again = unsafe {
            let again = black_box(libc::malloc(black_box(CHUNK_BYTES)));
            libc::free(again);
            again as usize
        };
        // SAFETY: the calling thread's block.
        let unchanged = unsafe { words.read(own) } == before;
        self.malloc_works.set(self.malloc_works.get() && unchanged && again != 0 && again == self.chunk.get());
    }
}

/// Large enough for no other user of the caches on these threads.
const CHUNK_BYTES: usize = 200;

/// # Safety
/// `trial` is a `Trial`, as for all that follow.
unsafe extern "C" fn allocate_and_free(trial: *mut ()) {
    // SAFETY: as above.
    let trial = unsafe { &*trial.cast::<Trial<'_>>() };
    // SAFETY: allocates and frees; the block's errno, put back because B comes here between the two looks at it: with little address space glibc
    // tries in vain, leaves ENOMEM, and finds memory elsewhere.
    unsafe {
        let left_by_use = *errno();
        let chunk = black_box(libc::malloc(black_box(CHUNK_BYTES)));
        libc::free(chunk);
        trial.chunk.set(chunk as usize);
        *errno() = left_by_use;
    }
}

unsafe extern "C" fn count_destructor(trial: *mut c_void) {
    // SAFETY: registered with a `Trial`.
    let trial = unsafe { &*trial.cast::<Trial<'_>>() };
    trial.destructors.set(trial.destructors.get() + 1);
}

unsafe extern "C" fn count_key_destructor(trial: *mut c_void) {
    // SAFETY: set to a `Trial`.
    let trial = unsafe { &*trial.cast::<Trial<'_>>() };
    trial.key_destructors.set(trial.key_destructors.get() + 1);
}

fn errno() -> *mut i32 {
    // SAFETY: gives the address of the current thread's errno.
    unsafe { libc::__errno_location() }
}

/// First use, on thread A.
///
/// # Safety
/// See `allocate_and_free`.
unsafe extern "C" fn use_it(argument: *mut ()) {
    // SAFETY: as above.
    let trial = unsafe { &*argument.cast::<Trial<'_>>() };
    trial.check(MARK.get() == NEW, "a new block's thread-locals have not their initial values");
    MARK.set(USED);
    trial.mark_address.set(own_thread_local());
    trial.errno_address.set(errno() as usize);
    // SAFETY: the block's errno; pthread_self reads a word of its header.
    unsafe {
        trial.check(*errno() == 0, "a new block's errno is not 0");
        trial.check(libc::pthread_self() as usize == trial.tp, "pthread_self is not the block");
        if let Some(fits) = trial.identity.functions.fits_on_stack {
            let (most, more) = (fits(SAID_BYTES / 4), fits(SAID_BYTES / 4 + 1));
            trial.check(most != 0 && more == 0, "glibc takes the block's stack for a large one");
        }
    }
    // SAFETY: the block is reset while the trial lasts.
    unsafe { leave_changed(trial.left.get()) };
    // SAFETY: a destructor with its argument, in the name of the object that contains this function; the key exists.
    unsafe {
        let object = count_destructor as *const c_void;
        let register = trial.identity.functions.register_destructor;
        trial.check(register(count_destructor, argument.cast(), object) == 0, "a destructor was not accepted");
        trial.check(libc::pthread_setspecific(trial.key, argument.cast()) == 0, "a key was not accepted");
        // After the last call that may allocate, for that may leave ENOMEM (`allocate_and_free`).
        *errno() = ERRNO;
    }
}

/// Second use, on thread B.
///
/// # Safety
/// See `allocate_and_free`.
unsafe extern "C" fn find_it_again(argument: *mut ()) {
    // SAFETY: as above.
    let trial = unsafe { &*argument.cast::<Trial<'_>>() };
    trial.check(own_thread_local() == trial.mark_address.get(), "a thread-local's address did not follow the block");
    trial.check(errno() as usize == trial.errno_address.get(), "errno's address did not follow the block");
    trial.check(MARK.get() == USED, "a thread-local's value did not follow the block");
    // SAFETY: the block's errno, id and key value.
    unsafe {
        trial.check(*errno() == ERRNO, "errno's value did not follow the block");
        trial.check(libc::pthread_self() as usize == trial.tp, "pthread_self did not follow the block");
        trial.check(libc::pthread_getspecific(trial.key) == argument.cast(), "a key's value did not follow the block");
    }
}

/// The end, on thread B.
///
/// # Safety
/// See `allocate_and_free`.
unsafe extern "C" fn end_it(argument: *mut ()) {
    // SAFETY: as above.
    let trial = unsafe { &*argument.cast::<Trial<'_>>() };
    // SAFETY: the current block is the trial's, and nothing else will run with it.
    unsafe { trial.identity.run_destructors() };
    trial.check(trial.destructors.get() == 1, "a thread-local's destructor did not run once");
    trial.check(trial.key_destructors.get() == 1, "a key's destructor did not run once");
}

/// After the reset.
///
/// # Safety
/// See `allocate_and_free`.
unsafe extern "C" fn find_it_new(argument: *mut ()) {
    // SAFETY: as above.
    let trial = unsafe { &*argument.cast::<Trial<'_>>() };
    trial.check(MARK.get() == NEW, "a thread-local survived the reset");
    // SAFETY: the block's errno and key value.
    unsafe {
        trial.check(*errno() == 0, "errno survived the reset");
        trial.check(libc::pthread_getspecific(trial.key).is_null(), "a key's value survived the end");
    }
}

extern "C" fn thread_a(argument: *mut c_void) -> *mut c_void {
    // SAFETY: `run` passes this and waits.
    let trial = unsafe { &*argument.cast::<Trial<'_>>() };
    trial.check_malloc();
    trial.with_block(use_it);
    // A is alive meanwhile, so B cannot have got A's own block.
    trial.refused.set(on_bare_thread(thread_b, argument).is_err());
    ptr::null_mut()
}

extern "C" fn thread_b(argument: *mut c_void) -> *mut c_void {
    // SAFETY: `thread_a` passes this and waits.
    let trial = unsafe { &*argument.cast::<Trial<'_>>() };
    trial.check_malloc();
    trial.with_block(find_it_again);
    trial.with_block(end_it);
    // SAFETY: the block has just been ended.
    unsafe { trial.identity.reset(trial.tp) };
    // SAFETY: nobody uses it between two steps.
    trial.record.set(unsafe { trial.identity.record_is_as_new(trial.tp) }.err());
    trial.with_block(find_it_new);
    ptr::null_mut()
}

/// Zeroed memory for one block.
#[derive(Debug)]
pub(super) struct Scratch {
    base: usize,
    bytes: usize,
    tp: usize,
}

impl Scratch {
    pub(super) fn new(identity: &Identity) -> io::Result<Scratch> {
        let alignment = identity.alignment();
        let below = identity.bytes_below_tp() + alignment;
        let bytes = (below + identity.bytes_above_tp() + alignment).next_multiple_of(4096);
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: new private memory at a place of the kernel's choice.
        let base = unsafe { libc::mmap(ptr::null_mut(), bytes, protection, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = base as usize;
        Ok(Scratch { base, bytes, tp: (base + below).next_multiple_of(alignment) })
    }

    /// Where the block is.
    pub(super) fn tp(&self) -> usize {
        self.tp
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `new`, which nobody uses any more.
        unsafe { raw::syscall2(libc::SYS_munmap, self.base, self.bytes) }.ok();
    }
}

/// Runs all of it; takes the malloc words out of `identity` if they do not do what they should.
pub(super) fn run(identity: &mut Identity, fresh: &Fresh) -> Result<(), Unavailable> {
    let no_memory = |cause: io::Error| Unavailable::short(format!("there is no memory to try it out ({cause})"));
    let mut key = 0;
    // SAFETY: a new key, with a destructor that takes a `Trial`, which is all it is ever set to.
    if unsafe { libc::pthread_key_create(&mut key, Some(count_key_destructor)) } != 0 {
        return Err(Unavailable::new("all 1024 pthread keys are in use"));
    }
    let outcome = Scratch::new(identity).map_err(no_memory).and_then(|scratch| {
        // SAFETY: fresh memory of the right size and alignment; this is an OS thread.
        unsafe { identity.make(scratch.tp) }.map_err(no_memory)?;
        // SAFETY: made just now.
        let outcome = unsafe { identity.record_is_as_new(scratch.tp) }
            .and_then(|()| compare(identity, scratch.tp, fresh))
            .and_then(|()| try_out(identity, scratch.tp, key));
        // SAFETY: both threads have ended; nobody uses the block.
        unsafe { identity.discard(scratch.tp) };
        outcome
    });
    // SAFETY: the key from above, whose values are all gone.
    unsafe { libc::pthread_key_delete(key) };
    if !outcome? {
        identity.malloc = None;
        identity.malloc_reason = "a chunk freed with lent words did not come back to the lender";
    }
    Ok(())
}

/// Whether lending malloc's words works.
fn try_out(identity: &Identity, tp: usize, key: libc::pthread_key_t) -> Result<bool, Unavailable> {
    let trial = Trial {
        identity,
        tp,
        key,
        mark_address: Cell::new(0),
        errno_address: Cell::new(0),
        destructors: Cell::new(0),
        key_destructors: Cell::new(0),
        chunk: Cell::new(0),
        malloc_works: Cell::new(true),
        left: UnsafeCell::default(),
        failure: Cell::new(None),
        record: Cell::new(None),
        refused: Cell::new(false),
    };
    on_bare_thread(thread_a, ptr::from_ref(&trial).cast_mut().cast())?;
    if trial.refused.get() {
        return Err(Unavailable::short(
            "a second thread to try it out could not be started (limits: ulimit -u, /proc/sys/kernel/threads-max, pids.max of the cgroup)",
        ));
    }
    if let Some(difference) = trial.record.take() {
        return Err(Unavailable::new(format!("the self-check failed: after a reset {}", difference.reason())));
    }
    match trial.failure.get() {
        Some(what) => Err(Unavailable::new(format!("the self-check failed: {what}"))),
        None => Ok(trial.malloc_works.get()),
    }
}

/// Every word of every module must be what a fresh thread has, or point at the same place of its own block.
fn compare(identity: &Identity, tp: usize, fresh: &Fresh) -> Result<(), Unavailable> {
    const WORD: usize = size_of::<usize>();
    let offsets = &identity.offsets;
    for (at, theirs) in header::INHERITED.into_iter().zip(fresh.inherited) {
        // SAFETY: a word of the block's header.
        if unsafe { *((tp + at) as *const usize) } != theirs {
            return Err(Unavailable::new(format!(
                "a block's header differs from a thread's of glibc's own (at {at:#x})"
            )));
        }
    }
    // The kernel knows the fresh thread's area and not the block's.
    let rseq = offsets.rseq.map_or(0..0, |at| at..at + 32);
    for module in identity.image.modules().chain([&identity.image.libc]) {
        let first = (offsets.static_bytes - module.below) / WORD;
        let last = (offsets.static_bytes - module.below + module.bytes()).div_ceil(WORD);
        for index in first..last {
            let at = index * WORD;
            if rseq.contains(&(at as isize - offsets.static_bytes as isize)) {
                continue;
            }
            // SAFETY: a static thread-local of the block.
            let ours = unsafe { ((tp - offsets.static_bytes + at) as *const usize).read_volatile() };
            let theirs = fresh.words[index];
            if ours != theirs && ours.wrapping_sub(tp) != theirs.wrapping_sub(fresh.tp) {
                return Err(Unavailable::new(format!(
                    "a block differs from a thread of glibc's own ({} bytes below the thread pointer: {ours:#x}, there \
                     {theirs:#x})",
                    offsets.static_bytes - at
                )));
            }
        }
    }
    Ok(())
}

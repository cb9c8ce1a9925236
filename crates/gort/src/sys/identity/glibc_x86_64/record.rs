//! Our record of a thread against glibc's own, word by word.
//!
//! Beside what `block` writes for reasons of its own, `pthread_create` may write more, and a later release more than today's: since 2.43 a
//! thread's record says in which state of its life it is, and one of zeros has ended. So two threads are made by glibc, detached and on stacks that
//! are not its own, as goroutines are, and every word of their records must fall into one of these kinds:
//!
//! - empty;
//! - the thread's own business, known by glibc's descriptors or by its value: vector, node, tid, place to exit to, function and argument,
//!   signal mask at start, restartable sequences;
//! - the stack and its size, known by their values: a block says that it has the end of a small one, whatever it has (see [`SAID_BYTES`]). What
//!   else reads them in glibc is `pthread_getattr_np`, in front of which is ours, and what it does with stacks of its own making;
//! - the same in both, either a small number or the same place in the record: a block gets it, too (that it is detached, for one);
//! - what every thread of the process has in its header.
//!
//! (On stacks of glibc's own a record may have been another thread's, with words left of it.)
//!
//! Anything else is not understood, and then there are no goroutines: the start is refused with the word and its values. A made block is
//! compared with this in the self-check.

use super::super::{SAID_BYTES, Unavailable, thread_pointer};
use super::block::header;
use super::exits::Exit;
use super::late::VECTOR;
use super::reference::nap;
use super::symbols::{Offsets, find, offset};
use crate::sys::stackmem::{self, PAGE};
use crate::sys::thread::gettid;
use crate::sys::{futex, raw};
use std::ffi::{c_int, c_void};
use std::mem::{MaybeUninit, transmute};
use std::ops::Range;
use std::ptr;
use std::sync::atomic::{
    AtomicU32,
    Ordering::{Acquire, Release},
};

const WORD: usize = size_of::<usize>();

/// Stack for such a thread beside its block.
const ROOM: usize = 128 << 10;

/// Whether a word is a small number, of either sign, or several flags and small numbers side by side, and no address.
fn is_number(word: usize) -> bool {
    word.cast_signed().unsigned_abs() < 4096 || word.to_ne_bytes().iter().all(|&byte| byte < 16)
}

/// `ATTR_FLAG_DO_RSEQ`, in the upper half of the word of cancellation flags: the thread has registered restartable sequences. A goroutine has not.
const FLAG_RSEQ: usize = 0x80 << 32;

/// A word that `pthread_create` writes and that a block gets.
#[derive(Clone, Copy, Debug)]
struct Given {
    at: usize,
    value: usize,
    /// The value is an offset from the record's address.
    relative: bool,
}

/// What a record consists of.
#[derive(Debug)]
pub(super) struct Record {
    given: Box<[Given]>,
    /// A thread's own business.
    own: Box<[Range<usize>]>,
    /// Words of cancellation, the list of handlers for it included: their places, and their values in a new block.
    cancel: Box<[(usize, usize)]>,
}

/// A thread's record at its start.
struct Glimpse {
    tp: usize,
    words: Vec<usize>,
    /// The same when the thread had changed how it may be cancelled, and what is called then.
    uncancelled: Vec<usize>,
    /// The thread's stack, its function and argument, and the signals that it blocks.
    stack: (usize, usize),
    entry: usize,
    argument: usize,
    mask: usize,
    /// The kernel's id of the thread, once all is written.
    done: AtomicU32,
}

unsafe extern "C" {
    fn pthread_setcancelstate(state: c_int, before: *mut c_int) -> c_int;
    fn pthread_setcanceltype(kind: c_int, before: *mut c_int) -> c_int;
}
/// `PTHREAD_CANCEL_DISABLE`, `PTHREAD_CANCEL_ASYNCHRONOUS`.
const NOT_CANCELLED: c_int = 1;
const AT_ONCE: c_int = 1;

/// `struct _pthread_cleanup_buffer`: a handler for a cancelled thread.
type Handler = [usize; 4];
type Push = unsafe extern "C" fn(*mut Handler, unsafe extern "C" fn(*mut c_void), *mut c_void);
type Pop = unsafe extern "C" fn(*mut Handler, c_int);

/// `_pthread_cleanup_push` and its `pop`. A program that finds none calls none.
fn handlers() -> Option<(Push, Pop)> {
    let (push, pop) = (find(c"_pthread_cleanup_push")?, find(c"_pthread_cleanup_pop")?);
    // SAFETY: functions of these types, by their names.
    Some(unsafe { (transmute::<*mut c_void, Push>(push), transmute::<*mut c_void, Pop>(pop)) })
}

unsafe extern "C" fn no_handler(_: *mut c_void) {}

/// What [`leave_changed`] leaves in a record points here: a handler, and a place to unwind to (`__pthread_unwind_buf_t`).
#[derive(Debug, Default)]
pub(in super::super) struct Frame {
    handler: Handler,
    place: [usize; 16],
}

/// Changes what a thread can change of its own record, as code does that is unwound halfway. Only what a reset has to find.
///
/// # Safety
/// The current thread pointer is a made block's, which is reset before anybody uses it for something else and before `frame` ends.
pub(in super::super) unsafe fn leave_changed(frame: *mut Frame) {
    let mut before = 0;
    // SAFETY: a place for the values before. Nobody cancels a block's thread while it could be.
    unsafe {
        pthread_setcancelstate(NOT_CANCELLED, &mut before);
        pthread_setcanceltype(AT_ONCE, &mut before);
    }
    // SAFETY: both are linked into lists that nobody walks before they are emptied. Functions of these types, by their names.
    unsafe {
        if let Some((push, _)) = handlers() {
            push(&raw mut (*frame).handler, no_handler, ptr::null_mut());
        }
        if let Some(register) = find(c"__pthread_register_cancel") {
            let register = transmute::<*mut c_void, unsafe extern "C" fn(*mut [usize; 16])>(register);
            register(&raw mut (*frame).place);
        }
    }
}

extern "C" fn look(argument: *mut c_void) -> *mut c_void {
    // SAFETY: `Glimpse::take` passes this and waits until `done`.
    let glimpse = unsafe { &mut *argument.cast::<Glimpse>() };
    let tp = thread_pointer();
    for (index, word) in glimpse.words.iter_mut().enumerate() {
        // SAFETY: a word of this thread's record. Volatile: libc writes it behind the compiler's back.
        *word = unsafe { ((tp + index * WORD) as *const usize).read_volatile() };
    }
    glimpse.tp = tp;
    let (mut state, mut kind) = (0, 0);
    // SAFETY: places for the values before. Nobody cancels this thread.
    unsafe {
        pthread_setcancelstate(NOT_CANCELLED, &mut state);
        pthread_setcanceltype(AT_ONCE, &mut kind);
    }
    let mut handler = Handler::default();
    if let Some((push, _)) = handlers() {
        // SAFETY: a buffer that stays until it is taken off again.
        unsafe { push(&mut handler, no_handler, ptr::null_mut()) };
    }
    for (index, word) in glimpse.uncancelled.iter_mut().enumerate() {
        // SAFETY: as above.
        *word = unsafe { ((tp + index * WORD) as *const usize).read_volatile() };
    }
    if let Some((_, pop)) = handlers() {
        // SAFETY: the one from above, which is not called.
        unsafe { pop(&mut handler, 0) };
    }
    // SAFETY: as above.
    unsafe {
        pthread_setcanceltype(kind, &mut kind);
        pthread_setcancelstate(state, &mut state);
    }
    // SAFETY: the kernel writes one word.
    let asked = unsafe {
        raw::syscall4(libc::SYS_rt_sigprocmask, libc::SIG_BLOCK as usize, 0, &raw mut glimpse.mask as usize, WORD)
    };
    asked.ok();
    let done = glimpse.done.as_ptr();
    // Release: pairs with the Acquire in `take`, after which the glimpse may go.
    glimpse.done.store(gettid(), Release);
    futex::wake_at(done, 1);
    ptr::null_mut()
}

impl Glimpse {
    /// Starts a detached thread and takes down its record.
    fn take(offsets: &Offsets) -> Result<Box<Glimpse>, Unavailable> {
        let refused =
            |cause: std::io::Error| Unavailable::new(format!("no thread could be started to try it out ({cause})"));
        let bytes = (offsets.static_bytes + offsets.record_bytes + offsets.alignment + ROOM).next_multiple_of(PAGE);
        let base = stackmem::reserve(bytes, PAGE).map_err(|errno| refused(errno.into()))?;
        let mut glimpse = Box::new(Glimpse {
            tp: 0,
            words: vec![0; offsets.record_bytes / WORD],
            uncancelled: vec![0; offsets.record_bytes / WORD],
            stack: (base, bytes),
            entry: look as *const () as usize,
            argument: 0,
            mask: 0,
            done: AtomicU32::new(0),
        });
        let argument = ptr::from_mut(&mut *glimpse);
        glimpse.argument = argument as usize;
        let (mut thread, mut attributes, mut mask) = (0, MaybeUninit::uninit(), MaybeUninit::uninit());
        // SAFETY: attributes that are initialised first and given back last. The thread inherits a full mask; the calling thread's own is saved
        // and put back.
        let created = unsafe {
            let mut all = MaybeUninit::uninit();
            libc::sigfillset(all.as_mut_ptr());
            libc::pthread_attr_init(attributes.as_mut_ptr());
            libc::pthread_attr_setdetachstate(attributes.as_mut_ptr(), libc::PTHREAD_CREATE_DETACHED);
            libc::pthread_attr_setstack(attributes.as_mut_ptr(), base as *mut c_void, bytes);
            libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), mask.as_mut_ptr());
            let created = libc::pthread_create(&mut thread, attributes.as_ptr(), look, argument.cast());
            libc::pthread_sigmask(libc::SIG_SETMASK, mask.as_ptr(), ptr::null_mut());
            libc::pthread_attr_destroy(attributes.as_mut_ptr());
            created
        };
        if created != 0 {
            stackmem::release(base, bytes);
            return Err(refused(std::io::Error::from_raw_os_error(created)));
        }
        // SAFETY: the word of the glimpse, which the thread uses atomically as well.
        let done = unsafe { AtomicU32::from_ptr((&raw mut (*argument).done).cast()) };
        // Acquire: pairs with the Release in `look`.
        while done.load(Acquire) == 0 {
            futex::wait(done, 0, None);
        }
        let (process, thread) = (std::process::id() as usize, done.load(Acquire) as usize);
        // The kernel is the last to use a detached thread's stack: until it knows no such thread. If it does not say, the stack stays.
        let gone = loop {
            // SAFETY: asks; signal 0 is none.
            match unsafe { raw::syscall3(libc::SYS_tgkill, process, thread, 0) } {
                Ok(_) => nap(),
                Err(errno) => break errno == raw::Errno(libc::ESRCH),
            }
        };
        if gone {
            stackmem::release(base, bytes);
        }
        Ok(glimpse)
    }

    fn word(&self, at: usize) -> usize {
        self.words[at / WORD]
    }

    /// The place in the record that the word at `at` names, if it does.
    fn inside(&self, at: usize) -> Option<usize> {
        let place = self.word(at).wrapping_sub(self.tp);
        (place < self.words.len() * WORD).then_some(place)
    }

    /// Where the two words lie that say where the thread's stack begins and how large it is.
    fn stack(&self) -> Option<Range<usize>> {
        let mut found = self.words.windows(2).enumerate().filter(|(_, pair)| (pair[0], pair[1]) == self.stack);
        let (index, _) = found.next().filter(|_| found.next().is_none())?;
        Some(index * WORD..(index + 2) * WORD)
    }
}

impl Record {
    /// Learns what a record consists of.
    pub(super) fn learn(offsets: &Offsets, exit: Exit) -> Result<Record, Unavailable> {
        let (one, other) = (Glimpse::take(offsets)?, Glimpse::take(offsets)?);
        let entry = offset(c"_thread_db_pthread_start_routine")?;
        let flags = offset(c"_thread_db_pthread_cancelhandling")?;
        let wrong = |at: usize, what: &str| {
            Unavailable::new(format!("a thread's record has a word that is not understood, at {at:#x}: {what}"))
        };
        let stack = one.stack().filter(|stack| other.stack().as_ref() == Some(stack));
        let stack = stack.ok_or_else(|| Unavailable::new("a thread's record does not say where its stack is"))?;
        if entry + 2 * WORD > offsets.record_bytes || !entry.is_multiple_of(WORD) || !flags.is_multiple_of(WORD) {
            return Err(wrong(entry, "it should be the thread's function"));
        }
        let at = |at: usize, words: usize| at..at + words * WORD;
        let mut own = vec![at(VECTOR, 1), at(offsets.list, 2), at(offsets.tid, 1), at(exit.offset(), 1)];
        own.extend(offsets.rseq.filter(|&rseq| rseq >= 0).map(|rseq| at(rseq as usize, 4)));
        for glimpse in [&one, &other] {
            if (glimpse.word(entry), glimpse.word(entry + WORD)) != (glimpse.entry, glimpse.argument) {
                return Err(wrong(entry, "it should be the thread's function, followed by its argument"));
            }
        }
        own.push(at(entry, 2));
        let low = offsets.record_bytes.wrapping_sub(SAID_BYTES);
        let mut given = vec![
            Given { at: stack.start, value: low, relative: true },
            Given { at: stack.start + WORD, value: SAID_BYTES, relative: false },
        ];
        let mut mask_end = 0;
        for index in 0..one.words.len() {
            let place = index * WORD;
            let but = if place == flags { !FLAG_RSEQ } else { usize::MAX };
            let (first, second) = (one.word(place) & but, other.word(place) & but);
            if own.iter().any(|own| own.contains(&place)) || stack.contains(&place) || (first, second) == (0, 0) {
                continue;
            }
            let (inside, inside_too) = (one.inside(place), other.inside(place));
            if inside.is_some() && inside == inside_too {
                given.push(Given { at: place, value: first - one.tp, relative: true });
            } else if first == second && is_number(first) {
                given.push(Given { at: place, value: first, relative: false });
            } else if (first, second) == (one.mask, other.mask) {
                own.push(at(place, 1));
                mask_end = place + size_of::<libc::sigset_t>();
            } else if place < mask_end {
                // Until 2.35 the mask is a whole `sigset_t`, of which the kernel fills the first word and the rest is left over.
                own.push(at(place, 1));
            } else if !(first == second && header::INHERITED.contains(&place)) {
                return Err(wrong(place, &format!("{first:#x} in one thread, {second:#x} in another")));
            }
        }
        // glibc's flags, and where they are not among these, the words that the thread changed.
        let changes = |glimpse: &Glimpse, place: usize| glimpse.word(place) != glimpse.uncancelled[place / WORD];
        let is_cancel = |place: &usize| *place == flags || (changes(&one, *place) && changes(&other, *place));
        let cancel = (0..offsets.record_bytes).step_by(WORD).filter(is_cancel);
        let cancel: Vec<_> = cancel.filter(|place| !own.iter().any(|own| own.contains(place))).collect();
        let value = |place: usize| given.iter().find(|given| given.at == place).map_or(0, |given| given.value);
        let cancel = cancel.into_iter().map(|place| (place, value(place))).collect();
        Ok(Record { given: given.into(), own: own.into(), cancel })
    }

    /// Writes what `pthread_create` would have written into the record of the block at `tp`.
    ///
    /// # Safety
    /// A block that is being made.
    pub(super) unsafe fn give(&self, tp: usize) {
        for &Given { at, value, relative } in &self.given {
            // SAFETY: a word of the block's record.
            unsafe { *((tp + at) as *mut usize) = if relative { tp.wrapping_add(value) } else { value } };
        }
    }

    /// Forgets how the thread of the block at `tp` may be cancelled, that it was, and what was to be called then.
    ///
    /// # Safety
    /// A made block that nobody uses.
    #[inline]
    pub(super) unsafe fn forget_cancel(&self, tp: usize) {
        for &(at, value) in &self.cancel {
            let word = (tp + at) as *mut usize;
            // SAFETY: a word of the block's record. Volatile: libc writes it. `setuid` may set and clear a flag meanwhile, for a thread that it then does not
            // find; it minds neither.
            unsafe {
                if word.read_volatile() != value {
                    word.write_volatile(value);
                }
            }
        }
    }

    /// Whether the made block at `tp` has what a thread's record has, and nothing else.
    ///
    /// # Safety
    /// A made block that nobody uses.
    pub(super) unsafe fn compare(&self, tp: usize, bytes: usize) -> Result<(), Unavailable> {
        let own = thread_pointer();
        for at in (0..bytes).step_by(WORD).filter(|at| !self.own.iter().any(|own| own.contains(at))) {
            // SAFETY: a word of the block's record.
            let ours = unsafe { *((tp + at) as *const usize) };
            let given = self.given.iter().find(|given| given.at == at);
            let theirs = match given {
                Some(given) if given.relative => tp.wrapping_add(given.value),
                Some(given) => given.value,
                // SAFETY: the same place in the current thread's header.
                None if header::INHERITED.contains(&at) => unsafe { *((own + at) as *const usize) },
                None => 0,
            };
            if ours != theirs {
                return Err(Unavailable::new(format!(
                    "a block's record differs from a thread's of glibc's own (at {at:#x}: {ours:#x}, there {theirs:#x})"
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::identity::tests::{Block, identity};

    #[test]
    fn a_word_of_a_block_that_is_not_a_threads_is_named() {
        let (identity, block) = (identity(), Block::new());
        let bytes = identity.offsets.record_bytes;
        // Not on glibc's list while its words are changed, the list's own node among them: others walk along it.
        // SAFETY: the block is on the list, and nobody uses it.
        unsafe { identity.delist(block.tp) };
        // SAFETY: the block is made, and nobody uses it.
        let compare = || unsafe { identity.record.compare(block.tp, bytes) };
        let is_own = |at: &usize| identity.record.own.iter().any(|own| own.contains(at));
        let mut looked_at = 0;
        for at in (0..bytes).step_by(WORD) {
            let word = (block.tp + at) as *mut usize;
            // SAFETY: a word of the block's record, put back at once.
            let outcome = unsafe {
                let before = word.replace(word.read() ^ 0x1000);
                let outcome = compare();
                word.write(before);
                outcome
            };
            assert_eq!(outcome.is_err(), !is_own(&at), "at {at:#x}");
            if let Err(why) = outcome {
                assert!(why.to_string().contains(&format!("(at {at:#x}: ")), "{why}");
                looked_at += WORD;
            }
        }
        assert!(looked_at > bytes * 3 / 4, "most of the record is looked at: {looked_at} of {bytes} bytes");
        compare().unwrap();
        // SAFETY: it is not on the list; it is taken off again when it is dropped.
        unsafe { identity.enlist(block.tp) };
    }

    #[test]
    fn numbers_and_flags_are_told_from_addresses() {
        for number in [1, 4095, -32_isize as usize, 1 << 32, 1 << 16, 3, 0x0101_0000] {
            assert!(is_number(number), "{number:#x}");
        }
        let local = 0;
        for address in [&raw const local as usize, is_number as *const () as usize, 0x40_1000, usize::MAX << 32] {
            assert!(!is_number(address), "{address:#x}");
        }
    }

    #[test]
    fn what_is_learnt_does_not_depend_on_what_threads_did_before() {
        // SAFETY: gives a constant text.
        let version = unsafe { std::ffi::CStr::from_ptr(libc::gnu_get_libc_version()) };
        if [c"2.34", c"2.35"].contains(&version) {
            println!("skipped: words behind the signal mask are left over from the stack of who starts a thread");
            return;
        }
        // Records with a past: keys, results, buffers.
        let threads: Vec<_> =
            (0..8).map(|n| std::thread::spawn(move || std::io::Error::from_raw_os_error(n).to_string())).collect();
        threads.into_iter().for_each(|thread| drop(thread.join().unwrap()));
        let identity = identity();
        let again = Record::learn(&identity.offsets, identity.exit).unwrap();
        assert_eq!(again.own, identity.record.own);
        let words =
            |record: &Record| -> Vec<_> { record.given.iter().map(|one| (one.at, one.value, one.relative)).collect() };
        assert_eq!(words(&again), words(&identity.record));
    }
}

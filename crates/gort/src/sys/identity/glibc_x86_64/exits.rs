//! pthread_exit and pthread_cancel in a goroutine: a message instead of a crash.
//!
//! Both unwind the stack up to a place that `start_thread` has noted in the thread's record, and go on there to end the thread. A goroutine was
//! not started by `start_thread`; with nothing noted glibc follows a null pointer. So the record of each block names a place of ours: code that
//! reports and ends the process, on a stack of its own. All blocks name the same one, since nobody comes back from it.
//!
//! The goroutine's frames are not unwound (the place lies "below" all of them, or glibc would run destructors of a thread that has not ended, and
//! then find no place to go on). Nothing of this is needed for ordinary panics.
//!
//! `gort::host` notes it in the thread's own record as well while it runs: there are Rust frames below that must not be unwound, and a goroutine.
//!
//! Where the word lies in the record no descriptor tells. A fresh thread has exactly one word that points into its own stack above the frame that
//! looks: this. The place itself is made by `__sigsetjmp`, as in `start_thread`, since glibc scrambles what it stores.

use super::super::Unavailable;
use crate::sys::fault::{abort, write_stderr};
use std::arch::naked_asm;
use std::cell::UnsafeCell;
use std::sync::Once;
use std::sync::atomic::{
    AtomicUsize,
    Ordering::{Acquire, Release},
};

/// `__pthread_unwind_buf_t`: a jump buffer of 9 words, then 4 that glibc uses for buffers it was not the first to register. All of them zero.
#[repr(C, align(64))]
struct Place(UnsafeCell<[usize; 16]>);

// SAFETY: written once, by `prepare`; read by glibc only.
unsafe impl Sync for Place {}

static PLACE: Place = Place(UnsafeCell::new([0; 16]));

const STACK_BYTES: usize = 16 << 10;

/// What the report runs on.
#[repr(C, align(64))]
struct Stack(UnsafeCell<[u8; STACK_BYTES]>);

// SAFETY: used by one thread only, the first that arrives: see `set_place`.
unsafe impl Sync for Stack {}

static STACK: Stack = Stack(UnsafeCell::new([0; STACK_BYTES]));

/// Somebody is on that stack.
static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// Calls `__sigsetjmp` on [`STACK`] with [`PLACE`]. Whoever comes back to it later reports.
///
/// # Safety
/// Called once.
#[unsafe(naked)]
unsafe extern "C" fn set_place() {
    naked_asm!(
        "push rbx",
        "mov rbx, rsp",
        "lea rsp, [rip + {stack} + {bytes}]",
        "lea rdi, [rip + {place}]",
        "xor esi, esi",
        "call [rip + __sigsetjmp@GOTPCREL]",
        "test eax, eax",
        "jnz 2f",
        "mov rsp, rbx",
        "pop rbx",
        "ret",
        // The second return, of a thread that ends. Only the first has the stack.
        "2:",
        "mov eax, 1",
        "xchg qword ptr [rip + {taken}], rax",
        "test rax, rax",
        "jz 4f",
        "3:",
        "pause",
        "jmp 3b",
        "4:",
        "call {report}",
        "ud2",
        stack = sym STACK,
        bytes = const STACK_BYTES,
        place = sym PLACE,
        taken = sym TAKEN,
        report = sym report,
    )
}

static REPORT: AtomicUsize = AtomicUsize::new(0);

/// Says who reports, in place of a general message. Runs with the goroutine's block and must be async-signal-safe.
pub(crate) fn on_thread_exit(report: fn()) {
    // Release: pairs with the Acquire in `report`.
    REPORT.store(report as usize, Release);
}

extern "C" fn report() -> ! {
    // Acquire: pairs with the Release in `on_thread_exit`.
    match REPORT.load(Acquire) {
        0 => write_stderr(b"gort: pthread_exit or pthread_cancel in a goroutine\n"),
        function => {
            // SAFETY: only functions of this type are stored.
            let report = unsafe { std::mem::transmute::<usize, fn()>(function) };
            report();
        }
    }
    abort()
}

/// The word of a record that names the place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exit {
    offset: usize,
}

impl Exit {
    /// Finds it in a fresh thread's record of `words`, the first of which is at `tp`; `frame` is an address in the frame that looks.
    pub(super) fn find(tp: usize, frame: usize, words: &[usize]) -> Result<Exit, Unavailable> {
        let mut found = words.iter().enumerate().filter(|&(_, &word)| word > frame && word < tp);
        match (found.next(), found.next()) {
            (Some((index, _)), None) => Ok(Exit { offset: index * size_of::<usize>() }),
            (first, _) => Err(Unavailable::new(format!(
                "{} in a thread's record may say where pthread_exit goes",
                if first.is_some() { "more than one word" } else { "no word" }
            ))),
        }
    }

    pub(super) fn offset(self) -> usize {
        self.offset
    }

    /// Notes our place in the record of the block at `tp`.
    ///
    /// # Safety
    /// A block that is being made, or a made one that nobody uses.
    pub(super) unsafe fn note(self, tp: usize) {
        static PREPARED: Once = Once::new();
        // SAFETY: once.
        PREPARED.call_once(|| unsafe { set_place() });
        // SAFETY: a word of the block's record.
        unsafe { *((tp + self.offset) as *mut usize) = PLACE.0.get() as usize };
    }

    /// Whether our place is noted in the record of the block at `tp`.
    ///
    /// # Safety
    /// A made block that nobody uses.
    #[inline]
    pub(super) unsafe fn is_noted(self, tp: usize) -> bool {
        // SAFETY: a word of the block's record. Volatile: libc writes it.
        unsafe { ((tp + self.offset) as *const usize).read_volatile() == PLACE.0.get() as usize }
    }

    /// Notes it again if C code has left another, of a frame that is gone: a `pthread_cleanup_push` whose `pop` an exception has passed by.
    ///
    /// # Safety
    /// As [`Exit::is_noted`].
    #[inline]
    pub(super) unsafe fn note_again(self, tp: usize) {
        // SAFETY: as the caller says.
        unsafe {
            if !self.is_noted(tp) {
                self.note(tp);
            }
        }
    }

    /// Notes our place in a thread's own record, and gives what glibc had noted there.
    ///
    /// # Safety
    /// `tp` is the calling kernel thread's own; `note` has been called for some block.
    #[inline(always)]
    pub(super) unsafe fn replace(self, tp: usize) -> usize {
        // SAFETY: a word of the thread's record.
        unsafe { ((tp + self.offset) as *mut usize).replace(PLACE.0.get() as usize) }
    }

    /// Puts that back.
    ///
    /// # Safety
    /// As for `replace`, which gave `place`.
    #[inline(always)]
    pub(super) unsafe fn restore(self, tp: usize, place: usize) {
        // SAFETY: a word of the thread's record.
        unsafe { *((tp + self.offset) as *mut usize) = place };
    }
}

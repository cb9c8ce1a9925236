//! What gort itself keeps in thread-locals for the party that runs.
//!
//! In migrating mode they lie in the goroutine's own thread block, and nobody has to do anything. In bound mode all goroutines of an M have one
//! set of thread-locals, so an M keeps the words of a goroutine that has left, at the upper end of that one's stack, and puts them back when it
//! resumes it. Whoever comes next, the M's own loop included, finds none set.
//!
//! The same for the exceptions that C++ code is handling: libstdc++ and libc++ keep them in a list by thread, which siblings whose `catch` blocks
//! overlap would end in the wrong order.

use crate::context::{Context, ambient};
use crate::g::G;
use crate::spawn::local::{self, Values};
use crate::spawn::report;
use crate::stack::layout::WORDS_BYTES;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The words of one party.
pub(crate) struct Words {
    current: Option<&'static G>,
    context: *const Context,
    spoken: Option<report::Mark>,
    values: *mut Values,
    exceptions: Exceptions,
}

impl Words {
    /// Nobody's.
    pub(super) const NONE: Words =
        Words { current: None, context: ptr::null(), spoken: None, values: ptr::null_mut(), exceptions: [0; 2] };

    /// Makes these the calling thread's and returns those that were.
    pub(crate) fn replace(self) -> Words {
        Words {
            current: super::run::replace_current(self.current),
            context: ambient::replace(self.context),
            spoken: report::replace_spoken(self.spoken),
            values: local::replace(self.values),
            exceptions: self.exceptions,
        }
    }
}

/// `__cxa_eh_globals`: the exceptions that are being handled, the last first, and how many are on their way.
type Exceptions = [usize; 2];
type Globals = unsafe extern "C" fn() -> *mut Exceptions;

/// `__cxa_get_globals`, if the program has it; 0.
static GLOBALS: AtomicUsize = AtomicUsize::new(0);

/// Looks whether the program has C++ code, at the start in bound mode. What is loaded later, or for a library of the program's only, is not found.
pub(super) fn look_for_exceptions() {
    // SAFETY: looks a name up.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"__cxa_get_globals".as_ptr()) };
    // Relaxed: Ms are started, or woken, after this.
    GLOBALS.store(address as usize, Relaxed);
}

/// Exchanges the calling thread's.
fn replace_exceptions(by: Exceptions) -> Exceptions {
    // Relaxed: as above.
    let address = GLOBALS.load(Relaxed);
    if address == 0 {
        return [0; 2];
    }
    // SAFETY: the function of that name, of the C++ ABI: it gives the thread's two words.
    unsafe {
        let globals = std::mem::transmute::<usize, Globals>(address)();
        globals.replace(by)
    }
}

const _: () = assert!(size_of::<Words>() <= WORDS_BYTES && align_of::<Words>() <= 64);

/// Where the words of `g`, which has a stack, are kept: below the name of its slot.
fn place(g: &'static G) -> *mut Words {
    ptr::with_exposed_provenance_mut(g.tp.get() - WORDS_BYTES)
}

/// `g` begins.
///
/// # Safety
/// It has a stack, in bound mode, and has not run.
pub(super) unsafe fn begin(g: &'static G) {
    // SAFETY: the place is part of the slot, and nobody's frame.
    unsafe { place(g).write(Words::NONE) };
}

/// `g` is about to be resumed by the calling M.
///
/// # Safety
/// It has left its stack, in bound mode, or [`begin`] was called.
pub(super) unsafe fn come(g: &'static G) {
    // SAFETY: `begin` and `go` have written there. A copy, which counts from here on.
    let words = unsafe { place(g).read() };
    if words.exceptions != [0; 2] {
        replace_exceptions(words.exceptions);
    }
    words.replace();
}

/// `g` has left to the calling M.
///
/// # Safety
/// As [`come`].
pub(super) unsafe fn go(g: &'static G) {
    // SAFETY: as in `begin`; a goroutine that has ended has its stack until `settle`.
    unsafe { place(g).write(Words { exceptions: replace_exceptions([0; 2]), ..Words::NONE.replace() }) };
}

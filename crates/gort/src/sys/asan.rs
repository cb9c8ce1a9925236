//! AddressSanitizer: tells it which stack a thread is on.
//!
//! A program that is built with it runs in bound mode (`tools`). It keeps the bounds of each thread's stack, marks what lies between the variables of
//! each frame, and takes the marks off when a function returns or unwinds: so it has to know when a thread goes over to another stack, and that a
//! stack is new to its next goroutine, whose predecessor left it in the middle of a function.
//!
//! In every other program all of this is one look at a constant.

use super::tools::address_if_linked;
use std::cell::Cell;
use std::ffi::c_void;
use std::mem::transmute;
use std::ptr;

/// Where a stack lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) low: usize,
    pub(crate) bytes: usize,
}

/// The frames that the sanitizer keeps for a stack elsewhere, while the thread is on another one.
pub(crate) struct Frames(*mut c_void);

thread_local! {
    /// The stack that the thread was on before it went over to the goroutine that runs: its own.
    static HOME: Cell<Bounds> = const { Cell::new(Bounds { low: 0, bytes: 0 }) };
}

/// True if the program is built with it.
#[inline(always)]
pub(crate) fn is_linked() -> bool {
    address_if_linked!("__asan_init") != 0
}

fn start(save: *mut *mut c_void, to: Bounds) {
    let address = address_if_linked!("__sanitizer_start_switch_fiber");
    if address != 0 {
        // SAFETY: the sanitizer's function, of this type; a null pointer says that the stack is left for good.
        unsafe {
            let start = transmute::<usize, extern "C" fn(*mut *mut c_void, *const c_void, usize)>(address);
            start(save, to.low as *const c_void, to.bytes);
        }
    }
}

/// The thread is about to go over to the stack `to`, and will come back.
#[inline(never)]
pub(crate) fn leave(to: Bounds) -> Frames {
    let mut frames = ptr::null_mut();
    start(&mut frames, to);
    Frames(frames)
}

/// The same, and the stack that the thread is on will be another's.
#[inline(never)]
pub(crate) fn leave_for_good(to: Bounds) {
    start(ptr::null_mut(), to);
}

/// The thread has come to a stack, for the first time or back to the one that it left with `frames`. Gives the one that it comes from.
#[inline(never)]
pub(crate) fn arrive(frames: Option<Frames>) -> Bounds {
    let address = address_if_linked!("__sanitizer_finish_switch_fiber");
    let (mut low, mut bytes) = (ptr::null(), 0);
    if address != 0 {
        // SAFETY: the sanitizer's function, of this type.
        unsafe {
            let finish = transmute::<usize, extern "C" fn(*mut c_void, *mut *const c_void, *mut usize)>(address);
            finish(frames.map_or(ptr::null_mut(), |frames| frames.0), &mut low, &mut bytes);
        }
    }
    Bounds { low: low as usize, bytes }
}

/// [`arrive`] on a goroutine's stack, from the thread's own.
pub(crate) fn arrive_from_home(frames: Option<Frames>) {
    HOME.set(arrive(frames));
}

/// The thread's own stack, for a goroutine that runs on it.
pub(crate) fn home() -> Bounds {
    HOME.get()
}

/// What a goroutine has left of its stack is nobody's any more: takes all marks off.
#[cold]
pub(crate) fn forget(stack: Bounds) {
    let address = address_if_linked!("__asan_unpoison_memory_region");
    if address != 0 {
        // SAFETY: the sanitizer's function, of this type; the range is a stack's.
        unsafe {
            let unpoison = transmute::<usize, extern "C" fn(*const c_void, usize)>(address);
            unpoison(stack.low as *const c_void, stack.bytes);
        }
    }
}

/// Makes a call that goes over to the stack `to` and comes back; what is called there is within [`on_other_stack`].
#[inline(always)]
pub(crate) fn calling(to: impl FnOnce() -> Bounds, call: impl FnOnce()) {
    if !is_linked() {
        return call();
    }
    let frames = leave(to());
    call();
    arrive(Some(frames));
}

/// See [`calling`].
#[inline(always)]
pub(crate) fn on_other_stack(f: impl FnOnce()) {
    if !is_linked() {
        return f();
    }
    let caller = arrive(None);
    f();
    leave_for_good(caller);
}

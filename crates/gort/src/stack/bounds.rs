//! Where a goroutine's stack begins and ends, for who asks the system.
//!
//! Conservative garbage collectors, interpreters and crates that grow stacks (`stacker`) call `pthread_getattr_np(pthread_self())`. libc knows
//! the bounds of threads it has started, and asks the kernel for their affinity by their id, which for a goroutine the kernel does not know: the
//! call fails with ESRCH. So the program gets a `pthread_getattr_np` of its own, in front of libc's: it answers for goroutines and passes every
//! other thread on.
//!
//! As for a thread of glibc's the answer includes the thread block at the upper end (collectors find pointers in thread-locals there) and
//! excludes the guard. On a plain thread, and inside `gort::host`, it is libc's answer.
//!
//! Inside `gort::with_stack` the answer is that stack, without the block, which lies elsewhere.
//!
//! In bound mode `pthread_self()` is the thread's for all goroutines on it, and it is the stack pointer that tells on whose stack the question
//! is asked.
//!
//! With glibc, dynamically linked: a program that is linked statically, as with musl, has no way to what its own function stands before, and std
//! asks for its threads' bounds, so there the answer is libc's, which is about the thread.
//!
//! Rejected: writing the bounds into the block's record, where libc would look for them (it still asks the kernel).

use super::layout::{self, guard_bytes};
use super::slab;
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

type GetAttributes = unsafe extern "C" fn(libc::pthread_t, *mut libc::pthread_attr_t) -> c_int;

/// Lower end and length of the stack of the goroutine that is `thread`, and of its guard; `None` if it is no goroutine.
fn stack_of(thread: libc::pthread_t) -> Option<(usize, usize, usize)> {
    let layout = layout::current();
    // SAFETY: no preconditions.
    let is_self = thread == unsafe { libc::pthread_self() };
    let here = 0_u8;
    let here = &raw const here as usize;
    let is_lent = is_self && slab::find(here).is_some_and(|place| place.footer.is_lent());
    let address = match layout.has_blocks() {
        _ if is_lent => here,
        true => thread as usize,
        false if is_self => here,
        false => return None,
    };
    let place = slab::find(address)?;
    let (base, guard) = (address & !(place.size - 1), guard_bytes(place.size));
    let is_it = is_lent || !layout.has_blocks() || address == base + place.size - layout.above;
    is_it.then_some((base + guard, place.size - guard, guard))
}

/// libc's own.
fn next() -> Option<GetAttributes> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    // Relaxed: the address of a function, found anew if another thread's store is not seen.
    let mut address = NEXT.load(Relaxed);
    if address == 0 {
        // SAFETY: looks a name up behind the object that contains this.
        address = unsafe { libc::dlsym(libc::RTLD_NEXT, c"pthread_getattr_np".as_ptr()) } as usize;
        // Relaxed: as above.
        NEXT.store(address, Relaxed);
    }
    // SAFETY: the function of that name has this type.
    (address != 0).then(|| unsafe { std::mem::transmute::<usize, GetAttributes>(address) })
}

/// In front of libc's function of that name; see the head of this file.
///
/// # Safety
/// As for libc's: `thread` is a thread (or goroutine) that has not ended, `attributes` valid for a write.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_getattr_np(thread: libc::pthread_t, attributes: *mut libc::pthread_attr_t) -> c_int {
    let Some((low, bytes, guard)) = stack_of(thread) else {
        // SAFETY: the caller's arguments.
        return next().map_or(libc::ENOSYS, |next| unsafe { next(thread, attributes) });
    };
    // SAFETY: as the caller says; each call after the first is on initialised attributes.
    unsafe {
        match libc::pthread_attr_init(attributes) {
            0 => {}
            error => return error,
        }
        libc::pthread_attr_setdetachstate(attributes, libc::PTHREAD_CREATE_DETACHED);
        libc::pthread_attr_setguardsize(attributes, guard);
        libc::pthread_attr_setstack(attributes, low as *mut c_void, bytes)
    }
}

/// Makes sure that the linker takes this file's function before it comes to libc's: something that every program uses has to refer to it.
pub(crate) fn keep() {
    std::hint::black_box(pthread_getattr_np as GetAttributes);
}

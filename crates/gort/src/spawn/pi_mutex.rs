//! Mutexes with priority inheritance: refused on a goroutine when they are made, before anything can hang on them.
//!
//! Such a mutex (`PTHREAD_PRIO_INHERIT`) has its owner's thread id in the word that the kernel looks at when it is contended: the kernel wants to
//! lend that thread a priority. A goroutine's id names no thread of the kernel's. So as soon as somebody waits for one that a goroutine holds, the
//! kernel finds no owner, libc takes that for a dead one and waits for ever, and the waiter's mark stays in the word: not even the owner can
//! unlock it any more. The other way round, a goroutine that had to wait is given the mutex by the kernel in the name of the thread it is on, and
//! cannot give it back in its own.
//!
//! It cannot be mended from here: priority belongs to threads of the kernel, so the lock would have to tie the goroutine to one, in each of
//! libc's ten functions about mutexes and condition variables. So the program gets a `pthread_mutex_init` of its own, in front of libc's. On a
//! goroutine it answers for such a mutex what libc answers where the kernel has none, `ENOTSUP`, and says once what to do: inside
//! [`host`](crate::host()) the caller is a thread of the kernel's, and all of it works. Everything else is passed on.
//!
//! One that was made elsewhere and is locked by a goroutine is not noticed. Rejected: a look into each mutex that is locked, which is a cost for
//! all of C; refusing the attribute, whose failure nobody expects (glibc does not know any).

use super::{me, report};
use crate::g::G;
use crate::sched;
use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

type Init = unsafe extern "C" fn(*mut libc::pthread_mutex_t, *const libc::pthread_mutexattr_t) -> c_int;

/// libc's own.
fn next() -> Option<Init> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    // Relaxed: the address of a function, found anew if another thread's store is not seen.
    let mut address = NEXT.load(Relaxed);
    if address == 0 {
        // SAFETY: looks a name up behind the object that contains this.
        address = unsafe { libc::dlsym(libc::RTLD_NEXT, c"pthread_mutex_init".as_ptr()) } as usize;
        // Relaxed: as above.
        NEXT.store(address, Relaxed);
    }
    // SAFETY: the function of that name has this type.
    (address != 0).then(|| unsafe { std::mem::transmute::<usize, Init>(address) })
}

/// # Safety
/// Null or initialised attributes.
unsafe fn inherits(attributes: *const libc::pthread_mutexattr_t) -> bool {
    let mut protocol = libc::PTHREAD_PRIO_NONE;
    // SAFETY: as the caller says; the word is a live one.
    !attributes.is_null()
        && unsafe { libc::pthread_mutexattr_getprotocol(attributes, &mut protocol) } == 0
        && protocol == libc::PTHREAD_PRIO_INHERIT
}

/// In front of libc's function of that name; see the head of this file.
///
/// # Safety
/// As for libc's.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_mutex_init(
    mutex: *mut libc::pthread_mutex_t,
    attributes: *const libc::pthread_mutexattr_t,
) -> c_int {
    // SAFETY: the caller's argument.
    if unsafe { inherits(attributes) }
        && let Some(g) = me().filter(|_| sched::fixed().identity.is_some())
    {
        say_once(g);
        return libc::ENOTSUP;
    }
    // SAFETY: the caller's arguments.
    next().map_or(libc::ENOSYS, |next| unsafe { next(mutex, attributes) })
}

#[cold]
fn say_once(g: &'static G) {
    static SAID: AtomicBool = AtomicBool::new(false);
    // Relaxed: who is first says it.
    if !SAID.swap(true, Relaxed) {
        report::say(format_args!(
            "{} asked for a mutex with priority inheritance (PTHREAD_PRIO_INHERIT) and was told that there are none (ENOTSUP): such a mutex \
             belongs to a thread of the kernel's; make it, lock it and unlock it inside gort::host",
            report::Whose(g)
        ));
    }
}

/// Makes sure that the linker takes this file's function before it comes to libc's: something that every program uses has to refer to it.
pub(crate) fn keep() {
    std::hint::black_box(pthread_mutex_init as Init);
}

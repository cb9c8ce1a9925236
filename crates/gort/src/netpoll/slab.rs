//! Where descriptors come from: chunks that are never freed, and a free list.

use super::Desc;
use crate::prim::lock::Lock;
use std::ptr;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

const CHUNK: usize = 32;

struct Free {
    head: *const Desc,
}

// SAFETY: descriptors are `Sync` and type-stable; their links are touched under the lock only.
unsafe impl Send for Free {}

/// Descriptors in use: without any there is nothing to poll for.
static IN_USE: AtomicUsize = AtomicUsize::new(0);

/// True if any descriptor is in use.
#[inline]
pub(crate) fn is_any_in_use() -> bool {
    // Relaxed: a hint; one that is missed now is polled for at the next turn.
    IN_USE.load(Relaxed) > 0
}

static FREE: Lock<Free> = Lock::new(Free { head: ptr::null() });

/// A descriptor for `fd`.
pub(crate) fn allocate(fd: i32, plain_tcp: bool) -> &'static Desc {
    let desc = loop {
        if let Some(desc) = take() {
            break desc;
        }
        let chunk: &'static [Desc] = Box::leak((0..CHUNK).map(|_| Desc::new()).collect::<Vec<_>>().into_boxed_slice());
        let mut free = FREE.lock();
        for desc in chunk {
            desc.link.set(free.head);
            free.head = desc;
        }
    };
    IN_USE.fetch_add(1, Relaxed);
    desc.open(fd, plain_tcp);
    desc
}

fn take() -> Option<&'static Desc> {
    let mut free = FREE.lock();
    // SAFETY: the list holds descriptors of leaked chunks only.
    let desc: &'static Desc = unsafe { free.head.as_ref()? };
    free.head = desc.link.get();
    Some(desc)
}

/// Gives a descriptor back; the caller holds the last reference to it.
pub(crate) fn release(desc: &'static Desc) {
    IN_USE.fetch_sub(1, Relaxed);
    desc.retire();
    let mut free = FREE.lock();
    desc.link.set(free.head);
    free.head = desc;
}

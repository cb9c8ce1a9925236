//! Where descriptors come from: chunks that are never freed, and a free list.

use super::Desc;
use crate::prim::lock::Lock;
use std::ptr;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

const CHUNK: usize = 32;

struct Free {
    head: *const Desc,
    /// The chunk made last.
    last: Option<&'static Chunk>,
}

struct Chunk {
    descs: [Desc; CHUNK],
    before: Option<&'static Chunk>,
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

static FREE: Lock<Free> = Lock::new(Free { head: ptr::null(), last: None });

/// A descriptor for `fd`.
pub(crate) fn allocate(fd: i32, plain_tcp: bool) -> &'static Desc {
    let desc = loop {
        if let Some(desc) = take() {
            break desc;
        }
        let chunk = Box::leak(Box::new(Chunk { descs: std::array::from_fn(|_| Desc::new()), before: None }));
        let mut free = FREE.lock();
        chunk.before = free.last;
        let chunk: &'static Chunk = chunk;
        free.last = Some(chunk);
        for desc in &chunk.descs {
            desc.link.set(free.head);
            free.head = desc;
        }
    };
    IN_USE.fetch_add(1, Relaxed);
    desc.open(fd, plain_tcp);
    desc
}

/// Calls `f` for every descriptor there is, in use or not.
pub(crate) fn for_each(mut f: impl FnMut(&'static Desc)) {
    let mut next = FREE.lock().last;
    while let Some(chunk) = next {
        chunk.descs.iter().for_each(&mut f);
        next = chunk.before;
    }
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

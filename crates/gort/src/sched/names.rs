//! Names for objects that goroutines wait for or are in, so that dumps and reports can say which one.
//!
//! An object's address is what a goroutine's record notes. Objects with a name live as long as the process, and so do their entries here.

use std::ptr;
use std::sync::atomic::AtomicPtr;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

struct Entry {
    object: usize,
    name: &'static str,
    next: *const Entry,
}

static FIRST: AtomicPtr<Entry> = AtomicPtr::new(ptr::null_mut());

/// The object at this address has this name from now on. It is never freed, and named once.
pub(crate) fn give(object: usize, name: &'static str) {
    let entry = Box::leak(Box::new(Entry { object, name, next: ptr::null() }));
    // Relaxed: whatever we find has been published to those who walk from it.
    let mut first = FIRST.load(Relaxed);
    loop {
        entry.next = first;
        // Release: publishes the entry to `of`.
        match FIRST.compare_exchange_weak(first, entry, Release, Relaxed) {
            Ok(_) => return,
            Err(now) => first = now,
        }
    }
}

/// The name of the object at this address, if it has one. There are a few; takes no lock.
pub(crate) fn of(object: usize) -> Option<&'static str> {
    // Acquire: pairs with the Release in `give`.
    let mut at: *const Entry = FIRST.load(Acquire);
    // SAFETY: null or an entry, complete before it was published, and never freed.
    while let Some(entry) = unsafe { at.as_ref() } {
        if entry.object == object {
            return Some(entry.name);
        }
        at = entry.next;
    }
    None
}

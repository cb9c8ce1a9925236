//! An intrusive FIFO of goroutines, linked through their records: moving a thousand of them allocates nothing.

use super::G;
use std::ptr;

/// A first-in first-out list. A goroutine is in at most one list at a time; whoever holds the list owns its members' links.
pub(crate) struct GList {
    head: *mut G,
    tail: *mut G,
    len: usize,
}

// SAFETY: the records are type-stable and the list is the only user of their links while it holds them, so it may change threads as a whole.
unsafe impl Send for GList {}

impl GList {
    /// An empty list.
    pub(crate) const fn new() -> Self {
        Self { head: ptr::null_mut(), tail: ptr::null_mut(), len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds `g`, which must be in no other list.
    pub(crate) fn push(&mut self, g: &'static G) {
        g.link.set(ptr::null_mut());
        let raw = ptr::from_ref(g).cast_mut();
        if self.tail.is_null() {
            self.head = raw;
        } else {
            // SAFETY: a non-null tail is a member of this list; records are never freed.
            unsafe { (*self.tail).link.set(raw) };
        }
        self.tail = raw;
        self.len += 1;
    }

    /// Adds `g`, which must be in no other list, in front of all others.
    pub(crate) fn push_front(&mut self, g: &'static G) {
        g.link.set(self.head);
        self.head = ptr::from_ref(g).cast_mut();
        if self.tail.is_null() {
            self.tail = self.head;
        }
        self.len += 1;
    }

    /// The oldest member, which stays; null if there is none.
    pub(crate) fn first(&self) -> *const G {
        self.head
    }

    /// Takes the oldest member.
    pub(crate) fn pop(&mut self) -> Option<&'static G> {
        if self.head.is_null() {
            return None;
        }
        // SAFETY: a non-null head is a member of this list; records are never freed.
        let g: &'static G = unsafe { &*self.head };
        self.head = g.link.replace(ptr::null_mut());
        if self.head.is_null() {
            self.tail = ptr::null_mut();
        }
        self.len -= 1;
        Some(g)
    }

    /// Moves all of `other` to the end of this list.
    pub(crate) fn append(&mut self, other: &mut Self) {
        if other.head.is_null() {
            return;
        }
        if self.tail.is_null() {
            self.head = other.head;
        } else {
            // SAFETY: as in `push`.
            unsafe { (*self.tail).link.set(other.head) };
        }
        self.tail = other.tail;
        self.len += other.len;
        *other = Self::new();
    }
}

impl gort_lockfree::wait_list::Wakes for GList {
    type Id = &'static G;

    #[inline]
    fn kick(&mut self, g: &'static G) {
        if g.park.kick() {
            self.push(g);
        }
    }
}

impl std::fmt::Debug for GList {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GList").field("len", &self.len).finish()
    }
}

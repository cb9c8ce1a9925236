//! No thread blocks: targets whose thread pointer cannot be set from user space, or whose C library cannot make a block in memory of ours.
//!
//! musl keeps its maker of blocks to itself; a statically linked glibc has no dynamic linker to ask. Either could follow by abandoning
//! real threads (see `docs/SOUNDNESS.md`).

use super::Unavailable;
use std::io;

/// Cannot exist here.
#[derive(Debug)]
pub(crate) enum Identity {}

/// As [`Identity`].
#[derive(Clone, Copy, Debug)]
pub(crate) enum MallocWords {}

/// As [`Identity`].
pub(crate) enum Extras {}

impl Extras {
    pub(crate) fn new(identity: &Identity, _: usize) -> io::Result<Self> {
        match *identity {}
    }

    /// # Safety
    /// Never called.
    pub(crate) unsafe fn run(&self, _: usize, _: unsafe extern "C" fn(*mut ()), _: *mut ()) {
        match *self {}
    }
}

impl MallocWords {
    /// # Safety
    /// Never called.
    pub(crate) unsafe fn copy(&self, _: usize, _: usize) {
        match *self {}
    }
}

/// Says that there is no such thing here.
pub(crate) fn probe() -> Result<Identity, Unavailable> {
    Err(Unavailable::new(
        "this target has no implementation yet (it is not a dynamically linked glibc on x86-64 Linux)",
    ))
}

/// Nothing can happen that would be reported.
pub(crate) fn on_thread_exit(_: fn()) {}

impl Identity {
    /// # Safety
    /// Never called.
    pub(crate) unsafe fn follow_locale(&self) {
        match *self {}
    }

    pub(crate) fn bytes_above_tp(&self) -> usize {
        match *self {}
    }

    pub(crate) fn bytes_below_tp(&self) -> usize {
        match *self {}
    }

    pub(crate) fn alignment(&self) -> usize {
        match *self {}
    }

    pub(crate) fn thread_local_bytes(&self) -> usize {
        match *self {}
    }

    pub(crate) fn malloc_words(&self) -> Option<MallocWords> {
        match *self {}
    }

    pub(crate) fn has_malloc_words(&self) -> bool {
        match *self {}
    }

    pub(crate) fn malloc_reason(&self) -> &'static str {
        match *self {}
    }

    /// # Safety
    /// Never called.
    pub(crate) unsafe fn make(&self, _: usize) -> io::Result<()> {
        match *self {}
    }

    /// # Safety
    /// Never called.
    pub(crate) unsafe fn enlist(&self, _: usize) {
        match *self {}
    }

    /// # Safety
    /// Never called.
    pub(crate) unsafe fn keep_block(&self, _: usize) {
        match *self {}
    }

    /// # Safety
    /// Never called.
    pub(crate) unsafe fn reset(&self, _: usize) {
        match *self {}
    }

    /// # Safety
    /// Never called.
    pub(crate) unsafe fn run_destructors(&self) {
        match *self {}
    }

    /// # Safety
    /// Never called.
    pub(crate) unsafe fn lend_malloc(&self, _: usize, _: usize) {
        match *self {}
    }

    /// # Safety
    /// Never called.
    pub(crate) unsafe fn return_malloc(&self, _: usize, _: usize) {
        match *self {}
    }

    /// # Safety
    /// Never called.
    pub(crate) unsafe fn forbid_exit(&self, _: usize) -> usize {
        match *self {}
    }

    /// # Safety
    /// Never called.
    pub(crate) unsafe fn allow_exit(&self, _: usize, _: usize) {
        match *self {}
    }

    pub(crate) fn warm_malloc(&self) {
        match *self {}
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_reason_says_what_is_missing_and_what_is_needed() {
        let text = super::probe().unwrap_err().to_string();
        assert!(text.contains("not a dynamically linked glibc"), "{text}");
        assert!(text.contains("FSGSBASE"), "{text}");
    }
}

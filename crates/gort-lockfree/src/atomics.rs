//! The atomics every protocol here is written with: core's, or loom's under `--cfg gort_loom`.
//!
//! Loom knows only `fence(SeqCst)` as strong and treats SeqCst *accesses* as AcqRel, so every store-load pair of this
//! crate is an explicit fence; that also shows the reader where the pair is.
//!
//! Likewise the cells of what lies under a lock that is not here: loom watches that nobody uses them without it.

#[cfg(not(gort_loom))]
pub(crate) use core::cell::Cell;
#[cfg(gort_loom)]
pub(crate) use loom::cell::Cell;

#[cfg(not(gort_loom))]
pub(crate) use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64};
#[cfg(gort_loom)]
pub(crate) use loom::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64};

/// The store-load fence: one half of every "I publish, then look at yours" pair in this crate.
#[inline(always)]
pub(crate) fn fence_seq_cst() {
    #[cfg(not(gort_loom))]
    core::sync::atomic::fence(core::sync::atomic::Ordering::SeqCst);
    #[cfg(gort_loom)]
    loom::sync::atomic::fence(core::sync::atomic::Ordering::SeqCst);
}

/// Called where a loop waits for somebody else's progress; tells loom not to run the same failing turn again.
#[inline(always)]
pub(crate) fn relax() {
    #[cfg(not(gort_loom))]
    core::hint::spin_loop();
    #[cfg(gort_loom)]
    loom::hint::spin_loop();
}

/// Declares a constructor that is `const` except under loom, whose atomics register themselves when made.
macro_rules! const_unless_loom {
    ($(#[$meta:meta])* $vis:vis const fn $name:ident($($arg:ident: $arg_ty:ty),*) -> $ret:ty $body:block) => {
        #[cfg(not(gort_loom))]
        $(#[$meta])*
        $vis const fn $name($($arg: $arg_ty),*) -> $ret $body

        #[cfg(gort_loom)]
        $(#[$meta])*
        $vis fn $name($($arg: $arg_ty),*) -> $ret $body
    };
}

pub(crate) use const_unless_loom;

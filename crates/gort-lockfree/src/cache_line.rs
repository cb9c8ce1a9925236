//! Keeping words apart that different threads write.

use core::ops::Deref;

/// A value alone on its cache lines: 128 bytes, since x86 fetches lines in pairs and some ARM cores have lines of 128.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct CacheLine<T>(pub T);

impl<T> Deref for CacheLine<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.0
    }
}

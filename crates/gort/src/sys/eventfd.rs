//! A descriptor that becomes readable when somebody says so: how a thread is told that waits for the kernel.

use super::raw::{self, Errno};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// See the module.
#[derive(Debug)]
pub(crate) struct EventFd(OwnedFd);

impl EventFd {
    /// One of which reads wait: io_uring waits for it by itself only then.
    ///
    /// # Errors
    /// No descriptor is left.
    pub(crate) fn new() -> Result<Self, Errno> {
        // SAFETY: numbers only.
        let fd = unsafe { raw::syscall2(libc::SYS_eventfd2, 0, libc::EFD_CLOEXEC as usize) }?;
        // SAFETY: a new descriptor, which nobody else has.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd as i32) }))
    }

    /// Makes it readable: one read of 8 bytes takes all of what was said since the last one.
    pub(crate) fn tell(&self) {
        let one = 1_u64;
        // Waits only if its counter were full, after 2^64 calls without a read.
        // SAFETY: the kernel reads a live number.
        let told = raw::retry(|| unsafe {
            raw::syscall3(libc::SYS_write, self.raw() as usize, &raw const one as usize, size_of::<u64>())
        });
        debug_assert_eq!(told, Ok(size_of::<u64>()));
    }

    /// Its number.
    pub(crate) fn raw(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::EventFd;
    use crate::sys::file::{At, read};
    use std::mem::MaybeUninit;
    use std::os::fd::AsFd;

    #[test]
    fn one_read_takes_all_that_was_said() {
        let fd = EventFd::new().unwrap();
        (0..3).for_each(|_| fd.tell());
        let mut word = [MaybeUninit::new(0); 8];
        assert_eq!(read(fd.0.as_fd(), At::Cursor, &mut word), Ok(8));
        // SAFETY: made of bytes that have all been written.
        assert_eq!(u64::from_ne_bytes(word.map(|byte| unsafe { byte.assume_init() })), 3);
    }
}

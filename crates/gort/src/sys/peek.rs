//! Reading memory of this process that may be gone by the time it is read.
//!
//! The kernel copies it, so an address that is not mapped any more is an answer and no fault, and that somebody writes there meanwhile is no data
//! race of the program's. What was read need not mean anything: who reads makes sure afterwards.

use super::raw;
use super::stackmem::PAGE;
use std::fs::File;
use std::mem::size_of_val;
use std::os::unix::fs::FileExt;

/// Reads words from `address` on; `None`: they are not all there, or the kernel does not do this (a sandbox).
pub(crate) fn read(address: usize, words: &mut [usize]) -> Option<()> {
    let bytes = size_of_val(words);
    let local = libc::iovec { iov_base: words.as_mut_ptr().cast(), iov_len: bytes };
    let remote = libc::iovec { iov_base: address as *mut _, iov_len: bytes };
    // SAFETY: takes nothing.
    let process = unsafe { raw::syscall0(libc::SYS_getpid) }.ok()?;
    // SAFETY: the kernel writes as many bytes to `words` as it has, and only reads from `address`, if that can be read.
    let read = unsafe {
        raw::syscall6(
            libc::SYS_process_vm_readv,
            process,
            &raw const local as usize,
            1,
            &raw const remote as usize,
            1,
            0,
        )
    };
    (read.ok()? == bytes).then_some(())
}

/// Which pages of this process have ever been written, or are in swap: those that have not read as zeros, and reading them costs memory.
#[derive(Debug)]
pub(crate) struct Pages(File);

impl Pages {
    /// `None` where the kernel does not tell.
    pub(crate) fn open() -> Option<Self> {
        File::open("/proc/self/pagemap").ok().map(Self)
    }

    /// False if none of the pages of a range, of [`Pages::MOST`] at most, has been; true also if that is not known.
    pub(crate) fn are_touched(&self, start: usize, bytes: usize) -> bool {
        /// Present, in swap.
        const BITS: u64 = 1 << 63 | 1 << 62;
        let (first, last) = (start / PAGE, (start + bytes).div_ceil(PAGE));
        let mut entries = [0_u8; 8 * Self::MOST];
        let Some(entries) = entries.get_mut(..8 * (last - first)) else { return true };
        match self.0.read_exact_at(entries, first as u64 * 8) {
            Ok(()) => entries
                .chunks_exact(8)
                .any(|entry| u64::from_ne_bytes(entry.try_into().unwrap_or([255; 8])) & BITS != 0),
            Err(_) => true,
        }
    }

    const MOST: usize = 32;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_read_and_what_is_not_is_no_fault() {
        let there = [1_usize, 2, 3];
        let mut words = [0; 3];
        read(there.as_ptr() as usize, &mut words).unwrap();
        assert_eq!(words, there);
        assert_eq!(read(8, &mut words), None);
    }
}

//! Memory for stacks: address space that costs nothing until it is touched, and guards in it.
//!
//! Guards come in two kinds. Since Linux 6.13 a range can be marked in the page tables (`MADV_GUARD_INSTALL`): about 1 us each and no entry
//! in the process's list of mappings, so a million of them are fine. Before, `mprotect` splits the mapping: two entries for each stack out
//! of `vm.max_map_count` (65530 by default), and when those run out every other mmap of the process fails, malloc's too. So callers ask for
//! the [`Guards`] they get and stop early.
//!
//! All calls go through `raw`: they are made by the scheduler.

use super::raw::{self, Errno};
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// The smallest page of the processor, which all sizes here are multiples of.
pub(crate) const PAGE: usize = 4096;

/// Not in every version of the libc crate; a number of the kernel's ABI.
const MADV_GUARD_INSTALL: usize = 102;

/// Address space that stacks and threads leave to the rest of the process. Whoever is refused a stack gets an error; a `malloc` that is refused
/// ends most programs, that error's report included.
pub(crate) const HEADROOM: usize = 16 << 20;

/// How guards are made here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Guards {
    /// Marked in the page tables, as many as there is address space.
    Marked,
    /// By access rights: two map entries for each stack.
    Mapped,
}

/// Reserves `bytes` of private memory at a multiple of `alignment`, readable and writable, without committing any of it.
///
/// # Errors
/// The kernel's, mostly ENOMEM: RLIMIT_AS, `vm.overcommit_memory=2`, or no map entry left.
pub(crate) fn reserve(bytes: usize, alignment: usize) -> Result<usize, Errno> {
    reserve_and_leave(bytes, alignment, 0)
}

/// [`reserve`], refused where fewer than `left` bytes of address space would be left.
///
/// # Errors
/// As those of [`reserve`].
pub(crate) fn reserve_and_leave(bytes: usize, alignment: usize, left: usize) -> Result<usize, Errno> {
    debug_assert!(bytes.is_multiple_of(PAGE) && alignment.is_power_of_two() && alignment >= PAGE);
    let slack = alignment - PAGE;
    let all = bytes.checked_add(slack).and_then(|all| all.checked_add(left)).ok_or(Errno::NOMEM)?;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping at a place of the kernel's choice.
    let start = unsafe { raw::syscall6(libc::SYS_mmap, 0, all, protection as usize, flags as usize, usize::MAX, 0) }?;
    let base = start.next_multiple_of(alignment);
    // The ends are for the alignment and to see that there is something left. If they cannot be given back they do no harm.
    if base > start {
        release(start, base - start);
    }
    if start + all > base + bytes {
        release(base + bytes, start + all - base - bytes);
    }
    // A touched page shall not become 2 MiB. Kernels without huge pages refuse, which is as good.
    // SAFETY: advice about the mapping just made.
    unsafe { raw::syscall3(libc::SYS_madvise, base, bytes, libc::MADV_NOHUGEPAGE as usize) }.ok();
    Ok(base)
}

/// Gives a reservation, or a part of one, back for good.
pub(crate) fn release(base: usize, bytes: usize) {
    // SAFETY: the caller's own reservation, which nobody uses any more.
    unsafe { raw::syscall2(libc::SYS_munmap, base, bytes) }.ok();
}

const MARKED: u8 = 1;
const MAPPED: u8 = 2;
/// 0 until it is known.
static KNOWN: AtomicU8 = AtomicU8::new(0);

/// Behaves as on a kernel before 6.13 from now on. Before the first guard.
#[cfg(test)]
pub(crate) fn force_mapped_guards() {
    // Relaxed: as in `guards`.
    KNOWN.store(MAPPED, Relaxed);
}

/// Which kind of guards the kernel has. Asked once.
pub(crate) fn guards() -> Guards {
    // Relaxed: a single value that does not change once it is known; two that find out find the same.
    match KNOWN.load(Relaxed) {
        MARKED => return Guards::Marked,
        MAPPED => return Guards::Mapped,
        _ => {}
    }
    let marked = reserve(PAGE, PAGE).is_ok_and(|page| {
        let marked = install(page, PAGE).is_ok();
        release(page, PAGE);
        marked
    });
    // Relaxed: as above.
    KNOWN.store(if marked { MARKED } else { MAPPED }, Relaxed);
    if marked { Guards::Marked } else { Guards::Mapped }
}

fn install(base: usize, bytes: usize) -> Result<(), Errno> {
    // SAFETY: the caller's own reservation; what was in the range is lost.
    unsafe { raw::syscall3(libc::SYS_madvise, base, bytes, MADV_GUARD_INSTALL) }.map(drop)
}

/// Makes every access to the range fault. The range must be part of a reservation and unused.
///
/// # Errors
/// The kernel's. ENOMEM from [`Guards::Mapped`] means that the map entries are used up.
pub(crate) fn guard(base: usize, bytes: usize) -> Result<(), Errno> {
    match guards() {
        Guards::Marked => raw::retry(|| install(base, bytes)),
        // SAFETY: the caller's own reservation, which nobody uses.
        Guards::Mapped => unsafe { raw::syscall3(libc::SYS_mprotect, base, bytes, libc::PROT_NONE as usize).map(drop) },
    }
}

/// Gives the memory of a range back to the kernel; it reads as zeros afterwards. Guards in it survive.
///
/// # Safety
/// The range is private anonymous memory whose contents nobody needs.
pub(crate) unsafe fn discard(base: usize, bytes: usize) -> Result<(), Errno> {
    // SAFETY: as the caller says.
    unsafe { raw::syscall3(libc::SYS_madvise, base, bytes, libc::MADV_DONTNEED as usize) }.map(drop)
}

/// Whether each page from `base` on is resident: bit 0 of its byte. Pages in swap are not.
///
/// # Errors
/// The kernel's; ENOMEM for memory that is not mapped.
pub(crate) fn resident(base: usize, pages: &mut [u8]) -> Result<(), Errno> {
    // SAFETY: the kernel writes a byte for each page.
    unsafe { raw::syscall3(libc::SYS_mincore, base, pages.len() * PAGE, pages.as_mut_ptr() as usize) }.map(drop)
}

/// How many mappings a process may have (`vm.max_map_count`), or the kernel's default if that cannot be read.
pub(crate) fn max_map_count() -> usize {
    number_in("/proc/sys/vm/max_map_count").unwrap_or(65530)
}

/// Why a reservation of `bytes` was refused and what to do about it, as the end of a sentence.
pub(crate) fn why_refused(bytes: usize) -> String {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes the limit into `limit`.
    let asked = unsafe { libc::getrlimit(libc::RLIMIT_AS, &mut limit) };
    if asked == 0 && limit.rlim_cur != libc::RLIM_INFINITY {
        return format!(
            "the address space of this process is limited to {} MiB (RLIMIT_AS, ulimit -v); raise it or take the limit off",
            limit.rlim_cur >> 20
        );
    }
    if number_in("/proc/sys/vm/overcommit_memory") == Some(2) {
        return "the kernel reserves memory for all of it (vm.overcommit_memory=2); set it to 0 or raise \
                vm.overcommit_ratio"
            .to_owned();
    }
    let maps = std::fs::read("/proc/self/maps").map_or(0, |maps| maps.iter().filter(|&&byte| byte == b'\n').count());
    if maps + 16 > max_map_count() {
        return format!("the process has {maps} memory maps and may have no more (raise vm.max_map_count)");
    }
    format!("the kernel refused to reserve {} MiB of address space", bytes >> 20)
}

fn number_in(file: &str) -> Option<usize> {
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reservation_is_aligned_zeroed_and_can_be_written() {
        let (bytes, alignment) = (1 << 20, 1 << 21);
        let base = reserve(bytes, alignment).unwrap();
        assert!(base.is_multiple_of(alignment));
        let word = (base + bytes - 8) as *mut u64;
        // SAFETY: the last word of the reservation.
        unsafe {
            assert_eq!(word.read(), 0);
            word.write(7);
            assert_eq!(word.read(), 7);
            discard(base, bytes).unwrap();
            assert_eq!(word.read(), 0);
        }
        release(base, bytes);
    }

    #[test]
    fn a_reservation_that_cannot_be_is_refused() {
        assert_eq!(reserve(1 << 60, PAGE), Err(Errno::NOMEM));
        assert_eq!(reserve(usize::MAX & !(PAGE - 1), 1 << 20), Err(Errno::NOMEM));
    }

    #[test]
    fn guards_fault_and_the_memory_beside_them_does_not() {
        let base = reserve(4 * PAGE, PAGE).unwrap();
        guard(base + PAGE, PAGE).unwrap();
        // A system call that reads the range says whether it could be accessed, without a signal.
        let readable = |at: usize| {
            // SAFETY: the kernel copies the memory, or says that it cannot.
            let outcome = unsafe { raw::syscall2(libc::SYS_uname, at, 0) };
            outcome.is_ok()
        };
        assert!(readable(base));
        assert!(!readable(base + PAGE + 8));
        assert!(readable(base + 2 * PAGE));
        // SAFETY: the reservation above.
        unsafe { discard(base, 4 * PAGE) }.unwrap();
        assert!(!readable(base + PAGE + 8), "a discard must not take guards away");
        release(base, 4 * PAGE);
    }
}

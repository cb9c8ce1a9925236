//! What the system lets this process have: descriptors and memory maps.

#![allow(dead_code)]

use super::raw::{self, Errno};
use std::fs::DirEntry;
use std::io;
use std::path::Path;

/// The limits on open descriptors. `u64::MAX` means none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct DescriptorLimits {
    /// What applies.
    pub(crate) soft: u64,
    /// What the process may raise it to.
    pub(crate) hard: u64,
}

/// The limits as they are.
pub(crate) fn descriptors() -> Result<DescriptorLimits, Errno> {
    let mut limits = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    prlimit(None, Some(&mut limits))?;
    Ok(DescriptorLimits { soft: limits.rlim_cur, hard: limits.rlim_max })
}

/// Raises the soft limit to the hard one and gives what applies now.
pub(crate) fn raise_descriptors() -> Result<DescriptorLimits, Errno> {
    let limits = descriptors()?;
    if limits.soft >= limits.hard {
        return Ok(limits);
    }
    let raise = |soft| prlimit(Some(&libc::rlimit64 { rlim_cur: soft, rlim_max: limits.hard }), None);
    match raise(limits.hard) {
        // A hard limit above fs.nr_open cannot be used in full; it may have been set before nr_open was lowered.
        Err(Errno::PERM) => match number_in("/proc/sys/fs/nr_open") {
            Ok(most) if most > limits.soft => raise(most.min(limits.hard))?,
            _ => {}
        },
        other => other?,
    }
    descriptors()
}

fn prlimit(new: Option<&libc::rlimit64>, old: Option<&mut libc::rlimit64>) -> Result<(), Errno> {
    let new = new.map_or(0, |new| std::ptr::from_ref(new) as usize);
    let old = old.map_or(0, |old| std::ptr::from_mut(old) as usize);
    // SAFETY: process 0 is this one; the kernel reads `new` and writes `old` where they are given, and both live as long as the call.
    unsafe { raw::syscall4(libc::SYS_prlimit64, 0, libc::RLIMIT_NOFILE as usize, new, old) }.map(drop)
}

/// How many descriptors are open. Not counted are the one that is needed to count them, and the monitor's own (`thread::States`), which it has at most times.
pub(crate) fn open_descriptors() -> io::Result<usize> {
    let of_a_state = |file: &Path| file.starts_with("/proc") && file.ends_with("stat");
    let counts = |entry: io::Result<DirEntry>| {
        entry.is_ok_and(|entry| !std::fs::read_link(entry.path()).is_ok_and(|file| of_a_state(&file)))
    };
    Ok(std::fs::read_dir("/proc/self/fd")?.map(counts).filter(|counts| *counts).count() - 1)
}

/// About how many more memory maps the kernel grants. A thread's stack takes two, its guard included. At least 0, and only as good as the
/// moment: neighbouring maps with equal rights count as one.
pub(crate) fn free_memory_maps() -> io::Result<usize> {
    let most = number_in("/proc/sys/vm/max_map_count")?;
    let used = std::fs::read("/proc/self/maps")?.iter().filter(|&&byte| byte == b'\n').count();
    Ok((most as usize).saturating_sub(used))
}

fn number_in(file: &str) -> io::Result<u64> {
    let text = std::fs::read_to_string(file)?;
    text.trim()
        .parse()
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, format!("{file} holds {text:?}, which is no number")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raising_brings_the_soft_limit_to_the_hard_one() {
        let before = descriptors().unwrap();
        let after = raise_descriptors().unwrap();
        assert_eq!(after.hard, before.hard);
        assert!(after.soft >= before.soft);
        assert!(after.soft == after.hard || after.soft == number_in("/proc/sys/fs/nr_open").unwrap());
        assert_eq!(raise_descriptors(), Ok(after));
        assert_eq!(descriptors(), Ok(after));
    }

    #[test]
    fn descriptors_are_counted() {
        // Other tests open and close some meanwhile, so hold far more than they do.
        let held: Vec<_> = (0..200).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
        assert!(open_descriptors().unwrap() >= held.len());
    }

    #[test]
    fn some_memory_maps_are_free_and_not_all() {
        let free = free_memory_maps().unwrap();
        assert!(free > 0 && (free as u64) < number_in("/proc/sys/vm/max_map_count").unwrap());
    }
}

//! How many processors this process may use.
//!
//! The default number of Ps follows Go 1.25: as many as the affinity mask allows, and not more than the CPU quota of the control group, rounded
//! up, but at least 2 (with one P a goroutine that computes would hold up everything else until sysmon steps in, although a quota below 1
//! still lets two threads run at once, only not for long). Never more than there are processors.

mod cgroup;
#[cfg(test)]
mod tests;

pub(crate) use cgroup::quota_under;

use super::raw::{self, Errno};
use std::io;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// More Ps than this are refused everywhere.
pub(crate) const MAX_PROCS: usize = 1024;

/// What stands for the machine, in tests: a directory instead of `/`, and so many processors.
static PRETENDED: OnceLock<(PathBuf, usize)> = OnceLock::new();

/// From now on this directory and so many processors stand for the machine. Once, and before the runtime starts.
pub(crate) fn pretend(root: PathBuf, cpus: usize) {
    PRETENDED.set((root, cpus)).expect("once for each process");
}

/// The default number of Ps, as things are now.
pub(crate) fn default_procs() -> usize {
    // A quota that cannot be read is no quota, as in Go: the program must run under whatever hides or garbles those files.
    procs_now().unwrap_or_else(|_| procs_for(allowed_cpus(), None))
}

/// The same, for somebody who knows what it was before.
///
/// # Errors
/// The quota cannot be read.
pub(crate) fn procs_now() -> io::Result<usize> {
    match PRETENDED.get() {
        None => Ok(procs_for(allowed_cpus(), quota_under(Path::new("/"))?)),
        Some((root, cpus)) => Ok(procs_for(*cpus, quota_under(root)?)),
    }
}

/// The number of Ps for `cpus` processors under a quota of so many processors' time.
pub(crate) fn procs_for(cpus: usize, quota: Option<f64>) -> usize {
    let cpus = cpus.clamp(1, MAX_PROCS);
    match quota {
        // The cast saturates; a quota is never negative or NaN.
        Some(quota) => cpus.min((quota.ceil() as usize).max(2)),
        None => cpus,
    }
}

/// The processors that are online and that the calling thread may run on.
pub(crate) fn allowed_cpus() -> usize {
    match affinity() {
        Ok(cpus) if cpus > 0 => cpus,
        _ => std::thread::available_parallelism().map_or(1, NonZero::get),
    }
}

fn affinity() -> Result<usize, Errno> {
    // The kernel refuses a mask that is shorter than its own; 8192 processors are the most a kernel can be built for.
    for words in [16, 128] {
        let mut mask = vec![0_u64; words];
        // SAFETY: the kernel writes at most the given number of bytes into `mask`, and says how many.
        let written = unsafe {
            raw::syscall3(libc::SYS_sched_getaffinity, 0, size_of_val(&mask[..]), mask.as_mut_ptr() as usize)
        };
        match written {
            Ok(_) => return Ok(mask.iter().map(|word| word.count_ones() as usize).sum()),
            Err(Errno::INVAL) => continue,
            Err(other) => return Err(other),
        }
    }
    Err(Errno::INVAL)
}

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
use std::{num::NonZero, path::Path};

/// More Ps than this are refused everywhere.
pub(crate) const MAX_PROCS: usize = 1024;

/// The default number of Ps, as things are now.
pub(crate) fn default_procs() -> usize {
    // A quota that cannot be read is no quota, as in Go: the program must run under whatever hides or garbles those files.
    let quota = quota_under(Path::new("/")).ok().flatten();
    procs_for(allowed_cpus(), quota)
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

//! What a process can say about itself: resident memory, threads, processor time.
//!
//! Read by the server process about itself, so that none of the load generator's costs are in the figures.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::report::round;

/// This process at one moment.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Usage {
    /// User and system time of all threads so far, those already ended included.
    pub cpu_ns: u64,
    /// Resident memory, shared pages of the program included.
    pub rss_bytes: u64,
    /// OS threads alive.
    pub threads: u64,
}

/// Takes all figures of this process.
pub fn usage() -> Usage {
    Usage { cpu_ns: cpu_ns(), rss_bytes: rss_pages() * rustix::param::page_size() as u64, threads: threads() }
}

/// OS threads of this process. The directory's link count is the cheapest place to find it: two for itself and one for each
/// thread, without a walk over them.
pub fn threads() -> u64 {
    fs::metadata("/proc/self/task").map_or(0, |task| task.nlink().saturating_sub(2))
}

fn rss_pages() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or(0)
}

fn cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Processors that other processes keep busy, from one moment to another.
#[derive(Debug)]
pub struct OthersCpus {
    began: Instant,
    /// Of the machine, and of this process; nothing without /proc.
    busy_ns: Option<(u64, u64)>,
}

impl OthersCpus {
    /// From now on.
    pub fn begin() -> OthersCpus {
        OthersCpus { began: Instant::now(), busy_ns: busy_ns() }
    }

    /// Until now.
    pub fn end(self) -> Option<f64> {
        let ((all, own), (all_before, own_before)) = (busy_ns()?, self.busy_ns?);
        let (all_ns, own_ns) = (all.saturating_sub(all_before), own.saturating_sub(own_before));
        Some(round(all_ns.saturating_sub(own_ns) as f64 / self.began.elapsed().as_nanos() as f64))
    }
}

fn busy_ns() -> Option<(u64, u64)> {
    let ticks = busy_ticks(&fs::read_to_string("/proc/stat").ok()?)?;
    Some((ticks * (1_000_000_000 / rustix::param::clock_ticks_per_second()), cpu_ns()))
}

/// Of /proc/stat: what processes have used, and what the machine below ours has given to others. Interrupts are nobody's.
fn busy_ticks(stat: &str) -> Option<u64> {
    let fields: Vec<u64> =
        stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace().map_while(|field| field.parse().ok()).collect();
    let [user, nice, system, _idle, _iowait, _irq, _softirq, stolen, ..] = fields[..] else { return None };
    Some(user + nice + system + stolen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_use_is_found_in_the_kernels_words() {
        let stat = "cpu  10 20 30 4000 500 60 70 8 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\n";
        assert_eq!(busy_ticks(stat), Some(10 + 20 + 30 + 8));
        assert_eq!(busy_ticks("cpu  10 20 30\n"), None);
        assert_eq!(busy_ticks(""), None);
        assert!(OthersCpus::begin().end().is_none_or(|cpus| cpus >= 0.0));
    }

    #[test]
    fn a_thread_and_its_memory_are_seen() {
        let before = usage();
        let (told, tell) = std::sync::mpsc::channel::<()>();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let block = vec![1_u8; 16 << 20];
            ready.send(()).unwrap();
            let _ = tell.recv();
            block.len()
        });
        is_ready.recv().unwrap();
        let with = usage();
        drop(told);
        thread.join().unwrap();
        assert!(before.threads >= 1 && with.threads >= 2);
        assert!(with.rss_bytes > 16 << 20);
        assert!(with.cpu_ns > before.cpu_ns);
    }
}

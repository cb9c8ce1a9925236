//! What a process can say about itself: resident memory, threads, processor time.
//!
//! Read by the server process about itself, so that none of the load generator's costs are in the figures.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

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

#[cfg(test)]
mod tests {
    use super::*;

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

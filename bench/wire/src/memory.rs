//! What a process has of memory, from `/proc`.

use std::fs;
use std::io;

/// Bytes that a process holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Pages in memory.
    pub resident: u64,
    /// The page tables that map them, which many small stacks far apart make large.
    pub page_tables: u64,
}

impl Memory {
    /// Of this process.
    ///
    /// # Errors
    /// If `/proc` is not there.
    pub fn of_this_process() -> io::Result<Memory> {
        Memory::of("self")
    }

    /// Of a process by number, or `self`.
    ///
    /// # Errors
    /// If the process or `/proc` is not there.
    pub fn of(pid: &str) -> io::Result<Memory> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let kib = |name: &str| {
            field(&status, name)
                .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid}/status has no {name}")))
        };
        Ok(Memory { resident: kib("VmRSS")? * 1024, page_tables: kib("VmPTE")? * 1024 })
    }

    /// Both together.
    pub fn total(self) -> u64 {
        self.resident + self.page_tables
    }
}

/// The number after `name:` in a file such as `/proc/self/status` or `/proc/meminfo`.
pub fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(':')))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// How many mappings this process has; the kernel's limit is `vm.max_map_count`.
///
/// # Errors
/// If `/proc` is not there.
pub fn mappings() -> io::Result<usize> {
    Ok(fs::read("/proc/self/maps")?.iter().filter(|&&byte| byte == b'\n').count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let text = "VmRSSx:\t1 kB\nVmRSS:\t  4711 kB\nThreads:\t3\n";
        assert_eq!(field(text, "VmRSS"), Some(4711));
        assert_eq!(field(text, "Threads"), Some(3));
        assert_eq!(field(text, "Vm"), None);
    }

    #[test]
    fn this_process_has_memory_and_mappings() {
        assert!(Memory::of_this_process().unwrap().total() > 4096);
        assert!(mappings().unwrap() > 3);
    }
}

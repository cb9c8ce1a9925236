//! The machine: what it is, and how much of it others use meanwhile.

use std::fs;
use std::process::{Command, Stdio};

use gort_bench_wire::memory::field;
use serde::Serialize;

/// What a reader needs to judge the figures.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// As the processor calls itself.
    pub cpu: String,
    /// Those this process may use.
    pub cpus: usize,
    /// Of memory.
    pub memory_bytes: u64,
    /// Name and version of the kernel.
    pub kernel: String,
    /// Name and version of the C library.
    pub libc: String,
    /// `vm.max_map_count`.
    pub max_map_count: Option<u64>,
    /// Runnable threads at the start, over a minute.
    pub load: Option<f64>,
    /// Settings of the runtimes in the environment: they are in force.
    pub settings: Vec<String>,
}

impl Machine {
    /// This one.
    pub fn here() -> Machine {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = read("/proc/cpuinfo");
        let cpu = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let unknown = || "unknown".to_owned();
        let settings = std::env::vars()
            .filter(|(name, _)| {
                name.starts_with("GORT_") || name == "GOGC" || name == "GOMEMLIMIT" || name == "GODEBUG"
            })
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        Machine {
            cpu: cpu.map_or_else(unknown, |(_, name)| name.to_owned()),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: field(&read("/proc/meminfo"), "MemTotal").unwrap_or(0) * 1024,
            kernel: says("uname", &["-sr"]).unwrap_or_else(unknown),
            libc: says("getconf", &["GNU_LIBC_VERSION"]).unwrap_or_else(unknown),
            max_map_count: read("/proc/sys/vm/max_map_count").trim().parse().ok(),
            load: read("/proc/loadavg").split_whitespace().next().and_then(|load| load.parse().ok()),
            settings,
        }
    }
}

/// CPU time spent up to now, in clock ticks.
#[derive(Debug, Clone, Copy)]
pub struct CpuUse {
    all: u64,
    ours: u64,
}

impl CpuUse {
    /// Reads it. Zero where `/proc` does not say.
    pub fn now() -> CpuUse {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        CpuUse { all: busy_ticks(&read("/proc/stat")), ours: children_ticks(&read("/proc/self/stat")) }
    }

    /// CPU seconds since `before` that were neither idle nor spent by processes of ours that have ended.
    pub fn others_since(self, before: CpuUse) -> f64 {
        let all = self.all.saturating_sub(before.all);
        let ours = self.ours.saturating_sub(before.ours);
        all.saturating_sub(ours) as f64 / rustix::param::clock_ticks_per_second() as f64
    }
}

/// First line: user nice system idle iowait irq softirq steal, guests included in the first two.
fn busy_ticks(stat: &str) -> u64 {
    let line = stat.lines().next().unwrap_or_default();
    let numbers = line.split_whitespace().skip(1).map(|number| number.parse::<u64>().unwrap_or(0));
    numbers.take(8).enumerate().filter(|(i, _)| !matches!(i, 3 | 4)).map(|(_, ticks)| ticks).sum()
}

/// `cutime` and `cstime`, the 16th and 17th field; the second is a name that may contain anything.
fn children_ticks(stat: &str) -> u64 {
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    after_name.split_whitespace().skip(13).take(2).map(|ticks| ticks.parse::<u64>().unwrap_or(0)).sum()
}

fn says(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_and_waiting_time_is_not_busy() {
        assert_eq!(busy_ticks("cpu  1 2 4 1000 2000 8 16 32 64 128\ncpu0 9 9 9\n"), 63);
        assert_eq!(busy_ticks(""), 0);
    }

    #[test]
    fn a_name_with_spaces_and_brackets_does_not_shift_the_fields() {
        let stat = "1 (a b) c) S 2 3 4 5 6 7 8 9 10 11 12 13 140 150 16 17";
        assert_eq!(children_ticks(stat), 290);
    }

    #[test]
    fn the_machine_has_processors_and_memory() {
        let machine = Machine::here();
        assert!(machine.cpus > 0 && machine.memory_bytes > 0);
    }
}

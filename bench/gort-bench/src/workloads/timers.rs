//! Sleeping and timers.

use std::time::Duration;

use super::{Bound, Entry, Metric, Procs, Shown, Target, Task, Workload};

/// See the module.
pub const WORKLOADS: &[Workload] = &[
    Workload {
        name: "timers_1000k",
        about: "1,000,000 goroutines sleep for a random time of at most a second; once more in the same process: CPU time",
        task: Task::Alone("timers"),
        params: &[("count", 1_000_000), ("longest_ms", 1000)],
        procs: Procs::AsAsked,
        entries: &[
            Entry::plain("gort"),
            Entry::plain("go"),
            Entry::noted("tokio", "times are multiples of 1 ms"),
            Entry {
                peer: "may",
                params: &[("count", 20_000)],
                note: Some("20,000: it panics at 32,000, for want of mappings"),
            },
            Entry {
                peer: "threads",
                params: &[("count", 10_000)],
                note: Some("10,000 threads: 1,000,000 is more than systems allow"),
            },
        ],
        metrics: &[
            Metric::less("cold_cpu_s", "CPU s", Shown::Compared),
            Metric::scaled("cold_p99_us", "late p99 ms", 1e-3, Shown::Compared),
            Metric::less("cold_wall_ms", "wall ms", Shown::Median),
            Metric::less("warm_cpu_s", "again: CPU s", Shown::Compared),
            Metric::scaled("warm_p99_us", "again: late p99 ms", 1e-3, Shown::Compared),
            Metric::less("warm_wall_ms", "again: wall ms", Shown::Median),
        ],
        targets: &[
            Target { metric: "cold_cpu_s", at_most: Bound::Times(0.7, "go") },
            Target { metric: "warm_cpu_s", at_most: Bound::Times(0.35, "go") },
            Target { metric: "cold_p99_us", at_most: Bound::Times(0.25, "go") },
            Target { metric: "warm_p99_us", at_most: Bound::Times(0.25, "go") },
        ],
        rounds: 5,
        limit: Duration::from_secs(120),
        estimate: Duration::from_secs(8),
        memory_bytes: 11 << 30,
    },
    Workload {
        name: "timer_arm_cancel",
        about: "beside 32,768 that are pending, timers are made and cancelled, 1,000 at a time: ns for both together",
        task: Task::Alone("arm_cancel"),
        params: &[("pending", 32_768), ("batch", 1000), ("count", 500_000), ("repeats", 7)],
        procs: Procs::One,
        entries: &[
            Entry::noted("gort", "after_func, stop"),
            Entry::noted("go", "AfterFunc, Stop"),
            Entry::noted("tokio", "a sleep, polled once and dropped"),
        ],
        metrics: &[
            Metric::less("ns", "ns", Shown::Compared),
            Metric::less("reset_ns", "reset, stop ns", Shown::Compared),
        ],
        targets: &[Target { metric: "ns", at_most: Bound::Value(100.0) }],
        rounds: 11,
        limit: Duration::from_secs(60),
        estimate: Duration::from_secs(1),
        memory_bytes: 256 << 20,
    },
];

//! A million goroutines that wait.

use std::time::Duration;

use super::{Bound, Entry, Metric, Procs, Shown, Target, Task, Workload};

/// See the module.
pub const WORKLOADS: &[Workload] = &[Workload {
    name: "mem_parked_1000k",
    about: "1,000,000 parked goroutines with default stacks: bytes for each, resident pages and page tables",
    task: Task::Alone("parked"),
    params: &[("count", 1_000_000)],
    procs: Procs::AsAsked,
    entries: &[
        Entry::plain("gort"),
        Entry::noted("go", "stacks begin at 2 KiB and are copied when they grow"),
        Entry::noted("tokio", "tasks without stacks: as large as what they hold across their waits"),
        Entry {
            peer: "may",
            params: &[("count", 20_000)],
            note: Some("20,000: it panics at 32,000, for want of mappings"),
        },
        Entry {
            peer: "threads",
            params: &[("count", 10_000)],
            note: Some("10,000 threads; the kernel's own stack for each, 16 KiB, is not in the figure"),
        },
    ],
    metrics: &[
        Metric::less("bytes", "bytes", Shown::Compared),
        Metric::scaled("spawn_ns", "spawn us", 1e-3, Shown::Median),
        Metric::scaled("wake_ns", "wake us", 1e-3, Shown::Median),
        Metric::scaled("mappings_share", "% of max_map_count", 100.0, Shown::Median),
    ],
    targets: &[Target { metric: "bytes", at_most: Bound::Value(9500.0) }],
    rounds: 5,
    limit: Duration::from_secs(120),
    estimate: Duration::from_secs(12),
    memory_bytes: 11 << 30,
}];

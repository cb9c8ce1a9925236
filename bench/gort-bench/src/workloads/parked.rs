//! A million goroutines that wait.

use std::time::Duration;

use super::{Better, Bound, Entry, Metric, Procs, Shown, Target, Task, Workload};

/// See the module.
pub const WORKLOADS: &[Workload] = &[Workload {
    name: "mem_parked_1000k",
    about: "1,000,000 parked goroutines with default stacks: bytes for each, resident pages and page tables",
    task: Task::Alone("parked"),
    params: &[("count", 1_000_000)],
    procs: Procs::AsAsked,
    entries: &[
        Entry::plain("gort"),
        Entry { peer: "go", params: &[], note: Some("stacks begin at 2 KiB and are copied when they grow") },
        Entry {
            peer: "threads",
            params: &[("count", 10_000)],
            note: Some("10,000 threads; the kernel's own stack for each, 16 KiB, is not in the figure"),
        },
    ],
    metrics: &[
        Metric::less("bytes", "bytes", Shown::Compared),
        Metric { key: "spawn_ns", label: "spawn us", better: Better::Less, shown: Shown::Median, scale: 1e-3 },
        Metric { key: "wake_ns", label: "wake us", better: Better::Less, shown: Shown::Median, scale: 1e-3 },
        Metric {
            key: "mappings_share",
            label: "% of max_map_count",
            better: Better::Less,
            shown: Shown::Median,
            scale: 100.0,
        },
    ],
    targets: &[Target { metric: "bytes", at_most: Bound::Value(9500.0) }],
    rounds: 5,
    limit: Duration::from_secs(120),
    estimate: Duration::from_secs(12),
    memory_bytes: 11 << 30,
}];

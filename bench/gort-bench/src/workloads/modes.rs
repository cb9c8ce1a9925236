//! What it costs that a goroutine may move between threads: gort against itself in bound mode, the same executable.

use std::time::Duration;

use super::{Bound, Entry, Metric, Procs, Shown, Target, Task, Workload};

const NS: Metric = Metric::less("ns", "ns", Shown::Compared);

const BOTH: &[Entry] = &[Entry::plain("gort"), Entry::noted("gort_bound", "GORT_MODE=bound")];

/// See the module.
pub const WORKLOADS: &[Workload] = &[
    Workload {
        name: "mode_switch",
        about: "10 goroutines on one processor give way in turn: ns per yield, which leaves one and enters another",
        task: Task::Alone("yield"),
        params: &[("goroutines", 10), ("count", 100_000), ("repeats", 9)],
        procs: Procs::One,
        entries: BOTH,
        metrics: &[NS],
        // 12 in each direction.
        targets: &[Target { metric: "ns", at_most: Bound::Above(24.0, "gort_bound") }],
        rounds: 11,
        limit: Duration::from_secs(60),
        estimate: Duration::from_secs(1),
        memory_bytes: 256 << 20,
    },
    Workload {
        name: "mode_spawn",
        about: "start 10,000 goroutines that count on one processor, wait for all: ns for each, from spawn to end",
        task: Task::Alone("spawn_join"),
        params: &[("count", 10_000), ("repeats", 31)],
        procs: Procs::One,
        entries: BOTH,
        metrics: &[NS],
        targets: &[Target { metric: "ns", at_most: Bound::Above(80.0, "gort_bound") }],
        rounds: 11,
        limit: Duration::from_secs(60),
        estimate: Duration::from_secs(1),
        memory_bytes: 2 << 30,
    },
    Workload {
        name: "mode_memory",
        about: "100,000 parked goroutines with default stacks: bytes for each, resident pages and page tables",
        task: Task::Alone("parked"),
        params: &[("count", 100_000)],
        procs: Procs::AsAsked,
        entries: BOTH,
        metrics: &[Metric::less("bytes", "bytes", Shown::Compared)],
        targets: &[Target { metric: "bytes", at_most: Bound::Above(4500.0, "gort_bound") }],
        rounds: 5,
        limit: Duration::from_secs(60),
        estimate: Duration::from_secs(2),
        memory_bytes: 2 << 30,
    },
];

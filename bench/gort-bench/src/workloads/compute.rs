//! Spawn, park, yield, malloc: nanoseconds in one process.

use std::time::Duration;

use super::{Bound, Entry, Metric, Procs, Shown, Target, Task, Workload};

const NS: Metric = Metric::less("ns", "ns", Shown::Compared);

const ONE_CPU: Option<&str> = Some("threads on one CPU");

/// See the module.
pub const WORKLOADS: &[Workload] = &[
    Workload {
        name: "spawn_join_100k",
        about: "start 100,000 goroutines that count, wait for all: ns for each",
        task: Task::Alone("spawn_join"),
        params: &[("count", 100_000), ("repeats", 11)],
        procs: Procs::AsAsked,
        entries: &[
            Entry::plain("gort"),
            Entry { peer: "go", params: &[], note: Some("a WaitGroup, no handles") },
            Entry {
                peer: "threads",
                params: &[("count", 2_000), ("repeats", 3)],
                note: Some("2,000 threads: 100,000 at once is more than systems allow"),
            },
        ],
        metrics: &[NS, Metric::less("cold_ns", "first time ns", Shown::Median)],
        targets: &[Target { metric: "ns", at_most: Bound::Times(0.3, "go") }],
        rounds: 11,
        limit: Duration::from_secs(60),
        estimate: Duration::from_millis(800),
        memory_bytes: 2 << 30,
    },
    Workload {
        name: "park_unpark_p1",
        about: "two goroutines on one processor park and unpark each other in turn: ns per round trip",
        task: Task::Alone("park_unpark"),
        params: &[("count", 200_000), ("repeats", 9)],
        procs: Procs::One,
        entries: &[
            Entry::plain("gort"),
            Entry { peer: "go", params: &[], note: Some("a channel with room for one token") },
            Entry { peer: "threads", params: &[("count", 20_000), ("repeats", 5)], note: ONE_CPU },
        ],
        metrics: &[NS],
        targets: &[Target { metric: "ns", at_most: Bound::Value(115.0) }],
        rounds: 11,
        limit: Duration::from_secs(60),
        estimate: Duration::from_millis(700),
        memory_bytes: 256 << 20,
    },
    yields(
        "yield_1",
        "a goroutine alone on one processor gives way: ns per yield",
        &[("goroutines", 1), ("count", 1_000_000), ("repeats", 9)],
        &[Target { metric: "ns", at_most: Bound::Value(45.0) }],
    ),
    yields(
        "yield_1000",
        "1,000 goroutines on one processor give way in turn: ns per yield",
        &[("goroutines", 1000), ("count", 1000), ("repeats", 9)],
        &[Target { metric: "ns", at_most: Bound::Value(60.0) }],
    ),
    Workload {
        name: "malloc_64",
        about: "allocate and free 64 bytes, in a goroutine and in a thread of a program without gort: ns for both together",
        task: Task::Alone("malloc"),
        params: &[("count", 5_000_000), ("repeats", 7)],
        procs: Procs::AsAsked,
        entries: &[Entry::plain("gort"), Entry { peer: "threads", params: &[], note: Some("the C library's malloc") }],
        metrics: &[NS],
        targets: &[Target { metric: "ns", at_most: Bound::Times(1.0, "threads") }],
        rounds: 11,
        limit: Duration::from_secs(60),
        estimate: Duration::from_millis(500),
        memory_bytes: 256 << 20,
    },
];

const YIELDING: &[Entry] =
    &[Entry::plain("gort"), Entry::plain("go"), Entry { peer: "threads", params: &[("repeats", 3)], note: ONE_CPU }];

const fn yields(
    name: &'static str,
    about: &'static str,
    params: &'static [(&'static str, u64)],
    targets: &'static [Target],
) -> Workload {
    Workload {
        name,
        about,
        task: Task::Alone("yield"),
        params,
        procs: Procs::One,
        entries: YIELDING,
        metrics: &[NS],
        targets,
        rounds: 11,
        limit: Duration::from_secs(60),
        estimate: Duration::from_secs(1),
        memory_bytes: 256 << 20,
    }
}

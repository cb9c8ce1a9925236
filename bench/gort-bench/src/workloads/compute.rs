//! Spawn, park, yield, lock, malloc: nanoseconds in one process.

use std::time::Duration;

use super::{Bound, Entry, Metric, Procs, Shown, Target, Task, Workload};

const NS: Metric = Metric::less("ns", "ns", Shown::Compared);

const ONE_CPU: Option<&str> = Some("threads on one CPU");

/// See the module.
pub const WORKLOADS: &[Workload] = &[
    spawn_join(
        "spawn_join_10k",
        "start 10,000 goroutines that count, wait for all: ns for each",
        &[("count", 10_000), ("repeats", 31)],
        &[Entry::plain("gort"), WAIT_GROUP, Entry::plain("tokio"), Entry::plain("may"), FEWER_THREADS],
        &[],
    ),
    spawn_join(
        "spawn_join_100k",
        "start 100,000 goroutines that count, wait for all: ns for each",
        &[("count", 100_000), ("repeats", 11)],
        &[
            Entry::plain("gort"),
            WAIT_GROUP,
            Entry::plain("tokio"),
            Entry {
                peer: "may",
                params: &[("count", 10_000)],
                note: Some("10,000: of 100,000 too many are there at once, it panics for want of mappings"),
            },
            FEWER_THREADS,
        ],
        &[Target { metric: "ns", at_most: Bound::Times(0.3, "go") }],
    ),
    Workload {
        name: "park_unpark_p1",
        about: "two goroutines on one processor park and unpark each other in turn: ns per round trip",
        task: Task::Alone("park_unpark"),
        params: &[("count", 200_000), ("repeats", 9), ("locked", 0)],
        procs: Procs::One,
        entries: &[
            Entry::plain("gort"),
            Entry::noted("go", "a channel with room for one token"),
            Entry::noted("tokio", "Notify"),
            Entry::plain("may"),
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
        name: "skynet_1000k",
        about: "a tree of 1,111,111 goroutines, ten below each, that send their sums up through unbuffered channels: ms for the whole",
        task: Task::Alone("skynet"),
        params: &[("leaves", 1_000_000), ("repeats", 3)],
        procs: Procs::AsAsked,
        entries: &[Entry::plain("gort"), Entry::plain("go"), Entry::noted("tokio", "its channels, room for one value")],
        metrics: &[Metric::less("ms", "ms", Shown::Compared), Metric::less("cold_ms", "first time ms", Shown::Median)],
        targets: &[],
        rounds: 11,
        limit: Duration::from_secs(60),
        estimate: Duration::from_millis(2500),
        memory_bytes: 11 << 30,
    },
    Workload {
        name: "mutex_contended",
        about: "8 goroutines lock the same mutex for an addition, again and again: ns for each addition",
        task: Task::Alone("mutex"),
        params: &[("goroutines", 8), ("count", 200_000), ("repeats", 9)],
        procs: Procs::AsAsked,
        entries: &[
            Entry::plain("gort"),
            Entry::plain("go"),
            Entry::noted("threads", "std's, on threads"),
            Entry::noted("parking_lot", "on threads"),
            Entry::noted("tokio", "its own, which is fair"),
            Entry::plain("may"),
        ],
        metrics: &[NS],
        targets: &[Target { metric: "ns", at_most: Bound::Times(1.0, "threads") }],
        rounds: 11,
        limit: Duration::from_secs(60),
        estimate: Duration::from_millis(800),
        memory_bytes: 256 << 20,
    },
    Workload {
        name: "malloc_64",
        about: "allocate and free 64 bytes, in a goroutine and in a thread of a program without gort: ns for both together",
        task: Task::Alone("malloc"),
        params: &[("count", 5_000_000), ("repeats", 7)],
        procs: Procs::AsAsked,
        entries: &[Entry::plain("gort"), Entry::noted("threads", "the C library's malloc")],
        metrics: &[NS],
        targets: &[Target { metric: "ns", at_most: Bound::Times(1.0, "threads") }],
        rounds: 11,
        limit: Duration::from_secs(60),
        estimate: Duration::from_millis(500),
        memory_bytes: 256 << 20,
    },
];

const YIELDING: &[Entry] = &[
    Entry::plain("gort"),
    Entry::plain("go"),
    Entry::plain("tokio"),
    Entry::plain("may"),
    Entry { peer: "threads", params: &[("repeats", 3)], note: ONE_CPU },
];

const WAIT_GROUP: Entry = Entry::noted("go", "a WaitGroup, no handles");

const FEWER_THREADS: Entry = Entry {
    peer: "threads",
    params: &[("count", 2_000), ("repeats", 3)],
    note: Some("2,000 threads: systems refuse many more at once"),
};

const SPAWNED: &[Metric] = &[NS, Metric::less("cold_ns", "first time ns", Shown::Median)];

const fn spawn_join(
    name: &'static str,
    about: &'static str,
    params: &'static [(&'static str, u64)],
    entries: &'static [Entry],
    targets: &'static [Target],
) -> Workload {
    Workload {
        name,
        about,
        task: Task::Alone("spawn_join"),
        params,
        procs: Procs::AsAsked,
        entries,
        metrics: SPAWNED,
        targets,
        rounds: 11,
        limit: Duration::from_secs(60),
        estimate: Duration::from_millis(800),
        memory_bytes: 2 << 30,
    }
}

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

//! What it costs to cross the border between goroutines and the rest, what sockets notice of goroutines that sleep outside, and what a process does
//! that has nothing to do.

use std::time::Duration;

use super::{Bound, Entry, Metric, Procs, Shown, Target, Task, Workload};

/// See the module.
pub const WORKLOADS: &[Workload] = &[
    Workload {
        name: "border",
        about: "entering and leaving the runtime, as each call does, and marked sections that end at once: ns for each, less an empty loop's",
        task: Task::Alone("border"),
        params: &[("count", 5_000_000), ("repeats", 9)],
        procs: Procs::AsAsked,
        entries: &[Entry::plain("gort")],
        metrics: &[
            Metric::less("ns", "visit ns", Shown::Median),
            Metric::less("blocking_ns", "blocking() ns", Shown::Median),
            Metric::less("nested_ns", "nested ns", Shown::Median),
            Metric::less("class_ns", "of a class ns", Shown::Median),
        ],
        targets: &[
            Target { metric: "ns", at_most: Bound::Value(1.0) },
            Target { metric: "blocking_ns", at_most: Bound::Value(30.0) },
        ],
        rounds: 5,
        limit: Duration::from_secs(30),
        estimate: Duration::from_secs(2),
        memory_bytes: 256 << 20,
    },
    Workload {
        name: "locked_park",
        about: "two goroutines, one of them locked to its thread, park and unpark each other in turn: ns per round trip",
        task: Task::Alone("park_unpark"),
        params: &[("count", 20_000), ("repeats", 9), ("locked", 1)],
        procs: Procs::Two,
        entries: &[Entry::plain("gort"), Entry::noted("go", "a channel with room for one token")],
        metrics: &[Metric::less("ns", "ns", Shown::Compared)],
        targets: &[],
        rounds: 5,
        limit: Duration::from_secs(60),
        estimate: Duration::from_secs(3),
        memory_bytes: 256 << 20,
    },
    Workload {
        name: "asleep_sockets",
        about: "a goroutine for each processor blocks its thread for 3 s, while a byte goes over TCP and back every ms: how late it is",
        task: Task::Alone("asleep"),
        params: &[("sleep_ms", 3000)],
        procs: Procs::Two,
        entries: &[Entry::noted("gort", "std::thread::sleep, unmarked")],
        metrics: &[
            Metric::scaled("p99_us", "late p99 ms", 1e-3, Shown::Median),
            Metric::scaled("p50_us", "late p50 ms", 1e-3, Shown::Median),
        ],
        targets: &[Target { metric: "p99_us", at_most: Bound::Value(5000.0) }],
        rounds: 5,
        limit: Duration::from_secs(20),
        estimate: Duration::from_secs(4),
        memory_bytes: 256 << 20,
    },
    Workload {
        name: "idle",
        about: "requests and sleeps, nothing that blocks: processors taken from threads; then nothing at all: switches to its threads per second",
        task: Task::Alone("idle"),
        params: &[("count", 200), ("settle_ms", 6000), ("window_ms", 3000)],
        procs: Procs::Two,
        entries: &[Entry::plain("gort")],
        metrics: &[
            Metric::less("retakes", "retakes", Shown::Median),
            Metric::less("wake_ups_per_s", "wake-ups per s", Shown::Median),
        ],
        targets: &[
            Target { metric: "retakes", at_most: Bound::Value(0.0) },
            Target { metric: "wake_ups_per_s", at_most: Bound::Value(0.0) },
        ],
        rounds: 5,
        limit: Duration::from_secs(60),
        estimate: Duration::from_secs(23),
        memory_bytes: 256 << 20,
    },
];

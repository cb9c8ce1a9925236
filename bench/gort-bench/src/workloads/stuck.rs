//! Everybody else, while processors are taken by goroutines that compute or that block in the kernel.

use std::time::Duration;

use super::{Bound, Entry, Metric, Procs, Shown, Target, Task, Workload};

/// See the module.
pub const WORKLOADS: &[Workload] = &[
    hog_relay(
        "hog_relay2",
        "beside 2 goroutines that never give way, on 2 processors: how late one is that sleeps for 1 ms and asks another one",
        &[("hogs", 2), ("window_ms", 4000)],
    ),
    hog_relay(
        "hog_relay4",
        "the same beside 4 goroutines that never give way, on 2 processors",
        &[("hogs", 4), ("window_ms", 4000)],
    ),
    Workload {
        name: "blocking_syscall",
        about: "1,000 goroutines block in the kernel for 10 ms, at once, while one wakes every ms: how long it takes, how late that one is",
        task: Task::Alone("blocking_syscall"),
        params: &[("count", 1000), ("sleep_ms", 10), ("repeats", 15)],
        procs: Procs::Two,
        entries: &[
            Entry::noted("gort", "marked with gort::blocking; without the mark it takes the last column's time"),
            Entry::noted("go", "its syscall package marks them"),
            Entry::noted("tokio", "spawn_blocking"),
            Entry { peer: "may", params: &[("repeats", 1)], note: Some("there is no mark") },
            Entry::noted("threads", "1,000 threads"),
        ],
        metrics: &[
            Metric::less("wall_ms", "ms", Shown::Compared),
            Metric::less("threads", "threads", Shown::Median),
            Metric::less("threads_x_ms", "threads x ms", Shown::Compared),
            Metric::scaled("p50_us", "late p50 ms", 1e-3, Shown::Median),
            Metric::scaled("p99_us", "late p99 ms", 1e-3, Shown::Compared),
            Metric::less("unmarked_ms", "unmarked ms", Shown::Median),
        ],
        targets: &[
            Target { metric: "wall_ms", at_most: Bound::Times(0.8, "go") },
            Target { metric: "threads_x_ms", at_most: Bound::Times(1.0, "go") },
            Target { metric: "p99_us", at_most: Bound::Value(2500.0) },
        ],
        rounds: 11,
        limit: Duration::from_secs(30),
        estimate: Duration::from_secs(3),
        memory_bytes: 256 << 20,
    },
];

const BESIDE_HOGS: &[Entry] = &[
    Entry::plain("gort"),
    Entry::plain("go"),
    Entry::noted("threads", "on as many CPUs"),
    Entry::noted("tokio", "expected to hang: nobody takes a worker from a task"),
    Entry::noted("may", "expected to hang: nobody takes a worker from a coroutine"),
];

const LATE: &[Metric] = &[
    Metric::scaled("p99_us", "late p99 ms", 1e-3, Shown::Compared),
    Metric::scaled("p50_us", "late p50 ms", 1e-3, Shown::Compared),
    Metric::more("wake_ups", "wake-ups", Shown::Median),
    Metric::more("hog_mloops_per_s", "hogs' Mloops/s", Shown::Median),
];

const fn hog_relay(name: &'static str, about: &'static str, params: &'static [(&'static str, u64)]) -> Workload {
    Workload {
        name,
        about,
        task: Task::Alone("hog_relay"),
        params,
        procs: Procs::Two,
        entries: BESIDE_HOGS,
        metrics: LATE,
        targets: &[
            Target { metric: "p99_us", at_most: Bound::Times(1.2, "threads") },
            Target { metric: "p99_us", at_most: Bound::Times(0.15, "go") },
        ],
        rounds: 11,
        limit: Duration::from_secs(15),
        estimate: Duration::from_secs(5),
        memory_bytes: 256 << 20,
    }
}

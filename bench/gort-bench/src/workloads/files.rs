//! Files: cached ones, which cost what the calls cost, and reads that wait for the disk.

use std::time::Duration;

use super::{Bound, Entry, Metric, Procs, Shown, Target, Task, Workload};

/// See the module.
pub const WORKLOADS: &[Workload] = &[
    Workload {
        name: "file_read",
        about: "1,000 goroutines open, read and close files of 64 KiB that are in the page cache: the time of each",
        task: Task::Alone("file_read"),
        params: &[("goroutines", 1000), ("reads", 20), ("files", 100), ("bytes", 65536), ("repeats", 5)],
        procs: Procs::AsAsked,
        entries: &[Entry::plain("gort"), Entry::noted("threads", "1,000 threads"), Entry::plain("go")],
        metrics: METRICS,
        // 0.95 of their throughput.
        targets: &[Target { metric: "us", at_most: Bound::Times(1.053, "threads") }],
        rounds: 11,
        limit: Duration::from_secs(60),
        estimate: Duration::from_secs(3),
        memory_bytes: 256 << 20,
    },
    Workload {
        name: "file_read_cold",
        about: "random reads of 4 KiB past the page cache, 256 in flight: the time of each",
        task: Task::Alone("file_read_cold"),
        params: &[("in_flight", 256), ("count", 20_000), ("bytes", 64 << 20), ("repeats", 3)],
        procs: Procs::AsAsked,
        entries: &[
            Entry::plain("gort"),
            Entry { peer: "threads", params: &[("in_flight", 64)], note: Some("a pool of 64") },
            Entry::noted("uring", "one thread, which does nothing else"),
            Entry::plain("go"),
        ],
        metrics: METRICS,
        targets: &[
            Target { metric: "us", at_most: Bound::Times(1.0, "threads") },
            Target { metric: "cpu_us", at_most: Bound::Times(0.6, "threads") },
            Target { metric: "cpu_us", at_most: Bound::Times(1.15, "uring") },
        ],
        rounds: 11,
        limit: Duration::from_secs(60),
        estimate: Duration::from_secs(4),
        memory_bytes: 256 << 20,
    },
    Workload {
        name: "write_dirty",
        about: "64 goroutines write 16 MiB each and wait for the disk after each 4 MiB: how late an answer over a socket is meanwhile",
        task: Task::Alone("write_dirty"),
        params: &[("writers", 64), ("bytes", 16 << 20), ("piece", 1 << 20), ("synced", 4 << 20)],
        procs: Procs::Two,
        entries: &[Entry::plain("gort"), Entry::noted("threads", "64 threads")],
        metrics: &[
            Metric::scaled("p99_us", "late p99 ms", 1e-3, Shown::Compared),
            Metric::less("threads", "threads", Shown::Median),
            Metric::more("mb_per_s", "MB/s", Shown::Compared),
        ],
        // Two processors and the limit of the class, with the monitor, the thread of the ring and main's.
        targets: &[
            Target { metric: "p99_us", at_most: Bound::Value(5000.0) },
            Target { metric: "threads", at_most: Bound::Value(69.0) },
        ],
        rounds: 11,
        limit: Duration::from_secs(120),
        estimate: Duration::from_secs(15),
        memory_bytes: 2 << 30,
    },
];

const METRICS: &[Metric] = &[
    Metric::less("us", "us/read", Shown::Compared),
    Metric::less("cpu_us", "CPU us/read", Shown::Compared),
    Metric::less("threads", "threads", Shown::Median),
];

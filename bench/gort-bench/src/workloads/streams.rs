//! Copies that the kernel makes, datagrams in batches, idle connections.

use std::time::Duration;

use super::{Bound, Entry, Metric, Procs, Shown, Target, Task, Workload};

/// See the module.
pub const WORKLOADS: &[Workload] = &[
    Workload {
        name: "copy_file_socket",
        about: "io::copy of a cached file to a TCP socket whose reader throws it away: the time of each MiB",
        task: Task::Alone("copy_file_socket"),
        params: &[("bytes", 64 << 20), ("times", 16), ("repeats", 3)],
        entries: &[Entry::plain("gort"), Entry::noted("threads", "a loop of sendfile")],
        ..COPY
    },
    Workload {
        name: "proxy_splice",
        about: "io::copy from one TCP socket to another one: the time of each MiB",
        task: Task::Alone("proxy_splice"),
        params: &[("bytes", 1 << 30), ("repeats", 3)],
        entries: &[Entry::plain("gort"), Entry::noted("threads", "a loop of splice through a pipe of 64 KiB")],
        ..COPY
    },
    Workload {
        name: "udp_batch",
        about: "64 datagrams of 64 bytes, received at once: the time of each",
        task: Task::Alone("udp_batch"),
        params: &[("batch", 64), ("each", 64), ("count", 1_000_000)],
        procs: Procs::One,
        entries: &[Entry::plain("gort"), Entry::noted("threads", "recvmmsg and sendmmsg")],
        metrics: &[
            Metric::less("ns", "ns/datagram", Shown::Compared),
            Metric::less("send_ns", "sent, ns/datagram", Shown::Compared),
        ],
        targets: &[Target { metric: "ns", at_most: Bound::Times(1.1, "threads") }],
        ..COPY
    },
    Workload {
        name: "mem_idle_4k",
        about: "4,000 connections that wait for something to read before they take a buffer: bytes over a parked goroutine",
        task: Task::Alone("idle_readable"),
        params: &[("count", 4000)],
        entries: &[Entry::plain("gort")],
        metrics: &[
            Metric::less("bytes", "bytes over", Shown::Compared),
            Metric::less("all_bytes", "bytes in all", Shown::Median),
        ],
        targets: &[Target { metric: "bytes", at_most: Bound::Value(600.0) }],
        ..COPY
    },
];

const COPY: Workload = Workload {
    name: "",
    about: "",
    task: Task::Alone(""),
    params: &[],
    procs: Procs::AsAsked,
    entries: &[],
    metrics: &[
        Metric::less("us", "us/MiB", Shown::Compared),
        Metric::less("cpu_us", "CPU us/MiB, far ends included", Shown::Compared),
    ],
    // 0.95 of its throughput.
    targets: &[Target { metric: "us", at_most: Bound::Times(1.053, "threads") }],
    rounds: 11,
    limit: Duration::from_secs(60),
    estimate: Duration::from_secs(3),
    memory_bytes: 256 << 20,
};

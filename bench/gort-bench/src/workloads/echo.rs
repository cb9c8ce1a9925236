//! Echo servers under one and the same load.

use std::time::Duration;

use super::{Bound, Entry, Metric, Procs, Shown, Target, Task, Workload};

/// See the module.
pub const WORKLOADS: &[Workload] = &[
    echo(
        "echo_64",
        "64 connections, a message of 64 bytes in flight on each: CPU time of the server per request",
        &[("conns", 64), ("warm_up_ms", 500), ("window_ms", 3000)],
        &[target("cpu_us_per_req", 0.90), target("p99_us", 0.5)],
        Duration::from_millis(4500),
    ),
    echo(
        "echo_1000",
        "1,000 connections, a message of 64 bytes in flight on each: CPU time of the server per request",
        &[("conns", 1000), ("warm_up_ms", 1000), ("window_ms", 3000)],
        &[
            target("cpu_us_per_req", 1.05),
            target("p99_us", 1.15),
            Target { metric: "syscalls_per_req", at_most: Bound::Value(2.1) },
        ],
        Duration::from_secs(5),
    ),
    echo(
        "echo_10000",
        "10,000 connections, a message of 64 bytes in flight on each: CPU time of the server per request",
        &[("conns", 10_000), ("warm_up_ms", 2000), ("window_ms", 3000)],
        &[target("cpu_us_per_req", 1.08), target("p99_us", 1.1)],
        Duration::from_secs(8),
    ),
];

const fn target(metric: &'static str, factor: f64) -> Target {
    Target { metric, at_most: Bound::Times(factor, "epoll") }
}

const SERVERS: &[Entry] = &[
    Entry::plain("gort"),
    Entry::noted("epoll", "the yardstick: as many event loops as gort has processors"),
    Entry::plain("go"),
    Entry::plain("tokio"),
    Entry::plain("may"),
    Entry::noted("threads", "a thread per connection"),
];

const METRICS: &[Metric] = &[
    Metric::less("cpu_us_per_req", "CPU us/req", Shown::Compared),
    Metric::more("rps", "req/s", Shown::Median),
    Metric::scaled("p50_us", "p50 ms", 1e-3, Shown::Median),
    Metric::scaled("p99_us", "p99 ms", 1e-3, Shown::Compared),
    Metric::scaled("p999_us", "p99.9 ms", 1e-3, Shown::Median),
    Metric::less("syscalls_per_req", "calls/req", Shown::Median),
    Metric::less("server_bytes_per_conn", "bytes/conn", Shown::Median),
    Metric::less("max_us", "longest", Shown::No),
    Metric::less("server_threads", "threads", Shown::No),
    Metric::less("client_cpu_share", "client CPU", Shown::No),
];

const fn echo(
    name: &'static str,
    about: &'static str,
    params: &'static [(&'static str, u64)],
    targets: &'static [Target],
    estimate: Duration,
) -> Workload {
    Workload {
        name,
        about,
        task: Task::Served("echo"),
        params,
        procs: Procs::AsAsked,
        entries: SERVERS,
        metrics: METRICS,
        targets,
        rounds: 15,
        limit: Duration::from_secs(60),
        estimate,
        memory_bytes: 1 << 30,
    }
}

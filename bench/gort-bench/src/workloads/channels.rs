//! Channels and `select!`: nanoseconds per message.

use std::time::Duration;

use super::{Bound, Entry, Metric, Procs, Shown, Target, Task, Workload};

const NS: &[Metric] = &[Metric::less("ns", "ns", Shown::Compared)];

/// See the module.
pub const WORKLOADS: &[Workload] = &[
    pingpong(
        "pingpong",
        "a number goes to and fro between two goroutines, through unbuffered channels: ns per round trip",
        Procs::AsAsked,
    ),
    pingpong("pingpong_p1", "the same on one processor: ns per round trip", Procs::One),
    Workload {
        name: "chan_mpmc",
        about: "4 senders, 4 receivers, a channel with room for 128: ns per message",
        task: Task::Alone("mpmc"),
        params: &[("senders", 4), ("receivers", 4), ("capacity", 128), ("count", 1_000_000), ("repeats", 5)],
        procs: Procs::AsAsked,
        entries: &[
            Entry::plain("gort"),
            Entry::plain("go"),
            KANAL_ASYNC,
            FLUME_ASYNC,
            Entry::noted("may", "a channel without bounds"),
            CROSSBEAM,
            KANAL,
            FLUME,
        ],
        metrics: NS,
        targets: &[Target { metric: "ns", at_most: Bound::TimesBest(1.0, &["kanal", "kanal_async"]) }],
        rounds: 11,
        limit: Duration::from_secs(60),
        estimate: Duration::from_millis(700),
        memory_bytes: 256 << 20,
    },
    select2(
        "select2",
        "two senders, an unbuffered channel each, and one who receives from both: ns per message",
        &[("capacity", 0), ("count", 200_000), ("repeats", 5)],
        &[
            Entry::plain("gort"),
            Entry::plain("go"),
            ROOM_FOR_ONE,
            KANAL_ASYNC,
            FLUME_ASYNC,
            MAY_SELECT,
            Entry { peer: "crossbeam", params: &[("count", 10_000)], note: Some("on threads") },
            Entry { peer: "flume", params: &[("count", 10_000)], note: Some("on threads") },
        ],
        &[Target { metric: "ns", at_most: Bound::Times(0.5, "go") }],
    ),
    select2(
        "select2_buf128",
        "the same, channels with room for 128: ns per message",
        &[("capacity", 128), ("count", 500_000), ("repeats", 5)],
        &[
            Entry::plain("gort"),
            Entry::plain("go"),
            Entry::plain("tokio"),
            KANAL_ASYNC,
            FLUME_ASYNC,
            MAY_SELECT,
            CROSSBEAM,
            FLUME,
        ],
        &[Target { metric: "ns", at_most: Bound::Times(0.6, "go") }],
    ),
    Workload {
        name: "select_default",
        about: "select with a default, on an empty channel: ns for each look",
        task: Task::Alone("select_default"),
        params: &[("count", 5_000_000), ("repeats", 7)],
        procs: Procs::AsAsked,
        entries: &[
            Entry::plain("gort"),
            Entry::plain("go"),
            Entry::noted("tokio", "biased, with a branch that is always ready"),
            Entry::noted("crossbeam", "on a thread"),
            Entry::noted("may", "its try_recv: there is no default"),
        ],
        metrics: NS,
        targets: &[Target { metric: "ns", at_most: Bound::TimesBest(1.0, &["go", "tokio", "crossbeam", "may"]) }],
        rounds: 11,
        limit: Duration::from_secs(60),
        estimate: Duration::from_millis(600),
        memory_bytes: 256 << 20,
    },
];

const KANAL_ASYNC: Entry = Entry::noted("kanal_async", "kanal's channels between tokio's tasks");
const FLUME_ASYNC: Entry = Entry::noted("flume_async", "flume's channels between tokio's tasks");
const ROOM_FOR_ONE: Entry =
    Entry::noted("tokio", "its own channels have room for one value at least: a send does not wait");
const MAY_SELECT: Entry =
    Entry { peer: "may", params: &[("count", 20_000), ("repeats", 1)], note: Some("channels without bounds") };
const CROSSBEAM: Entry = Entry::noted("crossbeam", "on threads");
const KANAL: Entry = Entry::noted("kanal", "on threads");
const FLUME: Entry = Entry::noted("flume", "on threads");

const FEWER: &[(&str, u64)] = &[("count", 5_000), ("repeats", 3)];

const PLAYERS: &[Entry] = &[
    Entry::plain("gort"),
    Entry::plain("go"),
    KANAL_ASYNC,
    FLUME_ASYNC,
    ROOM_FOR_ONE,
    Entry::noted("may", "channels without bounds: a send does not wait"),
    Entry { peer: "threads", params: FEWER, note: Some("std's channels") },
    Entry { peer: "crossbeam", params: FEWER, note: Some("on threads") },
    Entry { peer: "kanal", params: FEWER, note: Some("on threads") },
    Entry { peer: "flume", params: FEWER, note: Some("on threads") },
];

/// Those among them whose sends wait until the value is received.
const RENDEZVOUS: &[&str] = &["go", "kanal_async", "flume_async", "threads", "crossbeam", "kanal", "flume"];

const fn pingpong(name: &'static str, about: &'static str, procs: Procs) -> Workload {
    Workload {
        name,
        about,
        task: Task::Alone("pingpong"),
        params: &[("count", 100_000), ("repeats", 7)],
        procs,
        entries: PLAYERS,
        metrics: NS,
        targets: &[Target { metric: "ns", at_most: Bound::TimesBest(0.6, RENDEZVOUS) }],
        rounds: 11,
        limit: Duration::from_secs(60),
        estimate: Duration::from_millis(600),
        memory_bytes: 256 << 20,
    }
}

const fn select2(
    name: &'static str,
    about: &'static str,
    params: &'static [(&'static str, u64)],
    entries: &'static [Entry],
    targets: &'static [Target],
) -> Workload {
    Workload {
        name,
        about,
        task: Task::Alone("select2"),
        params,
        procs: Procs::AsAsked,
        entries,
        metrics: NS,
        targets,
        rounds: 11,
        limit: Duration::from_secs(30),
        estimate: Duration::from_millis(800),
        memory_bytes: 256 << 20,
    }
}

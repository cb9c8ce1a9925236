//! The table of workloads: what each does, on which peers, in which figures it is told, and what it must reach.
//!
//! A workload is a name that people quote (`echo_1000`), a task that every peer's executable knows (`echo_server`, `yield`) with its
//! parameters, and the list of peers that have it. A further peer is an entry here and one in `peers`; a further workload is a constant in one
//! of the files below.

mod border;
mod channels;
mod compute;
mod echo;
mod files;
mod modes;
mod parked;
mod streams;
mod stuck;
mod timers;

use std::time::Duration;

/// A row of the table.
#[derive(Debug)]
pub struct Workload {
    /// As people quote it.
    pub name: &'static str,
    /// One line, without a full stop.
    pub about: &'static str,
    /// What is run.
    pub task: Task,
    /// Parameters of the task, for every peer.
    pub params: &'static [(&'static str, u64)],
    /// Processors or threads.
    pub procs: Procs,
    /// gort and whom it is compared with.
    pub entries: &'static [Entry],
    /// What is told; the first decides who is best.
    pub metrics: &'static [Metric],
    /// What gort must reach.
    pub targets: &'static [Target],
    /// Rounds, unless asked otherwise.
    pub rounds: usize,
    /// After this a measurement counts as hung.
    pub limit: Duration,
    /// What one measurement takes, about, until it is known.
    pub estimate: Duration,
    /// Memory that a measurement needs: with less it is not begun.
    pub memory_bytes: u64,
}

/// How a workload is run.
#[derive(Debug, Clone, Copy)]
pub enum Task {
    /// The peer's executable does it all.
    Alone(&'static str),
    /// The peer's executable serves, the one load generator asks.
    Served(&'static str),
}

/// How many processors or threads.
#[derive(Debug, Clone, Copy)]
pub enum Procs {
    /// One, to see the bare cost of a path.
    One,
    /// Two, whatever the machine has.
    Two,
    /// As many as the run was asked for.
    AsAsked,
}

/// A peer's part in a workload.
#[derive(Debug)]
pub struct Entry {
    /// As in `peers`.
    pub peer: &'static str,
    /// Parameters that differ for this peer.
    pub params: &'static [(&'static str, u64)],
    /// What a reader must know to compare fairly.
    pub note: Option<&'static str>,
}

/// A figure.
#[derive(Debug)]
pub struct Metric {
    /// As the workers call it.
    pub key: &'static str,
    /// Head of its column.
    pub label: &'static str,
    /// Which way is better.
    pub better: Better,
    /// How much of it the table shows.
    pub shown: Shown,
    /// Multiplies what the workers tell, for the table only.
    pub scale: f64,
}

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// Times and bytes.
    Less,
    /// Requests per second.
    More,
}

/// How much of a metric the table shows. The JSON file has all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// Median, range and the ratio to each peer.
    Compared,
    /// The median.
    Median,
    /// Only in the JSON file.
    No,
}

/// What gort must reach.
#[derive(Debug)]
pub struct Target {
    /// Key of the metric.
    pub metric: &'static str,
    /// At most this.
    pub at_most: Bound,
}

/// A limit for a metric of gort's.
#[derive(Debug, Clone, Copy)]
pub enum Bound {
    /// In the metric's own unit.
    Value(f64),
    /// So many times a peer's.
    Times(f64, &'static str),
    /// So much more than a peer's, in the metric's own unit.
    Above(f64, &'static str),
    /// So many times that of the best of these peers, which are those that do the same thing.
    TimesBest(f64, &'static [&'static str]),
}

impl Entry {
    const fn plain(peer: &'static str) -> Entry {
        Entry { peer, params: &[], note: None }
    }

    const fn noted(peer: &'static str, note: &'static str) -> Entry {
        Entry { peer, params: &[], note: Some(note) }
    }
}

impl Metric {
    const fn less(key: &'static str, label: &'static str, shown: Shown) -> Metric {
        Metric { key, label, better: Better::Less, shown, scale: 1.0 }
    }

    /// Told by the workers in another unit than the table's.
    const fn scaled(key: &'static str, label: &'static str, scale: f64, shown: Shown) -> Metric {
        Metric { key, label, better: Better::Less, shown, scale }
    }

    const fn more(key: &'static str, label: &'static str, shown: Shown) -> Metric {
        Metric { key, label, better: Better::More, shown, scale: 1.0 }
    }
}

impl Workload {
    /// The figure that decides who is best.
    pub fn first_metric(&self) -> &'static Metric {
        &self.metrics[0]
    }

    /// A figure by its key.
    pub fn metric(&self, key: &str) -> Option<&'static Metric> {
        self.metrics.iter().find(|metric| metric.key == key)
    }

    /// How many processors, when the run was asked for `asked`.
    pub fn procs(&self, asked: usize) -> usize {
        match self.procs {
            Procs::One => 1,
            Procs::Two => 2,
            Procs::AsAsked => asked,
        }
    }
}

/// All workloads, in the order in which they are told.
pub fn all() -> impl Iterator<Item = &'static Workload> {
    let groups = [
        compute::WORKLOADS,
        border::WORKLOADS,
        channels::WORKLOADS,
        timers::WORKLOADS,
        stuck::WORKLOADS,
        files::WORKLOADS,
        streams::WORKLOADS,
        parked::WORKLOADS,
        modes::WORKLOADS,
        echo::WORKLOADS,
    ];
    groups.into_iter().flatten()
}

#[cfg(test)]
mod tests;

//! The results as data: what the JSON file holds and the table shows.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::machine::Machine;
use crate::peers::{GORT, Roster};
use crate::records::{Record, Records};
use crate::schedule::Plan;
use crate::stats::{Estimate, Spread};
use crate::workloads::{Better, Bound, Entry, Target, Workload};

/// A run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Where.
    pub machine: Machine,
    /// Processors of each runtime.
    pub procs: usize,
    /// Threads of the load generator.
    pub client_threads: usize,
    /// False if it was ended early.
    pub complete: bool,
    /// Who took part, and who could not.
    pub peers: Vec<PeerReport>,
    /// What was measured.
    pub workloads: Vec<WorkloadReport>,
}

/// Who took part.
#[derive(Debug, Serialize)]
pub struct PeerReport {
    /// The peer's name.
    pub name: &'static str,
    /// If it took part.
    pub version: Option<String>,
    /// If it did not: why.
    pub missing: Option<String>,
}

/// A row of the table of workloads.
#[derive(Debug, Serialize)]
pub struct WorkloadReport {
    /// The workload's name.
    pub name: &'static str,
    /// What it does.
    pub about: &'static str,
    /// Processors.
    pub procs: usize,
    /// Rounds that were begun.
    pub rounds: usize,
    /// Processors that others kept busy, on average: the higher, the less the figures say.
    pub others_cpus: Option<f64>,
    /// gort first, then the others, the best first.
    pub peers: Vec<Standing>,
    /// gort against each peer, the best peer first.
    pub ratios: Vec<Ratio>,
    /// What gort must reach.
    pub targets: Vec<Verdict>,
    #[serde(skip)]
    pub workload: &'static Workload,
}

/// A peer's figures in a workload.
#[derive(Debug, Serialize)]
pub struct Standing {
    /// The peer's name.
    pub peer: &'static str,
    /// What to know before comparing.
    pub note: Option<&'static str>,
    /// Remarks of its workers.
    pub notes: BTreeMap<String, String>,
    /// By metric.
    pub figures: BTreeMap<String, Spread>,
    /// Why there are fewer values than rounds.
    pub failures: Vec<String>,
    /// Round by round.
    pub runs: Vec<Run>,
}

/// One measurement.
#[derive(Debug, Serialize)]
pub struct Run {
    /// In which round, from 0.
    pub round: usize,
    /// Seconds it took, preparation included.
    pub took_s: f64,
    /// Processors that others kept busy meanwhile.
    pub others_cpus: f64,
    /// By metric.
    pub figures: Option<BTreeMap<String, f64>>,
    /// Why there are none.
    pub failed: Option<String>,
}

/// gort against a peer: the median of the ratios of the rounds.
#[derive(Debug, Serialize)]
pub struct Ratio {
    /// Key of the metric.
    pub metric: &'static str,
    /// Against whom.
    pub peer: &'static str,
    /// gort divided by the peer.
    #[serde(flatten)]
    pub estimate: Estimate,
}

/// A target and what became of it.
#[derive(Debug, Serialize)]
pub struct Verdict {
    /// Key of the metric.
    pub metric: &'static str,
    /// Times whose figure; if nobody's, the limit is in the metric's unit.
    pub times: Option<&'static str>,
    /// Above whose figure the limit is, in the metric's unit.
    pub above: Option<&'static str>,
    /// If that is whoever was the best: of whom.
    pub best_of: Option<&'static [&'static str]>,
    /// At most this.
    pub limit: f64,
    /// What was reached.
    pub reached: Option<Estimate>,
    /// Whether the median keeps the limit; nothing if there is none.
    pub ok: Option<bool>,
    /// False if the interval has the limit inside.
    pub clear: bool,
}

impl Report {
    /// Of what there is.
    pub fn of(plan: &Plan, roster: &Roster, machine: &Machine, records: &Records, complete: bool) -> Report {
        let peers = roster
            .iter()
            .map(|(name, peer)| PeerReport {
                name,
                version: peer.ok().map(|peer| peer.version.clone()),
                missing: peer.err().map(str::to_owned),
            })
            .collect();
        let workloads =
            plan.workloads.iter().map(|workload| WorkloadReport::of(workload, plan.procs, records)).collect();
        Report {
            machine: machine.clone(),
            procs: plan.procs,
            client_threads: plan.client_threads,
            complete,
            peers,
            workloads,
        }
    }

    /// Whether gort failed anywhere.
    pub fn gort_failed(&self) -> bool {
        let standings = self.workloads.iter().flat_map(|workload| &workload.peers);
        standings.filter(|standing| standing.peer == GORT).any(|standing| !standing.failures.is_empty())
    }
}

impl WorkloadReport {
    fn of(workload: &'static Workload, procs: usize, records: &Records) -> WorkloadReport {
        let mut peers: Vec<_> = workload
            .entries
            .iter()
            .map(|entry| Standing::of(workload, entry, records.of(workload.name, entry.peer)))
            .filter(|standing| !standing.runs.is_empty())
            .collect();
        let first = workload.first_metric();
        peers.sort_by(|a, b| {
            let key = |standing: &Standing| {
                let median = standing.figures.get(first.key).map_or(f64::INFINITY, |spread| spread.median);
                let worse = if first.better == Better::More && median.is_finite() { -median } else { median };
                (standing.peer != GORT, worse)
            };
            key(a).0.cmp(&key(b).0).then(key(a).1.total_cmp(&key(b).1))
        });
        let mut ratios = Vec::new();
        for metric in workload.metrics {
            for standing in peers.iter().filter(|standing| standing.peer != GORT) {
                let estimate = ratio(workload, metric.key, standing.peer, records);
                ratios.extend(estimate.map(|estimate| Ratio { metric: metric.key, peer: standing.peer, estimate }));
            }
        }
        let targets = workload.targets.iter().map(|target| Verdict::of(workload, target, records)).collect();
        let others: Vec<_> = peers.iter().flat_map(|standing| &standing.runs).map(|run| run.others_cpus).collect();
        let others_cpus = Spread::of(&others).map(|spread| spread.median);
        let rounds = peers.iter().flat_map(|standing| &standing.runs).map(|run| run.round + 1).max().unwrap_or(0);
        let (name, about, procs) = (workload.name, workload.about, workload.procs(procs));
        WorkloadReport { name, about, procs, rounds, others_cpus, peers, ratios, targets, workload }
    }
}

impl Standing {
    fn of(workload: &Workload, entry: &Entry, records: &[Record]) -> Standing {
        let outcomes = || records.iter().filter_map(|record| record.result.as_ref().ok());
        let mut figures = BTreeMap::new();
        for metric in workload.metrics {
            let values: Vec<_> = outcomes().filter_map(|outcome| outcome.metrics.get(metric.key).copied()).collect();
            figures.extend(Spread::of(&values).map(|spread| (metric.key.to_owned(), spread)));
        }
        // Of remarks on the same thing the first.
        let mut notes = BTreeMap::new();
        for (about, what) in outcomes().flat_map(|outcome| &outcome.notes) {
            notes.entry(about.clone()).or_insert_with(|| what.clone());
        }
        let failed = |record: &Record| Some(format!("round {}: {}", record.round + 1, record.result.as_ref().err()?));
        Standing {
            peer: entry.peer,
            note: entry.note,
            notes,
            figures,
            failures: records.iter().filter_map(failed).collect(),
            runs: records.iter().map(Run::of).collect(),
        }
    }
}

impl Run {
    fn of(record: &Record) -> Run {
        Run {
            round: record.round,
            took_s: record.took.as_secs_f64(),
            others_cpus: record.others_cpus,
            figures: record.result.as_ref().ok().map(|outcome| outcome.metrics.clone()),
            failed: record.result.as_ref().err().cloned(),
        }
    }
}

impl Verdict {
    fn of(workload: &'static Workload, target: &Target, records: &Records) -> Verdict {
        let (mut best_of, mut above) = (None, None);
        let (times, limit, reached) = match target.at_most {
            Bound::Value(limit) => {
                let values: Vec<_> = records.series(workload.name, GORT, target.metric).into_iter().flatten().collect();
                (None, limit, Estimate::of(&values))
            }
            Bound::Times(limit, peer) => (Some(peer), limit, ratio(workload, target.metric, peer, records)),
            Bound::Above(limit, peer) => {
                above = Some(peer);
                let series = |peer| records.series(workload.name, peer, target.metric);
                (None, limit, Estimate::of_differences(&series(GORT), &series(peer)))
            }
            Bound::TimesBest(limit, peers) => {
                best_of = Some(peers);
                match best(workload, target.metric, peers, records) {
                    Some(peer) => (Some(peer), limit, ratio(workload, target.metric, peer, records)),
                    None => (Some("a peer"), limit, None),
                }
            }
        };
        let ok = reached.map(|reached| reached.median <= limit);
        let clear = reached.is_some_and(|reached| !reached.straddles(limit));
        Verdict { metric: target.metric, times, best_of, above, limit, reached, ok, clear }
    }
}

/// Who has the best median of those that have one.
fn best(workload: &Workload, metric: &str, peers: &[&'static str], records: &Records) -> Option<&'static str> {
    let median = |peer: &&'static str| {
        let values: Vec<_> = records.series(workload.name, peer, metric).into_iter().flatten().collect();
        Some((*peer, Spread::of(&values)?.median))
    };
    let medians = peers.iter().filter_map(median);
    let best = match workload.metric(metric)?.better {
        Better::Less => medians.min_by(|a, b| a.1.total_cmp(&b.1)),
        Better::More => medians.max_by(|a, b| a.1.total_cmp(&b.1)),
    };
    best.map(|(peer, _)| peer)
}

fn ratio(workload: &'static Workload, metric: &str, peer: &'static str, records: &Records) -> Option<Estimate> {
    let series = |peer| records.series(workload.name, peer, metric);
    Estimate::of_ratios(&series(GORT), &series(peer))
}

#[cfg(test)]
mod tests;

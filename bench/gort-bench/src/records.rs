//! What was measured, as it came.

use std::collections::BTreeMap;
use std::time::Duration;

use gort_bench_wire::Outcome;

/// One measurement.
#[derive(Debug, Clone)]
pub struct Record {
    /// In which round.
    pub round: usize,
    /// Figures, or why there are none.
    pub result: Result<Outcome, String>,
    /// How long it took.
    pub took: Duration,
    /// Processors that others kept busy meanwhile, on average.
    pub others_cpus: f64,
}

/// All measurements by workload and peer.
#[derive(Debug, Default)]
pub struct Records(BTreeMap<(&'static str, &'static str), Vec<Record>>);

impl Records {
    /// Adds one.
    pub fn add(&mut self, workload: &'static str, peer: &'static str, record: Record) {
        self.0.entry((workload, peer)).or_default().push(record);
    }

    /// Those of a peer in a workload, in order.
    pub fn of(&self, workload: &'static str, peer: &'static str) -> &[Record] {
        self.0.get(&(workload, peer)).map_or(&[], Vec::as_slice)
    }

    /// A figure round by round, with gaps where there is none.
    pub fn series(&self, workload: &'static str, peer: &'static str, metric: &str) -> Vec<Option<f64>> {
        let records = self.of(workload, peer);
        let mut series = vec![None; records.iter().map(|record| record.round + 1).max().unwrap_or(0)];
        for record in records {
            if let Ok(outcome) = &record.result {
                series[record.round] = outcome.metrics.get(metric).copied();
            }
        }
        series
    }

    /// Everything.
    pub fn iter(&self) -> impl Iterator<Item = &Record> {
        self.0.values().flatten()
    }
}

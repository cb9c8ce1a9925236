//! What a run found out, and how it is told: as JSON (`to_json`), or as a table and a chart.

pub mod chart;
pub mod number;
pub mod table;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::args::Style;
use crate::load::{Fault, Latencies};

/// One run. The field names are the JSON's; a figure that was not or could not be measured is null there.
#[derive(Debug, Serialize)]
pub struct Run {
    /// How the server is written; unknown for somebody else's.
    pub style: Option<Style>,
    /// How goroutines keep their identity, in the style that has them.
    pub mode: Option<String>,
    /// Processors the server uses at once.
    pub procs: Option<u64>,
    /// Connections that were open.
    pub conns: u64,
    /// Bytes of a message.
    pub size: u64,
    /// Requests per second asked for.
    pub rate: Option<u64>,
    /// Measured time.
    pub duration_s: f64,
    /// Requests answered in that time.
    pub requests: u64,
    /// Requests answered per second.
    pub rps: f64,
    /// Connections that failed, each with one error.
    pub errors: u64,
    /// The same by kind.
    pub errors_by_kind: BTreeMap<&'static str, u64>,
    /// From when a request was sent, or was due, until its last byte was back.
    pub latency_us: Percentiles,
    /// Most goroutines of the server.
    pub goroutines_peak: Option<u64>,
    /// Most OS threads of the server.
    pub os_threads_peak: Option<u64>,
    /// Growth of the server's resident memory per connection.
    pub rss_bytes_per_conn: Option<f64>,
    /// Processor time of the server per request.
    pub server_cpu_us_per_req: Option<f64>,
    /// System calls of the server per request.
    pub syscalls_per_req: Option<f64>,
    /// Whether it ended before its time.
    pub interrupted: bool,
    /// For the chart.
    #[serde(skip)]
    pub latencies: Latencies,
    /// For people: kind, count, an example.
    #[serde(skip)]
    pub faults: Vec<(Fault, u64, String)>,
}

/// Microseconds; null without requests.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Percentiles {
    /// Half were no slower.
    pub p50: Option<f64>,
    /// Nine of ten were no slower.
    pub p90: Option<f64>,
    /// All but one of a hundred.
    pub p99: Option<f64>,
    /// All but one of a thousand.
    pub p999: Option<f64>,
    /// The slowest.
    pub max: Option<f64>,
}

impl Percentiles {
    /// Of a histogram.
    pub fn of(latencies: &Latencies) -> Percentiles {
        let us = |time: std::time::Duration| round(time.as_nanos() as f64 / 1e3);
        let at = |share| latencies.quantile(share).map(us);
        Percentiles { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: latencies.max().map(us) }
    }
}

/// Three decimals are more than any of these figures is good for.
pub fn round(n: f64) -> f64 {
    (n * 1e3).round() / 1e3
}

#[derive(Serialize)]
struct Runs<'a> {
    runs: &'a [Run],
}

/// One object on one line: the run, or with `compare` all runs.
pub fn to_json(runs: &[Run], compare: bool) -> serde_json::Result<String> {
    let mut text = match runs {
        [run] if !compare => serde_json::to_string(run)?,
        _ => serde_json::to_string(&Runs { runs })?,
    };
    text.push('\n');
    Ok(text)
}

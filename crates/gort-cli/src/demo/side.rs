//! The figures of one run, and what the process that plays it says to its parent: one JSON object a line.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::meter::{Beats, Spread};

/// One run of a situation. The field names are the JSON's; what was not measured is null there.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct Side {
    /// How late a goroutine comes that wakes every millisecond.
    pub ticker_late_us: Spread,
    /// From when a request over loopback TCP was due, one each millisecond, until its answer was back.
    pub echo_us: Spread,
    /// Ticks that were due.
    pub ticks_due: u64,
    /// Those that came.
    pub ticks: u64,
    /// Answers that came.
    pub echoes: u64,
    /// Most threads of the process at any time.
    pub os_threads_peak: u64,
    /// Processors taken from stuck threads: all of them, and by what the thread was doing.
    pub retakes: BTreeMap<String, u64>,
    /// Processors that other processes have kept busy meanwhile; null where that cannot be seen.
    #[serde(default)]
    pub others_cpus: Option<f64>,
    /// Reads of files, where there are some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reads_per_s: Option<f64>,
    /// What the situation itself has done.
    pub work: BTreeMap<String, u64>,
    /// Nothing has come for the last half of the time.
    pub stuck: bool,
    /// How the process ended; null if it had to be ended by force.
    pub status: Option<i32>,
    /// What it said on stderr.
    pub words: Vec<String>,
}

impl Side {
    /// From what the two meters have seen.
    pub fn of(ticker: &Beats, echo: &Beats) -> Side {
        let half_us = ticker.due as f64 * 1e3 / 2.0;
        Side {
            ticker_late_us: ticker.late_us,
            echo_us: echo.late_us,
            ticks_due: ticker.due,
            ticks: ticker.came,
            echoes: echo.came,
            stuck: ticker.silent_us > half_us && echo.silent_us > half_us,
            ..Side::default()
        }
    }
}

/// What a situation is played on.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct Stage {
    /// Processors.
    pub procs: u64,
    /// How goroutines keep their identity; null without goroutines.
    pub mode: Option<String>,
    /// Why they are bound to their threads, if they are.
    pub bound_because: Option<String>,
}

/// What the process that plays says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Line {
    /// It plays.
    Begun(Stage),
    /// How far it is.
    Sofar {
        /// Ticks.
        ticks: u64,
        /// Answers.
        echoes: u64,
    },
    /// The time is over.
    Done(Box<Side>),
}

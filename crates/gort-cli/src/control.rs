//! What `fanout` and its server process say to each other: one JSON object per line, orders on the child's stdin, answers on its
//! stdout.
//!
//! The child ends when stdin does, so it never outlives its parent, however that ended (a parent-death signal would do the
//! same, but it goes by thread: it strikes when the *thread* that forked ends, and a runtime's threads come and go).
//!
//! ```text
//! child    {"ready":{"addrs":["127.0.0.1:40001"],"nature":{"mode":"migrating","procs":2},"usage":{..}}}
//! parent   {"order":"report"}
//! child    {"report":{"usage":{..},"counters":{..},"threads_peak":7}}
//! parent   {"order":"end"}
//! child    (stops the server and exits 0)
//! ```

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::measure::Usage;
use crate::server::{Counters, Nature};

/// What the child says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// First of all: it listens.
    Ready(Ready),
    /// After `Order::Report`.
    Report(Report),
}

/// A server that listens and has no connections yet.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ready {
    /// Where.
    pub addrs: Vec<SocketAddr>,
    /// What it is made of.
    pub nature: Nature,
    /// What it costs while idle.
    pub usage: Usage,
}

/// A server at one moment.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Report {
    /// What the process has used.
    pub usage: Usage,
    /// What the server has counted.
    pub counters: Counters,
    /// Most OS threads at any time: the samples' maximum or the runtime's own count, whichever is larger.
    pub threads_peak: u64,
}

/// What the parent says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "order")]
pub enum Order {
    /// Say how you are.
    Report,
    /// Stop and exit.
    End,
}

/// One line, ready to be written.
pub fn line(message: &impl Serialize) -> serde_json::Result<String> {
    let mut line = serde_json::to_string(message)?;
    line.push('\n');
    Ok(line)
}

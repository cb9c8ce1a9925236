//! Who takes part: each peer an executable that understands `worker <peer> <task> [key=value ..]` (see `gort-bench-wire`).
//!
//! OS threads and the raw epoll server are this executable itself. Peers that need their own dependencies or allocator are packages under
//! `peers/`, built here by cargo; Go is built by `go`, where there is one. A peer that cannot be had is reported with the reason, and the run
//! goes on without it. To add one: a package, a line in [`NAMES`] and in [`find`], entries in the workloads.

mod cargo;
mod go;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

/// The one all others are compared with.
pub const GORT: &str = "gort";
/// The same executable, its goroutines bound to their threads.
pub const GORT_BOUND: &str = "gort_bound";

/// All peers.
pub const NAMES: &[&str] = &[
    GORT,
    "crossbeam",
    "epoll",
    "flume",
    "flume_async",
    "go",
    GORT_BOUND,
    "kanal",
    "kanal_async",
    "may",
    "parking_lot",
    "threads",
    "tokio",
    "uring",
];

/// A peer that can be started.
#[derive(Debug, Clone)]
pub struct Peer {
    /// What to start.
    pub exe: PathBuf,
    /// Of what version the peer is.
    pub version: String,
}

/// The peers of a run, with those that cannot be had.
#[derive(Debug)]
pub struct Roster {
    peers: BTreeMap<&'static str, Result<Peer, String>>,
}

impl Roster {
    /// Finds and builds the peers `wanted`.
    ///
    /// # Errors
    /// If gort itself cannot be built: nothing is worth measuring then.
    pub fn assemble(wanted: impl IntoIterator<Item = &'static str>) -> Result<Roster> {
        let mut peers = BTreeMap::new();
        for name in wanted {
            match find(name) {
                Err(e) if name == GORT => return Err(e),
                found => peers.insert(name, found.map_err(|e| format!("{e:#}"))),
            };
        }
        Ok(Roster { peers })
    }

    /// A peer, or why it is missing.
    pub fn get(&self, name: &str) -> Result<&Peer, &str> {
        match self.peers.get(name) {
            Some(Ok(peer)) => Ok(peer),
            Some(Err(why)) => Err(why),
            None => Err("not asked for"),
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, Result<&Peer, &str>)> {
        self.peers.iter().map(|(name, peer)| (*name, peer.as_ref().map_err(String::as_str)))
    }
}

fn find(name: &str) -> Result<Peer> {
    match name {
        GORT | GORT_BOUND => cargo::build_ours("gort-bench-peer-gort"),
        "epoll" => ourselves("edge-triggered epoll, written by hand"),
        "threads" => ourselves("std::thread"),
        "uring" => ourselves("io_uring, written by hand"),
        "go" => go::build(),
        "crossbeam" => cargo::build("gort-bench-peer-channels", &["crossbeam-channel"]),
        "flume" => cargo::build("gort-bench-peer-channels", &["flume"]),
        "kanal" => cargo::build("gort-bench-peer-channels", &["kanal"]),
        "parking_lot" => cargo::build("gort-bench-peer-channels", &["parking_lot"]),
        "flume_async" => cargo::build("gort-bench-peer-tokio", &["flume", "tokio"]),
        "kanal_async" => cargo::build("gort-bench-peer-tokio", &["kanal", "tokio"]),
        "tokio" => cargo::build("gort-bench-peer-tokio", &["tokio"]),
        "may" => cargo::build("gort-bench-peer-may", &["may"]),
        _ => bail!("there is no peer {name}, but: {}", NAMES.join(", ")),
    }
}

fn ourselves(version: &str) -> Result<Peer> {
    let exe = std::env::current_exe().context("cannot find this executable")?;
    Ok(Peer { exe, version: version.to_owned() })
}

/// The directory cargo builds in, told from where this executable lies: `<target>/release/gort-bench`.
pub fn target_dir() -> Result<PathBuf> {
    let exe = std::env::current_exe().context("cannot find this executable")?;
    let target = exe.parent().and_then(|profile| profile.parent());
    target.map(PathBuf::from).with_context(|| format!("{} does not lie in a target directory", exe.display()))
}

/// The workspace of the harness.
fn workspace() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), ".."].iter().collect()
}

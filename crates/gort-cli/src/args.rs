//! What the command line may say.
//!
//! Values are checked here, by name, so that nothing starts before everything is known to make sense; what depends on the
//! machine (descriptor limits, ports) is checked in `limits`.

use std::fmt;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::place::Place;

/// Connections when `--conns` is not given and the descriptor limit allows it.
pub const DEFAULT_CONNS: u32 = 5_000;
/// Largest message; see `load::message` for how messages larger than a socket buffer are kept from dead-locking both ends.
pub const MAX_SIZE: u32 = 1 << 20;

/// Goroutines for Rust, tried out: thousands of connections, each served by plain blocking code.
#[derive(Debug, Parser)]
#[command(name = "gort", version, arg_required_else_help = true, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the command does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve thousands of connections, load them all, and report: throughput, latency, threads, memory
    ///
    /// Starts an echo server as a process of its own and as many client goroutines as connections, lets them talk for a while,
    /// and reports. Every figure called a server's is the server process's alone.
    Fanout(Fanout),
    /// Only the echo server
    ///
    /// Prints `listening on ADDR` and serves until SIGINT, SIGTERM or SIGHUP, then says what it served.
    ServeEcho(ServeEcho),
    /// Only the load: client goroutines against any echo server
    ///
    /// Connections lost on the way are counted and named in the report. The status is 1 if wrong bytes came back, if no request was
    /// measured or if no connection was left at the end, and 130 after SIGINT, SIGTERM or SIGHUP.
    Load(Load),
    /// What becomes of everybody else while somebody blocks the world
    ///
    /// Plays a situation in a process of its own, once as it is and once with GORT_RETAKE=off, and shows side by side what a goroutine that
    /// wakes every millisecond and an echo pair over loopback TCP have noticed of it. To compare, `hogs`, `blocking`, `ffi` and `locks` are
    /// also played by plain threads without gort, and once nobody blocks. `files` is played with a plain thread for each file
    /// instead, and once without the files. What gort says meanwhile appears on stderr. Those processes have their own GORT_RETAKE,
    /// GORT_DEADLOCK, GORT_WATCHDOG and GORT_WATCHDOG_AFTER; other variables, such as GORT_MODE, are yours. The status
    /// of `deadlock` is 2, as that of a program which falls asleep; 130 after SIGINT, SIGTERM or SIGHUP.
    Demo(Demo),
}

/// Options of `gort demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// What to play
    #[arg(value_enum)]
    pub situation: Situation,
    /// How long each way is played, such as 3s, 500ms or 1m
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = duration)]
    pub duration: Duration,
    /// Processors: goroutines running at once [default: the runtime's own choice; 2 for `locks`]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub procs: Option<u32>,
    /// One JSON object on stdout instead of the report
    #[arg(long)]
    pub json: bool,
    /// Be the process that plays, with a parent at the other end of stdin and stdout.
    #[arg(long, hide = true)]
    pub play: bool,
    /// Of that process: who plays.
    #[arg(long, hide = true, value_enum, default_value_t = Cast::Goroutines)]
    pub cast: Cast,
}

/// Who plays a situation; of `gort demo files`, who reads the files, beside the goroutines of the sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Cast {
    /// Goroutines.
    Goroutines,
    /// Plain threads, with std alone.
    Threads,
    /// Nobody: what is measured is alone.
    Nobody,
}

/// Ways to block the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Situation {
    /// An endless loop for every processor
    Hogs,
    /// Calls that block the thread, unmarked: std::thread::sleep, read(2) on a pipe
    Blocking,
    /// A C function that blocks: called bare, marked, and through a class
    Ffi,
    /// A std mutex held across a read, and wanted by fifty others
    Locks,
    /// All asleep
    Deadlock,
    /// Hundreds of blocking calls, with a limit and without
    Threads,
    /// What 1, 2 and 4 processors do for work that computes and for work that waits
    Procs,
    /// 1,000 files that are read, from the page cache and past it, beside 10,000 sockets
    Files,
}

impl Situation {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Situation::Hogs => "hogs",
            Situation::Blocking => "blocking",
            Situation::Ffi => "ffi",
            Situation::Locks => "locks",
            Situation::Deadlock => "deadlock",
            Situation::Threads => "threads",
            Situation::Procs => "procs",
            Situation::Files => "files",
        }
    }

    /// Whether it is also played by plain threads, and once by nobody.
    pub fn has_baseline(self) -> bool {
        matches!(self, Situation::Hogs | Situation::Blocking | Situation::Ffi | Situation::Locks)
    }

    /// Processors that it needs to make its point.
    pub fn procs(self) -> Option<u32> {
        // With as many as there are contenders somebody is left to run the holder.
        (self == Situation::Locks).then_some(2)
    }
}

impl fmt::Display for Situation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Options of `gort fanout`.
#[derive(Debug, Args)]
pub struct Fanout {
    /// The load.
    #[command(flatten)]
    pub traffic: Traffic,
    /// Processors of the server: goroutines running at once, or epoll threads [default: the runtime's own choice]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub procs: Option<u32>,
    /// How the server is written
    #[arg(long, value_enum, default_value_t = Style::Gort, conflicts_with = "compare")]
    pub style: Style,
    /// All three styles, one after another under the same load, side by side
    #[arg(long)]
    pub compare: bool,
    /// One JSON object on stdout instead of the report
    #[arg(long)]
    pub json: bool,
}

/// Options of `gort serve-echo`.
#[derive(Debug, Args)]
pub struct ServeEcho {
    /// Address to listen on, IP:PORT or NAME:PORT; port 0 picks a free one. May be given several times
    #[arg(long, value_name = "ADDR", required = true, value_parser = Place::parse)]
    pub addr: Vec<Place>,
    /// How the server is written
    #[arg(long, value_enum, default_value_t = Style::Gort)]
    pub style: Style,
    /// Goroutines running at once, or epoll threads [default: the runtime's own choice]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub procs: Option<u32>,
    /// Obey a parent that speaks the protocol of `control` on stdin and stdout.
    #[arg(long, hide = true)]
    pub control: bool,
}

/// Options of `gort load`.
#[derive(Debug, Args)]
pub struct Load {
    /// Echo server to load, IP:PORT or NAME:PORT. Several addresses share the connections
    #[arg(long, value_name = "ADDR", required = true, value_parser = Place::parse)]
    pub addr: Vec<Place>,
    /// The load.
    #[command(flatten)]
    pub traffic: Traffic,
    /// One JSON object on stdout instead of the report
    #[arg(long)]
    pub json: bool,
}

/// How many clients, how long, what they send.
#[derive(Debug, Clone, Args)]
pub struct Traffic {
    /// Connections held open, one client goroutine each [default: 5000, or what the descriptor limit allows]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub conns: Option<u32>,
    /// How long to measure once all connections are open, such as 5s, 500ms or 2m
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    pub duration: Duration,
    /// Size of a message; what comes back is compared byte by byte
    #[arg(long, value_name = "BYTES", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_SIZE)))]
    pub size: u32,
    /// Requests per second over all connections [default: as fast as replies come]
    ///
    /// Without it every connection sends its next request as soon as the reply is there (closed loop). With it, requests are due
    /// at fixed times, and latency counts from the time a request was due, not from when it could at last be sent: a server that
    /// stalls is charged for everybody who had to wait.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub rate: Option<u64>,
}

/// Ways to write the same echo server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Style {
    /// A goroutine per connection
    Gort,
    /// An OS thread per connection
    Threads,
    /// An event loop on epoll, written by hand
    Epoll,
}

impl Style {
    /// In the order `--compare` runs and shows them.
    pub const ALL: [Style; 3] = [Style::Gort, Style::Threads, Style::Epoll];

    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Style::Gort => "gort",
            Style::Threads => "threads",
            Style::Epoll => "epoll",
        }
    }
}

impl fmt::Display for Style {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed =
        humantime::parse_duration(text).map_err(|e| format!("{e} (expected something like 5s, 500ms or 2m)"))?;
    if parsed < Duration::from_millis(10) || parsed > Duration::from_secs(24 * 3600) {
        return Err("expected between 10ms and 24h".into());
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clap_accepts_the_definition() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_need_a_unit_and_a_sensible_length() {
        assert_eq!(duration("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1m 30s"), Ok(Duration::from_secs(90)));
        for bad in ["", "5", "soon", "0s", "-1s", "1us", "25h"] {
            assert!(duration(bad).is_err(), "{bad:?} was taken");
        }
    }
}

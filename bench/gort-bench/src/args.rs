//! The command line.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand};

use crate::peers;
use crate::workloads;

/// gort beside OS threads, a raw epoll server, Go, tokio and may: the same workloads, interleaved, each measurement a process of its own, with ratios to the
/// best first.
#[derive(Debug, Parser)]
#[command(name = "gort-bench", max_term_width = 120)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Measures, and prints a table.
    Run(Run),
    /// Says which workloads there are, on which peers, and what gort must reach.
    List,
    /// One measurement; started by `run`.
    #[command(hide = true)]
    Worker {
        /// `<peer> <task> [key=value ..]`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        call: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub struct Run {
    /// Only these workloads (see `list`).
    #[arg(long, value_delimiter = ',', value_name = "W", value_parser = PossibleValuesParser::new(workloads::all().map(|w| w.name)))]
    pub only: Vec<String>,
    /// Only these peers besides gort.
    #[arg(long, value_delimiter = ',', value_name = "P", value_parser = PossibleValuesParser::new(peers::NAMES))]
    pub peers: Vec<String>,
    /// Rounds, instead of each workload's own number (11, for echo 15).
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: Option<u32>,
    /// Threads of the load generator of the echo workloads; with one of them it may be what limits the throughput.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub client_threads: u32,
    /// Waits for quiet moments, and measures again what others disturbed (by more than 0.1 CPU), for up to 3 minutes each.
    #[arg(long)]
    pub calm: bool,
    /// Writes all values as JSON to this file, after each round.
    #[arg(long, value_name = "F")]
    pub json: Option<PathBuf>,
    /// Processors of the runtimes and threads of the epoll server [default: as many as there are, at least 2].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub procs: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn several_workloads_may_be_named_in_two_ways() {
        let parse = |args: &[&str]| Cli::try_parse_from([&["gort-bench", "run"], args].concat());
        for args in [&["--only", "yield_1,echo_64"][..], &["--only", "yield_1", "--only", "echo_64"]] {
            let Command::Run(run) = parse(args).unwrap().command else { panic!() };
            assert_eq!(run.only, ["yield_1", "echo_64"]);
        }
        assert!(parse(&["--only", "yeild_1"]).unwrap_err().to_string().contains("yeild_1"));
    }
}

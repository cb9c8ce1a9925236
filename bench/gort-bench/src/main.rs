//! gort beside OS threads, a raw epoll server, Go, tokio and may.
//!
//! ```text
//! run ── peers      find and build who takes part          workloads   the table: what, on whom, what it must reach
//!  ├──── schedule   rounds × workloads × peers, in turn    worker      this executable as one of the peers, and as load
//!  │       └─ measure   one process, one time limit        stats       medians, ratios, their intervals
//!  └──── report ──▶ table, JSON                            machine     what it is, and who else uses it
//! ```

mod args;
mod machine;
mod measure;
mod peers;
mod progress;
mod records;
mod report;
mod schedule;
mod stats;
mod stop;
mod table;
mod worker;
mod workloads;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser as _;

use args::{Cli, Command};
use machine::Machine;
use peers::{GORT, Roster};
use records::Records;
use report::Report;
use schedule::Plan;
use stop::Stop;
use table::Paint;
use workloads::{Bound, Workload};

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(args) => run(&args),
        Command::List => list().map(|()| ExitCode::SUCCESS),
        Command::Worker { call } => worker::run(call).map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|e| {
        eprintln!("gort-bench: {e:#}");
        ExitCode::FAILURE
    })
}

fn run(args: &args::Run) -> Result<ExitCode> {
    if cfg!(debug_assertions) {
        eprintln!("gort-bench: this harness was built without optimisation, its load generator is slow: use --release");
    }
    let workloads: Vec<_> =
        workloads::all().filter(|w| args.only.is_empty() || args.only.iter().any(|o| o == w.name)).collect();
    let wanted = peers::NAMES.iter().copied().filter(|&name| {
        let asked = name == GORT || args.peers.is_empty() || args.peers.iter().any(|peer| peer == name);
        asked && workloads.iter().any(|workload| workload.entries.iter().any(|entry| entry.peer == name))
    });
    let machine = Machine::here();
    let roster = Roster::assemble(wanted)?;
    let plan = Plan {
        workloads,
        rounds: args.rounds.map(|rounds| rounds as usize),
        procs: args.procs.map_or_else(|| machine.cpus.max(2), |procs| procs as usize),
        client_threads: args.client_threads as usize,
        calm: args.calm,
        failures: peers::target_dir()?.join("gort-bench-failures"),
    };
    if let Some(file) = &args.json {
        // Now, and not after an hour.
        write(file, &Report::of(&plan, &roster, &machine, &Records::default(), false))?;
    }
    let stop = Stop::on_signals().context("cannot listen to Ctrl-C")?;
    let mut records = Records::default();
    let complete = schedule::run(&plan, &roster, &stop, &mut records, |records| {
        if let Some(file) = &args.json
            && let Err(e) = write(file, &Report::of(&plan, &roster, &machine, records, false))
        {
            eprintln!("gort-bench: {e:#}");
        }
    });
    let report = Report::of(&plan, &roster, &machine, &records, complete);
    if let Some(file) = &args.json {
        write(file, &report)?;
    }
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) || !io::stdout().is_terminal();
    let paint = if plain { Paint::Plain } else { Paint::Terminal };
    print(&table::text(&report, paint))?;
    Ok(match (complete, report.gort_failed()) {
        (false, _) => ExitCode::from(stop::INTERRUPTED),
        (true, true) => ExitCode::FAILURE,
        (true, false) => ExitCode::SUCCESS,
    })
}

fn list() -> Result<()> {
    let mut text = String::new();
    for Workload { name, about, entries, targets, .. } in workloads::all() {
        let names: Vec<_> = entries.iter().map(|entry| entry.peer).collect();
        text += &format!("{name}\n    {about}\n    on {}\n", names.join(", "));
        for target in *targets {
            text += &match target.at_most {
                Bound::Value(limit) => format!("    target: {} at most {limit}\n", target.metric),
                Bound::Times(limit, peer) => format!("    target: {} at most {limit} x {peer}\n", target.metric),
                Bound::Above(limit, peer) => format!("    target: {} at most {limit} above {peer}\n", target.metric),
                Bound::TimesBest(limit, peers) => {
                    format!("    target: {} at most {limit} x the best of {}\n", target.metric, peers.join(", "))
                }
            };
        }
    }
    print(&text)
}

/// Whole or not at all: whoever reads the file meanwhile sees the state of one round.
fn write(file: &Path, report: &Report) -> Result<()> {
    let mut name =
        file.file_name().with_context(|| format!("{} is not the name of a file", file.display()))?.to_owned();
    name.push(".part");
    let part = file.with_file_name(name);
    let json = serde_json::to_vec_pretty(report)?;
    std::fs::write(&part, json).with_context(|| format!("cannot write {}", part.display()))?;
    std::fs::rename(&part, file).with_context(|| format!("cannot write {}", file.display()))
}

fn print(text: &str) -> Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        // Whoever read it has what they wanted.
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot print"),
    }
}

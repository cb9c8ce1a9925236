//! The workloads of channels and locks on OS threads, with crates that are made for them. Started by `gort-bench`; see `gort-bench-wire` for how.

mod channel;
mod tasks;

use std::process::ExitCode;

use gort_bench_wire::{Call, Outcome, process};

use channel::{Crossbeam, Flume, Kanal};

/// A figure, or why there is none.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> ExitCode {
    match Call::of_this_process().map_err(Into::into).and_then(|call| run(&call)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("channels on threads: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run(call: &Call) -> Result<()> {
    process::stay_on(call.number("procs")?)?;
    let outcome: Outcome = match (call.peer.as_str(), call.task.as_str()) {
        ("crossbeam", "pingpong") => tasks::pingpong::<Crossbeam>(call)?,
        ("crossbeam", "mpmc") => tasks::mpmc::<Crossbeam>(call)?,
        ("crossbeam", "select2") => tasks::select2::<Crossbeam>(call)?,
        ("crossbeam", "select_default") => tasks::select_default(call)?,
        ("flume", "pingpong") => tasks::pingpong::<Flume>(call)?,
        ("flume", "mpmc") => tasks::mpmc::<Flume>(call)?,
        ("flume", "select2") => tasks::select2::<Flume>(call)?,
        ("kanal", "pingpong") => tasks::pingpong::<Kanal>(call)?,
        ("kanal", "mpmc") => tasks::mpmc::<Kanal>(call)?,
        ("parking_lot", "mutex") => tasks::mutex(call)?,
        (peer, task) => return Err(format!("{peer} has no task {task}").into()),
    };
    Ok(outcome.print()?)
}

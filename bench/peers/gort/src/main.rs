//! The workloads on gort. Started by `gort-bench`; see `gort-bench-wire` for how.

mod border;
mod channels;
mod compute;
mod echo;
mod files;
mod parked;
mod streams;
mod stuck;
mod timers;

use std::process::ExitCode;

use gort_bench_wire::{Call, Outcome};

/// A figure, or why there is none.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[gort::main]
fn main() -> ExitCode {
    match Call::of_this_process().map_err(Into::into).and_then(|call| run(&call)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("gort: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run(call: &Call) -> Result<()> {
    // The harness sets GORT_MAXPROCS; a figure for another number would be worse than none.
    let (asked, procs) = (call.number::<usize>("procs")?, gort::runtime::max_procs());
    if asked != procs {
        return Err(format!("{asked} processors were asked for, gort runs on {procs}").into());
    }
    let outcome: Outcome = match call.task.as_str() {
        "spawn_join" => compute::spawn_join(call)?,
        "park_unpark" => compute::park_unpark(call)?,
        "yield" => compute::yields(call)?,
        "malloc" => compute::malloc(call)?,
        "border" => border::border(call)?,
        "asleep" => border::asleep(call)?,
        "idle" => border::idle(call)?,
        "parked" => parked::parked(call)?,
        "skynet" => channels::skynet(call)?,
        "pingpong" => channels::pingpong(call)?,
        "mpmc" => channels::mpmc(call)?,
        "select2" => channels::select2(call)?,
        "select_default" => channels::select_default(call)?,
        "mutex" => compute::mutex(call)?,
        "timers" => timers::timers(call)?,
        "arm_cancel" => timers::arm_cancel(call)?,
        "hog_relay" => stuck::hog_relay(call)?,
        "blocking_syscall" => stuck::blocking_syscall(call)?,
        "file_read" => files::file_read(call)?,
        "file_read_cold" => files::file_read_cold(call)?,
        "write_dirty" => files::write_dirty(call)?,
        "copy_file_socket" => streams::copy_file_socket(call)?,
        "proxy_splice" => streams::proxy_splice(call)?,
        "udp_batch" => streams::udp_batch(call)?,
        "idle_readable" => streams::idle_readable(call)?,
        "echo_server" => return echo::serve(),
        other => return Err(format!("no such task: {other}").into()),
    };
    Ok(outcome.print()?)
}

/// What a goroutine returned.
fn join<T>(handle: gort::JoinHandle<T>) -> Result<T> {
    handle.join().map_err(|_| "a goroutine panicked".into())
}

//! The workloads on may. Started by `gort-bench`; see `gort-bench-wire` for how.
//!
//! Its channels have no bounds, and there are no timers that one can cancel.

mod channels;
mod compute;
mod echo;
mod parked;
mod stuck;
mod timers;

use std::process::ExitCode;

use gort_bench_wire::{Call, Outcome};
use may::coroutine::JoinHandle;
use may::go;

/// A figure, or why there is none.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> ExitCode {
    match Call::of_this_process().map_err(Into::into).and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("may: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run(call: Call) -> Result<()> {
    // By default it keeps 1,000 stacks; the others keep what they have, too. More than some 32,000 are more mappings than Linux allows.
    may::config().set_workers(call.number("procs")?).set_pool_capacity(20_000);
    // What is measured runs in coroutines, the leading part as well.
    join(go!(move || on_worker(&call)))?
}

fn on_worker(call: &Call) -> Result<()> {
    let outcome: Outcome = match call.task.as_str() {
        "spawn_join" => compute::spawn_join(call)?,
        "park_unpark" => compute::park_unpark(call)?,
        "yield" => compute::yields(call)?,
        "mutex" => compute::mutex(call)?,
        "parked" => parked::parked(call)?,
        "skynet" => channels::skynet(call)?,
        "pingpong" => channels::pingpong(call)?,
        "mpmc" => channels::mpmc(call)?,
        "select2" => channels::select2(call)?,
        "select_default" => channels::select_default(call)?,
        "timers" => timers::timers(call)?,
        "hog_relay" => stuck::hog_relay(call)?,
        "blocking_syscall" => stuck::blocking_syscall(call)?,
        "echo_server" => return echo::serve(),
        other => return Err(format!("no such task: {other}").into()),
    };
    Ok(outcome.print()?)
}

/// What a coroutine returned.
fn join<T>(handle: JoinHandle<T>) -> Result<T> {
    handle.join().map_err(|_| "a coroutine panicked".into())
}

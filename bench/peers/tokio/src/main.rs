//! The workloads on tokio's multi-thread runtime, with its own channels and with others. Started by `gort-bench`; see `gort-bench-wire` for how.
//!
//! What is measured runs in tasks: the future of `block_on` runs on the main thread, beside the workers.

mod channel;
mod channels;
mod compute;
mod echo;
mod parked;
mod stuck;
mod timers;

use std::process::ExitCode;

use gort_bench_wire::{Call, Outcome};
use tokio::runtime::{Builder, Runtime};

use channel::{Flume, Kanal, Own};

/// A figure, or why there is none.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> ExitCode {
    match Call::of_this_process().map_err(Into::into).and_then(|call| run(&call)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("tokio: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run(call: &Call) -> Result<()> {
    let runtime = Builder::new_multi_thread().worker_threads(call.number("procs")?).enable_all().build()?;
    let outcome: Outcome = match (call.peer.as_str(), call.task.as_str()) {
        ("tokio", "spawn_join") => compute::spawn_join(call, &runtime)?,
        ("tokio", "park_unpark") => compute::park_unpark(call, &runtime)?,
        ("tokio", "yield") => compute::yields(call, &runtime)?,
        ("tokio", "mutex") => compute::mutex(call, &runtime)?,
        ("tokio", "parked") => parked::parked(call, &runtime)?,
        ("tokio", "skynet") => channels::skynet(call, &runtime)?,
        ("tokio", "pingpong") => channels::pingpong::<Own>(call, &runtime)?,
        ("tokio", "select2") => channels::select2::<Own>(call, &runtime)?,
        ("tokio", "select_default") => channels::select_default(call, &runtime)?,
        ("flume_async", "pingpong") => channels::pingpong::<Flume>(call, &runtime)?,
        ("flume_async", "mpmc") => channels::mpmc::<Flume>(call, &runtime)?,
        ("flume_async", "select2") => channels::select2::<Flume>(call, &runtime)?,
        ("kanal_async", "pingpong") => channels::pingpong::<Kanal>(call, &runtime)?,
        ("kanal_async", "mpmc") => channels::mpmc::<Kanal>(call, &runtime)?,
        ("kanal_async", "select2") => channels::select2::<Kanal>(call, &runtime)?,
        ("tokio", "timers") => timers::timers(call, &runtime)?,
        ("tokio", "arm_cancel") => timers::arm_cancel(call, &runtime)?,
        ("tokio", "hog_relay") => stuck::hog_relay(call, &runtime)?,
        ("tokio", "blocking_syscall") => stuck::blocking_syscall(call, &runtime)?,
        ("tokio", "echo_server") => return echo::serve(&runtime),
        (peer, task) => return Err(format!("{peer} has no task {task}").into()),
    };
    Ok(outcome.print()?)
}

/// Runs a future as a task, on the workers.
fn on_worker<T: Send + 'static>(
    runtime: &Runtime,
    task: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    runtime.block_on(runtime.spawn(task))?
}

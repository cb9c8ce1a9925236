//! A supervisor: starts programs, starts those again that fail, a little later each time, and ends all of them in order when it is told to end.
//!
//! `cargo run --release --example supervisor -- 'sleep 3' 'sleep 1; exit 1'` runs until Ctrl-C; without arguments it shows itself at work.

use gort::context::{Context, current};
use gort::process::Command;
use gort::signal::{self, Signal};
use std::io;
use std::time::Duration;

/// Runs a program until it succeeds, or the context ends.
fn keep_running(script: &str) -> io::Result<()> {
    let mut pause = Duration::from_millis(20);
    loop {
        let mut command = Command::new("sh");
        // A group of its own: a Ctrl-C on the terminal is for the supervisor, which asks its children to end and kills those that do not.
        command.args(["-c", script]).process_group(0).kill_on_cancel(true);
        command.cancel_signal(Signal::TERM, Duration::from_secs(5));
        let mut child = command.spawn()?;
        println!("{script:?} runs as {}", child.id());
        let status = child.wait()?;
        println!("{script:?} has ended: {status}");
        if status.success() {
            return Ok(());
        }
        current().sleep(pause)?;
        pause = (pause * 2).min(Duration::from_secs(60));
    }
}

fn supervise(ctx: &Context, scripts: &[String]) {
    ctx.run(|| {
        gort::scope(|s| {
            for script in scripts {
                s.spawn(move || {
                    if let Err(error) = keep_running(script) {
                        println!("{script:?} is given up: {error}");
                    }
                });
            }
        });
    });
}

#[gort::main]
fn main() -> io::Result<()> {
    let mut scripts: Vec<_> = std::env::args().skip(1).collect();
    let (ctx, stop) = signal::notify_context(&[Signal::INT, Signal::TERM])?;
    if scripts.is_empty() {
        // One that succeeds, one that fails, and one that would go on for ever; the last one tells us to end.
        let tell = format!("sleep 0.3; kill -TERM {}", std::process::id());
        scripts = ["exit 0", "exit 1", "exec sleep 1000", &tell].map(str::to_owned).to_vec();
    }
    supervise(&ctx, &scripts);
    if let Some(cause) = ctx.cause() {
        println!("{cause}");
    }
    // From here on a signal ends the process at once.
    drop(stop);
    Ok(())
}

//! The command `gort`: what goroutines give, tried out on this machine.
//!
//! ```text
//! fanout ──starts──▶ serve-echo (a process of its own)     args     the command line       limits    descriptors, ports
//!    │                  │ server/{gort,threads,epoll}      control  what the two say       child     the parent's view of it
//!    └─ drive ─▶ load ──┘ connections                      measure  what a process uses    report    table, chart, JSON
//!
//! demo ──starts──▶ itself, twice: what blocks the world, and what everybody else notices of it
//! ```
//!
//! The main thread of either process stays outside the runtime: it waits for signals, for the other process and for time to pass,
//! so that it can end things in order whatever happens to the goroutines.

#![deny(unsafe_code)]

mod args;
mod child;
mod control;
mod demo;
mod drive;
mod fanout;
mod limits;
mod load;
mod measure;
mod out;
mod place;
mod progress;
mod report;
mod serve;
mod server;
mod stop;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser as _;

use args::{Cli, Command};
use drive::NothingYet;
use fanout::Ended;
use out::ReaderGone;

/// What `#[gort::main]` installs for a program whose main function is a goroutine.
#[global_allocator]
static ALLOCATOR: gort::alloc::Global<std::alloc::System> = gort::alloc::Global::new(std::alloc::System);

fn main() -> ExitCode {
    let ended = match Cli::try_parse() {
        Ok(Cli { command: Command::Fanout(args) }) => fanout::fanout(&args),
        Ok(Cli { command: Command::ServeEcho(args) }) => serve::run(&args).map(|()| Ended::Done),
        Ok(Cli { command: Command::Load(args) }) => fanout::load(&args),
        Ok(Cli { command: Command::Demo(args) }) => demo::demo(&args),
        // Help that was asked for, and the version: output like any other.
        Err(words) if !words.use_stderr() => show(&words),
        Err(words) => words.exit(),
    };
    match ended {
        Ok(Ended::Done) => ExitCode::SUCCESS,
        Ok(Ended::Interrupted) => ExitCode::from(stop::INTERRUPTED),
        Ok(Ended::Asleep) => ExitCode::from(2),
        // Whoever read the output has what they wanted.
        Err(e) if e.is::<ReaderGone>() => ExitCode::SUCCESS,
        Err(e) => {
            out::stderr(format_args!("gort: {e:#}"));
            ExitCode::from(if e.is::<NothingYet>() { stop::INTERRUPTED } else { 1 })
        }
    }
}

fn show(words: &clap::Error) -> Result<Ended> {
    match words.print().and_then(|()| std::io::stdout().flush()) {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Err(ReaderGone.into()),
        other => other.map(|()| Ended::Done).context("cannot write to stdout"),
    }
}

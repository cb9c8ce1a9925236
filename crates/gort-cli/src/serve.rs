//! `gort serve-echo`: a server process, on its own or as the child of `fanout`.
//!
//! The main thread sleeps in one `poll` over everything that can happen to the process: a signal, an order, an alarm of the
//! server. As a child it also wakes now and then to count the OS threads.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::args::{ServeEcho, Style};
use crate::control::{self, Answer, Order, Ready, Report};
use crate::report::number::{bytes, counted};
use crate::server::alarm::Alarm;
use crate::server::{self, Server};
use crate::stop::StopPipe;
use crate::{limits, measure, out};

/// How often a child counts its threads: seldom enough to cost nothing (one `stat`), often enough to see what stays a while.
const SAMPLE: Duration = Duration::from_millis(20);

/// Serves until told to stop.
pub fn run(args: &ServeEcho) -> Result<()> {
    limits::raise()?;
    let signals = StopPipe::install()?;
    let alarm = Alarm::new()?;
    let (mut server, addrs) = server::start(args.style, &args.addr, args.procs, &alarm)?;
    if args.control {
        let usage = measure::usage();
        let ready = Answer::Ready(Ready { addrs, nature: server.nature(), usage });
        out::stdout(&control::line(&ready)?)?;
        obey(&mut *server, &signals, &alarm)
    } else {
        let listening: String = addrs.iter().map(|addr| format!("listening on {addr}\n")).collect();
        let started = Instant::now();
        out::stdout(&listening)?;
        while !wait(&[&signals, &alarm], None)?.contains(&true) {}
        if let Some(error) = alarm.take() {
            return Err(error);
        }
        server.stop();
        out::stdout(&farewell(args.style, &*server, started.elapsed()))
    }
}

fn farewell(style: Style, server: &dyn Server, time: Duration) -> String {
    let counters = server.counters();
    format!(
        "served {}, {} echoed, in {:.1} s (style {style})\n",
        counted(counters.connections, "connection"),
        bytes(counters.bytes as f64),
        time.as_secs_f64()
    )
}

/// Takes orders from stdin until it ends.
fn obey(server: &mut dyn Server, signals: &StopPipe, alarm: &Alarm) -> Result<()> {
    let stdin = std::io::stdin();
    let mut heard = Vec::new();
    let mut threads_peak = measure::threads();
    loop {
        let ready = wait(&[&stdin, signals, alarm], Some(SAMPLE))?;
        threads_peak = threads_peak.max(measure::threads());
        if let Some(error) = alarm.take() {
            return Err(error);
        }
        if ready[1] {
            break;
        }
        if ready[0] {
            let mut piece = [0; 256];
            match rustix::io::read(&stdin, &mut piece) {
                Ok(0) => break,
                Ok(n) => heard.extend_from_slice(&piece[..n]),
                Err(Errno::INTR) => {}
                Err(e) => return Err(e).context("cannot read orders from stdin"),
            }
        }
        while let Some(end) = heard.iter().position(|&byte| byte == b'\n') {
            let order: Vec<u8> = heard.drain(..=end).collect();
            match serde_json::from_slice(&order) {
                Ok(Order::Report) => {
                    let counters = server.counters();
                    threads_peak = threads_peak.max(counters.threads_peak.unwrap_or(0));
                    let report = Report { usage: measure::usage(), counters, threads_peak };
                    out::stdout(&control::line(&Answer::Report(report))?)?;
                }
                Ok(Order::End) => {
                    server.stop();
                    return Ok(());
                }
                Err(e) => bail!("not an order: {:?}: {e}", String::from_utf8_lossy(&order)),
            }
        }
    }
    server.stop();
    Ok(())
}

/// Sleeps until one of `sources` is readable (or at its end) or the time is over; says which are.
pub fn wait(sources: &[&dyn std::os::fd::AsFd], limit: Option<Duration>) -> Result<Vec<bool>> {
    let mut fds: Vec<_> =
        sources.iter().map(|source| PollFd::from_borrowed_fd(source.as_fd(), PollFlags::IN)).collect();
    let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
    match poll(&mut fds, limit.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(fds.iter().map(|fd| !fd.revents().is_empty()).collect()),
        Err(e) => Err(e).context("cannot wait for signals"),
    }
}

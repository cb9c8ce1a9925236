//! `gort fanout` and `gort load`: one or several runs, and their report.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Error, Result, anyhow, bail};

use crate::args::{Fanout, Load, Style, Traffic};
use crate::child::ServerProcess;
use crate::control::Report;
use crate::drive::{self, Finished, NothingYet};
use crate::load::{Fault, Plan};
use crate::out::Looks;
use crate::place::Place;
use crate::progress::Progress;
use crate::report::number::counted;
use crate::report::{self, Percentiles, Run, round, table};
use crate::stop::StopFlag;
use crate::{limits, out};

/// How a command ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// As planned.
    Done,
    /// By the user, with a report of what there was.
    Interrupted,
    /// By falling asleep for good, as `demo deadlock` was to show.
    Asleep,
}

/// The server in a process of its own, the clients in this one.
pub fn fanout(args: &Fanout) -> Result<Ended> {
    let progress = Progress::new();
    let conns = decide_conns(&args.traffic, &progress)?;
    // Loopback has 16 million addresses; several of them multiply the ports.
    let listen: Vec<SocketAddr> = (1..=limits::listen_addresses(conns))
        .map(|host| SocketAddr::from((Ipv4Addr::new(127, 0, 0, u8::try_from(host).unwrap_or(1)), 0)))
        .collect();
    limits::check_ports(conns, listen.len())?;
    let stop = StopFlag::install()?;

    let styles: &[Style] = if args.compare { &Style::ALL } else { std::slice::from_ref(&args.style) };
    let mut runs = Vec::new();
    let mut failures = Vec::new();
    for &style in styles {
        match one_style(style, args, conns, &listen, &progress, &stop) {
            Ok(run) => runs.push(run),
            // Nothing to report of this style, but of those before it there may be.
            Err(e) if e.is::<NothingYet>() && !runs.is_empty() => {}
            // The other styles may still do what this one could not.
            Err(e) => failures.push(e),
        }
        if stop.raised() {
            break;
        }
    }
    progress.clear();
    if runs.is_empty() {
        // No style is run without a result of either kind.
        let first = failures.swap_remove(0);
        failures.iter().for_each(|failure| out::stderr(format_args!("gort: {failure:#}")));
        return Err(first);
    }
    tell(&runs, args.json, args.compare)?;
    for failure in &failures {
        out::stderr(format_args!("gort: {failure:#}"));
    }
    if !failures.is_empty() {
        bail!("{} of {} styles could not be measured", failures.len(), styles.len());
    }
    runs.iter().find_map(wrong_bytes).map_or(Ok(()), Err)?;
    Ok(if stop.raised() { Ended::Interrupted } else { Ended::Done })
}

/// Only the clients.
pub fn load(args: &Load) -> Result<Ended> {
    let progress = Progress::new();
    let conns = decide_conns(&args.traffic, &progress)?;
    limits::check_ports(conns, args.addr.len())?;
    let stop = StopFlag::install()?;
    let run = drive::Run {
        plan: plan(&args.traffic, conns, args.addr.clone()),
        duration: args.traffic.duration,
        server: None,
        progress: &progress,
        stop: &stop,
        name: "load".into(),
    };
    let finished = run.carry_out();
    progress.clear();
    let finished = finished?;
    let deserted = finished.deserted;
    let run = summary(None, None, &args.traffic, finished);
    tell(std::slice::from_ref(&run), args.json, false)?;
    wrong_bytes(&run).map_or(Ok(()), Err)?;
    if deserted {
        bail!(
            "no connection was left at the end: the server is gone, sent everybody away, or does not answer any more"
        );
    }
    Ok(if run.interrupted { Ended::Interrupted } else { Ended::Done })
}

fn one_style(
    style: Style,
    args: &Fanout,
    conns: u32,
    listen: &[SocketAddr],
    progress: &Progress,
    stop: &StopFlag,
) -> Result<Run> {
    progress.phase(style.name(), 1);
    let mut server = ServerProcess::start(style, listen, args.procs, progress)?;
    let run = drive::Run {
        plan: plan(&args.traffic, conns, server.ready().addrs.iter().copied().map(Place::from).collect()),
        duration: args.traffic.duration,
        server: Some(&mut server),
        progress,
        stop,
        name: style.name().into(),
    };
    let finished = run.carry_out().or_else(|e| {
        // A server that is gone is a better reason than what its clients saw of that.
        server.check()?;
        Err(e)
    })?;
    if finished.deserted {
        server.check()?;
        bail!("the server (style {style}) closed every connection");
    }
    let run = summary(Some(style), Some(server.ready().clone()), &args.traffic, finished);
    server.end()?;
    Ok(run)
}

/// A server that sends back something else is no echo server, and its figures are those of another program.
fn wrong_bytes(run: &Run) -> Option<Error> {
    let n = *run.errors_by_kind.get(Fault::Mismatch.key())?;
    let server = run.style.map_or("the server".into(), |style| format!("the server (style {style})"));
    Some(anyhow!("wrong bytes came back on {}: {server} does not echo what it gets", counted(n, "connection")))
}

fn decide_conns(traffic: &Traffic, progress: &Progress) -> Result<u32> {
    let (conns, reduced) = limits::conns(traffic.conns, limits::raise()?)?;
    if let Some(reduced) = reduced {
        progress.say(&reduced);
    }
    Ok(conns)
}

fn plan(traffic: &Traffic, conns: u32, places: Vec<Place>) -> Plan {
    Plan { places, conns, size: traffic.size as usize, rate: traffic.rate }
}

fn summary(style: Option<Style>, ready: Option<crate::control::Ready>, traffic: &Traffic, finished: Finished) -> Run {
    let Finished { conns, measured, outcome, server, interrupted, .. } = finished;
    let seconds = measured.as_secs_f64();
    let rps = if seconds > 0.0 { outcome.requests as f64 / seconds } else { 0.0 };
    let per_request = |of: &dyn Fn(&Report) -> Option<u64>| {
        let (before, after) = server.as_ref()?;
        let amount = of(&after.report)?.saturating_sub(of(&before.report)?) as f64;
        let replies = after.answered - before.answered;
        (replies >= 1.0).then(|| amount / replies)
    };
    let last = server.map(|(_, last)| last.report);
    let idle = ready.as_ref().map(|ready| ready.usage.rss_bytes);
    let grown = last.zip(idle).map(|(last, idle)| last.usage.rss_bytes.saturating_sub(idle) as f64);
    Run {
        style,
        mode: ready.as_ref().and_then(|ready| ready.nature.mode.clone()),
        procs: ready.as_ref().map(|ready| ready.nature.procs),
        conns,
        size: traffic.size.into(),
        rate: traffic.rate,
        duration_s: round(seconds),
        requests: outcome.requests,
        rps: round(rps),
        errors: outcome.faults.iter().map(|(_, n, _)| n).sum(),
        errors_by_kind: outcome.faults.iter().map(|(fault, n, _)| (fault.key(), *n)).collect(),
        latency_us: Percentiles::of(&outcome.latencies),
        goroutines_peak: last.and_then(|last| last.counters.goroutines_peak),
        os_threads_peak: last.map(|last| last.threads_peak),
        rss_bytes_per_conn: grown.map(|bytes| round(bytes / conns.max(1) as f64)),
        server_cpu_us_per_req: per_request(&|report| Some(report.usage.cpu_ns)).map(|ns| round(ns / 1e3)),
        syscalls_per_req: per_request(&|report| report.counters.syscalls).map(round),
        interrupted,
        latencies: outcome.latencies,
        faults: outcome.faults,
    }
}

fn tell(runs: &[Run], json: bool, compare: bool) -> Result<()> {
    let text = match runs {
        _ if json => report::to_json(runs, compare)?,
        [run] if !compare => table::single(run, Looks::of_stdout()),
        _ => table::compared(runs, Looks::of_stdout()),
    };
    out::stdout(&text)
}

//! The report for people: first the sentence to remember, then the figures, then where the time went.

use std::time::Duration;

use crate::args::Style;
use crate::out::Looks;

use super::number::{bytes, counted, digits, grouped, latency};
use super::{Run, chart};
use crate::load::sentence;

/// A p90 this many times the p50 is no matter of load, which all connections share, but of turns.
const UNFAIR: f64 = 50.0;

/// One run.
pub fn single(run: &Run, looks: Looks) -> String {
    let mut text = format!("{}  {}\n\n", top(looks), looks.bold(&headline(run)));
    let mut row = |name: &str, value: String, remark: &str| {
        let line = format!("  {name:<26}{}  {}", pad(&value, 12), looks.dim(remark));
        text.push_str(line.trim_end());
        text.push('\n');
    };
    row("connections", grouped(run.conns), &format!("{}-byte messages, every reply compared", grouped(run.size)));
    row(
        "requests/s",
        grouped(run.rps.round() as u64),
        &format!("{} in {:.1} s", grouped(run.requests), run.duration_s),
    );
    let us = &run.latency_us;
    let from_due = if run.rate.is_some() { "from when a request was due" } else { "" };
    for (name, value, remark) in [
        ("latency p50", us.p50, from_due),
        ("        p90", us.p90, ""),
        ("        p99", us.p99, ""),
        ("        p99.9", us.p999, ""),
        ("        max", us.max, ""),
    ] {
        row(name, micros(value), remark);
    }
    if run.style.is_some() {
        row("goroutines at peak", count(run.goroutines_peak), goroutines_remark(run));
        row("OS threads at peak", count(run.os_threads_peak), &threads_remark(run));
        row("memory per connection", memory(run), "growth of the server's resident memory");
        row("server CPU per request", micros(run.server_cpu_us_per_req), "user and system time");
        if run.syscalls_per_req.is_some() {
            row("system calls per request", number(run.syscalls_per_req), "");
        }
    }
    text.push('\n');
    text.push_str(&chart::histogram(&run.latencies, looks));
    text.push_str(&remarks(run, looks));
    // For people only: a file or a pipe needs no advice.
    if run.style == Some(Style::Gort) && looks != Looks::PLAIN {
        text.push_str(&format!(
            "\n  {}\n",
            looks.dim("next: --compare sets threads and a hand-written event loop beside it")
        ));
    }
    text
}

/// All runs, a column each.
pub fn compared(runs: &[Run], looks: Looks) -> String {
    let mut text = top(looks).to_owned();
    if let Some(headline) = verdict(runs) {
        text.push_str(&format!("  {}\n\n", looks.bold(&headline)));
    }
    let heads: String = runs.iter().map(|run| pad(run.style.map_or("?", Style::name), 15)).collect();
    text.push_str(&format!("  {:<26}{}\n", "", looks.bold(&heads)));
    let mut row = |name: &str, value: &dyn Fn(&Run) -> String| {
        let cells: String = runs.iter().map(|run| pad(&value(run), 15)).collect();
        text.push_str(&format!("  {name:<26}{cells}\n"));
    };
    row("the server is", &|run| {
        match run.style {
            Some(Style::Epoll) => "an event loop",
            _ => "blocking code",
        }
        .into()
    });
    row("a connection is", &|run| {
        match run.style {
            Some(Style::Gort) => "a goroutine",
            Some(Style::Threads) => "an OS thread",
            _ => "a struct",
        }
        .into()
    });
    row("connections", &|run| grouped(run.conns));
    row("requests/s", &|run| grouped(run.rps.round() as u64));
    row("latency p50", &|run| micros(run.latency_us.p50));
    row("        p90", &|run| micros(run.latency_us.p90));
    row("        p99", &|run| micros(run.latency_us.p99));
    row("        p99.9", &|run| micros(run.latency_us.p999));
    row("        max", &|run| micros(run.latency_us.max));
    row("goroutines at peak", &|run| count(run.goroutines_peak));
    row("OS threads at peak", &|run| count(run.os_threads_peak));
    row("memory per connection", &|run| memory(run));
    row("server CPU per request", &|run| micros(run.server_cpu_us_per_req));
    row("system calls per request", &|run| number(run.syscalls_per_req));
    row("errors", &|run| grouped(run.errors));
    text.push('\n');
    for (title, pick) in [
        ("latency p50", (|run| run.latency_us.p50) as fn(&Run) -> Option<f64>),
        ("latency p90", |run| run.latency_us.p90),
        ("latency p99", |run| run.latency_us.p99),
    ] {
        let values: Vec<_> = runs
            .iter()
            .map(|run| (run.style.map_or("?", Style::name), pick(run).unwrap_or(0.0), micros(pick(run))))
            .collect();
        text.push_str(&chart::bars(title, &values, looks));
    }
    let note = "memory is the server's resident; the kernel adds its own, 16 KB for a thread";
    text.push_str(&format!("\n  {}\n", looks.dim(note)));
    for run in runs {
        let remarks = remarks(run, looks);
        if !remarks.is_empty() {
            text.push_str(&format!("  {}:{remarks}", run.style.map_or("?", Style::name)));
        }
    }
    text
}

/// Air between a prompt and the report; in a file the sentence to remember is the first line.
fn top(looks: Looks) -> &'static str {
    if looks == Looks::PLAIN { "" } else { "\n" }
}

fn headline(run: &Run) -> String {
    let conns = counted(run.conns, "connection");
    let rps = grouped(run.rps.round() as u64);
    let threads = count(run.os_threads_peak);
    match run.style {
        Some(Style::Gort) => {
            format!("{conns}, a goroutine each, on {threads} OS threads: {rps} requests/s")
        }
        Some(Style::Threads) => {
            format!("{conns}, an OS thread each, {threads} threads in all: {rps} requests/s")
        }
        Some(Style::Epoll) => format!("{conns} in {} event loops: {rps} requests/s", count(run.procs)),
        None => format!("{conns}: {rps} requests/s"),
    }
}

/// What the comparison comes down to, if gort was in it.
fn verdict(runs: &[Run]) -> Option<String> {
    let of = |style| runs.iter().find(|run| run.style == Some(style));
    let gort = of(Style::Gort)?;
    let threads = of(Style::Threads).and_then(|run| run.os_threads_peak);
    let cpu = |run: &Run| run.server_cpu_us_per_req.filter(|us| *us > 0.0);
    let ratio = of(Style::Epoll).and_then(|epoll| Some(cpu(gort)? / cpu(epoll)?));
    let mut text = format!("the code of a thread per connection, on {} OS threads", count(gort.os_threads_peak));
    if let Some(threads) = threads {
        text.push_str(&format!(" instead of {}", grouped(threads)));
    }
    if let Some(ratio) = ratio {
        text.push_str(&format!(",\n  for {ratio:.2} x the CPU of a hand-written event loop"));
    }
    Some(text)
}

fn goroutines_remark(run: &Run) -> &'static str {
    if run.goroutines_peak.is_some() { "one per connection, one per listener" } else { "" }
}

fn threads_remark(run: &Run) -> String {
    match (run.style, run.procs) {
        (Some(Style::Gort), Some(procs)) => format!("{procs} run goroutines at any time (--procs)"),
        (Some(Style::Epoll), Some(procs)) => format!("{procs} of them event loops (--procs)"),
        _ => String::new(),
    }
}

/// What is out of the ordinary.
fn remarks(run: &Run, looks: Looks) -> String {
    let mut text = String::new();
    for (fault, n, example) in &run.faults {
        text.push_str(&format!("\n  {}", looks.bad(&sentence(*fault, *n, example))));
    }
    if let (Some(p50), Some(p90)) = (run.latency_us.p50, run.latency_us.p90)
        && p90 > UNFAIR * p50
    {
        text.push_str("\n  p90 far above p50: a few connections are served again and again, most wait");
    }
    // Lost connections ask no more: then it is they that are missing.
    if let Some(rate) = run.rate.filter(|&rate| run.errors == 0 && run.rps < rate as f64 * 0.98) {
        let got = grouped(run.rps.round() as u64);
        text.push_str(&format!(
            "\n  {} requests/s were asked for and {got} came: one end is at its limit",
            grouped(rate)
        ));
    }
    if run.interrupted {
        text.push_str(&format!("\n  interrupted after {:.1} s of measuring", run.duration_s));
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

fn count(n: Option<u64>) -> String {
    n.map_or("-".into(), grouped)
}

fn number(n: Option<f64>) -> String {
    n.map_or("-".into(), digits)
}

fn memory(run: &Run) -> String {
    run.rss_bytes_per_conn.map_or("-".into(), bytes)
}

fn micros(us: Option<f64>) -> String {
    us.map_or("-".into(), |us| latency(Duration::from_nanos((us * 1e3) as u64)))
}

/// To the right, by characters.
fn pad(text: &str, width: usize) -> String {
    format!("{text:>width$}")
}

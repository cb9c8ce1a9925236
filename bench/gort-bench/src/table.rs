//! The results as text: a block for each workload.

mod grid;
mod number;

use std::fmt::Write as _;

use crate::peers::GORT;
use crate::report::{Report, Standing, Verdict, WorkloadReport};
use crate::schedule::DISTURBED_CPUS;
use crate::stats::{ENOUGH, Estimate};
use crate::workloads::{Better, Metric, Shown};
use grid::Grid;
use number::{number, ratio};

/// How words stand out.
#[derive(Debug, Clone, Copy)]
pub enum Paint {
    /// For people at a terminal.
    Terminal,
    /// For files and pipes.
    Plain,
}

impl Paint {
    fn with(self, code: &str, text: &str) -> String {
        match self {
            Paint::Terminal => format!("\x1b[{code}m{text}\x1b[0m"),
            Paint::Plain => text.to_owned(),
        }
    }
}

/// All of it.
pub fn text(report: &Report, paint: Paint) -> String {
    let mut out = String::new();
    // Writing to a String does not fail.
    let _ = head(&mut out, report);
    for workload in report.workloads.iter().filter(|workload| !workload.peers.is_empty()) {
        let _ = block(&mut out, workload, paint);
    }
    let _ = foot(&mut out, report);
    out
}

fn head(out: &mut String, report: &Report) -> std::fmt::Result {
    let machine = &report.machine;
    let gib = machine.memory_bytes as f64 / f64::from(1 << 30);
    writeln!(out, "{} · {} CPUs · {gib:.0} GiB · {} · {}", machine.cpu, machine.cpus, machine.kernel, machine.libc)?;
    for peer in &report.peers {
        match (&peer.version, &peer.missing) {
            (Some(version), _) => writeln!(out, "{}: {version}", peer.name)?,
            (_, Some(why)) => writeln!(out, "{}: left out: {why}", peer.name)?,
            (None, None) => {}
        }
    }
    if !machine.settings.is_empty() {
        writeln!(out, "set: {}", machine.settings.join(" "))?;
    }
    Ok(())
}

fn block(out: &mut String, report: &WorkloadReport, paint: Paint) -> std::fmt::Result {
    writeln!(out, "\n{} · {}", paint.with("1", report.name), report.about)?;
    let shown: Vec<_> = report
        .workload
        .metrics
        .iter()
        .filter(|metric| metric.shown != Shown::No)
        .filter(|metric| report.peers.iter().any(|standing| standing.figures.contains_key(metric.key)))
        .collect();
    let mut grid = Grid::new();
    let mut heads = vec![String::new()];
    for metric in &shown {
        heads.push(metric.label.to_owned());
        if metric.shown == Shown::Compared {
            heads.extend(["(range)".to_owned(), format!("{GORT}:peer [interval]")]);
        }
    }
    grid.row(heads);
    for standing in &report.peers {
        grid.row(row(report, standing, &shown));
    }
    out.push_str(&grid.text("  "));
    for verdict in &report.targets {
        writeln!(out, "  {}", judged(report, verdict, paint))?;
    }
    for standing in &report.peers {
        if let Some(note) = standing.note {
            writeln!(out, "  {}: {note}", standing.peer)?;
        }
        for failure in &standing.failures {
            writeln!(out, "  {}", paint.with("31", &format!("{}: {failure}", standing.peer)))?;
        }
    }
    for note in how_counted(report) {
        writeln!(out, "  {note}")?;
    }
    let (rounds, procs) = (counted(report.rounds, "round"), counted(report.procs, "processor"));
    write!(out, "  {rounds}, {procs}")?;
    if let Some(ratio) = report.ratios.first() {
        write!(out, ", {}", confidence(&ratio.estimate))?;
    }
    if let Some(others) = report.others_cpus {
        let warning = if others > DISTURBED_CPUS { ": too many for figures to quote" } else { "" };
        write!(out, ", others kept {others:.2} CPUs busy meanwhile{warning}")?;
    }
    writeln!(out)
}

fn row(report: &WorkloadReport, standing: &Standing, shown: &[&Metric]) -> Vec<String> {
    let mut cells = vec![standing.peer.to_owned()];
    for metric in shown {
        let spread = standing.figures.get(metric.key);
        let scaled = |value: f64| number(value * metric.scale);
        cells.push(spread.map_or_else(|| "-".to_owned(), |spread| scaled(spread.median)));
        if metric.shown == Shown::Compared {
            let range = |spread: &crate::stats::Spread| format!("({}-{})", scaled(spread.min), scaled(spread.max));
            cells.push(spread.map_or_else(String::new, range));
            let against = report.ratios.iter().find(|ratio| ratio.metric == metric.key && ratio.peer == standing.peer);
            cells.push(against.map_or_else(String::new, |against| interval(&against.estimate, ratio)));
        }
    }
    cells
}

fn judged(report: &WorkloadReport, verdict: &Verdict, paint: Paint) -> String {
    let word = match verdict.ok {
        Some(true) => paint.with("32", "ok  "),
        Some(false) => paint.with("31;1", "MISS"),
        None => "-   ".to_owned(),
    };
    let metric = report.workload.metric(verdict.metric);
    let (label, scale) = metric.map_or((verdict.metric, 1.0), |metric| (metric.label, metric.scale));
    let (show, limit): (fn(f64) -> String, _) = match verdict.times {
        Some(peer) if verdict.best_of.is_some() => (ratio, format!("{} x {peer}, the best", verdict.limit)),
        Some(peer) => (ratio, format!("{} x {peer}", verdict.limit)),
        None => match verdict.above {
            Some(peer) => (number, format!("{} above {peer}", number(verdict.limit * scale))),
            None => (number, number(verdict.limit * scale)),
        },
    };
    let scale = if verdict.times.is_some() { 1.0 } else { scale };
    let reached = match verdict.reached {
        Some(reached) => interval(&reached, |value| show(value * scale)),
        None => "nothing to judge by".to_owned(),
    };
    let doubt = if verdict.ok.is_some() && !verdict.clear { ", more rounds are needed to be sure" } else { "" };
    let bound = if metric.is_some_and(|metric| metric.better == Better::More) { "at least" } else { "at most" };
    format!("{word} {label} {bound} {limit}: {reached}{doubt}")
}

/// An estimate with its interval, if there is one.
fn interval(estimate: &Estimate, show: impl Fn(f64) -> String) -> String {
    match estimate.count {
        1 => show(estimate.median),
        _ => format!("{} [{}, {}]", show(estimate.median), show(estimate.low), show(estimate.high)),
    }
}

/// How much the intervals are good for.
fn confidence(estimate: &Estimate) -> String {
    let percent = estimate.confidence * 100.0;
    match estimate.count {
        1 => "no intervals: they need more than one round".to_owned(),
        2..ENOUGH => {
            format!("intervals of only {percent:.0} % (from the smallest to the largest: 90 % need {ENOUGH} rounds)")
        }
        _ => format!("intervals of {percent:.0} %"),
    }
}

/// How system calls were counted, if peers differ in it also by whom.
fn how_counted(report: &WorkloadReport) -> Vec<String> {
    let mut ways: Vec<(&str, Vec<&str>)> = Vec::new();
    for standing in &report.peers {
        if let Some(how) = standing.notes.get("syscalls") {
            match ways.iter_mut().find(|(known, _)| known == how) {
                Some((_, peers)) => peers.push(standing.peer),
                None => ways.push((how, vec![standing.peer])),
            }
        }
    }
    ways.iter().map(|(how, peers)| format!("system calls of {}: {how}", peers.join(", "))).collect()
}

fn foot(out: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(
        out,
        "\nratios: median of the rounds' own ratios, [interval of that median]; peers are ordered by the first figure"
    )?;
    if !report.complete {
        writeln!(out, "ended early: this is what had been measured")?;
    }
    Ok(())
}

fn counted(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests;

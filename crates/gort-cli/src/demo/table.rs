//! All ways side by side, for people: first the sentence to remember.

use std::time::Duration;

use super::side::Side;
use super::words::{about, heads, legend, verdict};
use super::{OnProcs, Outcome};
use crate::args::Situation;
use crate::out::Looks;
use crate::report::number::{counted, digits, grouped, latency};

/// The report.
pub fn text(outcome: &Outcome, situation: Situation, looks: Looks) -> String {
    let air = if looks == Looks::PLAIN { "" } else { "\n" };
    let mut text = format!("{air}{}\n", looks.bold(&verdict(outcome, situation)));
    let mode = match &outcome.stage.bound_because {
        Some(why) => format!("in bound mode, because {why}"),
        None => "in migrating mode".into(),
    };
    let procs = counted(outcome.stage.procs, "P");
    let played = format!("{}; {:.1} s on {procs}, {mode}", about(situation), outcome.duration_s);
    text.push_str(&format!("{}\n\n", looks.dim(&played)));
    let sides: Vec<&Side> = outcome.sides().collect();
    let (first, width) = match sides.len() {
        2 => (32, 20),
        3 => (32, 16),
        _ => (24, 15),
    };
    let head: String = heads(situation).iter().take(sides.len()).map(|head| format!(" {head:>width$}")).collect();
    text.push_str(&format!("  {:<first$}{}\n", "", looks.bold(&head)));
    let mut row = |name: &str, value: &dyn Fn(&Side) -> String| {
        let cells: String = sides.iter().map(|side| format!(" {:>width$}", value(side))).collect();
        text.push_str(format!("  {name:<first$}{cells}").trim_end());
        text.push('\n');
    };
    if situation != Situation::Deadlock {
        row("ticks, each ms", &|side| of(side.ticks, side.ticks_due));
        row("  late p50", &|side| micros(side.ticker_late_us.p50));
        row("  late p99", &|side| micros(side.ticker_late_us.p99));
        row("  late max", &|side| micros(side.ticker_late_us.max));
        row("echoes over TCP, each ms", &|side| of(side.echoes, side.ticks_due));
        row("  after p50", &|side| micros(side.echo_us.p50));
        row("  after p99", &|side| micros(side.echo_us.p99));
        row("OS threads at peak", &|side| grouped(side.os_threads_peak));
        if outcome.with.reads_per_s.is_some() {
            row("reads of files per second", &|side| side.reads_per_s.map_or("-".into(), digits));
        }
        let causes: Vec<&String> = outcome.with.retakes.keys().filter(|cause| *cause != "total").collect();
        row("Ps taken from threads", &|side| count(side, "total"));
        for cause in causes {
            row(&format!("  {}", words(cause)), &|side| count(side, cause));
        }
    }
    for what in outcome.with.work.keys() {
        // A time or a number of threads that is 0 was not found out: it did not come to that.
        let is_found = |n: &u64| *n > 0 || !what.ends_with("_ms") && !what.ends_with("_threads");
        let count = |side: &Side| side.work.get(what).copied().filter(is_found).map_or("-".into(), grouped);
        row(&words(what), &count);
    }
    row("the process", &ending);
    if !outcome.runs.is_empty() {
        text.push_str(&by_procs(&outcome.runs, outcome.duration_s, looks));
    }
    for line in legend(outcome, situation) {
        text.push_str(format!("  {}", looks.dim(&line)).trim_end());
        text.push('\n');
    }
    text
}

/// What 1, 2, 4 Ps do.
fn by_procs(runs: &[OnProcs], seconds: f64, looks: Looks) -> String {
    let heads: String = runs.iter().map(|run| format!("{:>14}", counted(run.procs, "P"))).collect();
    let mut text = format!("\n  {:<32}{}\n", "", looks.bold(&heads));
    for (name, what) in [("computed, pieces/s", "cpu_bound"), ("answers of a far end/s", "io_bound")] {
        // Each has half of the time.
        let per_s = |run: &OnProcs| run.side.work.get(what).map_or(0.0, |n| *n as f64 / (seconds / 2.0));
        let cells: String = runs.iter().map(|run| format!("{:>14}", digits(per_s(run)))).collect();
        text.push_str(&format!("  {name:<32}{cells}\n"));
    }
    let cells: String = runs.iter().map(|run| format!("{:>14}", micros(run.side.ticker_late_us.p99))).collect();
    text.push_str(&format!("  {:<32}{cells}\n", "ticker late p99"));
    text.push_str(&format!("  {}\n", looks.dim(&gain(runs))));
    text
}

/// What the most Ps have brought, by the figures.
fn gain(runs: &[OnProcs]) -> String {
    let [first, .., last] = runs else { return String::new() };
    let ratio = |what: &str| {
        let of = |run: &OnProcs| run.side.work.get(what).map_or(0.0, |n| *n as f64);
        if of(first) > 0.0 { format!("{:.1}", of(last) / of(first)) } else { "-".into() }
    };
    let (computed, answered) = (ratio("cpu_bound"), ratio("io_bound"));
    let (from, to) = (counted(first.procs, "P"), counted(last.procs, "P"));
    format!("{to} against {from}: {computed} times as much computed, {answered} times as many answers")
}

fn ending(side: &Side) -> String {
    match side.status {
        None => "hung, killed".into(),
        Some(0) => "ended in order".into(),
        Some(status) => format!("ended, status {status}"),
    }
}

/// `3 of 1,000`.
pub fn of(came: u64, due: u64) -> String {
    format!("{} of {}", grouped(came), grouped(due))
}

fn count(side: &Side, cause: &str) -> String {
    side.retakes.get(cause).map_or("-".into(), |n| grouped(*n))
}

/// `reads_under_the_lock` as people write it.
fn words(key: &str) -> String {
    key.replace('_', " ")
}

/// As people read it.
pub fn micros(us: Option<f64>) -> String {
    us.map_or("-".into(), |us| latency(Duration::from_nanos((us * 1e3) as u64)))
}

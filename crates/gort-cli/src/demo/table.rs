//! The two ways side by side, for people: first the sentence to remember.

use std::time::Duration;

use super::side::Side;
use super::{OnProcs, Outcome};
use crate::args::Situation;
use crate::out::Looks;
use crate::report::number::{counted, digits, grouped, latency};

/// The report.
pub fn text(outcome: &Outcome, situation: Situation, looks: Looks) -> String {
    let air = if looks == Looks::PLAIN { "" } else { "\n" };
    let mut text = format!("{air}{}\n", looks.bold(&verdict(outcome, situation)));
    let played = format!("{}; {:.1} s on {}", about(situation), outcome.duration_s, counted(outcome.procs, "P"));
    text.push_str(&format!("{}\n\n", looks.dim(&played)));
    let heads = match situation {
        Situation::Deadlock => ["with", "GORT_DEADLOCK=off", ""],
        Situation::Files => ["a goroutine each", "a thread each", "no files"],
        _ => ["with", "GORT_RETAKE=off", ""],
    };
    let sides: Vec<&Side> =
        [&outcome.with, &outcome.without].into_iter().chain(outcome.without_files.as_ref()).collect();
    let width = if sides.len() > 2 { 17 } else { 21 };
    let head: String = heads.iter().take(sides.len()).map(|head| format!("{head:>width$}")).collect();
    text.push_str(&format!("  {:<32}{}\n", "", looks.bold(&head)));
    let mut row = |name: &str, value: &dyn Fn(&Side) -> String| {
        let cells: String = sides.iter().map(|side| format!("{:>width$}", value(side))).collect();
        text.push_str(format!("  {name:<32}{cells}").trim_end());
        text.push('\n');
    };
    if situation != Situation::Deadlock {
        row("ticks, one each ms", &|side| of(side.ticks, side.ticks_due));
        row("  late p50", &|side| micros(side.ticker_late_us.p50));
        row("  late p99", &|side| micros(side.ticker_late_us.p99));
        row("  late max", &|side| micros(side.ticker_late_us.max));
        row("echoes over TCP, one each ms", &|side| of(side.echoes, side.ticks_due));
        row("  after p50", &|side| micros(side.echo_us.p50));
        row("  after p99", &|side| micros(side.echo_us.p99));
        row("OS threads at peak", &|side| grouped(side.os_threads_peak));
        if outcome.with.reads_per_s.is_some() {
            row("reads of files per second", &|side| side.reads_per_s.map_or("-".into(), digits));
        }
        let causes: Vec<&String> = outcome.with.retakes.keys().filter(|cause| *cause != "total").collect();
        row("Ps taken from stuck threads", &|side| count(side, "total"));
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

/// The sentence to remember.
fn verdict(outcome: &Outcome, situation: Situation) -> String {
    let (with, without) = (&outcome.with, &outcome.without);
    if situation == Situation::Deadlock {
        let ms = with.work.get("ms_to_the_end").copied().unwrap_or(0);
        return format!("all asleep: seen after {ms} ms, reported, status 2; unseen, it hangs for ever");
    }
    if let Some(alone) = &outcome.without_files {
        let count = |what: &str| grouped(with.work.get(what).copied().unwrap_or(0));
        return format!(
            "{} sockets and {} files on {} threads: an answer after {} at p99, {} without the files\n\
             with a thread for each file: {} threads, {}",
            count("sockets"),
            count("files"),
            grouped(with.os_threads_peak),
            micros(with.echo_us.p99),
            micros(alone.echo_us.p99),
            grouped(without.os_threads_peak),
            micros(without.echo_us.p99),
        );
    }
    let late = format!("the ticker is {} late at p99", micros(with.ticker_late_us.p99));
    if without.stuck {
        format!("{late}; without retake the program stands still: {} ticks", of(without.ticks, without.ticks_due))
    } else {
        format!("{late}; without retake {}", micros(without.ticker_late_us.p99))
    }
}

/// What is played.
fn about(situation: Situation) -> &'static str {
    match situation {
        Situation::Hogs => "an endless loop for every P",
        Situation::Blocking => "std::thread::sleep, read(2) on a silent pipe, naps: for every P",
        Situation::Ffi => "a C function that blocks, called bare, marked, and by few at a time",
        Situation::Locks => "a std mutex held across a read, and wanted by fifty others",
        Situation::Deadlock => "two goroutines that wait for each other, after the network was used",
        Situation::Threads => "400 calls that block for 10 ms, marked: 32 at a time, then all at once",
        Situation::Files => "every file read in 64 KiB from the page cache and in 4 KiB past it, all sockets talk",
        Situation::Procs => "half of the time computing, half of it waiting for a far end",
    }
}

fn ending(side: &Side) -> String {
    match side.status {
        None => "hung, was killed".into(),
        Some(0) => "ended in order".into(),
        Some(status) => format!("ended, status {status}"),
    }
}

fn of(came: u64, due: u64) -> String {
    format!("{} of {}", grouped(came), grouped(due))
}

fn count(side: &Side, cause: &str) -> String {
    side.retakes.get(cause).map_or("-".into(), |n| grouped(*n))
}

/// `reads_under_the_lock` as people write it.
fn words(key: &str) -> String {
    key.replace('_', " ")
}

fn micros(us: Option<f64>) -> String {
    us.map_or("-".into(), |us| latency(Duration::from_nanos((us * 1e3) as u64)))
}

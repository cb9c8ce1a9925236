//! What is said around the figures, by the figures.

use super::Outcome;
use super::table::{micros, of};
use crate::args::Situation;
use crate::report::number::{digits, grouped};

/// Others that have kept so much of a processor busy are worth a sentence.
const MENTIONED_CPUS: f64 = 0.1;

/// The names of the columns.
pub fn heads(situation: Situation) -> [&'static str; 4] {
    match situation {
        Situation::Deadlock => ["with", "GORT_DEADLOCK=off", "", ""],
        Situation::Files => ["a goroutine each", "a thread each", "no files", ""],
        _ => ["with", "GORT_RETAKE=off", "plain threads", "nobody blocks"],
    }
}

/// What is played.
pub fn about(situation: Situation) -> &'static str {
    match situation {
        Situation::Hogs => "an endless loop for every P",
        Situation::Blocking => "std::thread::sleep, read(2) on a silent pipe, naps: for every P",
        Situation::Ffi => "a C function that blocks, called bare, marked, and by few at a time",
        Situation::Locks => "a std mutex held across a read, and wanted by fifty others",
        Situation::Deadlock => "two goroutines that wait for each other, after the network was used",
        Situation::Threads => "400 calls that block for 10 ms, marked: 32 at a time, then without a limit",
        Situation::Files => "every file read in 64 KiB from the page cache and in 4 KiB past it, all sockets talk",
        Situation::Procs => "half of the time computing, half of it waiting for a far end",
    }
}

/// The sentence to remember.
pub fn verdict(outcome: &Outcome, situation: Situation) -> String {
    match situation {
        Situation::Deadlock => {
            let ms = outcome.with.work.get("ms_to_the_end").copied().unwrap_or(0);
            format!("all asleep: seen after {ms} ms, reported, status 2; unseen, it hangs for ever")
        }
        Situation::Files => of_files(outcome),
        Situation::Threads => of_threads(outcome),
        _ => of_retake(outcome),
    }
}

fn of_retake(outcome: &Outcome) -> String {
    let (with, without) = (&outcome.with, &outcome.without);
    let mut late = format!("the ticker is {} late at p99", micros(with.ticker_late_us.p99));
    if let (Some(threads), Some(nobody)) = (&outcome.plain_threads, &outcome.nobody_blocks) {
        let [threads, nobody] = [threads, nobody].map(|side| micros(side.ticker_late_us.p99));
        late.push_str(&format!("; with plain threads {threads}, alone {nobody}"));
    }
    if with.stuck {
        let ticks = of(with.ticks, with.ticks_due);
        let how =
            if outcome.is_bound() { "in bound mode the program stands still" } else { "the program stands still" };
        late = format!("{how}, with retake as well: {ticks} ticks\n{late}");
    }
    if without.stuck {
        format!("{late}\nwithout retake the program stands still: {} ticks", of(without.ticks, without.ticks_due))
    } else {
        format!("{late}\nwithout retake {}", micros(without.ticker_late_us.p99))
    }
}

fn of_files(outcome: &Outcome) -> String {
    let (with, without) = (&outcome.with, &outcome.without);
    let count = |what: &str| grouped(with.work.get(what).copied().unwrap_or(0));
    let alone = outcome.without_files.as_ref().and_then(|alone| alone.echo_us.p99);
    format!(
        "{} sockets and {} files on {} threads: an answer after {} at p99, {} without the files\n\
         with a thread for each file: {} threads, {}",
        count("sockets"),
        count("files"),
        grouped(with.os_threads_peak),
        micros(with.echo_us.p99),
        micros(alone),
        grouped(without.os_threads_peak),
        micros(without.echo_us.p99),
    )
}

fn of_threads(outcome: &Outcome) -> String {
    let side = |side: &super::Side| {
        let of = |what: &str| side.work.get(what).copied().filter(|n| *n > 0);
        let round = |name: &str, ms, threads| match (of(ms), of(threads)) {
            (Some(ms), Some(threads)) => format!("{} ms on {} threads {name}", grouped(ms), grouped(threads)),
            _ => format!("not done {name}"),
        };
        let limited = round("with a limit of 32", "limited_ms", "limited_threads");
        format!("{limited}, {}", round("without", "unlimited_ms", "unlimited_threads"))
    };
    format!("400 calls of 10 ms: {}\nwithout retake: {}", side(&outcome.with), side(&outcome.without))
}

/// Why each column is as it is, and what else there was.
pub fn legend(outcome: &Outcome, situation: Situation) -> Vec<String> {
    let taken = match (situation, outcome.is_bound()) {
        (Situation::Deadlock, _) => "the monitor sees that nobody is left who could wake anybody, and ends the process",
        (Situation::Files, _) => {
            "reads past the page cache wait in the kernel or in a few threads; their goroutines are parked"
        }
        (_, true) => "bound mode: whoever has begun on a thread that is stuck waits for it, whoever gets its P",
        (_, false) => "the P of a thread that is stuck is taken after 10 ms at most; others run on it",
    };
    let left = match situation {
        Situation::Deadlock => "nobody looks, so nothing ends it but force",
        Situation::Files => "plain threads and std::fs read the files; the sockets are goroutines'",
        _ => "a P stays with its thread, so nobody else runs on it meanwhile",
    };
    let further = match situation {
        Situation::Files => ["the sockets alone: what the machine gives", ""],
        _ => [
            "all of it with threads and std, without gort: what the kernel gives",
            "the ticker and the echo pair alone: what the machine gives",
        ],
    };
    let whys = [taken, left].into_iter().chain(further);
    let columns = heads(situation).into_iter().zip(whys).take(outcome.sides().count());
    let mut lines = vec![String::new()];
    lines.extend(columns.map(|(head, why)| format!("{head}: {why}")));
    let others_cpus = outcome.sides().filter_map(|side| side.others_cpus).fold(0.0, f64::max);
    if others_cpus >= MENTIONED_CPUS {
        let of = std::thread::available_parallelism().map_or_else(|_| String::new(), |all| format!(" of {all}"));
        lines.push(format!(
            "other processes kept up to {}{of} CPUs busy meanwhile, which makes everybody late",
            digits(others_cpus)
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::side::{Side, Stage};
    use super::*;

    fn outcome() -> Outcome {
        Outcome {
            name: "hogs",
            stage: Stage { procs: 2, mode: Some("migrating".into()), bound_because: None },
            duration_s: 1.0,
            with: Side::default(),
            without: Side::default(),
            plain_threads: Some(Side::default()),
            nobody_blocks: Some(Side::default()),
            without_files: None,
            runs: Vec::new(),
        }
    }

    #[test]
    fn others_that_had_the_cpus_are_told() {
        let mut outcome = outcome();
        let mut has_told = |cpus| {
            outcome.plain_threads.as_mut().unwrap().others_cpus = cpus;
            legend(&outcome, Situation::Hogs).iter().any(|line| line.contains("other processes"))
        };
        assert!(has_told(Some(0.5)));
        assert!(!has_told(Some(0.02)) && !has_told(None));
    }

    #[test]
    fn a_program_that_stands_still_in_bound_mode_is_told_as_that() {
        let mut outcome = outcome();
        assert!(!verdict(&outcome, Situation::Hogs).contains("stands still"));
        (outcome.with.stuck, outcome.without.stuck) = (true, true);
        outcome.stage.bound_because = Some("it was asked for".into());
        let verdict = verdict(&outcome, Situation::Hogs);
        assert!(verdict.starts_with("in bound mode the program stands still, with retake as well"), "{verdict}");
        assert!(legend(&outcome, Situation::Hogs).iter().any(|line| line.starts_with("with: bound mode")));
    }

    #[test]
    fn each_column_has_its_reason() {
        let outcome = outcome();
        for situation in [Situation::Hogs, Situation::Blocking, Situation::Ffi, Situation::Locks] {
            assert_eq!(outcome.sides().count(), 4);
            let legend = legend(&outcome, situation);
            for head in heads(situation) {
                assert!(legend.iter().any(|line| line.starts_with(&format!("{head}: "))), "no {head} in {legend:?}");
            }
        }
    }
}

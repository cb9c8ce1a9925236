//! The order of things: rounds, in each every workload, in each every peer, the first one another in every round.
//!
//! Rounds are the outermost loop, so that a machine that is busy for a while disturbs a round of everything instead of all rounds of one thing,
//! and a run that is ended early has something of everything. Peers of a workload follow one another, which is what the paired ratios live on.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::machine::CpuUse;
use crate::measure::{Attempt, Ended, Failure, measure};
use crate::peers::{self, Peer, Roster};
use crate::progress::Progress;
use crate::records::{Record, Records};
use crate::stop::Stop;
use crate::workloads::{Entry, Task, Workload};

/// What to run.
#[derive(Debug)]
pub struct Plan {
    /// Which workloads.
    pub workloads: Vec<&'static Workload>,
    /// Rounds, if not each workload's own number.
    pub rounds: Option<usize>,
    /// Processors.
    pub procs: usize,
    /// Threads of the load generator.
    pub client_threads: usize,
    /// Whether to wait until the machine is quiet, and to repeat what was disturbed.
    pub calm: bool,
    /// Where to leave what failing workers wrote to stderr.
    pub failures: PathBuf,
}

/// System calls are counted in so many rounds: they hardly vary.
const ROUNDS_WITH_CALLS: usize = 3;
/// A peer that fails so often in a row, from the first round on or later, is not tried any more in that workload.
const PATIENCE: usize = 2;

/// If others use more than this, figures are not to be quoted.
pub const DISTURBED_CPUS: f64 = 0.1;
/// So long must it be quiet before a calm measurement,
const CALM_BEFORE: Duration = Duration::from_secs(1);
/// and for so long is it waited and measured again; then the figures are taken as they are.
const CALM_PATIENCE: Duration = Duration::from_secs(180);

/// One measurement to be made.
#[derive(Debug, Clone, Copy)]
struct Job {
    round: usize,
    workload: &'static Workload,
    entry: &'static Entry,
}

impl Plan {
    /// Rounds of a workload.
    pub fn rounds(&self, workload: &Workload) -> usize {
        self.rounds.unwrap_or(workload.rounds)
    }

    fn jobs(&self, roster: &Roster) -> Vec<Job> {
        let most = self.workloads.iter().map(|workload| self.rounds(workload)).max().unwrap_or(0);
        let mut jobs = Vec::new();
        for round in 0..most {
            for &workload in self.workloads.iter().filter(|workload| round < self.rounds(workload)) {
                let present: Vec<_> = workload.entries.iter().filter(|entry| roster.get(entry.peer).is_ok()).collect();
                for i in 0..present.len() {
                    jobs.push(Job { round, workload, entry: present[(round + i) % present.len()] });
                }
            }
        }
        jobs
    }
}

/// Runs the plan; `after_round` gets what there is after each round. True if it came to its end.
pub fn run(
    plan: &Plan,
    roster: &Roster,
    stop: &Stop,
    records: &mut Records,
    mut after_round: impl FnMut(&Records),
) -> bool {
    let jobs = plan.jobs(roster);
    let progress = Progress::new();
    for (i, job) in jobs.iter().enumerate() {
        let (name, peer) = (job.workload.name, job.entry.peer);
        if is_given_up(records.of(name, peer)) {
            continue;
        }
        let Ok(program) = roster.get(peer) else { continue };
        let done: Duration = records.iter().map(|record| record.took).sum();
        let left = time_left(records, &jobs[i..]);
        let began = Instant::now();
        let words = format!("round {} of {} · {name} · {peer}", job.round + 1, plan.rounds(job.workload));
        let mut look = |extra: &str| {
            let elapsed = began.elapsed();
            progress.show(done + elapsed, left.saturating_sub(elapsed), &format!("{words}{extra}"));
            stop.requested()
        };
        let Some((ended, others_cpus)) = measure_calmly(plan.calm, &attempt(plan, job, program), &mut look) else {
            return false;
        };
        let took = began.elapsed();
        let result = match ended {
            Ended::Measured(outcome) => Ok(outcome),
            Ended::Failed(failure) => {
                let kept = keep(&plan.failures, job, &failure);
                progress.say(&format!("{name} · {peer} · round {}: {}{kept}", job.round + 1, failure.why));
                Err(failure.why)
            }
            Ended::Stopped => return false,
        };
        records.add(name, peer, Record { round: job.round, result, took, others_cpus });
        if jobs.get(i + 1).is_none_or(|next| next.round != job.round) {
            progress.round_done(job.round + 1, &time_left(records, &jobs[i + 1..]));
            after_round(records);
        }
    }
    true
}

/// Measures, and says how many processors others kept busy meanwhile. With `calm` that is done in a quiet moment, and again if it was not one:
/// what decides is what others did, never the figures. Nothing if it was stopped.
fn measure_calmly(calm: bool, attempt: &Attempt, look: &mut impl FnMut(&str) -> bool) -> Option<(Ended, f64)> {
    let give_up = Instant::now() + CALM_PATIENCE;
    loop {
        while calm && Instant::now() < give_up {
            let (began, cpu) = (Instant::now(), CpuUse::now());
            while began.elapsed() < CALM_BEFORE {
                if look(" · waiting for a quiet moment") {
                    return None;
                }
                std::thread::sleep(CALM_BEFORE / 5);
            }
            if CpuUse::now().others_since(cpu) / began.elapsed().as_secs_f64() <= DISTURBED_CPUS {
                break;
            }
        }
        let (began, cpu) = (Instant::now(), CpuUse::now());
        let ended = measure(attempt, || look(""));
        let others_cpus = CpuUse::now().others_since(cpu) / began.elapsed().as_secs_f64();
        let disturbed = others_cpus > DISTURBED_CPUS && matches!(ended, Ended::Measured(_));
        if !(calm && disturbed && Instant::now() < give_up) {
            return Some((ended, others_cpus));
        }
    }
}

fn attempt(plan: &Plan, job: &Job, peer: &Peer) -> Attempt {
    let Job { workload, entry, round } = job;
    let procs = workload.procs(plan.procs);
    let task = match workload.task {
        Task::Alone(task) | Task::Served(task) => task,
    };
    let mut args = vec!["worker".to_owned(), entry.peer.to_owned(), task.to_owned(), format!("procs={procs}")];
    for (key, value) in workload.params {
        let own = entry.params.iter().find(|(known, _)| known == key);
        args.push(format!("{key}={}", own.map_or(value, |(_, value)| value)));
    }
    let exe = match workload.task {
        Task::Alone(_) => peer.exe.clone(),
        Task::Served(_) => {
            args.push(format!("server={}", peer.exe.display()));
            args.push(format!("client_threads={}", plan.client_threads));
            args.push(format!("count_calls={}", u8::from(*round < ROUNDS_WITH_CALLS)));
            // This executable is the load generator, whichever peer serves.
            PathBuf::from("/proc/self/exe")
        }
    };
    // Not by chance: what cannot migrate is told as a failure.
    let mode = if entry.peer == peers::GORT_BOUND { "bound" } else { "migrating" };
    Attempt { exe, args, procs, mode, limit: workload.limit, memory_bytes: workload.memory_bytes }
}

fn is_given_up(records: &[Record]) -> bool {
    records.len() >= PATIENCE && records[records.len() - PATIENCE..].iter().all(|record| record.result.is_err())
}

/// How long these measurements will take: each as long as those like it before. Of what was not measured yet there are only the estimates of the
/// workloads; they are off by the same factor as they were for everything measured so far, which is why the time does not jump when the first
/// round is over.
fn time_left(records: &Records, jobs: &[Job]) -> Duration {
    let (mut took, mut estimated) = (Duration::ZERO, Duration::ZERO);
    for workload in crate::workloads::all() {
        for record in workload.entries.iter().flat_map(|entry| records.of(workload.name, entry.peer)) {
            took += record.took;
            estimated += workload.estimate;
        }
    }
    let factor = if estimated.is_zero() { 1.0 } else { took.as_secs_f64() / estimated.as_secs_f64() };
    let expected = |job: &Job| {
        let before = records.of(job.workload.name, job.entry.peer);
        match before.len() as u32 {
            _ if is_given_up(before) => Duration::ZERO,
            0 => job.workload.estimate.mul_f64(factor),
            n => before.iter().map(|record| record.took).sum::<Duration>() / n,
        }
    };
    jobs.iter().map(expected).sum()
}

/// Leaves what a failing worker wrote, such as the state of every goroutine, where somebody can read it.
fn keep(dir: &Path, job: &Job, failure: &Failure) -> String {
    if failure.stderr.lines().nth(1).is_none() && !failure.hung {
        return String::new();
    }
    let file = dir.join(format!("{}-{}-{}.txt", job.workload.name, job.entry.peer, job.round + 1));
    let written = std::fs::create_dir_all(dir).and_then(|()| std::fs::write(&file, &failure.stderr));
    match written {
        Ok(()) => format!(" (see {})", file.display()),
        Err(e) => format!(" (cannot write {}: {e})", file.display()),
    }
}

#[cfg(test)]
mod tests {
    use gort_bench_wire::Outcome;

    use super::*;
    use crate::workloads;

    #[test]
    fn time_left_learns_from_the_first_measurement_and_does_not_jump_with_the_next() {
        let workload = workloads::all().next().unwrap();
        let jobs: Vec<_> =
            (0..2).flat_map(|round| workload.entries.iter().map(move |entry| Job { round, workload, entry })).collect();
        let mut records = Records::default();
        assert_eq!(time_left(&records, &jobs), workload.estimate * jobs.len() as u32);
        // Everything takes three times as long as estimated.
        for (i, job) in jobs.iter().enumerate() {
            let result = Ok(Outcome::new());
            let record = Record { round: job.round, result, took: workload.estimate * 3, others_cpus: 0.0 };
            records.add(workload.name, job.entry.peer, record);
            let expected = workload.estimate.as_secs_f64() * 3.0 * (jobs.len() - i - 1) as f64;
            let left = time_left(&records, &jobs[i + 1..]).as_secs_f64();
            assert!((left - expected).abs() < 1e-3, "{left} instead of {expected} after {i}");
        }
    }
}

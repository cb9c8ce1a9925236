use std::time::Duration;

use gort_bench_wire::Outcome;

use super::*;
use crate::machine::Machine;
use crate::peers::Roster;
use crate::records::{Record, Records};
use crate::schedule::Plan;
use crate::workloads;

fn table(rounds: usize) -> String {
    let mut records = Records::default();
    for round in 0..rounds {
        for (peer, cpu, p99) in [("gort", 5.0, 11_000.0), ("epoll", 6.25, 10_000.0)] {
            let outcome = Outcome::new().with("cpu_us_per_req", cpu).with("p99_us", p99).with("rps", 150_000.0);
            let outcome = outcome.with("syscalls_per_req", 2.04).noting("syscalls", "perf stat");
            let record = Record { round, result: Ok(outcome), took: Duration::from_secs(1), others_cpus: 0.01 };
            records.add("echo_64", peer, record);
        }
    }
    let workloads = workloads::all().filter(|workload| workload.name == "echo_64").collect();
    let plan = Plan { workloads, rounds: None, procs: 2, client_threads: 1, calm: false, failures: "".into() };
    let roster = Roster::assemble(["threads"]).unwrap();
    text(&Report::of(&plan, &roster, &Machine::here(), &records, false), Paint::Plain)
}

#[test]
fn a_block_tells_figures_ratios_and_verdicts() {
    let table = table(5);
    let line = |begin: &str| {
        let found = table.lines().find(|line| line.trim_start().starts_with(begin));
        found.unwrap_or_else(|| panic!("no {begin} in\n{table}")).split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert!(line("gort ").starts_with("gort 5.00 (5.00-5.00) 150,000 11.0 (11.0-11.0)"), "{table}");
    assert!(
        line("epoll ").contains("(6.25-6.25) 0.80 [0.80, 0.80] 150,000 10.0 (10.0-10.0) 1.10 [1.10, 1.10] 2.04"),
        "{table}"
    );
    assert_eq!(line("ok"), "ok CPU us/req at most 0.9 x epoll: 0.80 [0.80, 0.80]");
    assert_eq!(line("MISS"), "MISS p99 ms at most 0.5 x epoll: 1.10 [1.10, 1.10]");
    assert_eq!(line("system calls"), "system calls of gort, epoll: perf stat");
    assert!(table.contains("5 rounds, 2 processors, intervals of 94 %"), "{table}");
    assert!(table.contains("threads: std::thread") && table.contains("ended early"), "{table}");
}

#[test]
fn too_few_rounds_for_intervals_are_told_as_such() {
    let one = table(1);
    assert!(one.contains("1 round, 2 processors, no intervals: they need more than one round"), "{one}");
    assert!(one.contains("at most 0.9 x epoll: 0.80, more rounds are needed to be sure"), "{one}");
    assert!(!one.contains("0 %") && !one.contains("0.80 ["), "{one}");
    let two = table(2);
    assert!(two.contains("intervals of only 50 % (from the smallest to the largest: 90 % need 5 rounds)"), "{two}");
}

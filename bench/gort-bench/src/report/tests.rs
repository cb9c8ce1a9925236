use std::time::Duration;

use gort_bench_wire::Outcome;

use super::*;
use crate::workloads;

/// Rounds of `spawn_join_100k`, as gort, go, threads; a missing figure is a failure.
fn records(rounds: &[[Option<f64>; 3]]) -> Records {
    let mut records = Records::default();
    for (round, figures) in rounds.iter().enumerate() {
        for (peer, ns) in ["gort", "go", "threads"].into_iter().zip(figures) {
            let result = ns.map(|ns| Outcome::new().with("ns", ns)).ok_or("hung".to_owned());
            let record = Record { round, result, took: Duration::from_secs(1), others_cpus: 0.0 };
            records.add("spawn_join_100k", peer, record);
        }
    }
    records
}

fn report(rounds: &[[Option<f64>; 3]]) -> WorkloadReport {
    let workload = workloads::all().find(|workload| workload.name == "spawn_join_100k").unwrap();
    WorkloadReport::of(workload, 2, &records(rounds))
}

#[test]
fn gort_comes_first_and_then_the_best_peer() {
    let report = report(&[[Some(200.0), Some(100.0), Some(50.0)]]);
    let order: Vec<_> = report.peers.iter().map(|standing| standing.peer).collect();
    assert_eq!(order, ["gort", "threads", "go"]);
    assert_eq!((report.ratios[0].peer, report.ratios[0].estimate.median), ("threads", 4.0));
}

#[test]
fn a_target_is_judged_by_the_median_of_paired_ratios() {
    let kept =
        report(&[[Some(20.0), Some(100.0), None], [Some(60.0), Some(300.0), None], [Some(90.0), Some(100.0), None]]);
    let verdict = &kept.targets[0];
    assert_eq!((verdict.times, verdict.limit, verdict.ok), (Some("go"), 0.3, Some(true)));
    assert!((verdict.reached.unwrap().median - 0.2).abs() < 1e-9);
    assert!(!verdict.clear, "one of the ratios is beyond the limit");
    let round = [Some(31.0), Some(100.0), None];
    let missed = report(&[round, round]);
    assert_eq!((missed.targets[0].ok, missed.targets[0].clear), (Some(false), true));
    let once = report(&[round]);
    assert_eq!((once.targets[0].ok, once.targets[0].clear), (Some(false), false), "a single round proves nothing");
}

#[test]
fn a_peer_that_fails_is_told_of_and_leaves_the_target_open() {
    let report = report(&[[Some(30.0), None, Some(1000.0)], [Some(30.0), None, Some(1000.0)]]);
    let last = report.peers.last().unwrap();
    assert_eq!(
        (last.peer, last.failures.as_slice()),
        ("go", &["round 1: hung".to_owned(), "round 2: hung".to_owned()][..])
    );
    assert_eq!(report.targets[0].ok, None);
    assert!(report.ratios.iter().all(|ratio| ratio.peer != "go"));
}

#[test]
fn the_best_peer_is_the_one_with_the_best_median_of_those_that_count() {
    let workload = workloads::all().find(|workload| workload.name == "chan_mpmc").unwrap();
    let mut records = Records::default();
    // may is better than both and does something else; kanal is better once.
    let measured: [(&str, [f64; 3]); 4] =
        [("gort", [40.0; 3]), ("may", [1.0; 3]), ("kanal", [20.0, 80.0, 90.0]), ("kanal_async", [50.0; 3])];
    for (peer, figures) in measured {
        for (round, ns) in figures.into_iter().enumerate() {
            let result = Ok(Outcome::new().with("ns", ns));
            records.add(workload.name, peer, Record { round, result, took: Duration::from_secs(1), others_cpus: 0.0 });
        }
    }
    let verdict = &WorkloadReport::of(workload, 2, &records).targets[0];
    assert_eq!((verdict.times, verdict.best_of), (Some("kanal_async"), Some(&["kanal", "kanal_async"][..])));
    assert_eq!((verdict.reached.unwrap().median, verdict.ok), (0.8, Some(true)));
    let nobody = &WorkloadReport::of(workload, 2, &Records::default()).targets[0];
    assert_eq!((nobody.ok, nobody.reached.is_none()), (None, true));
}

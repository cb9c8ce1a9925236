use std::collections::HashSet;

use super::*;
use crate::peers;

#[test]
fn names_are_unique() {
    let names: Vec<_> = all().map(|workload| workload.name).collect();
    assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
}

#[test]
fn every_peer_of_a_workload_is_known_and_gort_is_among_them() {
    for workload in all() {
        for entry in workload.entries {
            assert!(peers::NAMES.contains(&entry.peer), "{}: {}", workload.name, entry.peer);
        }
        assert_eq!(workload.entries[0].peer, peers::GORT, "{}", workload.name);
    }
}

#[test]
fn a_parameter_that_differs_for_a_peer_is_one_of_the_workload() {
    for workload in all() {
        for (key, _) in workload.entries.iter().flat_map(|entry| entry.params) {
            assert!(workload.params.iter().any(|(known, _)| known == key), "{}: {key}", workload.name);
        }
    }
}

#[test]
fn targets_speak_of_the_metrics_and_peers_of_their_workload() {
    for workload in all() {
        for target in workload.targets {
            assert!(workload.metric(target.metric).is_some(), "{}: {}", workload.name, target.metric);
            let peers: &[_] = match target.at_most {
                Bound::Value(_) => &[],
                Bound::Times(_, peer) | Bound::Above(_, peer) => &[peer],
                Bound::TimesBest(_, peers) => peers,
            };
            for &peer in peers {
                assert!(workload.entries.iter().any(|entry| entry.peer == peer), "{}: {peer}", workload.name);
            }
        }
    }
}

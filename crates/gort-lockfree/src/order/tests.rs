//! The order of victims.

use std::collections::BTreeSet;
use std::vec;
use std::vec::Vec;

use super::{MAX_COUNT, RandomOrder, STRIDES};

fn assert_complete(count: u32, seed: u32) {
    let mut seen = vec![false; count as usize];
    let order = RandomOrder::new(count).start(seed);
    assert_eq!(order.len(), count as usize);
    for i in order {
        assert!(!core::mem::replace(&mut seen[i as usize], true), "{i} of {count} came twice, seed {seed}");
    }
    assert!(seen.into_iter().all(|seen| seen), "an index of {count} was left out, seed {seed}");
}

/// SC-06. Go: runtime/proc_test, TestStealOrder.
#[test]
fn every_start_visits_every_index_exactly_once() {
    for count in 1..=if cfg!(miri) { 8 } else { 64 } {
        // Every first victim with every stride.
        (0..count * STRIDES.len() as u32).for_each(|seed| assert_complete(count, seed));
    }
    for count in [65, 128, 997, MAX_COUNT - 1, MAX_COUNT] {
        (0..if cfg!(miri) { 1 } else { 64 }).for_each(|i| assert_complete(count, i * 67_108_859));
    }
    assert_eq!(RandomOrder::new(0).start(5).next(), None);
}

#[test]
fn small_counts_have_all_the_orders_there_are() {
    let gcd = |mut a: u32, mut b: u32| {
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    for count in 2..=8 {
        let possible: BTreeSet<u32> = (1..count).filter(|&stride| gcd(stride, count) == 1).collect();
        let used: BTreeSet<u32> = STRIDES.iter().map(|stride| stride % count).collect();
        assert_eq!(used, possible, "strides for {count}");
    }
}

#[test]
fn the_seed_decides_where_it_starts() {
    let order = RandomOrder::new(5);
    let starts: Vec<u32> = (0..5).filter_map(|seed| order.start(seed).next()).collect();
    assert_eq!((order.count(), starts), (5, vec![0, 1, 2, 3, 4]));
}

#[test]
#[should_panic(expected = "RandomOrder::new: count is above 1024")]
fn a_count_above_the_limit_is_refused() {
    RandomOrder::new(MAX_COUNT + 1);
}

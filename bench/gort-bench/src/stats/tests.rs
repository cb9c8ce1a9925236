use super::*;

fn up_to(n: usize) -> Vec<f64> {
    (1..=n).map(|i| i as f64).collect()
}

#[test]
fn a_spread_does_not_depend_on_the_order() {
    let spread = Spread::of(&[5.0, 1.0, 3.0]).unwrap();
    assert_eq!((spread.median, spread.min, spread.max, spread.count), (3.0, 1.0, 5.0, 3));
    assert_eq!(Spread::of(&[]), None);
}

/// Ranks and probabilities from tables of the sign test.
#[test]
fn ranks_are_those_of_the_sign_test() {
    for (n, k, confidence) in [
        (5, 1, 0.9375),
        (8, 2, 0.9297),
        (9, 2, 0.9609),
        (11, 3, 0.9346),
        (15, 4, 0.9648),
        (20, 6, 0.9586),
        (30, 11, 0.9013),
    ] {
        let (rank, is) = rank(n);
        assert_eq!(rank, k, "n = {n}");
        assert!((is - confidence).abs() < 1e-4, "n = {n}: {is}");
    }
}

#[test]
fn few_values_give_their_range_and_admit_how_little_it_says() {
    let estimate = Estimate::of(&up_to(3)).unwrap();
    assert_eq!((estimate.low, estimate.high, estimate.confidence), (1.0, 3.0, 0.75));
    let estimate = Estimate::of(&[7.0]).unwrap();
    assert_eq!((estimate.median, estimate.low, estimate.high, estimate.confidence), (7.0, 7.0, 7.0, 0.0));
}

#[test]
fn an_interval_lies_symmetrically_in_the_order() {
    let estimate = Estimate::of(&up_to(15)).unwrap();
    assert_eq!((estimate.median, estimate.low, estimate.high), (8.0, 4.0, 12.0));
}

/// The promise itself: of many samples from a skewed distribution, about as many intervals hold its median as are said to.
#[test]
fn intervals_hold_the_true_median_as_often_as_they_say() {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut uniform = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    let true_median = std::f64::consts::LN_2;
    let samples = 4000;
    let mut held = 0;
    let mut promised = 0.0;
    for _ in 0..samples {
        let values: Vec<_> = (0..15).map(|_| -(1.0 - uniform()).ln()).collect();
        let estimate = Estimate::of(&values).unwrap();
        held += usize::from(estimate.low <= true_median && true_median <= estimate.high);
        promised = estimate.confidence;
    }
    let share = held as f64 / samples as f64;
    assert!((share - promised).abs() < 0.02, "{share} instead of {promised}");
}

#[test]
fn ratios_are_paired_by_round_and_skip_what_failed() {
    let ours = [Some(1.0), None, Some(3.0), Some(4.0), Some(8.0)];
    let theirs = [Some(2.0), Some(2.0), None, Some(4.0), Some(2.0)];
    let estimate = Estimate::of_ratios(&ours, &theirs).unwrap();
    assert_eq!((estimate.median, estimate.low, estimate.high, estimate.count), (1.0, 0.5, 4.0, 3));
    assert_eq!(Estimate::of_ratios(&[None], &[Some(1.0)]), None);
    assert_eq!(Estimate::of_ratios(&[Some(1.0)], &[Some(0.0)]), None);
}

#[test]
fn a_limit_inside_the_interval_is_not_decided() {
    let estimate = Estimate { median: 0.9, low: 0.8, high: 1.1, confidence: 0.9, count: 9 };
    assert!(estimate.straddles(1.0));
    assert!(!estimate.straddles(1.1));
    assert!(!estimate.straddles(0.7));
}

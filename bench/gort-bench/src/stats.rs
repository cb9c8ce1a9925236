//! Medians, ranges and ratios of few and noisy values.
//!
//! Interval of a median: order statistics. Each value lies below the true median with probability 1/2 whatever the distribution is, so the k-th
//! smallest and the k-th largest of n enclose it with probability 1 - 2 P(Binomial(n, 1/2) < k). The largest k that still gives
//! 90 % is taken. Below five values not even the range reaches that; then the range is told, with the confidence that it has.
//! No bootstrap: with 15 values it gives the same interval with more words, and it promises too much with 5.

use serde::Serialize;

/// What an interval should cover.
const CONFIDENCE: f64 = 0.90;

/// From so many values on an interval covers as much.
pub const ENOUGH: usize = 5;

/// Several values of one figure.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// The middle one, or between the middle two.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// How many.
    pub count: usize,
}

/// An estimate of a median.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// The median of the values.
    pub median: f64,
    /// The true one is not below this,
    pub low: f64,
    /// and not above this,
    pub high: f64,
    /// with this probability.
    pub confidence: f64,
    /// Number of values.
    pub count: usize,
}

impl Spread {
    /// Of values; `None` if there is none.
    pub fn of(values: &[f64]) -> Option<Spread> {
        let sorted = sorted(values);
        let (&min, &max) = (sorted.first()?, sorted.last()?);
        Some(Spread { median: middle(&sorted), min, max, count: sorted.len() })
    }
}

impl Estimate {
    /// Of values; `None` if there is none.
    pub fn of(values: &[f64]) -> Option<Estimate> {
        let sorted = sorted(values);
        let n = sorted.len();
        if n == 0 {
            return None;
        }
        let (k, confidence) = rank(n);
        Some(Estimate { median: middle(&sorted), low: sorted[k - 1], high: sorted[n - k], confidence, count: n })
    }

    /// Of `ours[i] / theirs[i]`, where both were measured.
    pub fn of_ratios(ours: &[Option<f64>], theirs: &[Option<f64>]) -> Option<Estimate> {
        let ratios: Vec<_> = ours
            .iter()
            .zip(theirs)
            .filter_map(|(ours, theirs)| Some((*ours)? / (*theirs)?))
            .filter(|ratio| ratio.is_finite())
            .collect();
        Estimate::of(&ratios)
    }

    /// Of `ours[i] - theirs[i]`, where both were measured.
    pub fn of_differences(ours: &[Option<f64>], theirs: &[Option<f64>]) -> Option<Estimate> {
        let differences: Vec<_> =
            ours.iter().zip(theirs).filter_map(|(ours, theirs)| Some((*ours)? - (*theirs)?)).collect();
        Estimate::of(&differences)
    }

    /// Whether more rounds are needed to tell on which side of `limit` the true median is: the interval has values on both, or there is none.
    pub fn straddles(&self, limit: f64) -> bool {
        self.count < 2 || self.low <= limit && limit < self.high
    }
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

fn middle(sorted: &[f64]) -> f64 {
    gort_bench_wire::timing::median(sorted)
}

/// The rank from either end, and the probability with which the interval holds the median.
fn rank(n: usize) -> (usize, f64) {
    // P(exactly i of n lie below) = C(n, i) / 2^n, summed up from i = 0.
    let mut probability = 0.5_f64.powi(i32::try_from(n).unwrap_or(i32::MAX));
    let mut below = probability;
    let mut best = (1, 1.0 - 2.0 * below);
    for k in 2..=n / 2 {
        probability *= (n - k + 2) as f64 / (k - 1) as f64;
        below += probability;
        let confidence = 1.0 - 2.0 * below;
        if confidence < CONFIDENCE {
            break;
        }
        best = (k, confidence);
    }
    (best.0, best.1.max(0.0))
}

#[cfg(test)]
mod tests;

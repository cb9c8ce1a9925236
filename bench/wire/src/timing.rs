//! Timing a piece of work several times over.

use std::time::{Duration, Instant};

use crate::Outcome;
use crate::process::cpu_time;

/// Nanoseconds that each of `repeats` runs of `work` took, in order.
///
/// # Errors
/// The first error of `work`, which checks its own result.
pub fn repeat<E>(repeats: usize, mut work: impl FnMut() -> Result<(), E>) -> Result<Vec<f64>, E> {
    (0..repeats)
        .map(|_| {
            let began = Instant::now();
            work()?;
            Ok(began.elapsed().as_nanos() as f64)
        })
        .collect()
}

/// What a piece of work took.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// By the clock on the wall.
    pub wall: Duration,
    /// CPU time of the process meanwhile.
    pub cpu: Duration,
}

impl Cost {
    /// Of one run of `work`.
    ///
    /// # Errors
    /// That of `work`, which checks its own result.
    pub fn of<E>(work: impl FnOnce() -> Result<(), E>) -> Result<Cost, E> {
        let (began, cpu) = (Instant::now(), cpu_time());
        work()?;
        Ok(Cost { wall: began.elapsed(), cpu: cpu_time() - cpu })
    }
}

/// What each of `count` pieces of work took, of several runs: `us`, `cpu_us`.
pub fn each(costs: &[Cost], count: u64) -> Outcome {
    let each = |time: fn(&Cost) -> Duration| {
        median(&costs.iter().map(|cost| time(cost).as_nanos() as f64 / 1e3 / count as f64).collect::<Vec<_>>())
    };
    Outcome::new().with("us", each(|cost| cost.wall)).with("cpu_us", each(|cost| cost.cpu))
}

/// The median; not a number if there is nothing.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.len(), sorted.len() / 2) {
        (0, _) => f64::NAN,
        (n, half) if n % 2 == 0 => (sorted[half - 1] + sorted[half]) / 2.0,
        (_, half) => sorted[half],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_middle_two() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn an_error_ends_the_repeats() {
        let mut runs = 0;
        let ended = repeat(5, || {
            runs += 1;
            if runs == 3 { Err("third") } else { Ok(()) }
        });
        assert_eq!((ended, runs), (Err("third"), 3));
    }
}

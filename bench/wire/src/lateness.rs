//! How late somebody was who slept.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::check::{Wrong, expect};
use crate::timing::Cost;

/// The lateness of one sleeper, time after time.
#[derive(Debug, Clone, Default)]
pub struct Lateness {
    late_us: Vec<f64>,
    early: u64,
}

impl Lateness {
    /// Nothing yet.
    pub fn new() -> Lateness {
        Lateness::default()
    }

    /// Notes that what was due then is done now.
    pub fn note(&mut self, due: Instant) {
        match Instant::now().checked_duration_since(due) {
            Some(late) => self.late_us.push(late.as_nanos() as f64 / 1e3),
            None => self.early += 1,
        }
    }

    /// How often.
    pub fn count(&self) -> usize {
        self.late_us.len()
    }

    /// `p50_us` and `p99_us`.
    ///
    /// # Errors
    /// If it was early once, or if there is too little to speak of.
    pub fn add_to(mut self, outcome: Outcome) -> Result<Outcome, Wrong> {
        const ENOUGH: usize = 10;
        expect("wake-ups before their time", self.early, 0)?;
        expect("wake-ups, if less than 10", self.count().min(ENOUGH) as u64, ENOUGH as u64)?;
        self.late_us.sort_by(f64::total_cmp);
        let quantile = |q: f64| at_quantile(&self.late_us, q);
        Ok(outcome.with("p50_us", quantile(0.5)).with("p99_us", quantile(0.99)).with("wake_ups", self.count() as f64))
    }
}

/// The lateness of many who sleep once, each for a time of its own.
#[derive(Debug)]
pub struct Sleepers {
    /// Microseconds + 1; 0 is one who still sleeps.
    late_us: Box<[AtomicU32]>,
    early: AtomicU32,
    twice: AtomicU32,
    longest: Duration,
}

impl Sleepers {
    /// So many, none for longer than that.
    pub fn new(count: usize, longest: Duration) -> Sleepers {
        let late_us = (0..count).map(|_| AtomicU32::new(0)).collect();
        Sleepers { late_us, early: AtomicU32::new(0), twice: AtomicU32::new(0), longest }
    }

    /// How long one sleeps: to the microsecond, random, the same for every peer.
    pub fn time(&self, number: usize) -> Duration {
        // The scrambling of SplitMix64.
        let mut x = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        Duration::from_micros((x ^ x >> 31) % (self.longest.as_micros() as u64 + 1))
    }

    /// One is awake that should have been awake then.
    pub fn woke(&self, number: usize, due: Instant) {
        // Relaxed, here and below: figures, read when all are known to be awake.
        match Instant::now().checked_duration_since(due) {
            Some(late) => {
                let late = u32::try_from(late.as_micros()).unwrap_or(u32::MAX).saturating_add(1);
                if self.late_us[number].swap(late, Relaxed) != 0 {
                    self.twice.fetch_add(1, Relaxed);
                }
            }
            None => {
                self.early.fetch_add(1, Relaxed);
            }
        }
    }

    /// The lateness in microseconds that 99 % do not exceed.
    ///
    /// # Errors
    /// If one was early, woke twice or still sleeps.
    fn p99_us(&self) -> Result<f64, Wrong> {
        expect("sleepers that woke before their time", self.early.load(Relaxed).into(), 0)?;
        expect("sleepers that woke twice", self.twice.load(Relaxed).into(), 0)?;
        let mut late: Vec<_> = self.late_us.iter().map(|late| late.load(Relaxed)).filter(|&late| late > 0).collect();
        expect("sleepers that woke", late.len() as u64, self.late_us.len() as u64)?;
        late.sort_unstable();
        Ok(at_quantile(&late.iter().map(|&late| f64::from(late - 1)).collect::<Vec<_>>(), 0.99))
    }

    /// That and what it took: `<round>_cpu_s`, `<round>_wall_ms` and `<round>_p99_us`.
    ///
    /// # Errors
    /// If a sleeper was early, woke twice or still sleeps.
    pub fn add_to(&self, outcome: Outcome, round: &str, cost: Cost) -> Result<Outcome, Wrong> {
        let p99_us = self.p99_us()?;
        Ok(outcome
            .with(&format!("{round}_cpu_s"), cost.cpu.as_secs_f64())
            .with(&format!("{round}_wall_ms"), cost.wall.as_secs_f64() * 1e3)
            .with(&format!("{round}_p99_us"), p99_us))
    }
}

/// The smallest value that a share of `q` does not exceed.
fn at_quantile(sorted: &[f64], q: f64) -> f64 {
    let rank = (sorted.len() as f64 * q).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_quantile_is_a_value_that_occurred() {
        let values: Vec<_> = (1..=200).map(f64::from).collect();
        assert_eq!((at_quantile(&values, 0.5), at_quantile(&values, 0.99)), (100.0, 198.0));
        assert_eq!(at_quantile(&[7.0], 0.99), 7.0);
    }

    #[test]
    fn one_who_is_early_makes_the_figure_worthless() {
        let mut late = Lateness::new();
        (0..20).for_each(|_| late.note(Instant::now()));
        assert!(late.clone().add_to(Outcome::new()).unwrap().metrics["p99_us"] < 1e6);
        late.note(Instant::now() + Duration::from_secs(60));
        assert!(late.add_to(Outcome::new()).unwrap_err().to_string().contains("before their time"));
    }

    #[test]
    fn each_sleeper_wakes_once() {
        let sleepers = Sleepers::new(3, MS);
        sleepers.woke(0, Instant::now());
        sleepers.woke(2, Instant::now());
        assert!(sleepers.p99_us().unwrap_err().to_string().contains("2 instead of 3"));
        sleepers.woke(1, Instant::now());
        assert!(sleepers.p99_us().unwrap() < 1e6);
        sleepers.woke(1, Instant::now());
        assert!(sleepers.p99_us().unwrap_err().to_string().contains("twice"));
    }

    #[test]
    fn sleeping_times_are_spread_over_the_whole_range() {
        let sleepers = Sleepers::new(1000, 1000 * MS);
        let mean = (0..1000).map(|n| sleepers.time(n)).sum::<Duration>() / 1000;
        assert!(mean > 450 * MS && mean < 550 * MS, "{mean:?}");
        assert!((0..1000).all(|n| sleepers.time(n) <= 1000 * MS));
        // Go draws the same ones: see `go/timers.go`.
        assert_eq!(sleepers.time(0), Duration::from_micros(0xe220_a839_7b1d_cdaf % 1_000_001));
    }
}

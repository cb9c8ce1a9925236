//! Where latencies are recorded.
//!
//! A histogram with three significant digits is 200 KB, far too much for each client, and one for all would be one lock for all.
//! So there are a few, each under its lock, and a client takes the first it gets without waiting: with no more threads at work
//! than histograms, that never fails. A goroutine cannot be moved while it holds the lock, as it does not park.

use std::fmt;
use std::sync::{Mutex, PoisonError, TryLockError};
use std::time::Duration;

use hdrhistogram::Histogram;

/// More than there are threads running clients on any machine this is for; if not, the last one waits.
const SHARDS: usize = 64;
/// What the histogram can hold; a slower reply counts as this slow.
const LONGEST: Duration = Duration::from_secs(600);

/// Latencies of all clients.
#[derive(Debug)]
pub struct Tally {
    shards: Vec<Mutex<Shard>>,
}

#[derive(Debug)]
#[repr(align(128))]
struct Shard {
    /// Made when first used.
    latencies: Option<Latencies>,
    /// Replies in all phases.
    answered: u64,
}

impl Tally {
    /// Nothing recorded.
    pub fn new() -> Tally {
        Tally { shards: (0..SHARDS).map(|_| Mutex::new(Shard { latencies: None, answered: 0 })).collect() }
    }

    /// Counts a reply, and its latency if it is to be recorded. `hint` spreads the clients.
    pub fn reply(&self, hint: usize, latency: Option<Duration>) {
        for i in 0..SHARDS {
            let shard = &self.shards[(hint + i) % SHARDS];
            let mut shard = match shard.try_lock() {
                Ok(shard) => shard,
                Err(TryLockError::WouldBlock) if i + 1 < SHARDS => continue,
                Err(_) => shard.lock().unwrap_or_else(PoisonError::into_inner),
            };
            shard.answered += 1;
            if let Some(latency) = latency {
                shard.latencies.get_or_insert_with(Latencies::new).record(latency);
            }
            return;
        }
    }

    /// Replies so far, recorded or not.
    pub fn answered(&self) -> u64 {
        self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).answered).sum()
    }

    /// All latencies together.
    pub fn latencies(&self) -> Latencies {
        let mut all = Latencies::new();
        for shard in &self.shards {
            if let Some(latencies) = &shard.lock().unwrap_or_else(PoisonError::into_inner).latencies {
                all.add(latencies);
            }
        }
        all
    }
}

/// A histogram of latencies, true to three digits.
#[derive(Clone)]
pub struct Latencies(Histogram<u64>);

impl Latencies {
    /// Empty.
    pub fn new() -> Latencies {
        let longest_ns = LONGEST.as_nanos() as u64;
        // The bounds are constants the histogram accepts; `tests` makes one.
        Latencies(Histogram::new_with_bounds(100, longest_ns, 3).expect("constant bounds"))
    }

    /// Adds one.
    pub fn record(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The latency that `share` (0 to 1) of all requests did not exceed; none if there are none.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        (!self.0.is_empty()).then(|| Duration::from_nanos(self.0.value_at_quantile(share)))
    }

    /// The slowest.
    pub fn max(&self) -> Option<Duration> {
        (!self.0.is_empty()).then(|| Duration::from_nanos(self.0.max()))
    }

    /// Every latency that occurred with the number of requests that had it, in ascending order. The same resolution as
    /// `quantile` and `max`: a latency either of them returns occurs here.
    pub fn each(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        self.0
            .iter_recorded()
            .map(|step| (Duration::from_nanos(step.value_iterated_to()), step.count_since_last_iteration()))
    }

    fn add(&mut self, other: &Latencies) {
        // Both have the same bounds, so every value of one fits the other.
        self.0.add(&other.0).expect("equal bounds");
    }
}

impl fmt::Debug for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Latencies").field("count", &self.count()).field("max", &self.max()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reply_is_counted_and_only_the_timed_ones_recorded() {
        let tally = Tally::new();
        std::thread::scope(|scope| {
            for worker in 0..4 {
                let tally = &tally;
                scope.spawn(move || {
                    for i in 0..1000_u64 {
                        tally.reply(worker, i.is_multiple_of(2).then(|| Duration::from_micros(10 + i)));
                    }
                });
            }
        });
        assert_eq!(tally.answered(), 4000);
        let latencies = tally.latencies();
        assert_eq!(latencies.count(), 2000);
        let max = latencies.max().unwrap().as_secs_f64();
        assert!((max / 1008e-6 - 1.0).abs() < 0.002, "max {max}");
    }

    #[test]
    fn a_reply_slower_than_the_histogram_counts_as_its_slowest() {
        let mut latencies = Latencies::new();
        latencies.record(Duration::from_secs(100_000));
        assert_eq!(latencies.count(), 1);
        assert!(latencies.max().unwrap() >= LONGEST);
        assert_eq!(Latencies::new().quantile(0.5), None);
    }
}

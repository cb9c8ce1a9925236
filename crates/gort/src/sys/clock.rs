//! The one place that reads the clock.
//!
//! Everything in gort that waits for a time holds an absolute deadline: nanoseconds of `CLOCK_MONOTONIC` in a `u64`, 0 for "none". That fits
//! in one atomic word, compares with one instruction, and lasts 584 years.
//!
//! Never early: every conversion rounds towards later. std keeps an [`Instant`] as a reading of the same clock but hides the number, so a
//! conversion reads both and adds the difference. Our clock is read second, hence the result is late by the time between the two readings
//! (tens of nanoseconds) and never early.

#![allow(dead_code)]

use std::time::{Duration, Instant};

/// The deadline that never comes.
pub(crate) const NEVER: u64 = u64::MAX;

/// Nanoseconds of the monotonic clock.
#[inline]
pub(crate) fn now_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a live timespec. libc reads the kernel's shared page; with a valid clock and pointer the call cannot fail, so it never
    // writes errno, and it has no thread-local of its own: it may run on any thread pointer.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    debug_assert_eq!(failed, 0, "clock_gettime(CLOCK_MONOTONIC) cannot fail");
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// The deadline `wait` from now; [`NEVER`] if that is beyond what a deadline can say.
#[inline]
pub(crate) fn after(wait: Duration) -> u64 {
    now_ns().saturating_add(nanos(wait))
}

/// `instant` as a deadline. One that has passed gives a deadline that has passed (never 0).
pub(crate) fn deadline_ns(instant: Instant) -> u64 {
    let reference = Instant::now();
    let now = now_ns();
    match instant.checked_duration_since(reference) {
        Some(ahead) => now.saturating_add(nanos(ahead)),
        None => now.saturating_sub(nanos(reference.saturating_duration_since(instant))).max(1),
    }
}

/// `duration` in nanoseconds, as far as they fit.
#[inline]
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(NEVER)
}

/// A count of nanoseconds as the kernel takes it. `u64::MAX` is a valid timespec too.
#[inline]
pub(crate) fn timespec(ns: u64) -> libc::timespec {
    libc::timespec { tv_sec: (ns / 1_000_000_000) as _, tv_nsec: (ns % 1_000_000_000) as libc::c_long }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_never_goes_back_and_agrees_with_std() {
        let start = (now_ns(), Instant::now());
        let mut last = start.0;
        for _ in 0..10_000 {
            let now = now_ns();
            assert!(now >= last);
            last = now;
        }
        let std_elapsed = start.1.elapsed().as_nanos() as u64;
        let our_elapsed = now_ns() - start.0;
        assert!(our_elapsed >= std_elapsed, "read around it, so never shorter");
    }

    #[test]
    fn a_converted_instant_is_never_early() {
        for ahead in [0, 1, 999, 1_000_000, 3_000_000_000_u64] {
            let instant = Instant::now() + Duration::from_nanos(ahead);
            let deadline = deadline_ns(instant);
            // Read in this order, at the moment our clock shows `deadline` std's has reached `instant`.
            let now = now_ns();
            let left = instant.saturating_duration_since(Instant::now());
            assert!(deadline.saturating_sub(now) >= nanos(left));
        }
    }

    #[test]
    fn a_past_instant_gives_a_past_deadline_that_is_not_the_word_for_none() {
        let past = Instant::now();
        let deadline = deadline_ns(past);
        assert!(deadline > 0 && deadline <= now_ns());
        if let Some(long_ago) = past.checked_sub(Duration::from_secs(1_000_000_000)) {
            assert!(deadline_ns(long_ago) > 0);
        }
    }

    #[test]
    fn deadlines_beyond_the_end_of_time_saturate() {
        assert_eq!(after(Duration::MAX), NEVER);
        assert_eq!(after(Duration::from_nanos(u64::MAX)), NEVER);
        let far = Instant::now().checked_add(Duration::from_secs(u64::MAX / 2_000_000_000)).unwrap();
        assert!(deadline_ns(far) > now_ns());
        let spec = timespec(NEVER);
        assert!(spec.tv_sec > 0 && spec.tv_nsec < 1_000_000_000);
    }

    #[test]
    fn after_is_at_least_the_wait_asked_for() {
        let before = now_ns();
        assert!(after(Duration::from_micros(5)) >= before + 5_000);
        assert!(after(Duration::ZERO) > 0);
    }
}

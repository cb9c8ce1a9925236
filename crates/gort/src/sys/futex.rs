//! A thread sleeps while a word holds a value.
//!
//! Private futexes with absolute deadlines on the monotonic clock. Every return is a hint: the caller looks at its word again and decides
//! whether to sleep on, so spurious wake-ups and signals need no care here. No lost wake-up, by the kernel's rule: the word is compared with
//! `expected` under the same bucket lock that `wake` takes, so a store that precedes a `wake` is either seen by the comparison or its
//! `wake` finds the sleeper.

use super::{
    clock,
    raw::{self, Errno},
};
use std::sync::atomic::AtomicU32;

/// Why [`wait`] returned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum WaitResult {
    /// Somebody called [`wake`] (or nobody did: rarely, a wake meant for an earlier user of the same address).
    Woken,
    /// The word did not hold the expected value; the thread did not sleep.
    Changed,
    /// The deadline came.
    TimedOut,
    /// A signal handler ran.
    Interrupted,
}

/// Sleeps until somebody wakes `word`, if it holds `expected`; at most until `deadline_ns` (absolute, see [`clock`]).
#[inline]
pub(crate) fn wait(word: &AtomicU32, expected: u32, deadline_ns: Option<u64>) -> WaitResult {
    let timeout = deadline_ns.map(clock::timespec);
    // SAFETY: `word` lives as long as the call; `timeout`, if there is one, is a live timespec that the kernel only reads. Of the two
    // operations that take a deadline, FUTEX_WAIT_BITSET is the one that takes it absolute; all bits set is what FUTEX_WAKE matches.
    let outcome = unsafe {
        raw::syscall6(
            libc::SYS_futex,
            word.as_ptr() as usize,
            (libc::FUTEX_WAIT_BITSET | libc::FUTEX_PRIVATE_FLAG) as usize,
            expected as usize,
            timeout.as_ref().map_or(0, |t| std::ptr::from_ref(t) as usize),
            0,
            libc::FUTEX_BITSET_MATCH_ANY as u32 as usize,
        )
    };
    match outcome {
        Ok(_) => WaitResult::Woken,
        Err(Errno::AGAIN) => WaitResult::Changed,
        Err(Errno::TIMEDOUT) => WaitResult::TimedOut,
        // Nothing else can happen to a valid word; should it, looking again is what the caller does anyway.
        Err(_) => WaitResult::Interrupted,
    }
}

/// Wakes up to `count` threads that sleep on `word`; says how many.
#[inline]
pub(crate) fn wake(word: &AtomicU32, count: u32) -> usize {
    wake_at(word.as_ptr(), count)
}

/// [`wake`] for a word that may be gone: who was woken through it may have freed it between our store and this call.
///
/// The kernel uses the address of a private futex as a key and reads nothing there. At worst a later user of the address is woken once for
/// nothing, which every caller of [`wait`] tolerates.
#[inline]
pub(crate) fn wake_at(word: *const u32, count: u32) -> usize {
    // SAFETY: FUTEX_WAKE on a private futex dereferences nothing.
    let outcome = unsafe {
        raw::syscall3(
            libc::SYS_futex,
            word as usize,
            (libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG) as usize,
            count.min(i32::MAX as u32) as usize,
        )
    };
    outcome.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::clock::now_ns;
    use std::sync::{
        Arc,
        atomic::Ordering::{Acquire, Release},
    };

    #[test]
    fn a_word_that_changed_is_not_slept_on() {
        assert_eq!(wait(&AtomicU32::new(1), 0, None), WaitResult::Changed);
    }

    #[test]
    fn a_deadline_ends_the_sleep_and_not_early() {
        let word = AtomicU32::new(0);
        let deadline = now_ns() + 5_000_000;
        while wait(&word, 0, Some(deadline)) != WaitResult::TimedOut {}
        assert!(now_ns() >= deadline);
        assert_eq!(wait(&word, 0, Some(1)), WaitResult::TimedOut, "one that has passed returns at once");
    }

    #[test]
    fn a_wake_ends_a_sleep_without_deadline() {
        let word = Arc::new(AtomicU32::new(0));
        let sleeper = std::thread::spawn({
            let word = word.clone();
            move || {
                while word.load(Acquire) == 0 {
                    wait(&word, 0, Some(clock::NEVER));
                }
            }
        });
        word.store(1, Release);
        wake(&word, 1);
        sleeper.join().unwrap();
    }

    #[test]
    fn wake_counts_whom_it_woke() {
        let word = Arc::new(AtomicU32::new(0));
        let sleepers: Vec<_> = (0..3)
            .map(|_| {
                let word = word.clone();
                std::thread::spawn(move || while wait(&word, 0, None) != WaitResult::Woken {})
            })
            .collect();
        // Each sleeper ends at its first wake, so three wakes in all find somebody.
        let mut woken = 0;
        while woken < 3 {
            woken += wake(&word, 1);
            std::thread::yield_now();
        }
        sleepers.into_iter().for_each(|s| s.join().unwrap());
        assert_eq!(wake(&word, u32::MAX), 0);
    }
}

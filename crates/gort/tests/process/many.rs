//! Very many goroutines, and what is left of them.

use crate::child;
use crate::support::{count_of_ms, scaled, wait_until};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

/// A hundred thousand at once, parked, then ended: every count is back, and threads there were no more than a handful.
#[test]
fn a_hundred_thousand_parked_goroutines_end_and_leave_nothing() {
    let this = child::of(|_| {
        const COUNT: usize = 100_000;
        static PARKED: AtomicUsize = AtomicUsize::new(0);
        fn open_descriptors() -> usize {
            std::fs::read_dir("/proc/self/fd").unwrap().count()
        }
        gort::go(|| ()).join().unwrap();
        let descriptors = open_descriptors();
        for round in 1..=2 {
            PARKED.store(0, SeqCst);
            let start = Instant::now();
            let handles: Vec<_> = (0..COUNT)
                .map(|_| {
                    gort::go(|| {
                        PARKED.fetch_add(1, SeqCst);
                        gort::park();
                    })
                })
                .collect();
            wait_until(|| gort::runtime::metrics().waiting == COUNT as u64);
            let metrics = gort::runtime::metrics();
            assert_eq!((PARKED.load(SeqCst), metrics.goroutines), (COUNT, COUNT as u64));
            assert!(metrics.goroutines_peak >= COUNT as u64);
            assert!(gort::runtime::dump().starts_with("gort: 100000 goroutines, "));
            for handle in &handles {
                handle.goroutine().unpark();
            }
            handles.into_iter().for_each(|handle| handle.join().unwrap());
            let metrics = gort::runtime::metrics();
            assert_eq!((metrics.goroutines, metrics.waiting, metrics.runnable), (0, 0, 0), "{metrics:#?}");
            assert!(metrics.created >= (round * COUNT) as u64);
            assert_eq!(open_descriptors(), descriptors);
            let limit = gort::runtime::max_procs() + 6;
            assert!(metrics.threads_peak as usize <= limit && count_of_ms() <= limit, "{metrics:#?}");
            assert!(start.elapsed() < scaled(Duration::from_secs(8)), "{:?}", start.elapsed());
        }
    });
    this.run("").exited(0).never_says("gort: ");
}

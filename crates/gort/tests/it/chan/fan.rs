//! Many senders, many receivers: nothing lost, nothing twice, in order.

use crate::support::rounds;
use gort::chan::{bounded, unbounded};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

/// CH-04. One sender's values come in order, whatever the capacity.
#[gort::test(procs = [1, 2, 4])]
fn one_senders_values_come_in_order() {
    for capacity in (0..200).chain([usize::MAX]) {
        let (s, r) = bounded(capacity);
        gort::go(move || (0..100).for_each(|i| s.send(i).unwrap()));
        assert!(r.iter().eq(0..100), "capacity {capacity}");
    }
}

/// CH-04. Four senders, four receivers: each value is received as often as it was sent, and in order per sender.
#[gort::test(procs = [1, 2, 4])]
fn four_senders_and_four_receivers_lose_and_double_nothing() {
    for capacity in [0, 1, 2, 10, 100, 200, usize::MAX] {
        let (s, r) = bounded(capacity);
        let counts: Arc<Vec<AtomicUsize>> = Arc::new((0..1000).map(|_| AtomicUsize::new(0)).collect());
        for sender in 0..4 {
            let s = s.clone();
            gort::go(move || (0..1000).for_each(|i| s.send((sender, i)).unwrap()));
        }
        drop(s);
        let receivers: Vec<_> = (0..4)
            .map(|_| {
                let (r, counts) = (r.clone(), counts.clone());
                gort::go(move || {
                    let mut last = [None; 4];
                    for (sender, i) in r {
                        counts[i].fetch_add(1, Relaxed);
                        assert!(last[sender].replace(i) < Some(i), "{i} of {sender} came late");
                    }
                })
            })
            .collect();
        receivers.into_iter().for_each(|receiver| receiver.join().unwrap());
        assert!(counts.iter().all(|count| count.load(Relaxed) == 4), "capacity {capacity}");
    }
}

/// CH-05. Fan-out to 23 workers and fan-in, ended by closing in order.
#[gort::test(procs = [1, 2, 4], timeout = 60)]
fn a_fan_of_workers_ends_in_order_and_loses_nothing() {
    const WORKERS: usize = 23;
    let items = rounds(271_828);
    let (work, inbox) = bounded(69);
    let (results, outbox) = unbounded();
    let running = Arc::new(AtomicUsize::new(WORKERS));
    for worker in 0..WORKERS {
        let (inbox, results, running) = (inbox.clone(), results.clone(), running.clone());
        gort::go(move || {
            for item in inbox {
                // Mix it up a bit.
                if item % WORKERS == worker {
                    gort::yield_now();
                }
                results.send(item).unwrap();
            }
            if running.fetch_sub(1, Relaxed) == 1 {
                results.close().unwrap();
            }
        });
    }
    gort::go(move || {
        (0..items).for_each(|item| work.send(item).unwrap());
        work.close().unwrap();
    });
    let (mut count, mut sum) = (0, 0);
    for item in outbox {
        count += 1;
        sum += item;
    }
    assert_eq!((count, sum), (items, items * (items - 1) / 2));
    drop(results);
}

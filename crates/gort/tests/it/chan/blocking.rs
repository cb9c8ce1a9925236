//! Who waits, and until when: full, empty, rendezvous.

use crate::support::rounds;
use gort::chan::{TryRecvError, TrySendError, bounded, unbounded};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::Duration;

/// CH-01. Receivers of an empty channel wait until something is sent.
#[gort::test(procs = [1, 2, 4])]
fn a_receiver_of_an_empty_channel_waits_for_a_send() {
    for capacity in 0..200 {
        let (s, r) = bounded(capacity);
        let receivers = [r.clone(), r.clone()].map(|r| gort::go(move || r.recv()));
        gort::sleep(Duration::from_millis(1));
        assert!(receivers.iter().all(|receiver| !receiver.is_finished()), "capacity {capacity}");
        assert_eq!(r.try_recv(), Err(TryRecvError::Empty));
        s.send(1).unwrap();
        s.send(2).unwrap();
        let mut received = receivers.map(|receiver| receiver.join().unwrap().unwrap());
        received.sort_unstable();
        assert_eq!(received, [1, 2], "capacity {capacity}");
    }
}

/// CH-02. A sender into a full channel waits until something is received.
#[gort::test(procs = [1, 2, 4])]
fn a_sender_into_a_full_channel_waits_for_a_receive() {
    for capacity in 0..200 {
        let (s, r) = bounded(capacity);
        assert_eq!((s.len(), r.len(), s.capacity(), r.capacity()), (0, 0, Some(capacity), Some(capacity)));
        assert!(s.is_empty() && r.is_empty());
        assert_eq!(s.is_full(), capacity == 0);
        (0..capacity).for_each(|i| s.send(i).unwrap());
        assert_eq!((s.len(), r.len()), (capacity, capacity));
        assert!(s.is_full() && r.is_full());
        let sender = gort::go({
            let s = s.clone();
            move || s.send(capacity)
        });
        gort::sleep(Duration::from_millis(1));
        assert!(!sender.is_finished(), "capacity {capacity}");
        assert_eq!(s.try_send(77), Err(TrySendError::Full(77)));
        assert_eq!(r.recv(), Ok(0));
        sender.join().unwrap().unwrap();
        assert_eq!((s.len(), r.len()), (capacity, capacity));
        assert!(r.try_iter().eq(1..=capacity));
    }
}

/// An unbounded channel takes what comes.
#[gort::test(procs = [1, 2, 4])]
fn a_send_into_an_unbounded_channel_never_waits() {
    let (s, r) = unbounded();
    let count = rounds(100_000);
    (0..count).for_each(|i| s.try_send(i).unwrap());
    assert_eq!((s.len(), s.capacity(), s.is_full()), (count, None, false));
    assert!(r.try_iter().eq(0..count));
}

/// CH-07. In a rendezvous nothing that follows a send precedes its receive, and what precedes the receive precedes the send's end.
#[gort::test(procs = [1, 2, 4])]
fn a_rendezvous_send_ends_after_its_receive_has_begun() {
    let (s, r) = bounded(0);
    let (sent, asked) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let count = rounds(10_000);
    let sender = gort::go({
        let (sent, asked) = (sent.clone(), asked.clone());
        move || {
            for round in 1..=count {
                s.send(round).unwrap();
                sent.store(round, Release);
                assert!(asked.load(Acquire) >= round, "the send ended before anybody received");
            }
        }
    });
    for round in 1..=count {
        if round % 7 == 0 {
            gort::yield_now();
        }
        assert!(sent.load(Acquire) < round, "the send of {round} ended before it was received");
        asked.store(round, Release);
        assert_eq!(r.recv(), Ok(round));
    }
    sender.join().unwrap();
}

/// Those who wait are served in order of arrival, on either side.
#[gort::test(procs = [1, 2, 4])]
fn those_who_wait_are_served_in_order() {
    let (s, r) = bounded(0);
    let senders: Vec<_> = (0..50)
        .map(|i| {
            let s = s.clone();
            let handle = gort::go(move || s.send(i).unwrap());
            super::wait_for_state(&handle, "chan send");
            handle
        })
        .collect();
    assert!((0..50).all(|i| r.recv() == Ok(i)));
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    let receivers: Vec<_> = (0..50)
        .map(|_| {
            let r = r.clone();
            let handle = gort::go(move || r.recv().unwrap());
            super::wait_for_state(&handle, "chan receive");
            handle
        })
        .collect();
    (0..50).for_each(|i| s.send(i).unwrap());
    assert!(receivers.into_iter().map(|receiver| receiver.join().unwrap()).eq(0..50));
}

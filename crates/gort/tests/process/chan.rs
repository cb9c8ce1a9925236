//! Channels in a process of their own: before anything else, for ever, and a million at once.

use crate::child;
use crate::support::wait_for_state;
use gort::chan::{RecvError, bounded};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

/// CH-10. Two plain threads, in a process that has not started a runtime: it starts by itself.
#[test]
fn two_threads_use_channels_before_anything_else() {
    let this = child::of(|_| {
        let (s, r) = bounded(0);
        let (back, returned) = bounded(1);
        let other = std::thread::spawn(move || r.iter().for_each(|i| back.send(i).unwrap()));
        for i in 0..1000 {
            s.send(i).unwrap();
            assert_eq!(returned.recv(), Ok(i));
        }
        drop(s);
        other.join().unwrap();
        println!("exchanged");
    });
    this.run("threads").exited(0).prints("exchanged");
}

/// CH-13. Without arms a `select!` parks for ever, and a dump says so.
#[test]
fn a_select_without_arms_parks_for_ever() {
    let this = child::of(|_| {
        let parked = gort::go(|| {
            gort::select! {}
        });
        wait_for_state(parked.goroutine().id(), "select (no cases)");
        println!("parked");
    });
    this.run("parked").exited(0).prints("parked");
}

/// A million (a hundred thousand in a debug build) goroutines that wait on one channel hear of its close.
#[test]
fn a_close_reaches_a_million_waiters() {
    let this = child::of(|_| {
        static WAITING: AtomicUsize = AtomicUsize::new(0);
        let count = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };
        let (s, r) = bounded::<u8>(0);
        let waiting = |_| {
            let r = r.clone();
            gort::go(move || {
                WAITING.fetch_add(1, Relaxed);
                r.recv()
            })
        };
        let waiting: Vec<_> = (0..count).map(waiting).collect();
        while WAITING.load(Relaxed) < count {
            gort::yield_now();
        }
        s.close().unwrap();
        assert!(waiting.into_iter().all(|party| party.join().unwrap() == Err(RecvError)));
        println!("all have heard of it");
    });
    this.run("close").exited(0).prints("all have heard of it");
}

//! The end of a channel: closed, or one side gone; and what becomes of the values.

use crate::support::rounds;
use gort::chan::{RecvError, SendError, TryRecvError, TrySendError, bounded, unbounded};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

/// Counts its drops; panics in the drop if told to.
struct Counted {
    drops: Arc<AtomicUsize>,
    panics: bool,
}

impl Counted {
    fn new(drops: &Arc<AtomicUsize>) -> Self {
        Self { drops: drops.clone(), panics: false }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.drops.fetch_add(1, SeqCst);
        if self.panics {
            resume_unwind(Box::new("a drop that panics"));
        }
    }
}

/// CH-03. What was sent before the close is received in order, and then the end, for ever; whoever waits hears of the close.
#[gort::test(procs = [1, 2, 4])]
fn a_closed_channel_gives_what_it_has_and_then_the_end() {
    for capacity in 0..200 {
        let (s, r) = bounded(capacity);
        (0..capacity).for_each(|i| s.send(i).unwrap());
        s.close().unwrap();
        assert!((0..capacity).all(|i| r.recv() == Ok(i)));
        assert!((0..3).all(|_| r.recv() == Err(RecvError) && r.try_recv() == Err(TryRecvError::Disconnected)));
        assert_eq!(
            r.recv_timeout(std::time::Duration::from_secs(3600)).unwrap_err().to_string(),
            RecvError.to_string()
        );

        let (s, r) = bounded::<usize>(capacity);
        let waiting = gort::go(move || r.recv());
        super::wait_for_state(&waiting, "chan receive");
        s.close().unwrap();
        assert_eq!(waiting.join().unwrap(), Err(RecvError));
    }
}

/// CH-03. The same when the last sender goes, and for senders when the last receiver goes.
#[gort::test(procs = [1, 2, 4])]
fn whoever_waits_hears_that_the_other_side_is_gone() {
    for capacity in 0..20 {
        let (s, r) = bounded(capacity);
        let waiting = gort::go(move || (r.recv(), r.recv()));
        super::wait_for_state(&waiting, "chan receive");
        let other = s.clone();
        drop(s);
        other.send(1).unwrap();
        drop(other);
        assert_eq!(waiting.join().unwrap(), (Ok(1), Err(RecvError)));

        let (s, r) = bounded(capacity);
        (0..capacity).for_each(|i| s.send(i).unwrap());
        let waiting = gort::go(move || (s.send(100), s.try_send(101)));
        super::wait_for_state(&waiting, "chan send");
        drop(r.clone());
        drop(r);
        assert_eq!(waiting.join().unwrap(), (Err(SendError(100)), Err(TrySendError::Disconnected(101))));
    }
}

/// CH-08. Values left behind are dropped once, even if the drops of some or all panic.
#[gort::test(procs = [1, 2, 4])]
fn values_left_in_a_channel_are_dropped_once() {
    for capacity in [3, 100, usize::MAX] {
        for (panicking, sender_first) in [(0b000, true), (0b000, false), (0b001, false), (0b010, true), (0b111, false)]
        {
            let drops = Arc::new(AtomicUsize::new(0));
            let (s, r) = bounded(capacity);
            for i in 0..3 {
                s.send(Counted { drops: drops.clone(), panics: panicking >> i & 1 == 1 }).ok().unwrap();
            }
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                if sender_first {
                    drop(s);
                    assert_eq!(drops.load(SeqCst), 0, "they can be received yet");
                    drop(r);
                } else {
                    drop(r);
                    assert_eq!(drops.load(SeqCst), 3, "nobody can receive them");
                    drop(s);
                }
            }));
            assert_eq!(outcome.is_err(), panicking != 0);
            assert_eq!(drops.load(SeqCst), 3);
        }
    }
}

/// CH-08. A value whose receiver is unwinding, and one whose sender gets it back.
#[gort::test(procs = [1, 2, 4])]
fn values_in_transit_are_dropped_once() {
    struct ReceivesWhenDropped(gort::chan::Receiver<Counted>);
    impl Drop for ReceivesWhenDropped {
        fn drop(&mut self) {
            assert!(std::thread::panicking());
            drop(self.0.recv().unwrap());
        }
    }
    for _ in 0..rounds(1000) {
        let drops = Arc::new(AtomicUsize::new(0));
        let (s, r) = bounded(0);
        let receiver = gort::go(move || {
            // The panic ends here: nobody need read of it.
            let caught = catch_unwind(AssertUnwindSafe(|| {
                let _receives = ReceivesWhenDropped(r);
                resume_unwind(Box::new(1));
            }));
            assert!(caught.is_err());
        });
        s.send(Counted::new(&drops)).ok().unwrap();
        receiver.join().unwrap();
        assert_eq!(drops.load(SeqCst), 1);
        let returned = s.send(Counted::new(&drops)).unwrap_err();
        assert_eq!(drops.load(SeqCst), 1);
        drop(returned);
        assert_eq!(drops.load(SeqCst), 2);
    }
}

/// CH-09. The last one of the other side goes while a wait begins.
#[gort::test(procs = [1, 2, 4])]
fn no_wait_misses_that_the_other_side_goes() {
    for round in 0..rounds(1000) {
        for capacity in [0, 1] {
            let (s, r) = bounded::<usize>(capacity);
            let receiver = gort::go(move || r.recv());
            (0..round % 3).for_each(|_| gort::yield_now());
            drop(s);
            assert_eq!(receiver.join().unwrap(), Err(RecvError));

            let (s, r) = bounded(capacity);
            (0..capacity).for_each(|_| s.send(0).unwrap());
            let sender = gort::go(move || s.send(round));
            (0..round % 3).for_each(|_| gort::yield_now());
            drop(r);
            assert_eq!(sender.join().unwrap(), Err(SendError(round)));

            let (s, r) = bounded::<usize>(capacity);
            let (_other_s, other_r) = unbounded::<usize>();
            let selecting = gort::go(move || {
                gort::select! {
                    recv(r) -> end => end,
                    recv(other_r) -> _ => unreachable!("nobody sends"),
                }
            });
            (0..round % 3).for_each(|_| gort::yield_now());
            drop(s);
            assert_eq!(selecting.join().unwrap(), Err(RecvError));
        }
    }
}

//! What should not happen and does.

use crate::support::rounds;
use gort::chan::{CloseError, RecvError, SendError, SendTimeoutError, TrySendError, bounded, unbounded};
use gort::select;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// A send on a closed channel gives the value back, in every form.
#[gort::test(procs = [1, 2, 4])]
fn a_send_on_a_closed_channel_gives_the_value_back() {
    for capacity in [0, 1, usize::MAX] {
        let (s, _r) = bounded(capacity);
        s.close().unwrap();
        assert!(s.is_closed());
        assert_eq!(s.send(1), Err(SendError(1)));
        assert_eq!(s.try_send(2), Err(TrySendError::Disconnected(2)));
        assert_eq!(s.send_timeout(3, Duration::MAX), Err(SendTimeoutError::Disconnected(3)));
        select! {
            send(s, 4) -> sent => assert_eq!(sent, Err(SendError(4))),
        }
        select! {
            send(s, 5) -> sent => assert_eq!(sent, Err(SendError(5))),
            default => unreachable!("an error is an answer"),
        }
        assert_eq!(s.send(1).unwrap_err().to_string(), "sending on a closed channel");
    }
}

/// The second close is an error, and so is one after the receivers have gone.
#[gort::test(procs = [1, 2, 4])]
fn a_second_close_is_an_error() {
    let (s, r) = bounded::<u8>(1);
    let other = s.clone();
    s.close().unwrap();
    assert_eq!(s.close(), Err(CloseError));
    assert_eq!(other.close(), Err(CloseError));
    assert_eq!(CloseError.to_string(), "closing a channel that is closed already");
    drop((r, s, other));
    let (s, r) = bounded::<u8>(1);
    drop(r);
    assert_eq!(s.close(), Err(CloseError));
}

/// Of many that close at once one is first.
#[gort::test(procs = [1, 2, 4])]
fn of_many_that_close_one_is_first() {
    for _ in 0..rounds(1000) {
        let (s, r) = bounded::<u8>(0);
        let closing: Vec<_> = (0..4)
            .map(|_| {
                let s = s.clone();
                gort::go(move || s.close().is_ok())
            })
            .collect();
        assert_eq!(r.recv(), Err(RecvError));
        assert_eq!(closing.into_iter().map(|party| party.join().unwrap()).filter(|&first| first).count(), 1);
    }
}

/// Senders that all panic leave what they have sent, and the end.
#[gort::test(procs = [1, 2, 4])]
fn senders_that_panic_end_the_channel() {
    let (s, r) = unbounded();
    let senders: Vec<_> = (0..3)
        .map(|sender| {
            let s = s.clone();
            gort::go(move || {
                s.send(sender).unwrap();
                // Without the report.
                if sender < 3 {
                    resume_unwind(Box::new(sender));
                }
            })
        })
        .collect();
    drop(s);
    let mut received: Vec<_> = r.iter().collect();
    received.sort_unstable();
    assert!(received.into_iter().eq(0..3));
    assert_eq!(r.recv(), Err(RecvError));
    assert!(senders.into_iter().all(|sender| sender.join().is_err()));
}

/// A hundred thousand waiters on one channel, a third of them in `select!`, hear of its close.
#[gort::test(procs = [1, 2, 4], timeout = 120)]
fn a_close_reaches_a_hundred_thousand_waiters() {
    let count = rounds(100_000);
    let waiting = Arc::new(AtomicUsize::new(0));
    let (s, r) = bounded::<u8>(0);
    let (_other, never_sent) = bounded::<u8>(0);
    let handles: Vec<_> = (0..count)
        .map(|at| {
            let (r, never_sent, waiting) = (r.clone(), never_sent.clone(), waiting.clone());
            gort::go(move || {
                waiting.fetch_add(1, Relaxed);
                match at % 3 {
                    0 => select! {
                        recv(r) -> end => end,
                        recv(never_sent) -> _ => unreachable!("nobody sends"),
                    },
                    1 => r.recv_timeout(Duration::from_secs(3600)).map_err(|_| RecvError),
                    _ => r.recv(),
                }
            })
        })
        .collect();
    crate::support::wait_until(|| waiting.load(Relaxed) == count);
    s.close().unwrap();
    assert!(handles.into_iter().all(|handle| handle.join().unwrap() == Err(RecvError)));
}

//! Plain threads while no runtime runs, and what needs one.

use super::{LONG, at_procs, descriptors, named, own_threads, shut_down_clean};
use crate::child;
use crate::support::{ms, scaled, wait_until};
use gort::context::{Ended, background};
use gort::net::{TcpListener, TcpStream};
use gort::runtime::{ShuttingDown, shutdown};
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

/// Everything of gort's that a thread can do without goroutines and sockets.
fn use_all_that_needs_no_runtime() {
    let (s, r) = gort::chan::bounded(0);
    let start = Instant::now();
    assert!(r.recv_timeout(ms(5)).is_err());
    assert!(start.elapsed() >= ms(5));
    let start = Instant::now();
    gort::park_timeout(ms(5));
    gort::sleep(ms(1));
    let (short, _) = background().with_timeout(ms(5));
    assert!(r.recv_ctx(&short).is_err());
    assert!(short.sleep(ms(100)).is_err());
    assert!(start.elapsed() >= ms(11));
    let mutex = Arc::new(gort::sync::Mutex::new(0));
    let guard = mutex.lock().unwrap();
    let locks = mutex.clone();
    let other = std::thread::spawn(move || {
        assert!(locks.lock_timeout(ms(2)).is_err());
        s.send(7).unwrap();
        *locks.lock().unwrap() += 1;
    });
    assert_eq!(r.recv(), Ok(7));
    drop(guard);
    other.join().unwrap();
    assert_eq!(*mutex.lock().unwrap(), 1);
    let me = gort::current();
    me.unpark();
    gort::park();
    assert!(gort::context::current().err().is_none());
    assert!(gort::runtime::dump().is_empty() || gort::runtime::metrics().threads == 0);
}

/// Channels, locks, timed waits and contexts of plain threads start no runtime, neither before the first nor after a shutdown.
#[test]
fn waits_of_plain_threads_need_no_runtime() {
    let this = child::of(|_| {
        use_all_that_needs_no_runtime();
        assert_eq!(own_threads(), [] as [String; 0]);
        gort::go(|| ()).join().unwrap();
        shut_down_clean();
        use_all_that_needs_no_runtime();
        assert_eq!(own_threads(), [] as [String; 0]);
    });
    at_procs(this, "");
}

/// A timed wait that was begun while the runtime ran ends in time when it runs no more.
#[test]
fn a_wait_of_a_thread_outlasts_the_runtime() {
    let this = child::of(|_| {
        gort::go(|| ()).join().unwrap();
        let (s, r) = gort::chan::bounded::<u8>(0);
        let is_waiting = Arc::new(AtomicBool::new(false));
        let says = is_waiting.clone();
        let waits = std::thread::spawn(move || {
            says.store(true, SeqCst);
            let start = Instant::now();
            assert!(r.recv_timeout(ms(50)).is_err());
            start.elapsed()
        });
        while !is_waiting.load(SeqCst) {
            std::thread::yield_now();
        }
        shut_down_clean();
        assert!(waits.join().unwrap() >= ms(50));
        assert_eq!(own_threads(), [] as [String; 0]);
        drop(s);
    });
    at_procs(this, "");
}

/// Sockets outlive the runtime. A thread's wait on one ends with the shutdown; a later one starts the runtime; what has come meanwhile is there.
#[test]
fn sockets_outlive_the_runtime_and_start_the_next() {
    let this = child::of(|_| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut near = TcpStream::connect(address).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        // The monitor's own goes with it.
        shut_down_clean();
        let before = descriptors();
        for round in 0..20_u8 {
            let reads = std::thread::spawn(move || {
                let error = near.read(&mut [0; 8]).unwrap_err();
                let Some(Ended::Cancelled(why)) = Ended::find(&error) else { panic!("{error:?}") };
                assert!(std::error::Error::source(&why).unwrap().is::<ShuttingDown>());
                near
            });
            wait_until(|| gort::runtime::dump().contains("[IO wait, read"));
            if round % 2 == 0 {
                // Of a goroutine, too.
                let mut far = far.try_clone().unwrap();
                gort::go(move || far.read(&mut [0; 8]).unwrap_err());
            }
            shut_down_clean();
            near = reads.join().unwrap();
            assert_eq!(descriptors(), before);

            // Without a runtime: what needs no wait goes on.
            far.write_all(&[round]).unwrap();
            let mut byte = [0];
            if round % 3 == 0 {
                // The edge comes while nobody polls.
                near.read_exact(&mut byte).unwrap();
            } else {
                // It comes while a reader waits, who has started the runtime.
                near.read_exact(&mut byte).unwrap();
                let mut writes = far.try_clone().unwrap();
                let reads = std::thread::spawn(move || (near.read_exact(&mut byte), near, byte));
                wait_until(|| gort::runtime::dump().contains("[IO wait, read"));
                wait_until(|| !own_threads().is_empty());
                writes.write_all(&[round]).unwrap();
                let (outcome, back, got) = reads.join().unwrap();
                outcome.unwrap();
                (near, byte) = (back, got);
            }
            assert_eq!(byte, [round]);
            drop(gort::go(|| ()));
        }
    });
    at_procs(this, "");
}

/// An edge that comes while nobody polls wakes the goroutine that waits for it, once there is a runtime again. It waits in a context that no shutdown
/// ends.
#[test]
fn an_edge_that_comes_while_nobody_polls_is_not_lost() {
    let this = child::of(|_| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut far = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut near, _) = listener.accept().unwrap();
        for round in 0..20_u8 {
            let ctx = background().without_cancel();
            let reads = move || {
                let mut byte = [0];
                ctx.run(|| near.read_exact(&mut byte)).unwrap();
                (near, byte)
            };
            let reads = named("reads").spawn(reads).unwrap();
            crate::support::wait_for_state(reads.goroutine().id(), "IO wait, read");
            assert_eq!(super::names(&shutdown(Instant::now())), ["reads"]);
            far.write_all(&[round]).unwrap();
            gort::go(|| ()).join().unwrap();
            let (back, byte) = reads.join().unwrap();
            near = back;
            assert_eq!(byte, [round]);
        }
    });
    at_procs(this, "");
}

/// Timers that call functions rest while no runtime runs, and catch up; making one starts the runtime.
#[test]
fn timers_rest_meanwhile() {
    // Long enough to be stopped before it is over, however slow the machine.
    const AHEAD: Duration = Duration::from_millis(500);
    let this = child::of(|_| {
        let (s, r) = std::sync::mpsc::channel();
        let (of_goroutine, of_thread) = (s.clone(), s);
        gort::go(move || gort::time::after_func(AHEAD, move || of_goroutine.send('g').unwrap())).join().unwrap();
        gort::time::after_func(AHEAD, move || of_thread.send('t').unwrap());
        let sleeps = gort::go(|| {
            let start = Instant::now();
            gort::sleep(AHEAD);
            start.elapsed()
        });
        crate::support::wait_for_state(sleeps.goroutine().id(), "sleep");
        let left = shutdown(Instant::now());
        assert_eq!(left.goroutines().len(), 1, "functions that are still to be called are no goroutines: {left}");
        std::thread::sleep(AHEAD);
        assert!(r.try_recv().is_err() && !sleeps.is_finished());
        gort::go(|| ()).join().unwrap();
        let mut came = [r.recv().unwrap(), r.recv().unwrap()];
        came.sort_unstable();
        assert_eq!(came, ['g', 't']);
        assert!(sleeps.join().unwrap() >= AHEAD);
        shut_down_clean();

        let (s, r) = std::sync::mpsc::channel();
        gort::time::after_func(ms(1), move || s.send(()).unwrap());
        r.recv_timeout(scaled(LONG)).unwrap();
        shut_down_clean();
    });
    at_procs(this, "");
}

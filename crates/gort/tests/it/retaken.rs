//! Acceptance cases once more, while processors are taken from the goroutines in them.

use crate::support::{keep_off, needs_migration, os_thread, scaled};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicI64};
use std::time::{Duration, Instant};

/// Keeps the thread until somebody has lost a processor, to the monitor or by giving it away.
fn keep_the_thread(mut keep: impl FnMut()) {
    let before = gort::runtime::metrics().handoffs;
    while gort::runtime::metrics().handoffs == before {
        keep();
    }
}

/// SC-12 under retake. The network is polled although every processor is kept busy by goroutines that block, or compute for longer than a slice,
/// and yield in between.
#[gort::test(procs = [1, 2, 4])]
fn a_connection_is_made_while_every_proc_is_taken_again_and_again() {
    if needs_migration("goroutines that have begun on a blocked thread wait for it") {
        return;
    }
    let before = gort::runtime::metrics().retakes;
    let stop = Arc::new(AtomicBool::new(false));
    let busy: Vec<_> = (0..gort::runtime::max_procs() * 2)
        .map(|number| {
            let stop = stop.clone();
            gort::go(move || {
                while !stop.load(Relaxed) {
                    let start = Instant::now();
                    if number % 2 == 0 {
                        std::thread::sleep(Duration::from_millis(2));
                    }
                    while number % 2 == 1 && start.elapsed() < Duration::from_millis(15) {
                        std::hint::spin_loop();
                    }
                    gort::yield_now();
                }
            })
        })
        .collect();
    // Until processors are taken.
    while gort::runtime::metrics().retakes == before {
        gort::yield_now();
    }
    let started = Instant::now();
    for _ in 0..5 {
        let listener = gort::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let accepting = gort::go(move || listener.accept().unwrap());
        let connected = gort::net::TcpStream::connect(address).unwrap();
        let (accepted, peer) = accepting.join().unwrap();
        assert_eq!(peer, connected.local_addr().unwrap());
        drop((accepted, connected));
    }
    assert!(started.elapsed() < scaled(Duration::from_secs(5)), "{:?} for five", started.elapsed());
    stop.store(true, Relaxed);
    busy.into_iter().for_each(|handle| handle.join().unwrap());
}

/// LF-07 under retake. A locked goroutine loses its processor, in the kernel, marked and not, and computing; whatever it does then, it is on its
/// thread, and nobody else ever is.
#[gort::test(procs = [1, 2, 4], timeout = 60)]
fn a_locked_goroutine_that_loses_its_processor_stays_on_its_thread_alone() {
    if needs_migration("goroutines that have begun on a blocked thread wait for it") {
        return;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let locked_on = Arc::new(AtomicI64::new(0));
    // Two for each processor: somebody always waits for one.
    let others = keep_off(2 * gort::runtime::max_procs(), &stop, &locked_on);
    let locked = gort::go({
        let locked_on = locked_on.clone();
        move || {
            let guard = gort::lock_os_thread();
            let here = os_thread();
            locked_on.store(here, Release);
            let (to_other, from_here) = gort::chan::bounded(0);
            let (to_here, from_other) = gort::chan::bounded(0);
            let other = gort::go(move || from_here.iter().for_each(|value: u8| to_here.send(value + 1).unwrap()));
            let nap = || std::thread::sleep(Duration::from_millis(2));
            for value in 0..10 {
                match value % 3 {
                    0 => keep_the_thread(nap),
                    1 => keep_the_thread(|| gort::blocking(nap)),
                    _ => keep_the_thread(|| {
                        let start = Instant::now();
                        while start.elapsed() < Duration::from_millis(12) {
                            std::hint::spin_loop();
                        }
                    }),
                }
                assert_eq!(os_thread(), here);
                to_other.send(value).unwrap();
                assert_eq!(os_thread(), here);
                assert_eq!(from_other.recv(), Ok(value + 1));
                assert_eq!(os_thread(), here);
            }
            drop(to_other);
            other.join().unwrap();
            locked_on.store(0, Release);
            drop(guard);
        }
    });
    locked.join().unwrap();
    stop.store(true, Relaxed);
    others.into_iter().for_each(|handle| handle.join().unwrap());
}

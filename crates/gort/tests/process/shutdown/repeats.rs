//! The same again and again, with everything that may come in between.

use super::{LONG, at_procs, descriptors, named, wait_for_no_threads};
use crate::child;
use crate::common::rounds;
use crate::support::{ms, needs_migration, scaled, thread_ids, wait_until};
use gort::net::{TcpListener, TcpStream};
use gort::runtime::shutdown;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::{Duration, Instant};

/// Accepts and answers until that fails.
fn serve(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept() {
        let answer = move || {
            let mut byte = [0];
            while stream.read_exact(&mut byte).is_ok() && stream.write_all(&byte).is_ok() {}
        };
        // Refused, when it is too late.
        drop(gort::Builder::new().spawn(answer));
    }
}

/// Connects, asks and hangs up until that fails.
fn storm(address: SocketAddr, count: &AtomicUsize) -> std::io::Result<()> {
    loop {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(b"x")?;
        stream.read_exact(&mut [0])?;
        count.fetch_add(1, SeqCst);
    }
}

/// A shutdown in the middle of connections, spawns from plain threads, parked, locked and burning goroutines.
fn one_round(round: usize) {
    let over = Arc::new(AtomicBool::new(false));
    let (close, closes) = gort::chan::bounded::<u8>(0);
    let (started, ran) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut staying = Vec::new();
    for n in 0..10 {
        let (closes, over) = (closes.clone(), over.clone());
        staying.push(gort::go(move || match n % 5 {
            0 => assert!(closes.recv().is_err()),
            1 => gort::sleep(ms(2)),
            2 => {
                let _locked = gort::lock_os_thread();
                assert!(closes.recv().is_err());
            }
            3 => gort::park(),
            _ => {
                while !over.load(SeqCst) && round.is_multiple_of(4) {
                    std::hint::spin_loop();
                }
            }
        }));
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    gort::go(move || serve(listener));
    let connections = Arc::new(AtomicUsize::new(0));
    for _ in 0..4 {
        let connections = connections.clone();
        named("storm").spawn(move || storm(address, &connections)).unwrap();
    }
    let is_shut_down = Arc::new(AtomicBool::new(false));
    let spawners: Vec<_> = (0..2)
        .map(|n| {
            let (started, ran, is_shut_down) = (started.clone(), ran.clone(), is_shut_down.clone());
            // True: it was refused. One that comes too late for that starts the next runtime.
            std::thread::spawn(move || {
                while !is_shut_down.load(SeqCst) {
                    if started.load(SeqCst) > ran.load(SeqCst) + 100 {
                        // Others want to run, too.
                        std::thread::sleep(Duration::from_micros(50));
                    }
                    let ran = ran.clone();
                    let mut builder = gort::Builder::new();
                    if n == 1 {
                        builder = builder.stack_size(64 << 10);
                    }
                    if builder.spawn(move || ran.fetch_add(1, SeqCst)).is_err() {
                        return true;
                    }
                    started.fetch_add(1, SeqCst);
                }
                false
            })
        })
        .collect();
    wait_until(|| connections.load(SeqCst) > 3 && ran.load(SeqCst) > 10);
    let left = shutdown(Instant::now() + ms(2));
    is_shut_down.store(true, SeqCst);
    let refused = spawners.into_iter().map(|spawner| spawner.join().unwrap());
    if refused.fold(true, |all, refused| all & refused) {
        // Whoever was let in has run, or is among those left.
        let known = ran.load(SeqCst) + left.goroutines().len();
        assert!(started.load(SeqCst) <= known, "{} started, {known} known", started.load(SeqCst));
    }

    over.store(true, SeqCst);
    close.close().unwrap();
    gort::go(|| ()).join().unwrap();
    staying.iter().for_each(|handle| handle.goroutine().unpark());
    staying.into_iter().for_each(|handle| handle.join().unwrap());
    let left = shutdown(Instant::now() + scaled(LONG));
    assert!(left.is_empty(), "{left}");
    assert_eq!(started.load(SeqCst), ran.load(SeqCst));
    wait_for_no_threads();
}

/// 200 rounds, after each of which threads and descriptors are as before.
#[test]
fn shut_down_in_the_middle_of_everything_again_and_again() {
    let this = child::of(|_| {
        let others = thread_ids().len();
        let mut before = None;
        for round in 0..rounds(200) {
            one_round(round);
            // The spawners' as well.
            wait_until(|| thread_ids().len() == others);
            assert_eq!(descriptors(), *before.get_or_insert(descriptors()));
        }
    });
    if needs_migration("who has begun on the thread of one that burns waits for it") {
        return;
    }
    at_procs(this, "");
}

/// Starts and stops with nothing in between, from several threads that know nothing of each other: everything that is started runs.
#[test]
fn starts_and_stops_race_each_other() {
    let this = child::of(|_| {
        let (started, ran) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let is_over = Arc::new(AtomicBool::new(false));
        let starters: Vec<_> = (0..3)
            .map(|n| {
                let (started, ran, is_over) = (started.clone(), ran.clone(), is_over.clone());
                std::thread::spawn(move || {
                    while !is_over.load(SeqCst) {
                        if n == 0 {
                            drop(gort::runtime::Builder::new().max_procs(3).start());
                        }
                        let ran = ran.clone();
                        if gort::Builder::new().spawn(move || ran.fetch_add(1, SeqCst)).is_ok() {
                            started.fetch_add(1, SeqCst);
                        }
                    }
                })
            })
            .collect();
        for round in 0..rounds(500) {
            let limit = if round % 2 == 0 { ms(0) } else { scaled(LONG) };
            drop(shutdown(Instant::now() + limit));
        }
        is_over.store(true, SeqCst);
        starters.into_iter().for_each(|starter| starter.join().unwrap());
        gort::go(|| ()).join().unwrap();
        let left = shutdown(Instant::now() + scaled(LONG));
        assert!(left.is_empty(), "{left}");
        assert_eq!(started.load(SeqCst), ran.load(SeqCst));
        wait_for_no_threads();
    });
    at_procs(this, "");
}

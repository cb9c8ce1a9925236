//! Threads that are stuck, and what the others notice of it: nothing.

use crate::support::{needs_migration, scaled, wait_until};
use std::io::{PipeReader, Read, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// HF-02. Ten goroutines sit in a raw `read(2)` of a pipe, on two Ps: a goroutine that computes and a ticker of 1 ms hardly notice. When the pipe is
/// closed all ten end.
#[gort::test(procs = [2])]
fn threads_stuck_in_the_kernel_hold_no_processor() {
    if needs_migration("goroutines that have begun on a blocked thread wait for it") {
        return;
    }
    let (reader, writer) = std::io::pipe().unwrap();
    let readers: Vec<_> = (0..10)
        .map(|_| {
            let mut reader: PipeReader = reader.try_clone().unwrap();
            gort::go(move || reader.read(&mut [0; 1]).unwrap())
        })
        .collect();
    let stop = Arc::new(AtomicBool::new(false));
    let computing = {
        let stop = stop.clone();
        gort::go(move || {
            let mut turns = 0_u64;
            while !stop.load(Relaxed) {
                turns += 1;
                std::hint::spin_loop();
            }
            turns
        })
    };
    let ticks = gort::chan::tick(Duration::from_millis(1));
    let (start, mut last) = (Instant::now(), Instant::now());
    let (mut count, mut longest) = (0, Duration::ZERO);
    while start.elapsed() < Duration::from_secs(1) {
        ticks.recv().unwrap();
        let now = Instant::now();
        longest = longest.max(now - last);
        last = now;
        count += 1;
    }
    stop.store(true, Relaxed);
    println!("{count} ticks, longest gap {longest:?}");
    assert!(longest <= scaled(Duration::from_millis(50)), "{longest:?} without a tick");
    let least = Duration::from_millis(800).as_millis() as u32 / scaled(Duration::from_secs(1)).as_secs() as u32;
    assert!(count >= least, "{count} ticks in 1 s");
    assert!(computing.join().unwrap() > 0);
    drop(writer);
    for reader in readers {
        assert_eq!(reader.join().unwrap(), 0);
    }
}

/// HF-03, the part with many Ps. The figures tell what there is.
#[gort::test(procs = [14])]
fn metrics_count_the_running_the_waiting_and_the_created() {
    if needs_migration("goroutines that have begun on a blocked thread wait for it") {
        return;
    }
    let before = gort::runtime::metrics();
    let stop = Arc::new(AtomicBool::new(false));
    let spinning: Vec<_> = (0..10)
        .map(|_| {
            let stop = stop.clone();
            gort::go(move || while !stop.load(Relaxed) {})
        })
        .collect();
    wait_until(|| gort::runtime::metrics().running >= 10);
    let (sender, receiver) = gort::chan::bounded::<()>(0);
    let waiting: Vec<_> = (0..1000)
        .map(|_| {
            let receiver = receiver.clone();
            gort::go(move || receiver.recv().unwrap_err())
        })
        .collect();
    wait_until(|| gort::runtime::metrics().waiting >= 1000);
    let (pipe, writer) = std::io::pipe().unwrap();
    let blocked = {
        let mut pipe: PipeReader = pipe;
        gort::go(move || gort::blocking(|| pipe.read(&mut [0; 1]).unwrap()))
    };
    wait_until(|| gort::runtime::metrics().blocking == 1);
    let metrics = gort::runtime::metrics();
    assert_eq!(metrics.created - before.created, 1011);
    assert_eq!(metrics.goroutines - before.goroutines, 1011);
    assert!(metrics.threads >= 11, "{} threads run ten goroutines and one call", metrics.threads);
    stop.store(true, Relaxed);
    drop((sender, writer));
    spinning.into_iter().for_each(|handle| handle.join().unwrap());
    for handle in waiting {
        handle.join().unwrap();
    }
    assert_eq!(blocked.join().unwrap(), 0);
    assert_eq!(gort::runtime::metrics().created - before.created, 1011);
}

/// A marked section that lasts loses its processor to the monitor; where that has happened twice the next one gives it away by itself, until one
/// turns out to be short.
#[gort::test(procs = [1])]
fn sections_that_have_lasted_give_their_processor_away_at_once() {
    if needs_migration("goroutines that have begun on a blocked thread wait for it") {
        return;
    }
    /// One call site. Somebody waits for the processor all the time.
    fn read_beside_another(mut reader: PipeReader, write: impl FnOnce() + Send + 'static) {
        let section = gort::go(move || gort::blocking(|| reader.read(&mut [0; 1]).unwrap()));
        let other = gort::go(write);
        assert_eq!(section.join().unwrap(), 1);
        other.join().unwrap();
    }
    let given_away = || {
        let metrics = gort::runtime::metrics();
        metrics.handoffs - metrics.retakes
    };
    let long = || {
        let (reader, mut writer) = std::io::pipe().unwrap();
        read_beside_another(reader, move || {
            let start = Instant::now();
            while start.elapsed() < Duration::from_millis(1) {
                gort::yield_now();
            }
            writer.write_all(&[1]).unwrap();
        });
    };
    let short = || {
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(&[1]).unwrap();
        read_beside_another(reader, || (0..10).for_each(|_| gort::yield_now()));
    };
    let before = given_away();
    // Others may use the site's place in the table; and a thread that could have it has to have gone to sleep.
    for _ in 0..100 {
        long();
        if given_away() >= before + 3 {
            break;
        }
    }
    assert!(given_away() >= before + 3, "no section has given its processor away");
    // The first may still give it away, and may be held up by other programs for as long as if it were long.
    let is_kept = || {
        let before = given_away();
        (0..5).for_each(|_| short());
        given_away() == before
    };
    assert!((0..100).any(|_| is_kept()), "short sections give their processor away");
}

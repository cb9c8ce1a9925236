//! Many at once.

use super::ms;
use crate::support::{rounds, scaled};
use gort::time::{Ticker, after, after_func};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::{Duration, Instant};

/// TM-08, first half.
#[gort::test(procs = [1, 2, 4])]
fn ten_goroutines_share_the_fastest_ticker() {
    let ticker = Ticker::new(Duration::from_nanos(1));
    gort::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| {
                for _ in 0..100 {
                    ticker.c().recv().unwrap();
                }
            });
        }
    });
    ticker.stop();
}

/// TM-08, second half.
#[gort::test(procs = [1, 2, 4], timeout = 120)]
fn a_goroutine_for_each_processor_selects_on_one_ticker() {
    let ticker = Ticker::new(Duration::from_micros(1));
    gort::scope(|scope| {
        for _ in 0..gort::runtime::max_procs() {
            scope.spawn(|| {
                for _ in 0..rounds(100_000) {
                    gort::select! {
                        recv(ticker.c()) -> tick => assert!(tick.is_ok()),
                        recv(after(ms(1))) -> _ => {}
                    }
                }
            });
        }
    });
}

/// What a pair of arm and cancel costs in nanoseconds of CPU, with `procs` goroutines at it for `time` and 32 768 timers pending for each.
fn cost_of_a_pair(procs: usize, time: Duration) -> u128 {
    let pending: Vec<_> = (0..32_768 * procs)
        .map(|n| after_func(Duration::from_secs(3600) + Duration::from_micros(n as u64 * 7919 % 100_000_000), || ()))
        .collect();
    let start_cpu = cpu_time();
    let (over, total) = (Arc::new(AtomicBool::new(false)), AtomicU64::new(0));
    gort::scope(|scope| {
        for _ in 0..procs {
            scope.spawn(|| {
                let mut batch = Vec::with_capacity(1000);
                let mut pairs = 0;
                while !over.load(Relaxed) {
                    batch.extend((0..1000).map(|_| after_func(Duration::from_secs(3600), || ())));
                    assert!(batch.drain(..).all(|call| call.stop()));
                    pairs += 1000;
                }
                total.fetch_add(pairs, Relaxed);
            });
        }
        let over = over.clone();
        std::thread::spawn(move || {
            std::thread::sleep(time);
            over.store(true, Relaxed);
        });
    });
    let cost = (cpu_time() - start_cpu).as_nanos() / u128::from(total.into_inner().max(1));
    assert!(pending.iter().all(|call| call.stop()), "none of those that are pending is lost");
    cost
}

/// TM-12. None is lost; and all processors together have 0.6 of the throughput for each that one has alone. By the CPU time that a pair costs, since
/// there may be more Ps than processors; in the best of four short turns each, one after the other, since strangers share the caches.
#[gort::test(procs = [2, 4], timeout = 60)]
fn arming_and_cancelling_on_all_processors_is_cheap_and_loses_none() {
    let time = if cfg!(debug_assertions) { ms(50) } else { ms(500) };
    let procs = gort::runtime::max_procs();
    let turns = [(); 4].map(|()| (cost_of_a_pair(1, time), cost_of_a_pair(procs, time)));
    let alone = turns.iter().map(|turn| turn.0).min().expect("four");
    let together = turns.iter().map(|turn| turn.1).min().expect("four");
    println!("TM-12: after_func and stop cost {alone} ns of CPU alone, {together} ns with {procs} at it");
    let limit = scaled(Duration::from_nanos(alone as u64 * 10 / 6));
    assert!(together <= limit.as_nanos(), "{together} ns with {procs} at it, {alone} ns alone");
}

/// What the process has used: on a machine that is shared, the number that says something.
fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a live timespec.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) }, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// What one arm and cancel costs with many timers pending: printed for people, by kind.
#[gort::test(procs = [1])]
fn the_cost_of_arm_and_cancel_is_printed() {
    let pending: Vec<_> = (0..32_768_u64)
        .map(|n| after_func(Duration::from_secs(3600) + Duration::from_micros(n * 7919 % 100_000_000), || ()))
        .collect();
    let count = rounds(2_000_000) as u32;
    let measure = |name: &str, f: &mut dyn FnMut(u32)| {
        let (start, start_cpu) = (Instant::now(), cpu_time());
        for n in 0..count {
            f(n);
        }
        let cpu = (cpu_time() - start_cpu).as_nanos() / u128::from(count);
        println!("{name}: {} ns, {cpu} ns of CPU", start.elapsed().as_nanos() / u128::from(count));
    };
    let call = after_func(Duration::from_secs(7200), || ());
    measure("AfterFunc::reset + stop", &mut |n| {
        call.reset(Duration::from_secs(3600) + Duration::from_nanos(u64::from(n)));
        call.stop();
    });
    let timer = gort::time::Timer::new(Duration::from_secs(1));
    measure("Timer::reset + stop", &mut |_| {
        timer.reset(Duration::from_secs(3600));
        timer.stop();
    });
    measure("after_func + stop + drop", &mut |_| {
        after_func(Duration::from_secs(3600), || ()).stop();
    });
    let (s, r) = gort::chan::bounded(1);
    measure("send + recv_timeout of what is there", &mut |n| {
        s.send(n).unwrap();
        r.recv_timeout(Duration::from_secs(3600)).unwrap();
    });
    assert!(pending.iter().all(|call| call.stop()), "none of those that are pending is lost");
}

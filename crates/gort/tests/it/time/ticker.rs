//! `Ticker`.

use super::{ms, with_retries};
use crate::support::scaled;
use gort::time::{Ticker, sleep};
use std::panic::catch_unwind;
use std::time::{Duration, Instant};

/// TM-07, the rate.
#[gort::test(procs = [1, 2, 4])]
fn a_ticker_keeps_its_rate_and_takes_a_new_one() {
    with_retries(ms(20), |period| {
        let start = Instant::now();
        let ticker = Ticker::new(period);
        for n in 1..=5 {
            ticker.c().recv().unwrap();
            assert!(start.elapsed() >= n * period);
        }
        let reset_at = Instant::now();
        ticker.reset(2 * period);
        for n in 1..=5 {
            ticker.c().recv().unwrap();
            assert!(reset_at.elapsed() >= 2 * n * period);
        }
        let took = start.elapsed();
        ticker.stop();
        sleep(2 * period);
        assert!(ticker.c().try_recv().unwrap_err().is_empty(), "a tick after the stop");
        if took < scaled(15 * period * 13 / 10) { Ok(()) } else { Err(format!("took {took:?}")) }
    });
}

/// TM-07, the slow reader.
#[gort::test(procs = [1, 2, 4])]
fn a_slow_reader_gets_no_backlog() {
    let period = ms(10);
    let start = Instant::now();
    let ticker = Ticker::new(period);
    sleep(ms(55));
    let first = ticker.c().recv().unwrap();
    let received_at = Instant::now();
    assert!(first >= start + period, "the tick that has waited");
    assert!(first < start + 2 * period);
    let next = ticker.c().recv().unwrap();
    assert!(next > received_at, "what was missed is left out: {next:?} after {received_at:?}");
    let off = next.duration_since(first).as_nanos() % period.as_nanos();
    assert_eq!(off, 0, "ticks keep their distance from the start");
}

/// TM-07, a period of zero: refused, but by crossbeam's `tick`, where it means always.
#[gort::test(procs = [1, 2, 4])]
fn a_period_of_zero_is_refused_by_name() {
    let message = |f: fn()| *catch_unwind(f).unwrap_err().downcast::<&str>().unwrap();
    assert_eq!(message(|| drop(Ticker::new(Duration::ZERO))), "gort::time::Ticker::new: the period is zero");
    let reset = message(|| Ticker::new(ms(1)).reset(Duration::ZERO));
    assert_eq!(reset, "gort::time::Ticker::reset: the period is zero");
    let interval = message(|| drop(gort::time::interval(Duration::ZERO)));
    assert_eq!(interval, "gort::time::interval: the period is zero");
    let always = gort::chan::tick(Duration::ZERO);
    assert!((0..3).all(|_| always.try_recv().is_ok()));
}

/// A period beyond the end of time: no tick, no overflow.
#[gort::test(procs = [1, 2, 4])]
fn the_longest_period_does_not_overflow() {
    let ticker = Ticker::new(Duration::MAX);
    assert!(ticker.c().recv_timeout(ms(1)).unwrap_err().is_timeout());
    ticker.reset(Duration::MAX);
    assert!(ticker.c().try_recv().unwrap_err().is_empty());
}

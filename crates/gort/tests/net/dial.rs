//! Connecting to names and to several addresses. The second family is IPv6; where there is none, the cases that need it say so.

use super::deadline::BlackHole;
use super::support::{assert_error, listener, ms, past, wait_parked, wait_until};
use gort::context::{self, Ended};
use gort::net::{Dialer, SocketAddr, TcpListener, lookup_host};
use std::io::{ErrorKind, Write};
use std::time::{Duration, Instant};

const FOR_EVER: Option<Duration> = Some(Duration::from_secs(3600));

/// A listener at an address of the other family.
fn second_family() -> Option<TcpListener> {
    let listener = TcpListener::bind("[::1]:0");
    if let Err(error) = &listener {
        let line = format!("skipped, no IPv6 here: {error}\n");
        std::io::stderr().write_all(line.as_bytes()).expect("standard error is open");
    }
    listener.ok()
}

fn refused() -> SocketAddr {
    listener().local_addr().unwrap()
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// NT-18. The first family is dead: the second starts after the delay, not before, and wins; nothing of the first is left.
#[gort::test(procs = [1, 2, 4])]
fn a_dead_first_family_holds_up_the_second_for_the_delay_only() {
    let Some(live) = second_family() else { return };
    let dead = BlackHole::at("127.0.0.1:0").unwrap();
    let addrs = [dead.listener.local_addr().unwrap(), live.local_addr().unwrap()];
    let before = open_descriptors();
    for (dialer, delay) in [
        (Dialer::new(), ms(200)),
        (Dialer::new().fallback_delay(Some(ms(20))).timeout(Duration::from_secs(3600)), ms(20)),
    ] {
        let start = Instant::now();
        let stream = dialer.connect_to(&addrs).unwrap();
        assert!(start.elapsed() >= delay);
        assert_eq!(stream.peer_addr().unwrap(), addrs[1]);
        drop((stream, live.accept().unwrap()));
        wait_until(|| open_descriptors() == before);
    }
}

/// NT-18. The first family is refused: the second starts at once, whatever the delay, and also without one.
#[gort::test(procs = [1, 2, 4])]
fn a_refused_first_family_does_not_hold_up_the_second() {
    let Some(live) = second_family() else { return };
    let addrs = [refused(), refused(), live.local_addr().unwrap()];
    for delay in [FOR_EVER, None] {
        let stream = Dialer::new().fallback_delay(delay).connect_to(&addrs).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), addrs[2]);
    }
    // The other way round the first family wins, and the second is not needed.
    let stream = Dialer::new().fallback_delay(FOR_EVER).connect_to(&[addrs[2], addrs[0]]).unwrap();
    assert_eq!(stream.peer_addr().unwrap(), addrs[2]);
}

/// All fail: the error names each address, of both families.
#[gort::test(procs = [1, 2, 4])]
fn all_that_was_tried_is_named() {
    let Some(gone) = second_family().map(|listener| listener.local_addr().unwrap()) else { return };
    let addrs = [refused(), gone, refused()];
    let error = Dialer::new().connect_to(&addrs).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert!(addrs.iter().all(|addr| error.to_string().contains(&addr.to_string())), "{error}");
    assert_error(Dialer::new().connect_to(&[]), ErrorKind::InvalidInput);
}

/// NT-18. Cancelling ends all attempts and leaks no descriptor; a deadline ends them, not before its time.
#[gort::test(procs = [1, 2, 4])]
fn cancelling_and_deadlines_end_all_attempts() {
    let first = BlackHole::at("127.0.0.1:0").unwrap();
    let mut addrs = vec![first.listener.local_addr().unwrap()];
    let second = second_family().and_then(|_| BlackHole::at("[::1]:0").ok());
    addrs.extend(second.as_ref().map(|hole| hole.listener.local_addr().unwrap()));
    let before = open_descriptors();
    let (ctx, cancel) = context::background().with_cancel();
    gort::scope(|s| {
        let dialing = s.spawn(|| ctx.run(|| Dialer::new().fallback_delay(Some(ms(1))).connect_to(&addrs).map(drop)));
        wait_until(|| gort::runtime::dump().matches("[IO wait, write,").count() == addrs.len());
        cancel.cancel();
        let error = dialing.join().unwrap().unwrap_err();
        assert!(Ended::find(&error).is_some_and(|why| why.is_cancelled()), "{error:?}");
    });
    wait_until(|| open_descriptors() == before);

    for timeout in [ms(1), ms(30)] {
        let start = Instant::now();
        assert_error(Dialer::new().timeout(timeout).connect_to(&addrs), ErrorKind::TimedOut);
        assert!(start.elapsed() >= timeout);
        let deadline = Instant::now() + timeout;
        assert_error(
            Dialer::new().deadline(deadline).fallback_delay(None).connect_to(&addrs[..1]),
            ErrorKind::TimedOut,
        );
        assert!(Instant::now() >= deadline);
        let (ctx, _) = context::background().with_timeout(timeout);
        assert_error(ctx.run(|| Dialer::new().connect_to(&addrs)), ErrorKind::TimedOut);
    }
    assert_error(Dialer::new().deadline(past()).connect_to(&addrs), ErrorKind::TimedOut);
    let live = listener();
    let addr = live.local_addr().unwrap();
    for timeout in [Duration::MAX, Duration::from_secs(3600)] {
        Dialer::new().timeout(timeout).connect_to(&[addr]).unwrap();
    }
    wait_until(|| open_descriptors() == before + 1);
}

/// Names are looked up, with limits; addresses are not; what is neither is refused by name.
#[gort::test(procs = [1, 2, 4])]
fn names_are_looked_up_and_named_in_errors() {
    let live = listener();
    let addr = live.local_addr().unwrap();
    let name = format!("localhost:{}", addr.port());
    assert!(lookup_host(&name).unwrap().any(|found| found == addr));
    assert_eq!(lookup_host(&addr.to_string()).unwrap().collect::<Vec<_>>(), [addr]);
    assert_eq!(lookup_host("[::1]:7").unwrap().next(), Some("[::1]:7".parse().unwrap()));
    let stream = Dialer::new().timeout(Duration::from_secs(3600)).connect(&name).unwrap();
    assert_eq!(stream.peer_addr().unwrap(), addr);
    let error = lookup_host("no port here").unwrap_err();
    assert!(error.to_string().contains("\"no port here\""), "{error}");
    assert!(Dialer::new().connect("no port here").is_err());
    let (ctx, cancel) = context::background().with_cancel();
    cancel.cancel();
    assert_error(ctx.run(|| lookup_host(&name)), ErrorKind::Other);
    assert_error(Dialer::new().deadline(past()).connect(&name), ErrorKind::TimedOut);
}

/// A goroutine that dials is seen where its caller has written that.
#[gort::test(procs = [1, 2, 4])]
fn a_dump_shows_the_line_that_dials() {
    let dead = BlackHole::at("127.0.0.1:0").unwrap();
    let addr = dead.listener.local_addr().unwrap();
    let (ctx, cancel) = context::background().with_cancel();
    gort::scope(|s| {
        let line = line!() + 1;
        let dialing = s.spawn(|| ctx.run(|| Dialer::new().connect_to(&[addr]).map(drop)));
        wait_parked(dialing.goroutine().id(), "IO wait, write");
        let entry = super::support::entry_of(dialing.goroutine().id()).unwrap();
        assert!(entry.contains(&format!("waits at {}:{line}:", file!())), "{entry}");
        cancel.cancel();
        dialing.join().unwrap().unwrap_err();
    });
}

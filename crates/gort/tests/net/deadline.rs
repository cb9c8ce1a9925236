//! Points in time at which reading, writing, accepting and connecting end.

use super::support::{assert_error, listener, ms, pair, past, round_trip, scaled, wait_parked};
use gort::net::{TcpListener, TcpStream};
use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

/// NT-10. Listener deadline 5 s ago: accept fails with `TimedOut` even if a connection waits.
#[gort::test(procs = [1, 2, 4])]
fn a_past_deadline_fails_accept_although_a_connection_waits() {
    let listener = listener();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    listener.set_deadline(Some(past())).unwrap();
    for _ in 0..3 {
        assert_error(listener.accept(), ErrorKind::TimedOut);
    }
    listener.set_deadline(None).unwrap();
    assert_eq!(listener.accept().unwrap().1, client.local_addr().unwrap());
}

/// NT-10. Listener deadline in 10 ms and no client: `TimedOut`, not early, for everybody who waits; also when it is moved nearer meanwhile.
#[gort::test(procs = [1, 2, 4])]
fn a_deadline_ends_the_accepts_that_wait() {
    let listener = listener();
    let deadline = Instant::now() + ms(10);
    listener.set_deadline(Some(deadline)).unwrap();
    gort::scope(|s| {
        let accepting: Vec<_> = (0..3).map(|_| s.spawn(|| timed(|| listener.accept()))).collect();
        for one in accepting {
            let (result, ended_at) = one.join().unwrap();
            assert_error(result, ErrorKind::TimedOut);
            assert!(ended_at >= deadline);
        }
    });
    listener.set_deadline(Some(Instant::now() + Duration::from_secs(3600))).unwrap();
    gort::scope(|s| {
        let accepting = s.spawn(|| timed(|| listener.accept()));
        wait_parked(accepting.goroutine().id(), "IO wait, read");
        let deadline = Instant::now() + ms(10);
        listener.set_deadline(Some(deadline)).unwrap();
        let (result, ended_at) = accepting.join().unwrap();
        assert_error(result, ErrorKind::TimedOut);
        assert!(ended_at >= deadline);
    });
}

/// NT-11. Connect deadlines in the past give `TimedOut` at once, 1 ms gives it not before the time, the longest timeout connects.
#[gort::test(procs = [1, 2, 4])]
fn connecting_ends_at_its_deadline_and_not_before() {
    let hole = BlackHole::new();
    let addr = hole.listener.local_addr().unwrap();
    assert_error(TcpStream::connect_deadline(addr, past()), ErrorKind::TimedOut);
    let longest_ago = (0..64)
        .rev()
        .fold(Instant::now(), |instant, bit| instant.checked_sub(Duration::from_secs(1 << bit)).unwrap_or(instant));
    assert_error(TcpStream::connect_deadline(addr, longest_ago), ErrorKind::TimedOut);
    for timeout in [Duration::from_nanos(1), ms(1), ms(30)] {
        let start = Instant::now();
        let error = TcpStream::connect_timeout(&addr, timeout).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(start.elapsed() >= timeout);
        assert!(start.elapsed() < timeout + scaled(Duration::from_secs(2)));
        assert!(error.to_string().contains(&addr.to_string()), "{error}");

        let deadline = Instant::now() + timeout;
        assert_error(TcpStream::connect_deadline(addr, deadline), ErrorKind::TimedOut);
        assert!(Instant::now() >= deadline);
    }

    let live = listener();
    let addr = live.local_addr().unwrap();
    for timeout in [Duration::MAX, Duration::from_secs(u64::MAX / 3), Duration::from_nanos(u64::MAX)] {
        let stream = TcpStream::connect_timeout(&addr, timeout).unwrap();
        round_trip(&stream, &live.accept().unwrap().0);
    }
    let far = Instant::now() + Duration::from_secs(100 * 365 * 86400);
    let stream = TcpStream::connect_deadline(addr, far).unwrap();
    round_trip(&stream, &live.accept().unwrap().0);
}

/// The deadline of connecting is not the connection's.
#[gort::test(procs = [1, 2, 4])]
fn a_connection_does_not_keep_the_deadline_of_its_making() {
    let listener = listener();
    let stream = TcpStream::connect_timeout(&listener.local_addr().unwrap(), scaled(ms(200))).unwrap();
    let (far, _) = listener.accept().unwrap();
    gort::sleep(scaled(ms(201)));
    round_trip(&stream, &far);
}

/// Moved away before it comes, a deadline does not end a wait; cleared neither.
#[gort::test(procs = [1, 2, 4])]
fn a_deadline_that_moves_away_does_not_end_a_wait() {
    let (near, mut far) = pair();
    near.set_read_deadline(Some(Instant::now() + ms(20))).unwrap();
    gort::scope(|s| {
        let reader = s.spawn(|| (&near).read(&mut [0; 8]));
        near.set_read_deadline(Some(Instant::now() + Duration::from_secs(3600))).unwrap();
        gort::sleep(ms(30));
        near.set_read_deadline(Some(Instant::now() + ms(20))).unwrap();
        near.set_read_deadline(None).unwrap();
        gort::sleep(ms(30));
        match reader.is_finished() {
            // The machine stood still for longer than the deadline was away.
            true => assert_error(reader.join().unwrap(), ErrorKind::TimedOut),
            false => {
                far.write_all(b"x").unwrap();
                assert_eq!(reader.join().unwrap().unwrap(), 1);
            }
        }
    });
}

fn timed<T>(call: impl FnOnce() -> std::io::Result<T>) -> (std::io::Result<T>, Instant) {
    let result = call();
    (result, Instant::now())
}

/// A listener whose queue is full: the kernel answers no further connection, so connecting hangs.
pub(crate) struct BlackHole {
    pub(crate) listener: TcpListener,
    _waiting: Vec<TcpStream>,
}

impl BlackHole {
    fn new() -> Self {
        Self::at("127.0.0.1:0").unwrap()
    }

    pub(crate) fn at(place: &str) -> std::io::Result<Self> {
        let listener = TcpListener::builder().backlog(0).bind(place)?;
        let addr = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        loop {
            match TcpStream::connect_timeout(&addr, ms(100)) {
                Ok(stream) => waiting.push(stream),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::TimedOut);
                    return Ok(Self { listener, _waiting: waiting });
                }
            }
        }
    }
}

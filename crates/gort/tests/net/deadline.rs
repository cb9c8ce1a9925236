//! Points in time at which reading, writing, accepting and connecting end.

use super::support::{
    assert_error, fill, listener, ms, narrow_pair, pair, past, round_trip, scaled, wait_parked, wait_until,
};
use gort::net::{TcpListener, TcpStream};
use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

/// NT-03. A read deadline in the past fails reads with `TimedOut` and leaves writes working.
#[gort::test(procs = [1, 2, 4])]
fn a_past_read_deadline_fails_reads_and_leaves_writes_working() {
    let (mut near, mut far) = pair();
    far.write_all(b"x").unwrap();
    near.set_read_deadline(Some(past())).unwrap();
    for _ in 0..3 {
        assert_error(near.read(&mut [0; 8]), ErrorKind::TimedOut);
        assert_error(near.peek(&mut [0; 8]), ErrorKind::TimedOut);
    }
    near.write_all(b"still here").unwrap();
    let mut buf = [0; 10];
    far.read_exact(&mut buf).unwrap();
    assert_eq!(&buf, b"still here");
}

/// NT-03. A write deadline in the past fails writes with `TimedOut` and leaves reads working.
#[gort::test(procs = [1, 2, 4])]
fn a_past_write_deadline_fails_writes_and_leaves_reads_working() {
    let (mut near, mut far) = pair();
    near.set_write_deadline(Some(past())).unwrap();
    for _ in 0..3 {
        assert_error(near.write(b"x"), ErrorKind::TimedOut);
        assert_error(near.write_vectored(&[]), ErrorKind::TimedOut);
    }
    far.write_all(b"still here").unwrap();
    let mut buf = [0; 10];
    near.read_exact(&mut buf).unwrap();
    assert_eq!(&buf, b"still here");
}

/// NT-04. With a deadline in the past read and write give `TimedOut` with 0 bytes although data is ready; after clearing it, a round trip works.
#[gort::test(procs = [1, 2, 4])]
fn a_past_deadline_fails_although_data_is_ready_and_can_be_cleared() {
    let (mut near, mut far) = pair();
    far.write_all(b"early").unwrap();
    wait_until(|| near.peek(&mut [0; 8]).unwrap() == 5);
    near.set_deadline(Some(past())).unwrap();
    for _ in 0..3 {
        assert_error(near.read(&mut [0; 8]), ErrorKind::TimedOut);
        assert_error(near.write(b"never sent"), ErrorKind::TimedOut);
    }
    near.set_deadline(None).unwrap();
    let mut buf = [0; 5];
    near.read_exact(&mut buf).unwrap();
    assert_eq!(&buf, b"early");
    round_trip(&near, &far);
    round_trip(&far, &near);
}

/// NT-05. A reader and a writer (buffers full) are blocked; 100 ms later another goroutine sets a past deadline: both return `TimedOut`, not
/// earlier.
#[gort::test(procs = [1, 2, 4])]
fn setting_a_past_deadline_ends_the_waits_of_others() {
    let (near, far) = narrow_pair();
    fill(&near);
    gort::scope(|s| {
        let start = Instant::now();
        let reader = s.spawn(|| timed(|| (&near).read(&mut [0; 8])));
        let writer = s.spawn(|| timed(|| write_until_error(&near)));
        wait_parked(reader.goroutine().id(), "IO wait, read");
        wait_parked(writer.goroutine().id(), "IO wait, write");
        gort::sleep(ms(100).saturating_sub(start.elapsed()));
        let set_at = Instant::now();
        near.set_deadline(Some(past())).unwrap();
        for waiter in [reader, writer] {
            let (result, ended_at) = waiter.join().unwrap();
            assert_error(result, ErrorKind::TimedOut);
            assert!(ended_at >= set_at, "ended before the deadline was set");
            assert!(ended_at - start >= ms(100));
            assert!(ended_at - set_at < scaled(Duration::from_secs(2)));
        }
    });
    drop(far);
}

/// NT-06. Deadline in 100 ms for both: a blocked read and a blocked write time out, not earlier; then the connection is usable.
#[gort::test(procs = [1, 2, 4])]
fn a_future_deadline_ends_waits_and_the_connection_stays_usable() {
    let (near, far) = narrow_pair();
    let mut filled = fill(&near);
    let start = Instant::now();
    near.set_deadline(Some(start + ms(100))).unwrap();
    gort::scope(|s| {
        let reader = s.spawn(|| timed(|| (&near).read(&mut [0; 8])));
        let writer = s.spawn(|| {
            let mut written = 0;
            let error = timed(|| {
                loop {
                    match (&near).write(&[0x55; 4096]) {
                        Ok(n) => written += n,
                        Err(error) => return Err::<usize, _>(error),
                    }
                }
            });
            (written, error)
        });
        let (written, (write_result, write_ended)) = writer.join().unwrap();
        let (read_result, read_ended) = reader.join().unwrap();
        filled += written;
        assert_error(read_result, ErrorKind::TimedOut);
        assert_error(write_result, ErrorKind::TimedOut);
        for ended_at in [read_ended, write_ended] {
            assert!(ended_at >= start + ms(100), "{:?} early", start + ms(100) - ended_at);
            assert!(ended_at < start + ms(100) + scaled(Duration::from_secs(2)));
        }
    });
    near.set_deadline(None).unwrap();
    let mut stale = vec![0; filled];
    (&far).read_exact(&mut stale).unwrap();
    assert!(stale.iter().all(|&byte| byte == 0x55));
    round_trip(&near, &far);
}

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

/// NT-12. Deadline in 50 ms: reads succeed while data lasts, then give `TimedOut`; with a past one they always do.
#[gort::test(procs = [1, 2, 4])]
fn reads_succeed_while_data_lasts_and_then_time_out() {
    let (near, mut far) = pair();
    far.write_all(b"before the deadline").unwrap();
    wait_until(|| near.peek(&mut [0; 32]).unwrap() == 19);
    let deadline = Instant::now() + scaled(ms(50));
    near.set_read_deadline(Some(deadline)).unwrap();
    let mut text = Vec::new();
    let (result, ended_at) = timed(|| {
        let mut buf = [0; 7];
        loop {
            let n = (&near).read(&mut buf)?;
            assert_ne!(n, 0);
            text.extend_from_slice(&buf[..n]);
        }
    });
    assert_error::<()>(result, ErrorKind::TimedOut);
    assert_eq!(text, b"before the deadline");
    assert!(ended_at >= deadline);
    for _ in 0..3 {
        far.write_all(b"after it").unwrap();
        assert_error((&near).read(&mut [0; 32]), ErrorKind::TimedOut);
    }
    near.set_read_deadline(Some(past())).unwrap();
    assert_error((&near).read(&mut [0; 32]), ErrorKind::TimedOut);
}

/// NT-12. Deadline in 50 ms: writes succeed while there is room, then give `TimedOut`; with a past one they always do.
#[gort::test(procs = [1, 2, 4])]
fn writes_succeed_while_there_is_room_and_then_time_out() {
    let (near, far) = narrow_pair();
    let deadline = Instant::now() + scaled(ms(50));
    near.set_write_deadline(Some(deadline)).unwrap();
    (&near).write_all(b"there is room").unwrap();
    let (result, ended_at) = timed(|| write_until_error(&near));
    assert_error(result, ErrorKind::TimedOut);
    assert!(ended_at >= deadline);
    for _ in 0..3 {
        assert_error((&near).write(b"x"), ErrorKind::TimedOut);
    }
    near.set_write_deadline(Some(past())).unwrap();
    assert_error((&near).write(b"x"), ErrorKind::TimedOut);
    drop(far);
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

fn write_until_error(mut stream: &TcpStream) -> std::io::Result<usize> {
    loop {
        stream.write_all(&[0x55; 4096])?;
    }
}

/// A listener whose queue is full: the kernel answers no further connection, so connecting hangs.
struct BlackHole {
    listener: TcpListener,
    _waiting: Vec<TcpStream>,
}

impl BlackHole {
    fn new() -> Self {
        let listener = TcpListener::builder().backlog(0).bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        loop {
            match TcpStream::connect_timeout(&addr, ms(100)) {
                Ok(stream) => waiting.push(stream),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::TimedOut);
                    return Self { listener, _waiting: waiting };
                }
            }
        }
    }
}

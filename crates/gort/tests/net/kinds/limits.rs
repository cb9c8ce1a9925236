//! Deadlines and timeouts.

use super::{End, for_kinds, round_trip};
use crate::support::{assert_error, ms, past, scaled, wait_parked};
use std::io;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

for_kinds!(tcp: TcpStream, unix: UnixStream, pipes: Pipes, duplex: DuplexStream; [
    a_past_read_deadline_fails_reads_and_leaves_writes_working,
    a_past_write_deadline_fails_writes_and_leaves_reads_working,
    a_past_deadline_fails_although_data_is_ready_and_can_be_cleared,
    setting_a_past_deadline_ends_the_waits_of_others,
    a_future_deadline_ends_waits_and_the_connection_stays_usable,
    reads_succeed_while_data_lasts_and_then_time_out,
    writes_succeed_while_they_are_taken_and_then_time_out,
    timeouts_count_for_each_call_and_are_never_early,
    a_context_ends_the_waits_inside_of_it,
]);

/// NT-03. A read deadline in the past fails reads with `TimedOut` and leaves writes working.
fn a_past_read_deadline_fails_reads_and_leaves_writes_working<E: End>() {
    let (near, far) = E::pair();
    gort::scope(|s| {
        s.spawn(|| far.write_all(b"x").unwrap());
        near.set_read_deadline(Some(past())).unwrap();
        for _ in 0..3 {
            assert_error(near.read(&mut [0; 8]), ErrorKind::TimedOut);
        }
        s.spawn(|| near.write_all(b"still here").unwrap());
        let mut buf = [0; 10];
        far.read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"still here");
        near.set_read_deadline(None).unwrap();
        near.read_exact(&mut buf[..1]).unwrap();
    });
}

/// NT-03. A write deadline in the past fails writes with `TimedOut` and leaves reads working.
fn a_past_write_deadline_fails_writes_and_leaves_reads_working<E: End>() {
    let (near, far) = E::pair();
    near.set_write_deadline(Some(past())).unwrap();
    for _ in 0..3 {
        assert_error(near.write(b"x"), ErrorKind::TimedOut);
    }
    gort::scope(|s| {
        s.spawn(|| far.write_all(b"still here").unwrap());
        let mut buf = [0; 10];
        near.read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"still here");
    });
}

/// NT-04. With a deadline in the past read and write give `TimedOut` with 0 bytes although data is ready; after clearing it, a round trip works.
fn a_past_deadline_fails_although_data_is_ready_and_can_be_cleared<E: End>() {
    let (near, far) = E::pair();
    gort::scope(|s| {
        s.spawn(|| far.write_all(b"early").unwrap());
        let mut buf = [0; 5];
        near.read_exact(&mut buf[..1]).unwrap();
        near.set_deadline(Some(past())).unwrap();
        for _ in 0..3 {
            assert_error(near.read(&mut [0; 8]), ErrorKind::TimedOut);
            assert_error(near.write(b"never sent"), ErrorKind::TimedOut);
        }
        near.set_deadline(None).unwrap();
        near.read_exact(&mut buf[1..]).unwrap();
        assert_eq!(&buf, b"early");
    });
    round_trip(&near, &far);
    round_trip(&far, &near);
}

/// NT-05. A reader and a writer (buffers full) are blocked; 100 ms later another goroutine sets a past deadline: both return `TimedOut`, not
/// earlier.
fn setting_a_past_deadline_ends_the_waits_of_others<E: End>() {
    let (near, far) = E::narrow_pair();
    near.fill();
    gort::scope(|s| {
        let start = Instant::now();
        let reader = s.spawn(|| timed(|| near.read(&mut [0; 8])));
        let writer = s.spawn(|| timed(|| Err(write_until_error(&near).1)));
        wait_parked(reader.goroutine().id(), E::READS);
        wait_parked(writer.goroutine().id(), E::WRITES);
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
fn a_future_deadline_ends_waits_and_the_connection_stays_usable<E: End>() {
    let (near, far) = E::narrow_pair();
    let mut filled = near.fill();
    let start = Instant::now();
    near.set_deadline(Some(start + ms(100))).unwrap();
    gort::scope(|s| {
        let reader = s.spawn(|| timed(|| near.read(&mut [0; 8])));
        let writer = s.spawn(|| {
            let outcome = write_until_error(&near);
            (outcome, Instant::now())
        });
        let ((written, error), write_ended) = writer.join().unwrap();
        let (read_result, read_ended) = reader.join().unwrap();
        filled += written;
        assert_error(read_result, ErrorKind::TimedOut);
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        for ended_at in [read_ended, write_ended] {
            assert!(ended_at >= start + ms(100), "{:?} early", start + ms(100) - ended_at);
            assert!(ended_at < start + ms(100) + scaled(Duration::from_secs(2)));
        }
    });
    near.set_deadline(None).unwrap();
    let mut stale = vec![0; filled];
    far.read_exact(&mut stale).unwrap();
    assert!(stale.iter().all(|&byte| byte == 0x55));
    round_trip(&near, &far);
}

/// NT-12, and FS-04 for pipes. Deadline in 50 ms: reads succeed while data lasts, then give `TimedOut`; with a past one they always do.
fn reads_succeed_while_data_lasts_and_then_time_out<E: End>() {
    let (near, far) = E::pair();
    let deadline = Instant::now() + scaled(ms(50));
    near.set_read_deadline(Some(deadline)).unwrap();
    let mut text = Vec::new();
    gort::scope(|s| {
        s.spawn(|| far.write_all(b"before the deadline").unwrap());
        let (result, ended_at) = timed(|| {
            let mut buf = [0; 7];
            loop {
                let n = near.read(&mut buf)?;
                assert_ne!(n, 0);
                text.extend_from_slice(&buf[..n]);
            }
        });
        assert_error::<()>(result, ErrorKind::TimedOut);
        assert!(ended_at >= deadline);
        // On a machine that stands still the deadline may come before the data, whose writer waits until it is read.
        near.set_read_deadline(None).unwrap();
        let mut rest = vec![0; 19 - text.len()];
        near.read_exact(&mut rest).unwrap();
        text.extend(rest);
    });
    assert_eq!(text, b"before the deadline");
    near.set_read_deadline(Some(past())).unwrap();
    gort::scope(|s| {
        s.spawn(|| far.write_all(b"x").unwrap());
        for _ in 0..3 {
            assert_error(near.read(&mut [0; 32]), ErrorKind::TimedOut);
        }
        near.set_read_deadline(None).unwrap();
        near.read_exact(&mut [0]).unwrap();
    });
}

/// NT-12, and FS-04 for pipes. Deadline in 50 ms: writes succeed while they are taken, then give `TimedOut`; with a past one they always do.
fn writes_succeed_while_they_are_taken_and_then_time_out<E: End>() {
    let (near, far) = E::narrow_pair();
    gort::scope(|s| {
        s.spawn(|| near.write_all(b"there is room").unwrap());
        far.read_exact(&mut [0; 13]).unwrap();
    });
    let deadline = Instant::now() + scaled(ms(50));
    near.set_write_deadline(Some(deadline)).unwrap();
    assert_eq!(write_until_error(&near).1.kind(), ErrorKind::TimedOut);
    assert!(Instant::now() >= deadline);
    for _ in 0..3 {
        assert_error(near.write(b"x"), ErrorKind::TimedOut);
    }
    near.set_write_deadline(Some(past())).unwrap();
    assert_error(near.write(b"x"), ErrorKind::TimedOut);
}

/// NT-23. A timeout counts for each call, is never early, and leaves the stream usable; one of zero is refused.
fn timeouts_count_for_each_call_and_are_never_early<E: End>() {
    let (near, far) = E::narrow_pair();
    near.set_read_timeout(Some(ms(10))).unwrap();
    near.set_write_timeout(Some(ms(10))).unwrap();
    assert_error(near.set_read_timeout(Some(Duration::ZERO)), ErrorKind::InvalidInput);
    assert_error(near.set_write_timeout(Some(Duration::ZERO)), ErrorKind::InvalidInput);
    for _ in 0..2 {
        let start = Instant::now();
        assert_error(near.read(&mut [0; 8]), ErrorKind::TimedOut);
        assert!(start.elapsed() >= ms(10));
    }
    let mut filled = near.fill();
    let start = Instant::now();
    let (written, error) = write_until_error(&near);
    filled += written;
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(start.elapsed() >= ms(10));
    near.set_read_timeout(None).unwrap();
    near.set_write_timeout(None).unwrap();
    far.read_exact(&mut vec![0; filled]).unwrap();
    round_trip(&near, &far);
}

/// The end of the ambient context ends a read and a write that wait, and fails the next at once; outside of it the stream goes on.
fn a_context_ends_the_waits_inside_of_it<E: End>() {
    let (near, far) = E::narrow_pair();
    let mut filled = near.fill();
    let (ctx, cancel) = gort::context::background().with_cancel();
    gort::scope(|s| {
        let reader = s.spawn(|| ctx.run(|| near.read(&mut [0; 8])));
        let writer = s.spawn(|| ctx.run(|| write_until_error(&near)));
        wait_parked(reader.goroutine().id(), E::READS);
        wait_parked(writer.goroutine().id(), E::WRITES);
        cancel.cancel();
        let (written, write_error) = writer.join().unwrap();
        filled += written;
        for error in [reader.join().unwrap().unwrap_err(), write_error] {
            assert!(gort::context::Ended::find(&error).is_some_and(|why| why.is_cancelled()), "{error:?}");
        }
    });
    assert_error(ctx.run(|| near.read(&mut [0; 8])), ErrorKind::Other);
    far.read_exact(&mut vec![0; filled]).unwrap();
    round_trip(&near, &far);
}

fn timed<T>(call: impl FnOnce() -> io::Result<T>) -> (io::Result<T>, Instant) {
    let result = call();
    (result, Instant::now())
}

/// Also after `fill`: TCP makes room by and by. Says how much was taken, and what ended it.
fn write_until_error<E: End>(stream: &E) -> (usize, io::Error) {
    let mut written = 0;
    loop {
        match stream.write(&[0x55; 4096]) {
            Ok(n) => written += n,
            Err(error) => return (written, error),
        }
    }
}

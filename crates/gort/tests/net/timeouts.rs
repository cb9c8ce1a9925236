//! How long a call may take, how exactly that is kept, and what happens when data comes at that very moment.

use super::support::{
    Draws, assert_error, fill, forget_when_closed, listener, ms, narrow_pair, pair, rounds, scaled, wait_parked,
};
use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

/// NT-13 (retry). From 1 ms upward the measured timeout is never below the deadline and, at some length up to 4 s, within 10% above it.
fn timeouts_are_exact(mut wait_for: impl FnMut(Duration, Instant) -> io::Result<()>) {
    let mut timeout = ms(1);
    loop {
        let start = Instant::now();
        let result = wait_for(timeout, start + timeout);
        let elapsed = start.elapsed();
        assert_error(result, ErrorKind::TimedOut);
        assert!(elapsed >= timeout, "{elapsed:?} is less than {timeout:?}");
        if elapsed <= timeout + scaled(timeout / 10) {
            return;
        }
        timeout = timeout * 5 / 4;
        assert!(timeout <= Duration::from_secs(4), "{elapsed:?} for {timeout:?}, and as bad for all shorter ones");
    }
}

/// NT-13, reading.
#[gort::test(procs = [1, 2, 4])]
fn read_timeouts_and_deadlines_are_exact() {
    let (near, _far) = pair();
    timeouts_are_exact(|_, deadline| {
        near.set_read_deadline(Some(deadline))?;
        (&near).read(&mut [0; 8]).map(drop)
    });
    near.set_read_deadline(None).unwrap();
    timeouts_are_exact(|timeout, _| {
        near.set_read_timeout(Some(timeout))?;
        (&near).read(&mut [0; 8]).map(drop)
    });
}

/// NT-13, writing.
#[gort::test(procs = [1, 2, 4])]
fn write_timeouts_and_deadlines_are_exact() {
    let (near, _far) = narrow_pair();
    fill(&near);
    let write = || loop {
        (&near).write_all(&[0; 4096])?;
    };
    timeouts_are_exact(|_, deadline| {
        near.set_write_deadline(Some(deadline))?;
        write()
    });
    near.set_write_deadline(None).unwrap();
    timeouts_are_exact(|timeout, _| {
        near.set_write_timeout(Some(timeout))?;
        write()
    });
}

/// NT-13, accepting.
#[gort::test(procs = [1, 2, 4])]
fn accept_deadlines_are_exact() {
    let listener = listener();
    timeouts_are_exact(|_, deadline| {
        listener.set_deadline(Some(deadline))?;
        listener.accept().map(drop)
    });
}

/// NT-23. A read timeout gives `TimedOut` each time, and what comes later is readable.
#[gort::test(procs = [1, 2, 4])]
fn after_a_timeout_later_data_is_readable() {
    let (mut near, mut far) = pair();
    near.set_read_timeout(Some(ms(10))).unwrap();
    assert_eq!(near.read_timeout().unwrap(), Some(ms(10)));
    let mut buf = [0; 4];
    for _ in 0..2 {
        let start = Instant::now();
        assert_error(near.read(&mut buf), ErrorKind::TimedOut);
        assert!(start.elapsed() >= ms(10));
        assert_error(near.peek(&mut buf), ErrorKind::TimedOut);
    }
    far.write_all(b"late").unwrap();
    near.set_read_timeout(None).unwrap();
    near.read_exact(&mut buf).unwrap();
    assert_eq!(&buf, b"late");
}

/// NT-23. A zero timeout is `InvalidInput`, and changes nothing.
#[gort::test(procs = [1, 2, 4])]
fn a_zero_timeout_is_refused() {
    let (near, _far) = pair();
    near.set_read_timeout(Some(ms(7))).unwrap();
    assert_error(near.set_read_timeout(Some(Duration::ZERO)), ErrorKind::InvalidInput);
    assert_error(near.set_write_timeout(Some(Duration::ZERO)), ErrorKind::InvalidInput);
    assert_eq!(near.read_timeout().unwrap(), Some(ms(7)));
    assert_eq!(near.write_timeout().unwrap(), None);
    let addr = near.local_addr().unwrap();
    assert_error(gort::net::TcpStream::connect_timeout(&addr, Duration::ZERO), ErrorKind::InvalidInput);
}

/// The wait for another reader counts: readers that begin together time out together, not one after the other.
#[gort::test(procs = [1, 2, 4])]
fn readers_in_a_queue_time_out_together() {
    const READERS: u32 = 8;
    let (near, _far) = pair();
    let timeout = scaled(ms(100));
    near.set_read_timeout(Some(timeout)).unwrap();
    let start = Instant::now();
    gort::scope(|s| {
        let readers: Vec<_> = (0..READERS)
            .map(|_| {
                s.spawn(|| {
                    let start = Instant::now();
                    let result = (&near).read(&mut [0; 8]);
                    (result, start.elapsed())
                })
            })
            .collect();
        for reader in readers {
            let (result, elapsed) = reader.join().unwrap();
            assert_error(result, ErrorKind::TimedOut);
            assert!(elapsed >= timeout);
        }
    });
    assert!(start.elapsed() < timeout * (READERS - 2));
}

/// A reader whose turn does not come in time gives up, whatever the one before it may wait; nobody's turn is lost with it.
#[gort::test(procs = [1, 2, 4])]
fn a_reader_in_a_queue_times_out_before_the_patient_one_ahead_of_it() {
    let (near, far) = pair();
    gort::scope(|s| {
        let patient = s.spawn(|| (&near).read(&mut [0]));
        wait_parked(patient.goroutine().id(), "IO wait, read");
        near.set_read_timeout(Some(ms(10))).unwrap();
        let hasty = s.spawn(|| (&near).read(&mut [0]));
        let start = Instant::now();
        assert_error((&near).read(&mut [0]), ErrorKind::TimedOut);
        assert!(start.elapsed() >= ms(10));
        assert_error(hasty.join().unwrap(), ErrorKind::TimedOut);
        assert!(!patient.is_finished());
        (&far).write_all(b"x").unwrap();
        assert_eq!(patient.join().unwrap().unwrap(), 1);
    });
}

/// Readers with all kinds of patience share a connection: every byte is read once, by somebody, and nobody is left waiting for a turn.
#[gort::test(procs = [1, 2, 4])]
fn impatient_readers_lose_no_byte_and_no_turn() {
    const READERS: u64 = 8;
    let bytes = rounds(3000);
    let (near, far) = pair();
    let (read, gave_up) = (std::sync::atomic::AtomicUsize::new(0), std::sync::atomic::AtomicUsize::new(0));
    gort::scope(|s| {
        for seed in 1..=READERS {
            let (near, read, gave_up) = (&near, &read, &gave_up);
            s.spawn(move || {
                let mut draws = Draws::new(seed);
                loop {
                    let timeout = Duration::from_micros(1 + draws.below(200) as u64);
                    near.set_read_timeout((draws.below(3) > 0).then_some(timeout)).unwrap();
                    match { near }.read(&mut [0]) {
                        Ok(0) => break,
                        Ok(n) => drop(read.fetch_add(n, std::sync::atomic::Ordering::Relaxed)),
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::TimedOut);
                            gave_up.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        }
                    }
                }
            });
        }
        let mut draws = Draws::new(99);
        let mut sent = 0;
        while sent < bytes {
            let more = (1 + draws.below(20)).min(bytes - sent);
            (&far).write_all(&vec![7; more]).unwrap();
            sent += more;
            gort::sleep(Duration::from_micros(draws.below(300) as u64));
        }
        far.shutdown(std::net::Shutdown::Write).unwrap();
    });
    assert_eq!(read.into_inner(), bytes);
    assert!(gave_up.into_inner() > 0);
}

/// Whichever comes first holds, a timeout or a deadline.
#[gort::test(procs = [1, 2, 4])]
fn of_timeout_and_deadline_the_earlier_one_holds() {
    let (near, _far) = pair();
    for (timeout, deadline) in [(20, 3_600_000), (3_600_000, 20)] {
        let start = Instant::now();
        near.set_read_timeout(Some(ms(timeout))).unwrap();
        near.set_read_deadline(Some(start + ms(deadline))).unwrap();
        assert_error((&near).read(&mut [0; 8]), ErrorKind::TimedOut);
        assert!(start.elapsed() >= ms(20));
    }
}

/// A deadline expires while data arrives: the read reports exactly one of the two, and no byte is lost or read twice.
#[gort::test(procs = [1, 2, 4])]
fn data_at_the_moment_of_the_deadline_is_reported_or_kept() {
    let (mut near, mut far) = pair();
    let mut draws = Draws::new(5);
    let (mut in_time, mut late) = (0, 0);
    for round in 0..rounds(2000) {
        let mark = round as u8;
        let length = Duration::from_micros(20 + draws.below(300) as u64);
        let sent_after =
            length.saturating_sub(Duration::from_micros(30)) + Duration::from_micros(draws.below(60) as u64);
        let start = Instant::now();
        near.set_read_deadline(Some(start + length)).unwrap();
        gort::scope(|s| {
            s.spawn(|| {
                while start.elapsed() < sent_after {
                    gort::yield_now();
                }
                far.write_all(&[mark]).unwrap();
            });
            let mut buf = [0; 8];
            match near.read(&mut buf) {
                Ok(n) => {
                    assert_eq!(&buf[..n], &[mark]);
                    in_time += 1;
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::TimedOut);
                    assert!(start.elapsed() >= length);
                    near.set_read_deadline(None).unwrap();
                    assert_eq!(near.read(&mut buf).unwrap(), 1);
                    assert_eq!(buf[0], mark);
                    late += 1;
                }
            }
        });
        near.set_nonblocking(true).unwrap();
        near.set_read_deadline(None).unwrap();
        assert_error(near.read(&mut [0; 8]), ErrorKind::WouldBlock);
        near.set_nonblocking(false).unwrap();
    }
    assert_eq!(in_time + late, rounds(2000));
}

/// A deadline is moved all the time, by others, while data flows: nobody hangs, nothing is lost.
#[gort::test(procs = [1, 2, 4])]
fn moving_the_deadline_all_the_time_loses_nothing() {
    let bytes = rounds(20_000);
    let (near, far) = pair();
    let done = std::sync::atomic::AtomicBool::new(false);
    gort::scope(|s| {
        for seed in 1..=2 {
            let (near, done) = (&near, &done);
            s.spawn(move || {
                let mut draws = Draws::new(seed);
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    let deadline = match draws.below(4) {
                        0 => None,
                        1 => Some(Instant::now() + Duration::from_secs(100)),
                        _ => Some(Instant::now() + Duration::from_micros(draws.below(300) as u64)),
                    };
                    near.set_read_deadline(deadline).unwrap();
                    gort::yield_now();
                }
            });
        }
        s.spawn(|| {
            for at in 0..bytes {
                (&far).write_all(&[at as u8]).unwrap();
                if at % 16 == 0 {
                    gort::yield_now();
                }
            }
        });
        let (mut at, mut buf) = (0, [0; 64]);
        while at < bytes {
            match (&near).read(&mut buf) {
                Ok(n) => {
                    for &byte in &buf[..n] {
                        assert_eq!(byte, at as u8);
                        at += 1;
                    }
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::TimedOut),
            }
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

/// A deadline set at the very moment at which a read begins to wait ends that read.
#[gort::test(procs = [1, 2, 4])]
fn a_deadline_set_while_a_read_begins_is_not_overlooked() {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    let (near, _far) = pair();
    let count = rounds(10_000);
    let (begun, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
    // A moment, then the processor is the other's: there may be one for both.
    let wait_for = |word: &AtomicUsize, round| {
        while (0..100).all(|_| (std::hint::spin_loop(), word.load(SeqCst) < round).1) {
            std::thread::yield_now();
        }
    };
    let mut draws = Draws::new(11);
    std::thread::scope(|s| {
        // A plain thread, so that it really is at the same moment.
        s.spawn(|| {
            for round in 1..=count {
                wait_for(&begun, round);
                assert_error((&near).read(&mut [0; 8]), ErrorKind::TimedOut);
                ended.store(round, SeqCst);
            }
        });
        for round in 1..=count {
            near.set_read_deadline(Some(Instant::now() + Duration::from_secs(3600))).unwrap();
            begun.store(round, SeqCst);
            for _ in 0..draws.below(100) {
                std::hint::spin_loop();
            }
            near.set_read_deadline(Some(Instant::now())).unwrap();
            wait_for(&ended, round);
        }
    });
}

/// A timer that belonged to a closed connection does not disturb the one that comes after it.
#[gort::test(procs = [1, 2, 4])]
fn a_deadline_of_a_closed_connection_concerns_nobody() {
    for _ in 0..rounds(200) {
        let (near, far) = pair();
        forget_when_closed(&far);
        near.set_read_deadline(Some(Instant::now() + ms(2))).unwrap();
        gort::scope(|s| {
            let reader = s.spawn(|| (&near).read(&mut [0; 8]));
            wait_parked_or_done(&reader);
            near.close().unwrap();
            let error = reader.join().unwrap().unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::NotConnected | ErrorKind::TimedOut), "{error}");
        });
        drop((near, far));
        let (near, mut far) = pair();
        gort::scope(|s| {
            let reader = s.spawn(|| (&near).read(&mut [0; 8]));
            wait_parked(reader.goroutine().id(), "IO wait, read");
            gort::sleep(ms(3));
            far.write_all(b"x").unwrap();
            assert_eq!(reader.join().unwrap().unwrap(), 1);
        });
        forget_when_closed(&near);
        drop(far);
    }
}

fn wait_parked_or_done<T>(reader: &gort::ScopedJoinHandle<'_, T>) {
    super::support::wait_until(|| {
        reader.is_finished()
            || super::support::entry_of(reader.goroutine().id()).is_none_or(|entry| entry.contains("[IO wait, read,"))
    });
}

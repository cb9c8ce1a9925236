//! Who is woken by what: sides apart, many at once, several things in one edge.

use super::support::{
    assert_error, fill, forget_when_closed, ms, narrow_pair, pair, reset_on_close, round_trip, rounds, wait_parked,
    wait_until,
};
use gort::net::{Shutdown, TcpStream};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsRawFd;

/// NT-24. A hang-up wakes all, readers and writers.
#[gort::test(procs = [1, 2, 4])]
fn a_hang_up_wakes_all() {
    let (near, far) = narrow_pair();
    fill(&near);
    reset_on_close(&far);
    gort::scope(|s| {
        let readers: Vec<_> = (0..3).map(|_| s.spawn(|| (&near).read(&mut [0]))).collect();
        let writers: Vec<_> = (0..3).map(|_| s.spawn(|| (&near).write_all(&[0; 1 << 20]))).collect();
        let parked = |words: &str| gort::runtime::dump().matches(&format!("[IO wait, {words},")).count();
        wait_until(|| parked("another reader") == 2 && parked("another writer") == 2);
        drop(far);
        for reader in readers {
            // The first one to ask gets the reset, the others the end.
            if let Err(error) = reader.join().unwrap() {
                assert_eq!(error.kind(), ErrorKind::ConnectionReset);
            }
        }
        for writer in writers {
            assert!(writer.join().unwrap().is_err());
        }
    });
}

/// Who only wants to know that there is something is told once it is there, also of the end, and takes nothing; limits and a close end the wait.
#[gort::test(procs = [1, 2, 4])]
fn who_waits_for_something_to_read_takes_nothing() {
    let (near, far) = pair();
    gort::scope(|s| {
        let waiting = s.spawn(|| near.readable());
        wait_parked(waiting.goroutine().id(), "IO wait, read");
        (&far).write_all(b"x").unwrap();
        waiting.join().unwrap().unwrap();
        near.readable().unwrap();
        assert_eq!((&near).read(&mut [0; 8]).unwrap(), 1);
        near.set_read_timeout(Some(ms(5))).unwrap();
        assert_error(near.readable(), ErrorKind::TimedOut);
        near.set_read_timeout(None).unwrap();
        far.shutdown(Shutdown::Write).unwrap();
        near.readable().unwrap();
        assert_eq!((&near).read(&mut [0; 8]).unwrap(), 0);
        let waiting = s.spawn(|| far.readable());
        wait_parked(waiting.goroutine().id(), "IO wait, read");
        far.close().unwrap();
        assert_error(waiting.join().unwrap(), ErrorKind::NotConnected);
    });
}

/// Data and the end in one edge: the reader who has taken the data in one short read finds the end, although no other event comes.
#[gort::test(procs = [1, 2, 4])]
fn data_and_the_end_may_come_in_one_edge() {
    for round in 0..rounds(2000) {
        let (mut near, mut far) = pair();
        forget_when_closed(&near);
        let reader = gort::go(move || {
            let mut text = Vec::new();
            let mut buf = [0; 64];
            loop {
                match near.read(&mut buf).unwrap() {
                    0 => return text,
                    n => text.extend_from_slice(&buf[..n]),
                }
            }
        });
        if round % 2 == 0 {
            gort::yield_now();
        }
        if round % 4 < 2 {
            far.write_all(b"first").unwrap();
            gort::yield_now();
        }
        far.write_all(b"last").unwrap();
        match round % 3 {
            0 => drop(far),
            1 => far.shutdown(Shutdown::Write).unwrap(),
            _ => far.close().unwrap(),
        }
        assert!(reader.join().unwrap().ends_with(b"last"));
    }
}

/// Data and a reset in one edge: the reader ends.
#[gort::test(procs = [1, 2, 4])]
fn data_and_a_reset_may_come_in_one_edge() {
    for round in 0..rounds(2000) {
        let (mut near, mut far) = pair();
        let reader = gort::go(move || {
            let mut buf = [0; 64];
            loop {
                match near.read(&mut buf) {
                    Ok(0) => return None,
                    Ok(_) => {}
                    Err(error) => return Some(error.kind()),
                }
            }
        });
        if round % 2 == 0 {
            gort::yield_now();
        }
        reset_on_close(&far);
        far.write_all(b"last").unwrap();
        drop(far);
        assert_eq!(reader.join().unwrap(), Some(ErrorKind::ConnectionReset));
    }
}

/// Urgent data between other data hangs nobody: what stands before and behind it is read.
#[gort::test(procs = [1, 2, 4])]
fn urgent_data_does_not_stop_the_reader() {
    fn send_urgent(stream: &TcpStream, byte: u8) {
        // SAFETY: the kernel reads one live byte.
        let sent = unsafe { libc::send(stream.as_raw_fd(), (&raw const byte).cast(), 1, libc::MSG_OOB) };
        assert_eq!(sent, 1);
    }
    for round in 0..rounds(1000) {
        let (mut near, mut far) = pair();
        forget_when_closed(&far);
        let reader = gort::go(move || {
            let mut text = Vec::new();
            let mut buf = [0; 64];
            while !text.ends_with(b"end") {
                match near.read(&mut buf).unwrap() {
                    0 => panic!("ended early: {text:?}"),
                    n => text.extend_from_slice(&buf[..n]),
                }
            }
            near.write_all(b"k").unwrap();
            text
        });
        if round % 2 == 0 {
            gort::yield_now();
        }
        far.write_all(b"before").unwrap();
        if round % 3 == 0 {
            gort::yield_now();
        }
        send_urgent(&far, b'!');
        if round % 5 == 0 {
            gort::yield_now();
        }
        far.write_all(b"end").unwrap();
        // The end must not be what wakes the reader.
        far.read_exact(&mut [0]).unwrap();
        assert_eq!(reader.join().unwrap(), b"beforeend");
    }
}

/// Nonblocking mode: who is parked when it is switched on ends with `WouldBlock`, so that nobody queues behind it.
#[gort::test(procs = [1, 2, 4])]
fn switching_to_nonblocking_ends_the_waits_under_way() {
    let (near, far) = pair();
    gort::scope(|s| {
        let readers: Vec<_> = (0..3).map(|_| s.spawn(|| (&near).read(&mut [0; 8]))).collect();
        wait_until(|| gort::runtime::dump().contains("[IO wait, another reader,"));
        near.set_nonblocking(true).unwrap();
        for reader in readers {
            assert_error(reader.join().unwrap(), ErrorKind::WouldBlock);
        }
    });
    near.set_nonblocking(false).unwrap();
    round_trip(&near, &far);
}

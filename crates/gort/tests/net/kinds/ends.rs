//! Ends: by the peer, by oneself, by another goroutine; and what a closed value does afterwards.

use super::{End, for_kinds, round_trip};
use crate::support::{assert_error, ms, past, wait_parked};
use gort::net::Shutdown;
use std::io::{self, ErrorKind};
use std::time::Instant;

for_kinds!(tcp: TcpStream, unix: UnixStream, pipes: Pipes, duplex: DuplexStream; [
    a_close_ends_a_reading_and_a_writing_loop,
    a_close_by_the_peer_ends_a_blocked_read,
    every_operation_on_a_closed_end_says_that_it_is_closed,
]);

for_kinds!(tcp_shut: TcpStream, unix_shut: UnixStream, duplex_shut: DuplexStream; [
    after_shutdown_of_reading_reads_end_and_writes_go_on,
    after_shutdown_of_writing_the_peer_reads_the_end_and_reads_go_on,
]);

for_kinds!(tcp_fd: TcpStream, unix_fd: UnixStream, pipes_fd: Pipes; [
    a_raw_fd_taken_out_and_back_in_works_with_deadlines,
]);

/// NT-07. A reader and a writer loop; a third goroutine closes the connection after 100 ms: both loops end with an error.
fn a_close_ends_a_reading_and_a_writing_loop<E: End>() {
    let (near, far) = E::narrow_pair();
    gort::scope(|s| {
        let reader = s.spawn(|| {
            loop {
                match near.read(&mut [0; 64]) {
                    Ok(0) => panic!("the peer is open"),
                    Ok(_) => {}
                    Err(error) => return error,
                }
            }
        });
        let writer = s.spawn(|| {
            loop {
                if let Err(error) = near.write(&[1; 4096]) {
                    return error;
                }
            }
        });
        s.spawn(|| while far.write(&[2; 16]).is_ok() && far.read(&mut [0; 4096]).is_ok_and(|n| n > 0) {});
        gort::sleep(ms(100));
        near.close().unwrap();
        for waiter in [reader, writer] {
            assert_eq!(waiter.join().unwrap().kind(), ErrorKind::NotConnected);
        }
    });
}

/// NT-09. A peer's close ends a blocked read with `Ok(0)`.
fn a_close_by_the_peer_ends_a_blocked_read<E: End>() {
    for by_drop in [false, true] {
        let (near, far) = E::pair();
        gort::scope(|s| {
            let reader = s.spawn(|| near.read(&mut [0; 8]));
            wait_parked(reader.goroutine().id(), E::READS);
            if by_drop {
                drop(far);
            } else {
                far.close().unwrap();
            }
            assert_eq!(reader.join().unwrap().unwrap(), 0);
        });
    }
}

/// NT-15. After a close every operation gives a "closed" error.
fn every_operation_on_a_closed_end_says_that_it_is_closed<E: End>() {
    let (near, _far) = E::pair();
    near.close().unwrap();
    // Takes the number and, if it were free, the descriptor of the one that was closed.
    let others: Vec<_> = (0..4).map(|_| E::pair()).collect();
    let results: Vec<(&str, io::Result<()>)> = vec![
        ("read", near.read(&mut [0; 8]).map(drop)),
        ("read nothing", near.read(&mut []).map(drop)),
        ("write", near.write(b"x").map(drop)),
        ("write nothing", near.write(b"").map(drop)),
        ("close", near.close()),
        ("set_read_timeout", near.set_read_timeout(Some(ms(1)))),
        ("set_write_timeout", near.set_write_timeout(Some(ms(1)))),
        ("set_deadline", near.set_deadline(Some(past()))),
    ];
    for (operation, result) in results {
        match result {
            Err(error) if error.kind() == ErrorKind::NotConnected && error.to_string().contains("closed") => {}
            other => panic!("{operation}: {other:?}"),
        }
    }
    for (a, b) in &others {
        round_trip(a, b);
    }
}

/// NT-14. After shutdown(Read) reads give 0, also one that was parked, and writes go on.
fn after_shutdown_of_reading_reads_end_and_writes_go_on<E: End>() {
    let (near, far) = E::pair();
    gort::scope(|s| {
        let reader = s.spawn(|| near.read(&mut [0; 8]));
        wait_parked(reader.goroutine().id(), E::READS);
        near.shutdown(Shutdown::Read).unwrap();
        assert_eq!(reader.join().unwrap().unwrap(), 0);
    });
    assert_eq!(near.read(&mut [0; 8]).unwrap(), 0);
    gort::scope(|s| {
        s.spawn(|| near.write_all(b"on").unwrap());
        let mut buf = [0; 2];
        far.read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"on");
    });
}

/// NT-14. After shutdown(Write) the peer reads what was sent and then the end, writes fail, also one that was parked, and reads go on.
fn after_shutdown_of_writing_the_peer_reads_the_end_and_reads_go_on<E: End>() {
    let (near, far) = E::pair();
    gort::scope(|s| {
        s.spawn(|| {
            near.write_all(b"last").unwrap();
            near.shutdown(Shutdown::Write).unwrap();
        });
        assert_eq!(far.read_to_end().unwrap(), b"last");
        assert_error(near.write(b"more"), ErrorKind::BrokenPipe);
        s.spawn(|| {
            far.write_all(b"answer").unwrap();
            far.close().unwrap();
        });
        assert_eq!(near.read_to_end().unwrap(), b"answer");
    });

    let (near, _far) = E::narrow_pair();
    near.fill();
    gort::scope(|s| {
        let writer = s.spawn(|| {
            loop {
                if let Err(error) = near.write(&[0; 4096]) {
                    return error.kind();
                }
            }
        });
        wait_parked(writer.goroutine().id(), E::WRITES);
        near.shutdown(Shutdown::Write).unwrap();
        assert_eq!(writer.join().unwrap(), ErrorKind::BrokenPipe);
    });
}

/// NT-26. Taking the raw fd out and back in: it works again, with deadlines.
fn a_raw_fd_taken_out_and_back_in_works_with_deadlines<E: End>() {
    let (near, far) = E::pair();
    near.set_read_deadline(Some(past())).unwrap();
    let near = near.reopen();
    round_trip(&near, &far);
    let deadline = Instant::now() + ms(20);
    near.set_read_deadline(Some(deadline)).unwrap();
    assert_error(near.read(&mut [0; 8]), ErrorKind::TimedOut);
    assert!(Instant::now() >= deadline);
    near.set_deadline(None).unwrap();
    round_trip(&far, &near);
}

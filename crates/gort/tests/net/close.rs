//! Ends: by the peer, by oneself, by another goroutine; and what a closed value does afterwards.

use super::support::{
    ClosesAtTheEnd, assert_error, fill, forget_when_closed, listener, ms, narrow_pair, pair, past, reset_on_close,
    round_trip, rounds, scaled, wait_parked,
};
use gort::net::{Shutdown, TcpListener, TcpStream};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// A close ends ten readers, ten writers and whatever they wait for, the socket or each other; it returns when the fd is closed.
#[gort::test(procs = [1, 2, 4])]
fn a_close_ends_all_who_wait_and_returns_when_the_fd_is_gone() {
    let (near, mut far) = narrow_pair();
    let mut filled = fill(&near);
    let written = AtomicUsize::new(0);
    gort::scope(|s| {
        let readers: Vec<_> = (0..10).map(|_| s.spawn(|| (&near).read(&mut [0; 8]).map(drop))).collect();
        let writers: Vec<_> = (0..10)
            .map(|_| {
                s.spawn(|| {
                    loop {
                        written.fetch_add((&near).write(&[0x55; 4096])?, Relaxed);
                    }
                })
            })
            .collect();
        for (waiters, one, others) in [
            (&readers, "IO wait, read", "IO wait, another reader"),
            (&writers, "IO wait, write", "IO wait, another writer"),
        ] {
            super::support::wait_until(|| {
                let dump = gort::runtime::dump();
                dump.matches(&format!("[{one},")).count() == 1 && dump.matches(&format!("[{others},")).count() == 9
            });
            assert_eq!(waiters.len(), 10);
        }
        let start = Instant::now();
        near.close().unwrap();
        assert!(near.as_raw_fd() == -1);
        for waiter in readers.into_iter().chain(writers) {
            assert_error(waiter.join().unwrap(), ErrorKind::NotConnected);
        }
        assert!(start.elapsed() < scaled(Duration::from_secs(1)));
    });
    filled += written.into_inner();
    let mut rest = Vec::new();
    far.read_to_end(&mut rest).unwrap();
    assert_eq!(rest.len(), filled);
}

/// NT-15. After a close every operation of a connection gives a "closed" error.
#[gort::test(procs = [1, 2, 4])]
fn every_operation_on_a_closed_connection_says_that_it_is_closed() {
    let (near, far) = pair();
    near.close().unwrap();
    // Takes the number and, if it were free, the descriptor of the one that was closed.
    let others: Vec<_> = (0..4).map(|_| pair()).collect();
    let mut results: Vec<(&str, std::io::Result<()>)> = vec![
        ("read", (&near).read(&mut [0; 8]).map(drop)),
        ("read nothing", (&near).read(&mut []).map(drop)),
        ("read_vectored", (&near).read_vectored(&mut []).map(drop)),
        ("peek", near.peek(&mut [0; 8]).map(drop)),
        ("write", (&near).write(b"x").map(drop)),
        ("write nothing", (&near).write(b"").map(drop)),
        ("write_vectored", (&near).write_vectored(&[]).map(drop)),
        ("shutdown", near.shutdown(Shutdown::Both)),
        ("close", near.close()),
        ("try_clone", near.try_clone().map(drop)),
        ("local_addr", near.local_addr().map(drop)),
        ("peer_addr", near.peer_addr().map(drop)),
        ("take_error", near.take_error().map(drop)),
        ("set_read_timeout", near.set_read_timeout(Some(ms(1)))),
        ("write_timeout", near.write_timeout().map(drop)),
        ("set_deadline", near.set_deadline(Some(past()))),
        ("set_nodelay", near.set_nodelay(true)),
        ("keepalive", near.keepalive().map(drop)),
        ("set_nonblocking", near.set_nonblocking(true)),
        ("set_recv_buffer_size", near.set_recv_buffer_size(4096)),
    ];
    assert_eq!(near.as_raw_fd(), -1);
    assert_eq!(format!("{near:?}"), "TcpStream { fd: closed }");
    results.push(("into_std", near.into_std().map(drop)));
    for (operation, result) in results {
        match result {
            Err(error) if error.kind() == ErrorKind::NotConnected && error.to_string().contains("closed") => {}
            other => panic!("{operation}: {other:?}"),
        }
    }
    for (a, b) in &others {
        round_trip(a, b);
    }
    drop(far);
}

/// NT-15. After a close every operation of a listener gives a "closed" error.
#[gort::test(procs = [1, 2, 4])]
fn every_operation_on_a_closed_listener_says_that_it_is_closed() {
    let closed = listener();
    closed.close().unwrap();
    let other = listener();
    let _client = TcpStream::connect(other.local_addr().unwrap()).unwrap();
    assert_eq!(closed.incoming().count(), 0);
    let results: Vec<(&str, std::io::Result<()>)> = vec![
        ("accept", closed.accept().map(drop)),
        ("close", closed.close()),
        ("try_clone", closed.try_clone().map(drop)),
        ("local_addr", closed.local_addr().map(drop)),
        ("take_error", closed.take_error().map(drop)),
        ("set_deadline", closed.set_deadline(None)),
        ("set_nonblocking", closed.set_nonblocking(true)),
        ("set_ttl", closed.set_ttl(64)),
        ("into_std", closed.into_std().map(drop)),
    ];
    for (operation, result) in results {
        match result {
            Err(error) if error.kind() == ErrorKind::NotConnected && error.to_string().contains("closed") => {}
            other => panic!("{operation}: {other:?}"),
        }
    }
    other.accept().unwrap();
}

/// NT-15. While one goroutine closes, another one reads, and new connections take the freed numbers: what was closed never touches them.
#[gort::test(procs = [1, 2, 4], timeout = "120s")]
fn a_closed_connection_never_touches_one_that_got_its_number() {
    let listener = listener();
    let addr = listener.local_addr().unwrap();
    let reused = AtomicUsize::new(0);
    for _ in 0..rounds(2000) {
        let near = TcpStream::connect(addr).unwrap();
        let (far, _) = listener.accept().unwrap();
        let old_fd = near.as_raw_fd();
        forget_when_closed(&far);
        gort::scope(|s| {
            s.spawn(|| {
                let mut buf = [0; 16];
                loop {
                    match (&near).read(&mut buf) {
                        Ok(0) => panic!("nobody ended the old connection but its own side"),
                        Ok(n) => assert!(buf[..n].iter().all(|&byte| byte == b'o'), "read from a stranger: {buf:?}"),
                        Err(error) => return assert_eq!(error.kind(), ErrorKind::NotConnected),
                    }
                }
            });
            s.spawn(|| {
                // Not for long, or with one processor the others hardly have a turn.
                while (0..20).all(|_| (&near).write(b"o").is_ok()) {
                    gort::yield_now();
                }
            });
            s.spawn(|| {
                let mut far = &far;
                for _ in 0..3 {
                    let _ = far.write(b"oo");
                    gort::yield_now();
                }
            });
            gort::yield_now();
            near.close().unwrap();
            let mut new = TcpStream::connect(addr).unwrap();
            let (mut new_far, _) = listener.accept().unwrap();
            forget_when_closed(&new_far);
            if [&new, &new_far].iter().any(|stream| stream.as_raw_fd() == old_fd) {
                reused.fetch_add(1, Relaxed);
            }
            new_far.write_all(b"nnnn").unwrap();
            let mut buf = [0; 4];
            new.read_exact(&mut buf).unwrap();
            assert_eq!(&buf, b"nnnn");
            drop(new);
            let mut rest = Vec::new();
            new_far.read_to_end(&mut rest).unwrap();
            assert!(rest.is_empty(), "a stranger wrote {rest:?}");
        });
    }
    assert!(reused.into_inner() > 0, "no number was reused, so nothing was tried");
}

/// NT-16. Ten goroutines accept on one listener; of 100 connects at most 11 fail; closing the listener ends all ten.
#[gort::test(procs = [1, 2, 4])]
fn ten_goroutines_accept_on_one_listener_until_it_is_closed() {
    let listener = listener();
    let addr = listener.local_addr().unwrap();
    let accepted = AtomicUsize::new(0);
    gort::scope(|s| {
        let accepting: Vec<_> = (0..10)
            .map(|_| {
                s.spawn(|| {
                    loop {
                        match listener.accept() {
                            Ok((mut stream, _)) => {
                                accepted.fetch_add(1, Relaxed);
                                stream.write_all(b"k").unwrap();
                            }
                            Err(error) => return error.kind(),
                        }
                    }
                })
            })
            .collect();
        let clients: Vec<_> = (0..100)
            .map(|_| {
                s.spawn(move || TcpStream::connect(addr).and_then(|mut stream| stream.read_exact(&mut [0])).is_err())
            })
            .collect();
        let _end = ClosesAtTheEnd(&listener);
        let failed = clients.into_iter().map(|client| client.join().unwrap()).filter(|&failed| failed).count();
        assert!(failed <= 11, "{failed} of 100 failed");
        listener.close().unwrap();
        for one in accepting {
            assert_eq!(one.join().unwrap(), ErrorKind::NotConnected);
        }
        assert!(accepted.load(Relaxed) >= 100 - failed);
    });
}

/// A listener's close returns when its port is free, although somebody was parked in accept.
#[gort::test(procs = [1, 2, 4])]
fn the_port_is_free_when_close_returns() {
    let first = listener();
    let addr = first.local_addr().unwrap();
    let mut listener = std::sync::Arc::new(first);
    for _ in 0..rounds(500) {
        let accepting = gort::go({
            let listener = listener.clone();
            move || listener.accept().map(drop)
        });
        gort::yield_now();
        listener.close().unwrap();
        listener = std::sync::Arc::new(TcpListener::bind(addr).unwrap());
        assert_error(accepting.join().unwrap(), ErrorKind::NotConnected);
    }
}

/// A loop over connections ends when the listener is closed.
#[gort::test(procs = [1, 2, 4])]
fn the_loop_over_connections_ends_at_the_close() {
    let listener = listener();
    gort::scope(|s| {
        let serving = s.spawn(|| listener.incoming().count());
        wait_parked(serving.goroutine().id(), "IO wait, read");
        listener.close().unwrap();
        assert_eq!(serving.join().unwrap(), 0);
    });
}

/// Several closers: one succeeds, the others are told; all readers end.
#[gort::test(procs = [1, 2, 4])]
fn of_several_who_close_one_succeeds() {
    for _ in 0..rounds(500) {
        let (near, far) = pair();
        forget_when_closed(&far);
        let closed = gort::scope(|s| {
            for _ in 0..2 {
                s.spawn(|| assert!((&near).read(&mut [0; 8]).is_err()));
            }
            let closers: Vec<_> = (0..4).map(|_| s.spawn(|| near.close().is_ok())).collect();
            closers.into_iter().map(|closer| closer.join().unwrap()).filter(|&succeeded| succeeded).count()
        });
        assert_eq!(closed, 1);
    }
}

/// A borrowed fd stays open while its owner lives, whoever closes; the peer sees the end when the owner is dropped.
#[gort::test(procs = [1, 2, 4])]
fn a_borrowed_fd_outlives_a_close_by_another() {
    let (near, far) = pair();
    let borrowed = near.as_fd();
    gort::scope(|s| {
        s.spawn(|| near.close().unwrap());
    });
    assert_error((&near).read(&mut [0; 8]), ErrorKind::NotConnected);
    let ours = borrowed.try_clone_to_owned().expect("the borrowed fd is open");
    let mut again = TcpStream::from(ours);
    again.write_all(b"x").unwrap();
    let mut byte = [0];
    (&far).read_exact(&mut byte).unwrap();
    drop(again);
    drop(near);
    assert_eq!((&far).read(&mut byte).unwrap(), 0);
}

/// A reset by the peer gives `ConnectionReset` to whoever is parked, and writes fail.
#[gort::test(procs = [1, 2, 4])]
fn a_reset_ends_a_parked_read_with_connection_reset() {
    let (near, far) = pair();
    reset_on_close(&far);
    gort::scope(|s| {
        let reader = s.spawn(|| (&near).read(&mut [0; 8]));
        wait_parked(reader.goroutine().id(), "IO wait, read");
        drop(far);
        assert_error(reader.join().unwrap(), ErrorKind::ConnectionReset);
    });
    assert_error((&near).write(b"x"), ErrorKind::BrokenPipe);
    assert_eq!((&near).read(&mut [0; 8]).unwrap(), 0);

    let (near, far) = narrow_pair();
    reset_on_close(&far);
    fill(&near);
    gort::scope(|s| {
        let writer = s.spawn(|| {
            loop {
                if let Err(error) = (&near).write(&[0; 4096]) {
                    return error.kind();
                }
            }
        });
        wait_parked(writer.goroutine().id(), "IO wait, write");
        drop(far);
        assert_eq!(writer.join().unwrap(), ErrorKind::ConnectionReset);
    });
}

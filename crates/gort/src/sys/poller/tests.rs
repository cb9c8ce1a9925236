use super::*;
use crate::sys::clock::now_ns;
use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::fd::AsRawFd,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

fn in_a_while() -> Timeout {
    Timeout::Until(now_ns() + 10_000_000_000)
}

/// The next event, waiting for it.
fn next(poller: &Poller, buffer: &mut EventBuf) -> Event {
    while poller.wait(buffer, 1, in_a_while()).unwrap() == 0 {}
    buffer.iter().next().unwrap()
}

#[test]
fn a_fresh_socket_is_writable_and_then_silent_until_data_comes() {
    for poller in [Poller::new().unwrap(), Poller::without_nanoseconds()] {
        let mut buffer = EventBuf::new(512);
        let (near, mut far) = tcp_pair();
        poller.add(near.as_raw_fd(), 7).unwrap();
        assert_eq!(next(&poller, &mut buffer), Event { token: 7, readable: false, writable: true, sticky: false });
        assert_eq!(poller.wait(&mut buffer, 512, Timeout::Now).unwrap(), 0, "an edge is reported once");
        far.write_all(b"x").unwrap();
        let event = next(&poller, &mut buffer);
        assert!(event.token == 7 && event.readable && !event.sticky);
        poller.delete(near.as_raw_fd()).unwrap();
        far.write_all(b"y").unwrap();
        assert_eq!(poller.wait(&mut buffer, 512, Timeout::Now).unwrap(), 0);
    }
}

#[test]
fn the_end_of_a_stream_is_readable_and_sticky() {
    let poller = Poller::new().unwrap();
    let mut buffer = EventBuf::new(512);
    let (mut near, far) = tcp_pair();
    poller.add(near.as_raw_fd(), 1).unwrap();
    next(&poller, &mut buffer);
    far.shutdown(std::net::Shutdown::Write).unwrap();
    let event = next(&poller, &mut buffer);
    assert!(event.readable && event.sticky);
    assert_eq!(near.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_reset_is_readable_and_writable_and_sticky() {
    let poller = Poller::new().unwrap();
    let mut buffer = EventBuf::new(512);
    let (near, mut far) = tcp_pair();
    poller.add(near.as_raw_fd(), 1).unwrap();
    next(&poller, &mut buffer);
    // Closing with unread data makes the kernel reset the connection.
    (&near).write_all(b"never read").unwrap();
    far.read_exact(&mut [0]).unwrap();
    drop(far);
    loop {
        let event = next(&poller, &mut buffer);
        if event.readable && event.writable && event.sticky {
            break;
        }
    }
}

#[test]
fn urgent_data_is_sticky() {
    let poller = Poller::new().unwrap();
    let mut buffer = EventBuf::new(512);
    let (near, far) = tcp_pair();
    poller.add(near.as_raw_fd(), 1).unwrap();
    next(&poller, &mut buffer);
    // SAFETY: one byte is read from a literal.
    let sent = unsafe { libc::send(far.as_raw_fd(), b"!".as_ptr().cast(), 1, libc::MSG_OOB) };
    assert_eq!(sent, 1);
    let event = next(&poller, &mut buffer);
    assert!(event.readable && event.sticky);
}

#[test]
fn a_deadline_ends_the_wait_and_not_early() {
    for poller in [Poller::new().unwrap(), Poller::without_nanoseconds()] {
        for ahead in [0, 1, 300_000, 2_500_000] {
            let deadline = now_ns() + ahead;
            let mut buffer = EventBuf::new(512);
            while now_ns() < deadline {
                assert_eq!(poller.wait(&mut buffer, 512, Timeout::Until(deadline)).unwrap(), 0);
            }
        }
        // One system call, whatever the deadline: neither an error nor an overflow.
        poller.wake();
        assert_eq!(poller.wait(&mut EventBuf::new(512), 512, Timeout::Until(u64::MAX)).unwrap(), 0);
    }
}

#[test]
fn at_most_max_events_are_taken_and_the_rest_stays() {
    let poller = Poller::new().unwrap();
    let mut buffer = EventBuf::new(512);
    let pairs: Vec<_> = (0..5).map(|_| tcp_pair()).collect();
    for (token, (near, _)) in pairs.iter().enumerate() {
        poller.add(near.as_raw_fd(), token as u64).unwrap();
    }
    let mut seen = Vec::new();
    for expected in [2, 2, 1, 0] {
        assert_eq!(poller.wait(&mut buffer, 2, Timeout::Now).unwrap(), expected);
        seen.extend(buffer.iter().map(|event| event.token));
    }
    seen.sort();
    assert_eq!(seen, [0, 1, 2, 3, 4]);
}

#[test]
fn a_wake_before_the_wait_is_kept_and_repeated_ones_are_one() {
    let poller = Poller::new().unwrap();
    let mut buffer = EventBuf::new(512);
    for _ in 0..3 {
        poller.wake();
    }
    assert_eq!(poller.wait(&mut buffer, 512, Timeout::Forever).unwrap(), 0);
    assert!(!poller.has_pending_wake());
    let deadline = now_ns() + 1_000_000;
    while now_ns() < deadline {
        poller.wait(&mut buffer, 512, Timeout::Until(deadline)).unwrap();
    }
}

#[test]
fn looking_in_leaves_the_wake_for_the_thread_that_blocks() {
    let poller = Poller::new().unwrap();
    let mut buffer = EventBuf::new(512);
    let (near, _far) = tcp_pair();
    poller.add(near.as_raw_fd(), 3).unwrap();
    poller.wake();
    let mut seen = 0;
    for _ in 0..10 {
        seen += poller.wait(&mut buffer, 512, Timeout::Now).unwrap();
    }
    assert_eq!(seen, 1, "the socket once, the wake never");
    assert!(poller.has_pending_wake());
    poller.wait(&mut buffer, 512, in_a_while()).unwrap();
    assert!(!poller.has_pending_wake());
}

#[test]
fn a_wake_is_never_lost_whoever_else_wakes_or_looks_in() {
    const ROUNDS: u64 = 10_000;
    let poller = Poller::new().unwrap();
    let asked = [AtomicU64::new(0), AtomicU64::new(0)];
    let answered = [AtomicU64::new(0), AtomicU64::new(0)];
    let lost = AtomicBool::new(false);
    // Relaxed, here and below: `wake` and `wait` are to make the values visible; that is part of the test.
    let over = || lost.load(Relaxed) || answered.iter().all(|answer| answer.load(Relaxed) == ROUNDS);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut buffer = EventBuf::new(512);
            while !over() {
                let deadline = now_ns() + 10_000_000_000;
                poller.wait(&mut buffer, 512, Timeout::Until(deadline)).unwrap();
                if now_ns() >= deadline {
                    lost.store(true, Relaxed);
                }
                for (question, answer) in asked.iter().zip(&answered) {
                    answer.store(question.load(Relaxed), Relaxed);
                }
            }
        });
        scope.spawn(|| {
            let mut buffer = EventBuf::new(512);
            while !over() {
                poller.wait(&mut buffer, 512, Timeout::Now).unwrap();
                poller.wake();
            }
        });
        for (question, answer) in asked.iter().zip(&answered) {
            let (poller, over) = (&poller, &over);
            scope.spawn(move || {
                for round in 1..=ROUNDS {
                    question.store(round, Relaxed);
                    poller.wake();
                    while answer.load(Relaxed) < round && !over() {
                        std::thread::yield_now();
                    }
                }
            });
        }
    });
    assert!(!lost.load(Relaxed));
}

#[test]
fn adding_twice_and_deleting_what_is_not_there_are_errors() {
    let poller = Poller::new().unwrap();
    let (near, _far) = tcp_pair();
    poller.add(near.as_raw_fd(), 1).unwrap();
    assert_eq!(poller.add(near.as_raw_fd(), 2), Err(crate::sys::raw::Errno::EXIST));
    poller.delete(near.as_raw_fd()).unwrap();
    assert_eq!(poller.delete(near.as_raw_fd()), Err(crate::sys::raw::Errno::NOENT));
}

//! Datagrams: UDP and Unix sockets, and what UDP has of its own.

use super::support::{assert_error, ms, past, round_trip_datagrams, scaled, wait_parked};
use gort::net::{Batch, Ipv4Addr, SocketAddr, UdpSocket, UnixDatagram};
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::{Duration, Instant};

/// Both ends of datagrams, each connected to the other.
pub(crate) fn pair() -> (UdpSocket, UdpSocket) {
    let near = UdpSocket::bind("127.0.0.1:0").unwrap();
    let far = UdpSocket::bind("127.0.0.1:0").unwrap();
    near.connect(far.local_addr().unwrap()).unwrap();
    far.connect(near.local_addr().unwrap()).unwrap();
    (near, far)
}

/// Runs the body over both kinds. The types share method names, not a trait.
macro_rules! for_both {
    ($($(#[$doc:meta])* fn $name:ident($near:ident, $far:ident) $body:block)*) => {$(
        $(#[$doc])*
        #[gort::test(procs = [1, 2, 4])]
        fn $name() {
            {
                let ($near, $far) = pair();
                $body
            }
            {
                let ($near, $far) = UnixDatagram::pair().unwrap();
                $body
            }
        }
    )*};
}

for_both! {
    /// NT-09. A local close ends a blocked receive with an error within 1 s.
    fn a_close_ends_a_blocked_receive(near, _far) {
        gort::scope(|s| {
            let receiver = s.spawn(|| near.recv(&mut [0; 8]));
            wait_parked(receiver.goroutine().id(), "IO wait, read");
            let start = Instant::now();
            near.close().unwrap();
            assert_error(receiver.join().unwrap(), ErrorKind::NotConnected);
            assert!(start.elapsed() < scaled(Duration::from_secs(1)));
        });
    }

    /// NT-12. Deadline in 50 ms: receives succeed while there are datagrams, then give `TimedOut`, not early; with a past one they always do; the same
    /// for sends.
    fn deadlines_hold_before_during_and_after_datagrams(near, far) {
        for n in 0..3 {
            far.send(&[n]).unwrap();
        }
        let mut buf = [0; 8];
        for n in 0..3 {
            assert_eq!((near.recv(&mut buf).unwrap(), buf[0]), (1, n));
        }
        let deadline = Instant::now() + ms(50);
        near.set_read_deadline(Some(deadline)).unwrap();
        assert_error(near.recv(&mut buf), ErrorKind::TimedOut);
        assert!(Instant::now() >= deadline);
        far.send(b"late").unwrap();
        for _ in 0..3 {
            assert_error(near.recv(&mut buf), ErrorKind::TimedOut);
            assert_error(near.recv_from(&mut buf), ErrorKind::TimedOut);
            assert_error(near.peek(&mut buf), ErrorKind::TimedOut);
        }
        near.set_write_deadline(Some(past())).unwrap();
        for _ in 0..3 {
            assert_error(near.send(b"never"), ErrorKind::TimedOut);
        }
        near.set_deadline(None).unwrap();
        assert_eq!(near.recv(&mut buf).unwrap(), 4);
        round_trip_datagrams!(near, far);
    }

    /// NT-03, NT-05. A deadline in the past that is set while somebody waits ends that wait, and leaves the other side alone.
    fn setting_a_past_deadline_ends_a_receive_that_waits(near, far) {
        gort::scope(|s| {
            let receiver = s.spawn(|| near.recv(&mut [0; 8]));
            wait_parked(receiver.goroutine().id(), "IO wait, read");
            near.set_read_deadline(Some(past())).unwrap();
            assert_error(receiver.join().unwrap(), ErrorKind::TimedOut);
        });
        near.send(b"still here").unwrap();
        assert_eq!(far.recv(&mut [0; 16]).unwrap(), 10);
    }

    /// NT-19. A datagram of length 0 is received as `Ok(0)`, and is not taken for an end.
    fn an_empty_datagram_is_one_like_any_other(near, far) {
        gort::scope(|s| {
            let receiver = s.spawn(|| near.recv(&mut [0; 8]));
            wait_parked(receiver.goroutine().id(), "IO wait, read");
            far.send(&[]).unwrap();
            assert_eq!(receiver.join().unwrap().unwrap(), 0);
        });
        far.send(&[]).unwrap();
        far.send(b"x").unwrap();
        assert_eq!(near.recv_from(&mut [0; 8]).unwrap().0, 0);
        assert_eq!(near.recv(&mut [0; 8]).unwrap(), 1);
    }

    /// What is longer than the buffer is cut, and the next datagram is whole; a peek takes nothing.
    fn a_datagram_is_cut_at_the_end_of_the_buffer(near, far) {
        far.send(b"longer").unwrap();
        far.send(b"next").unwrap();
        let mut buf = [0; 4];
        for _ in 0..2 {
            assert_eq!(near.peek(&mut buf).unwrap(), 4);
        }
        assert_eq!(near.recv(&mut buf).unwrap(), 4);
        assert_eq!(&buf, b"long");
        assert_eq!(near.recv(&mut buf).unwrap(), 4);
        assert_eq!(&buf, b"next");
    }

    /// NT-15. After a close every operation gives a "closed" error.
    fn every_operation_on_a_closed_socket_says_that_it_is_closed(near, _far) {
        near.close().unwrap();
        let mut results: Vec<(&str, io::Result<()>)> = vec![
            ("recv", near.recv(&mut [0; 8]).map(drop)),
            ("recv_from", near.recv_from(&mut [0; 8]).map(drop)),
            ("peek", near.peek(&mut [0; 8]).map(drop)),
            ("send", near.send(b"x").map(drop)),
            ("close", near.close()),
            ("try_clone", near.try_clone().map(drop)),
            ("local_addr", near.local_addr().map(drop)),
            ("peer_addr", near.peer_addr().map(drop)),
            ("take_error", near.take_error().map(drop)),
            ("set_read_timeout", near.set_read_timeout(Some(ms(1)))),
            ("set_deadline", near.set_deadline(Some(past()))),
            ("set_nonblocking", near.set_nonblocking(true)),
            ("set_recv_buffer_size", near.set_recv_buffer_size(4096)),
        ];
        assert_eq!(near.as_raw_fd(), -1);
        results.push(("into_std", near.into_std().map(drop)));
        for (operation, result) in results {
            match result {
                Err(error) if error.kind() == ErrorKind::NotConnected && error.to_string().contains("closed") => {}
                other => panic!("{operation}: {other:?}"),
            }
        }
    }

    /// NT-22. Two goroutines receive on two clones of one socket; both make progress; closing one leaves the other usable.
    fn two_clones_receive_and_both_get_on(near, far) {
        let clone = far.try_clone().unwrap();
        gort::scope(|s| {
            let receivers = [s.spawn(|| far.recv(&mut [0; 8])), s.spawn(|| clone.recv(&mut [0; 8]))];
            for receiver in &receivers {
                wait_parked(receiver.goroutine().id(), "IO wait, read");
            }
            near.send(b"a").unwrap();
            near.send(b"b").unwrap();
            for receiver in receivers {
                assert_eq!(receiver.join().unwrap().unwrap(), 1);
            }
        });
        clone.close().unwrap();
        round_trip_datagrams!(near, far);
    }

    /// NT-23, NT-26. Non-blocking calls never park; timeouts go to std and come back; so does the raw fd, and works with deadlines.
    fn modes_timeouts_and_descriptors_are_as_in_std(near, far) {
        near.set_nonblocking(true).unwrap();
        assert_error(near.recv(&mut [0; 8]), ErrorKind::WouldBlock);
        near.set_nonblocking(false).unwrap();
        near.set_read_timeout(Some(ms(20))).unwrap();
        let start = Instant::now();
        assert_error(near.recv(&mut [0; 8]), ErrorKind::TimedOut);
        assert!(start.elapsed() >= ms(20));
        assert_error(near.set_write_timeout(Some(Duration::ZERO)), ErrorKind::InvalidInput);
        let theirs = near.into_std().unwrap();
        assert_eq!(theirs.read_timeout().unwrap(), Some(ms(20)));
        let start = Instant::now();
        assert!(theirs.recv(&mut [0; 8]).is_err());
        assert!(start.elapsed() >= ms(20), "it does not block");
        let near = reopen(theirs.into(), &far);
        near.set_read_deadline(Some(Instant::now() + ms(20))).unwrap();
        assert_error(near.recv(&mut [0; 8]), ErrorKind::TimedOut);
        near.set_read_deadline(None).unwrap();
        round_trip_datagrams!(near, far);
    }

    /// The end of the ambient context ends a receive.
    fn a_context_ends_a_receive(near, _far) {
        let (ctx, cancel) = gort::context::background().with_cancel();
        gort::scope(|s| {
            let receiver = s.spawn(|| ctx.run(|| near.recv(&mut [0; 8])));
            wait_parked(receiver.goroutine().id(), "IO wait, read");
            cancel.cancel();
            assert_error(receiver.join().unwrap(), ErrorKind::Other);
        });
    }
}

/// Takes a descriptor in, as a socket of the same type as the second.
fn reopen<T: FromRawFd + IntoRawFd>(fd: OwnedFd, _like: &T) -> T {
    // SAFETY: the fd was just given to us.
    unsafe { T::from_raw_fd(T::from_raw_fd(fd.into_raw_fd()).into_raw_fd()) }
}

/// NT-19. An empty datagram comes with its sender's address.
#[gort::test(procs = [1, 2, 4])]
fn an_empty_datagram_has_a_sender() {
    let (near, far) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    far.send_to(&[], near.local_addr().unwrap()).unwrap();
    assert_eq!(near.recv_from(&mut [0; 8]).unwrap(), (0, far.local_addr().unwrap()));
    far.send_to(b"x", near.local_addr().unwrap()).unwrap();
    assert_eq!(near.peek_from(&mut [0; 8]).unwrap(), (1, far.local_addr().unwrap()));
    assert_eq!(near.recv_from(&mut [0; 8]).unwrap(), (1, far.local_addr().unwrap()));
}

/// Nobody receives there: a later call says so, and the socket goes on.
#[gort::test(procs = [1, 2, 4])]
fn a_refused_datagram_is_reported_by_a_later_call() {
    let (near, far) = pair();
    let addr = far.local_addr().unwrap();
    drop(far);
    near.send(b"anybody?").unwrap();
    assert_error(near.recv(&mut [0; 8]), ErrorKind::ConnectionRefused);
    let far = UdpSocket::bind(addr).unwrap();
    far.connect(near.local_addr().unwrap()).unwrap();
    round_trip_datagrams!(near, far);
}

/// NT-23. Addresses: none, several, one that is taken, one that is not connected; errors name them.
#[gort::test(procs = [1, 2, 4])]
fn addresses_are_tried_in_turn_and_named() {
    let first = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = first.local_addr().unwrap();
    let error = UdpSocket::bind(addr).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&addr.to_string()), "{error}");
    let addrs: [SocketAddr; 2] = [addr, "127.0.0.1:0".parse().unwrap()];
    assert_ne!(UdpSocket::bind(&addrs[..]).unwrap().local_addr().unwrap(), addr);
    let none: &[SocketAddr] = &[];
    assert_error(first.send_to(b"x", none), ErrorKind::InvalidInput);
    assert_error(first.connect(none), ErrorKind::InvalidInput);
    assert_error(first.peer_addr(), ErrorKind::NotConnected);
    assert!(first.send(b"x").is_err());
    let named = ("localhost", addr.port());
    assert!(UdpSocket::bind(("127.0.0.1", 0)).unwrap().connect(named).is_ok());
}

#[gort::test(procs = [1, 2, 4])]
fn options_can_be_set_and_asked() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for on in [true, false] {
        socket.set_broadcast(on).unwrap();
        assert_eq!(socket.broadcast().unwrap(), on);
        socket.set_multicast_loop_v4(on).unwrap();
        assert_eq!(socket.multicast_loop_v4().unwrap(), on);
    }
    socket.set_multicast_ttl_v4(7).unwrap();
    assert_eq!(socket.multicast_ttl_v4().unwrap(), 7);
    socket.set_ttl(42).unwrap();
    assert_eq!(socket.ttl().unwrap(), 42);
    assert!(socket.take_error().unwrap().is_none());
    // No address of a group: the system says so, whatever networks there are.
    let no_group = Ipv4Addr::new(127, 0, 0, 1);
    assert_error(socket.join_multicast_v4(&no_group, &Ipv4Addr::UNSPECIFIED), ErrorKind::InvalidInput);
    assert!(socket.leave_multicast_v4(&Ipv4Addr::new(224, 0, 0, 251), &Ipv4Addr::UNSPECIFIED).is_err());
    let fd = socket.as_raw_fd();
    let expected = format!("UdpSocket {{ addr: {}, fd: {fd} }}", socket.local_addr().unwrap());
    assert_eq!(format!("{socket:?}"), expected);
    assert_eq!(format!("{:?}", socket.into_std().unwrap()), expected);
}

/// A group on the loopback interface, if it is allowed to have one.
#[gort::test(procs = [1, 2, 4])]
fn members_of_a_group_receive_what_is_sent_to_it() {
    let group = Ipv4Addr::new(239, 255, 77, 1);
    let member = UdpSocket::bind("0.0.0.0:0").unwrap();
    if let Err(error) = member.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST) {
        eprintln!("skipped, no groups here: {error}");
        return;
    }
    let port = member.local_addr().unwrap().port();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    if let Err(error) = sender.send_to(b"all", (group, port)) {
        eprintln!("skipped, no way to groups here: {error}");
        return;
    }
    member.set_read_timeout(Some(scaled(Duration::from_secs(2)))).unwrap();
    match member.recv(&mut [0; 8]) {
        Ok(length) => assert_eq!(length, 3),
        Err(error) => eprintln!("skipped, nothing comes back here: {error}"),
    }
    member.leave_multicast_v4(&group, &Ipv4Addr::LOCALHOST).unwrap();
}

/// Batches: all arrive in order with their senders, those that are too long are cut and say so, room is kept, and what was received can be sent back.
#[gort::test(procs = [1, 2, 4])]
fn batches_arrive_in_order_and_go_back() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let clients = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
    let to = server.local_addr().unwrap();
    let mut out = Batch::new(8, 16);
    for (at, client) in clients.iter().enumerate() {
        for n in 0..4 {
            out.push(&[at as u8, n], to).unwrap();
        }
        out.push(&[9; 12], to).unwrap();
        out.push(&[], to).unwrap();
        client.send_batch(&mut out).unwrap();
        assert!(out.is_empty());
    }
    let mut batch = Batch::new(5, 8);
    let mut seen = Vec::new();
    while seen.len() < 12 {
        let count = server.recv_batch(&mut batch).unwrap();
        assert!(count >= 1 && count == batch.len() && count <= batch.capacity());
        for datagram in &batch {
            let addr = datagram.addr.unwrap();
            let at = clients.iter().position(|client| client.local_addr().unwrap() == addr).unwrap();
            seen.push((at, datagram.bytes.to_vec(), datagram.is_truncated));
        }
        server.send_batch(&mut batch).unwrap();
    }
    let expected: Vec<_> = (0..2)
        .flat_map(|at| {
            let short = (0..4).map(move |n| (at, vec![at as u8, n], false));
            short.chain([(at, vec![9; 8], true), (at, vec![], false)])
        })
        .collect();
    assert_eq!(seen, expected);
    for client in &clients {
        for length in [2, 2, 2, 2, 8, 0] {
            assert_eq!(client.recv(&mut [0; 16]).unwrap(), length);
        }
    }
    batch.clear();
    assert_eq!(batch.iter().len(), 0);
}

/// A receive of a batch waits as one of a datagram does, and an error says which datagram of a batch it is about.
#[gort::test(procs = [1, 2, 4])]
fn batches_wait_time_out_and_say_where_they_failed() {
    let (near, far) = pair();
    let mut batch = Batch::new(4, 8);
    near.set_read_timeout(Some(ms(5))).unwrap();
    batch.push(b"old", None).unwrap();
    assert_error(near.recv_batch(&mut batch), ErrorKind::TimedOut);
    assert!(batch.is_empty());
    near.set_read_timeout(None).unwrap();
    gort::scope(|s| {
        let receiver = s.spawn(|| near.recv_batch(&mut batch));
        wait_parked(receiver.goroutine().id(), "IO wait, read");
        far.send(b"x").unwrap();
        assert_eq!(receiver.join().unwrap().unwrap(), 1);
    });
    batch.clear();
    batch.push(b"fine", None).unwrap();
    batch.push(b"bad", "[::1]:9".parse::<SocketAddr>().unwrap()).unwrap();
    batch.push(b"behind", None).unwrap();
    near.send_batch(&mut batch).unwrap_err();
    let left: Vec<_> = batch.iter().map(|datagram| datagram.bytes.to_vec()).collect();
    assert_eq!(left, [&b"bad"[..], b"behind"]);
    assert_eq!(far.recv(&mut [0; 8]).unwrap(), 4);
    assert_error(batch.push(&[0; 9], None), ErrorKind::InvalidInput);
    batch.push(b"4th", None).unwrap();
    assert_error(batch.push(b"5th", None), ErrorKind::InvalidInput);
}

/// Many goroutines send and receive on one socket: nothing is torn, nothing is lost, everybody ends.
#[gort::test(procs = [1, 2, 4])]
fn many_share_a_socket() {
    const EACH: usize = 100;
    let (near, far) = UnixDatagram::pair().unwrap();
    let received = gort::scope(|s| {
        let receivers: Vec<_> = (0..4)
            .map(|_| {
                s.spawn(|| {
                    let (mut count, mut buf) = (0, [0; 64]);
                    while far.recv(&mut buf).unwrap() == 32 {
                        assert!(buf[..32].iter().all(|&byte| byte == buf[0]));
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        gort::scope(|s| {
            for mark in 0..8_u8 {
                let near = &near;
                s.spawn(move || {
                    for _ in 0..EACH {
                        assert_eq!(near.send(&[mark; 32]).unwrap(), 32);
                    }
                });
            }
        });
        for _ in &receivers {
            near.send(b"end").unwrap();
        }
        receivers.into_iter().map(|receiver| receiver.join().unwrap()).sum::<usize>()
    });
    assert_eq!(received, 8 * EACH);
}

#[gort::test(procs = [1, 2, 4])]
fn the_types_have_the_traits_of_std() {
    fn check<T: Send + Sync + Unpin + UnwindSafe + RefUnwindSafe + std::fmt::Debug + 'static>() {}
    check::<UdpSocket>();
    check::<UnixDatagram>();
    check::<Batch>();
}

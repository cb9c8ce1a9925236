//! What std promises holds here too; and the ways between the two.

use super::support::{assert_error, listener, ms, pair, past, round_trip, wait_parked, wait_until};
use gort::net::{KeepAlive, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::{Duration, Instant};

/// NT-23. A second bind to a port gives `AddrInUse`; the error names the address.
#[gort::test(procs = [1, 2, 4])]
fn a_second_bind_is_refused_and_the_error_names_the_address() {
    let first = listener();
    let addr = first.local_addr().unwrap();
    let error = TcpListener::bind(addr).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&addr.to_string()), "{error}");
    // The first address cannot be had, the second can.
    let addrs: [SocketAddr; 2] = [addr, "127.0.0.1:0".parse().unwrap()];
    assert_ne!(TcpListener::bind(&addrs[..]).unwrap().local_addr().unwrap(), addr);
}

/// NT-23. Connecting to where nobody listens gives `ConnectionRefused`; the error names the address, and its source has the number.
#[gort::test(procs = [1, 2, 4])]
fn a_refused_connect_says_so_and_names_the_address() {
    let addr = listener().local_addr().unwrap();
    let error = TcpStream::connect(addr).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert!(error.to_string().contains(&addr.to_string()), "{error}");
    let source = error.get_ref().unwrap().source().unwrap();
    assert_eq!(source.downcast_ref::<io::Error>().unwrap().raw_os_error(), Some(libc::ECONNREFUSED));
}

#[gort::test(procs = [1, 2, 4])]
fn several_addresses_are_tried_in_turn_and_all_are_named() {
    let refused: Vec<_> = (0..2).map(|_| listener()).map(|listener| listener.local_addr().unwrap()).collect();
    let live = listener();
    let addrs = [refused[0], refused[1], live.local_addr().unwrap()];
    assert_eq!(TcpStream::connect(&addrs[..]).unwrap().peer_addr().unwrap(), addrs[2]);
    let deadline = Instant::now() + Duration::from_secs(100);
    assert_eq!(TcpStream::connect_deadline(&addrs[..], deadline).unwrap().peer_addr().unwrap(), addrs[2]);
    let error = TcpStream::connect(&addrs[..2]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert!(addrs[..2].iter().all(|addr| error.to_string().contains(&addr.to_string())), "{error}");
    let none: &[SocketAddr] = &[];
    assert_error(TcpStream::connect(none), ErrorKind::InvalidInput);
    assert_error(TcpListener::bind(none), ErrorKind::InvalidInput);
}

#[gort::test(procs = [1, 2, 4])]
fn names_resolve() {
    let live = listener();
    let name = ("localhost", live.local_addr().unwrap().port());
    assert!(name.to_socket_addrs().unwrap().count() > 0);
    let stream = TcpStream::connect(name).unwrap();
    assert_eq!(stream.peer_addr().unwrap(), live.local_addr().unwrap());
    assert!(TcpStream::connect("no port here").is_err());
}

/// NT-23. Peek does not consume: not what a read would get, nor the event that a reader waits for.
#[gort::test(procs = [1, 2, 4])]
fn peek_does_not_consume() {
    let (near, mut far) = pair();
    gort::scope(|s| {
        let peeker = s.spawn(|| {
            let mut buf = [0; 8];
            let n = near.peek(&mut buf).unwrap();
            buf[..n].to_vec()
        });
        wait_parked(peeker.goroutine().id(), "IO wait, read");
        far.write_all(b"abc").unwrap();
        assert_eq!(peeker.join().unwrap(), b"abc");
    });
    let mut buf = [0; 3];
    for _ in 0..2 {
        assert_eq!(near.peek(&mut buf).unwrap(), 3);
        assert_eq!(near.peek(&mut buf[..1]).unwrap(), 1);
    }
    (&near).read_exact(&mut buf).unwrap();
    assert_eq!(&buf, b"abc");
    near.set_nonblocking(true).unwrap();
    assert_error(near.peek(&mut buf), ErrorKind::WouldBlock);
}

/// NT-23. `set_nonblocking(true)` gives `WouldBlock` and never parks.
#[gort::test(procs = [1, 2, 4])]
fn nonblocking_calls_never_park() {
    let (mut near, mut far) = pair();
    near.set_nonblocking(true).unwrap();
    for _ in 0..2 {
        assert_error(near.read(&mut [0; 8]), ErrorKind::WouldBlock);
    }
    while near.write(&[0; 65536]).is_ok() {}
    assert_error(near.write(&[0; 65536]), ErrorKind::WouldBlock);
    far.write_all(b"x").unwrap();
    // At once, though a short read has said before that nothing was left, and nobody has polled since.
    for _ in 0..3 {
        assert_eq!(near.read(&mut [0; 8]).unwrap(), 1);
        far.write_all(b"x").unwrap();
    }
    assert_eq!(near.read(&mut [0; 8]).unwrap(), 1);
    near.set_nonblocking(false).unwrap();
    near.set_read_timeout(Some(ms(5))).unwrap();
    assert_error(near.read(&mut [0; 8]), ErrorKind::TimedOut);

    let listener = listener();
    listener.set_nonblocking(true).unwrap();
    assert_error(listener.accept(), ErrorKind::WouldBlock);
    let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (stream, _) = listener.accept().unwrap();
    // An accepted connection does not inherit the mode.
    stream.set_read_timeout(Some(ms(5))).unwrap();
    assert_error((&stream).read(&mut [0; 8]), ErrorKind::TimedOut);
}

/// Reading into an empty buffer gives `Ok(0)` at once and consumes nothing.
#[gort::test(procs = [1, 2, 4])]
fn reading_into_an_empty_buffer_returns_at_once_and_consumes_nothing() {
    let (mut near, mut far) = pair();
    assert_eq!(near.read(&mut []).unwrap(), 0);
    assert_eq!(near.peek(&mut []).unwrap(), 0);
    assert_eq!(near.read_vectored(&mut []).unwrap(), 0);
    assert_eq!(near.write(&[]).unwrap(), 0);
    far.write_all(b"whole").unwrap();
    wait_until(|| near.peek(&mut [0; 8]).unwrap() == 5);
    assert_eq!(near.read(&mut []).unwrap(), 0);
    let mut buf = [0; 5];
    near.read_exact(&mut buf).unwrap();
    assert_eq!(&buf, b"whole");
}

/// NT-26. Taking the raw fd out and back in: the connection works again, with deadlines.
#[gort::test(procs = [1, 2, 4])]
fn a_raw_fd_taken_out_and_back_in_works_with_deadlines() {
    let (near, far) = pair();
    near.set_read_deadline(Some(past())).unwrap();
    let raw = near.into_raw_fd();
    // SAFETY: the fd was just given to us.
    let near = unsafe { TcpStream::from_raw_fd(raw) };
    round_trip(&near, &far);
    let deadline = Instant::now() + ms(20);
    near.set_read_deadline(Some(deadline)).unwrap();
    assert_error((&near).read(&mut [0; 8]), ErrorKind::TimedOut);
    assert!(Instant::now() >= deadline);
    near.set_deadline(None).unwrap();
    round_trip(&far, &near);

    let listener = listener();
    let addr = listener.local_addr().unwrap();
    // SAFETY: as above.
    let listener = unsafe { TcpListener::from_raw_fd(listener.into_raw_fd()) };
    listener.set_deadline(Some(Instant::now() + ms(20))).unwrap();
    assert_error(listener.accept(), ErrorKind::TimedOut);
    listener.set_deadline(None).unwrap();
    let client = TcpStream::connect(addr).unwrap();
    round_trip(&client, &listener.accept().unwrap().0);
}

/// NT-26. What has been taken out is std's own again: it blocks, and keeps its timeouts.
#[gort::test(procs = [1, 2, 4])]
fn values_go_to_std_and_come_back() {
    let (near, mut far) = pair();
    near.set_read_timeout(Some(ms(20))).unwrap();
    let mut near = near.into_std().unwrap();
    assert_eq!(near.read_timeout().unwrap(), Some(ms(20)));
    let start = Instant::now();
    assert!(near.read(&mut [0; 8]).is_err());
    assert!(start.elapsed() >= ms(20), "it does not block");
    far.write_all(b"std").unwrap();
    near.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut buf = [0; 3];
    near.read_exact(&mut buf).unwrap();
    assert_eq!(&buf, b"std");

    near.set_nonblocking(true).unwrap();
    near.set_write_timeout(Some(ms(40))).unwrap();
    let near = TcpStream::from_std(near).unwrap();
    assert_eq!(near.read_timeout().unwrap(), Some(Duration::from_secs(10)));
    assert_eq!(near.write_timeout().unwrap(), Some(ms(40)));
    round_trip(&near, &far);
    near.set_nonblocking(true).unwrap();
    let mut near = std::net::TcpStream::from(near);
    assert_error(near.read(&mut buf), ErrorKind::WouldBlock);

    let listener = std::net::TcpListener::from(listener());
    let listener = TcpListener::from(listener);
    let fd = OwnedFd::from(listener);
    let listener = TcpListener::from(fd);
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    round_trip(&client, &listener.accept().unwrap().0);
}

/// A clone that went to std has switched the shared socket to blocking mode: here reads and writes go on parking.
#[gort::test(procs = [1, 2, 4])]
fn a_clone_handed_to_std_does_not_make_the_other_block_its_thread() {
    let (near, far) = pair();
    let _blocking = near.try_clone().unwrap().into_std().unwrap();
    near.set_read_deadline(Some(Instant::now() + ms(20))).unwrap();
    assert_error((&near).read(&mut [0; 8]), ErrorKind::TimedOut);
    near.set_read_deadline(None).unwrap();
    gort::scope(|s| {
        let reader = s.spawn(|| (&near).read(&mut [0; 8]));
        wait_parked(reader.goroutine().id(), "IO wait, read");
        near.close().unwrap();
        assert_error(reader.join().unwrap(), ErrorKind::NotConnected);
    });
    drop(far);
}

/// A descriptor that the poller refuses makes a value whose operations say why; the checked way says it at once. The descriptor comes back out.
#[gort::test(procs = [1, 2, 4])]
fn a_descriptor_that_cannot_be_watched_is_reported_by_each_operation() {
    let file = || OwnedFd::from(std::fs::File::open("/proc/self/exe").unwrap());
    let mut stream = TcpStream::from(file());
    for result in [stream.read(&mut [0; 8]), stream.write(b"x"), stream.peek(&mut [0; 8])] {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert!(error.to_string().contains("epoll") && error.to_string().contains("gort::blocking"), "{error}");
    }
    assert_error(stream.set_deadline(None), ErrorKind::PermissionDenied);
    assert_error(stream.close(), ErrorKind::PermissionDenied);
    assert!(stream.as_raw_fd() >= 0 && stream.as_fd().as_raw_fd() >= 0);
    let mut text = [0; 4];
    std::fs::File::from(OwnedFd::from(stream)).read_exact(&mut text).unwrap();
    assert_eq!(&text, b"\x7fELF");
    assert_error(TcpListener::from(file()).accept(), ErrorKind::PermissionDenied);
    assert_error(TcpListener::from_std(std::net::TcpListener::from(file())), ErrorKind::PermissionDenied);
}

#[gort::test(procs = [1, 2, 4])]
fn a_clone_begins_with_the_settings_of_its_original_and_then_has_its_own() {
    let (near, far) = pair();
    near.set_read_timeout(Some(ms(10))).unwrap();
    near.set_write_deadline(Some(past())).unwrap();
    let clone = near.try_clone().unwrap();
    assert_eq!(clone.read_timeout().unwrap(), Some(ms(10)));
    assert_error((&clone).write(b"x"), ErrorKind::TimedOut);
    near.set_write_deadline(None).unwrap();
    clone.set_read_timeout(None).unwrap();
    assert_eq!(near.read_timeout().unwrap(), Some(ms(10)));
    assert_error((&clone).write(b"x"), ErrorKind::TimedOut);
    round_trip(&far, &near);
}

#[gort::test(procs = [1, 2, 4])]
fn options_can_be_set_and_asked() {
    let listener = TcpListener::builder()
        .backlog(3)
        .reuse_port(true)
        .reuse_address(true)
        .only_v6(true)
        .recv_buffer_size(20_000)
        .send_buffer_size(30_000)
        .bind("127.0.0.1:0")
        .unwrap();
    let addr = listener.local_addr().unwrap();
    let _second = TcpListener::builder().reuse_port(true).bind(addr).unwrap();
    drop(_second);
    let stream = TcpStream::connect(addr).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    assert!(accepted.recv_buffer_size().unwrap() >= 20_000);
    assert!(accepted.send_buffer_size().unwrap() >= 30_000);
    assert!(listener.take_error().unwrap().is_none() && stream.take_error().unwrap().is_none());

    assert!(!stream.nodelay().unwrap());
    stream.set_nodelay(true).unwrap();
    assert!(stream.nodelay().unwrap());
    stream.set_ttl(42).unwrap();
    assert_eq!(stream.ttl().unwrap(), 42);
    stream.set_quickack(false).unwrap();
    stream.quickack().unwrap();

    assert_eq!(stream.keepalive().unwrap(), None);
    let how =
        KeepAlive { idle: Some(Duration::from_millis(14_200)), interval: Some(Duration::from_secs(3)), count: Some(5) };
    stream.set_keepalive(Some(how)).unwrap();
    let rounded = KeepAlive { idle: Some(Duration::from_secs(15)), ..how };
    assert_eq!(stream.keepalive().unwrap(), Some(rounded));
    assert_error(stream.set_keepalive(Some(KeepAlive { count: Some(0), ..how })), ErrorKind::InvalidInput);
    stream.set_keepalive(None).unwrap();
    assert_eq!(stream.keepalive().unwrap(), None);
}

#[gort::test(procs = [1, 2, 4])]
fn values_look_like_those_of_std() {
    let (near, _far) = pair();
    let fd = near.as_raw_fd();
    let (addr, peer) = (near.local_addr().unwrap(), near.peer_addr().unwrap());
    let expected = format!("TcpStream {{ addr: {addr}, peer: {peer}, fd: {fd} }}");
    assert_eq!(format!("{near:?}"), expected);
    assert_eq!(format!("{:?}", near.into_std().unwrap()), expected);

    let listener = listener();
    let (addr, fd) = (listener.local_addr().unwrap(), listener.as_raw_fd());
    let expected = format!("TcpListener {{ addr: {addr}, fd: {fd} }}");
    assert_eq!(format!("{listener:?}"), expected);
    assert_eq!(format!("{:?}", std::net::TcpListener::from(listener)), expected);
}

/// What std's types may be used for, these may too.
#[gort::test(procs = [1, 2, 4])]
fn the_types_have_the_traits_of_std() {
    fn check<T: Send + Sync + Unpin + UnwindSafe + RefUnwindSafe + std::fmt::Debug + 'static>() {}
    fn convert<T: AsFd + AsRawFd + FromRawFd + IntoRawFd + From<OwnedFd> + Into<OwnedFd>>() {}
    fn io<T: Read + Write>() {}
    check::<TcpStream>();
    check::<TcpListener>();
    convert::<TcpStream>();
    convert::<TcpListener>();
    io::<TcpStream>();
    io::<&TcpStream>();
    fn iterate<T: std::iter::FusedIterator>(_: T) {}
    iterate(listener().incoming());
}

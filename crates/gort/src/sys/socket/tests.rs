use super::*;
use crate::sys::clock::now_ns;
use std::{
    io::{IoSlice, IoSliceMut},
    os::fd::AsRawFd,
    time::Duration,
};

/// A listening socket at a port of the kernel's choice.
fn listener(at: &str) -> (OwnedFd, SocketAddr) {
    let addr = at.parse().unwrap();
    let fd = tcp_socket(&addr).unwrap();
    bind(fd.as_raw_fd(), &SockAddr::from(addr)).unwrap();
    listen(fd.as_raw_fd(), 16).unwrap();
    let addr = local(&fd).unwrap();
    (fd, addr)
}

fn local(fd: &OwnedFd) -> Result<SocketAddr, Errno> {
    local_addr::<SockAddr>(fd.as_raw_fd())?.to_std()
}

fn peer_of(fd: &OwnedFd) -> Result<SocketAddr, Errno> {
    peer_addr::<SockAddr>(fd.as_raw_fd())?.to_std()
}

fn wait(fd: &OwnedFd, events: i16) -> i16 {
    let happened = poll(fd.as_raw_fd(), events, Some(now_ns() + 10_000_000_000)).unwrap();
    assert_ne!(happened, 0, "nothing happened in ten seconds");
    happened
}

/// Both ends of a connection, non-blocking.
fn pair(at: &str) -> (OwnedFd, OwnedFd) {
    let (listener, addr) = listener(at);
    let near = tcp_socket(&addr).unwrap();
    match connect(near.as_raw_fd(), &SockAddr::from(addr)) {
        Ok(()) => {}
        Err(Errno::INPROGRESS) => {
            wait(&near, libc::POLLOUT);
        }
        Err(other) => panic!("{other}"),
    }
    assert_eq!(take_error(near.as_raw_fd()), Ok(None));
    wait(&listener, libc::POLLIN);
    let (far, peer) = accept::<SockAddr>(listener.as_raw_fd()).unwrap();
    assert_eq!(peer.to_std(), local(&near));
    assert_eq!(peer_of(&near), Ok(addr));
    (near, far)
}

fn has_ipv6() -> bool {
    std::net::TcpListener::bind("[::1]:0").is_ok()
}

#[test]
fn bytes_go_both_ways_over_ipv4_and_ipv6() {
    let mut places = vec!["127.0.0.1:0"];
    if has_ipv6() {
        places.push("[::1]:0");
    }
    for at in places {
        let (near, far) = pair(at);
        for (from, to) in [(&near, &far), (&far, &near)] {
            assert_eq!(send(from.as_raw_fd(), b"hello"), Ok(5));
            wait(to, libc::POLLIN);
            let mut buffer = [0; 8];
            assert_eq!(recv(to.as_raw_fd(), &mut buffer, libc::MSG_PEEK), Ok(5));
            assert_eq!(recv(to.as_raw_fd(), &mut buffer, 0), Ok(5));
            assert_eq!(&buffer[..5], b"hello");
            assert_eq!(recv(to.as_raw_fd(), &mut buffer, 0), Err(Errno::AGAIN));
        }
    }
}

#[test]
fn vectored_transfers_fill_and_drain_in_order_and_take_any_number_of_pieces() {
    let (near, far) = pair("127.0.0.1:0");
    assert_eq!(send_vectored(near.as_raw_fd(), &[IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cde")]), Ok(5));
    wait(&far, libc::POLLIN);
    let (mut first, mut second) = ([0; 3], [0; 8]);
    assert_eq!(recv_vectored(far.as_raw_fd(), &mut [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)]), Ok(5));
    assert_eq!((&first, &second[..2]), (b"abc", &b"de"[..]));
    let many = vec![IoSlice::new(b"x"); 3000];
    assert_eq!(send_vectored(near.as_raw_fd(), &many), Ok(1024));
}

#[test]
fn writing_to_a_closed_peer_is_an_error_and_no_signal() {
    let (near, far) = pair("127.0.0.1:0");
    shutdown(near.as_raw_fd(), std::net::Shutdown::Write).unwrap();
    assert_eq!(send(near.as_raw_fd(), b"x"), Err(Errno::PIPE));
    assert_eq!(send_vectored(near.as_raw_fd(), &[IoSlice::new(b"x")]), Err(Errno::PIPE));
    wait(&far, libc::POLLIN);
    assert_eq!(recv(far.as_raw_fd(), &mut [0; 4], 0), Ok(0), "the end of the stream");
}

#[test]
fn a_refused_connection_is_left_as_the_sockets_error() {
    let (closed, addr) = listener("127.0.0.1:0");
    close(closed).unwrap();
    let fd = tcp_socket(&addr).unwrap();
    let outcome = match connect(fd.as_raw_fd(), &SockAddr::from(addr)) {
        Err(Errno::INPROGRESS) => {
            wait(&fd, libc::POLLOUT);
            take_error(fd.as_raw_fd()).unwrap()
        }
        other => other.err(),
    };
    assert_eq!(outcome, Some(Errno::CONNREFUSED));
    assert_eq!(peer_of(&fd), Err(Errno::NOTCONN));
}

#[test]
fn a_reset_is_left_as_the_sockets_error_once() {
    let (near, far) = pair("127.0.0.1:0");
    set_linger(far.as_raw_fd(), Some(Duration::ZERO)).unwrap();
    close(far).unwrap();
    assert_ne!(wait(&near, libc::POLLIN) & libc::POLLERR, 0);
    assert_eq!(take_error(near.as_raw_fd()), Ok(Some(Errno::CONNRESET)));
    assert_eq!(take_error(near.as_raw_fd()), Ok(None));
}

#[test]
fn new_sockets_do_not_block_and_are_closed_on_exec() {
    let (near, far) = pair("127.0.0.1:0");
    let copy = dup_cloexec(near.as_raw_fd()).unwrap();
    for fd in [&near, &far, &copy] {
        assert_eq!(is_nonblocking(fd.as_raw_fd()), Ok(true));
        // SAFETY: no memory is involved.
        assert_eq!(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFD) }, libc::FD_CLOEXEC);
    }
    set_nonblocking(near.as_raw_fd(), false).unwrap();
    assert_eq!(
        is_nonblocking(copy.as_raw_fd()),
        Ok(false),
        "the flag belongs to the open socket, not to the descriptor"
    );
}

#[test]
fn options_read_back_what_was_set() {
    let (near, _far) = pair("127.0.0.1:0");
    let fd = near.as_raw_fd();
    for on in [true, false] {
        set_nodelay(fd, on).unwrap();
        assert_eq!(nodelay(fd), Ok(on));
        set_quickack(fd, on).unwrap();
        assert_eq!(quickack(fd), Ok(on));
        set_reuse_addr(fd, on).unwrap();
        assert_eq!(reuse_addr(fd), Ok(on));
        set_reuse_port(fd, on).unwrap();
        assert_eq!(reuse_port(fd), Ok(on));
    }
    set_ttl(fd, 17).unwrap();
    assert_eq!(ttl(fd), Ok(17));
    assert_eq!(set_ttl(fd, u32::MAX), Err(Errno::INVAL));
    set_recv_buffer_bytes(fd, 8192).unwrap();
    assert!(recv_buffer_bytes(fd).unwrap() >= 8192);
    set_send_buffer_bytes(fd, 8192).unwrap();
    assert!(send_buffer_bytes(fd).unwrap() >= 8192);
    assert!(max_backlog().unwrap() > 0);
    if let Ok(v6) = socket(libc::AF_INET6, libc::SOCK_STREAM, 0) {
        for on in [true, false] {
            set_only_v6(v6.as_raw_fd(), on).unwrap();
            assert_eq!(only_v6(v6.as_raw_fd()), Ok(on));
        }
    }
}

#[test]
fn lingering_is_rounded_up_to_seconds() {
    let (near, _far) = pair("127.0.0.1:0");
    let fd = near.as_raw_fd();
    assert_eq!(linger(fd), Ok(None));
    for (set, expected) in [(0, 0), (1, 1), (1000, 1), (1001, 2)] {
        set_linger(fd, Some(Duration::from_millis(set))).unwrap();
        assert_eq!(linger(fd), Ok(Some(Duration::from_secs(expected))));
    }
    set_linger(fd, None).unwrap();
    assert_eq!(linger(fd), Ok(None));
}

#[test]
fn keep_alive_takes_its_parameters_and_goes_off_again() {
    let (near, _far) = pair("127.0.0.1:0");
    let fd = near.as_raw_fd();
    assert_eq!(keepalive(fd), Ok(None));
    let how = KeepAlive { idle: Some(Duration::from_millis(1500)), interval: Some(Duration::ZERO), count: Some(4) };
    set_keepalive(fd, Some(how)).unwrap();
    let expected =
        KeepAlive { idle: Some(Duration::from_secs(2)), interval: Some(Duration::from_secs(1)), count: Some(4) };
    assert_eq!(keepalive(fd), Ok(Some(expected)));
    set_keepalive(fd, None).unwrap();
    assert_eq!(keepalive(fd), Ok(None));
    let wrong = KeepAlive { count: Some(1000), ..KeepAlive::default() };
    assert_eq!(set_keepalive(fd, Some(wrong)), Err(Errno::INVAL));
    assert_eq!(keepalive(fd), Ok(None));
    let longest = KeepAlive { idle: Some(Duration::MAX), ..KeepAlive::default() };
    set_keepalive(fd, Some(longest)).unwrap();
    assert_eq!(keepalive(fd).unwrap().unwrap().idle, Some(Duration::from_secs(32_767)));
}

#[test]
fn only_tcp_proper_counts_as_plain_tcp() {
    let (near, _far) = pair("127.0.0.1:0");
    assert!(protocol_is_plain_tcp(near.as_raw_fd()));
    let others = [
        (libc::AF_INET, libc::SOCK_DGRAM, 0),
        (libc::AF_UNIX, libc::SOCK_STREAM, 0),
        (libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_MPTCP),
    ];
    for (domain, kind, protocol) in others {
        match socket(domain, kind, protocol) {
            Ok(fd) => assert!(!protocol_is_plain_tcp(fd.as_raw_fd()), "{domain} {kind} {protocol}"),
            // A kernel without MPTCP.
            Err(errno) => assert_eq!(protocol, libc::IPPROTO_MPTCP, "{errno}"),
        }
    }
    assert!(!protocol_is_plain_tcp(std::fs::File::open("/dev/null").unwrap().as_raw_fd()));
    assert!(!protocol_is_plain_tcp(-1));
}

#[test]
fn accepting_from_something_else_than_tcp_is_refused_by_name() {
    let path = std::env::temp_dir().join(format!("gort-accept-{}", std::process::id()));
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let _client = std::os::unix::net::UnixStream::connect(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(accept::<SockAddr>(listener.as_raw_fd()).unwrap().1.to_std(), Err(Errno::AFNOSUPPORT));
    assert_eq!(local_addr::<SockAddr>(listener.as_raw_fd()).unwrap().to_std(), Err(Errno::AFNOSUPPORT));
}

#[test]
fn poll_gives_up_at_its_deadline_and_not_earlier() {
    let (near, _far) = pair("127.0.0.1:0");
    let deadline = now_ns() + 3_000_000;
    assert_eq!(poll(near.as_raw_fd(), libc::POLLIN, Some(deadline)), Ok(0));
    assert!(now_ns() >= deadline);
    assert_eq!(poll(near.as_raw_fd(), libc::POLLIN, Some(1)), Ok(0));
    assert_eq!(poll(near.as_raw_fd(), libc::POLLOUT, None), Ok(libc::POLLOUT));
    assert_eq!(poll(i32::MAX, libc::POLLIN, None), Ok(libc::POLLNVAL));
}

#[test]
fn a_descriptor_that_is_not_open_is_an_error_everywhere() {
    let fd = i32::MAX;
    assert_eq!(recv(fd, &mut [0], 0), Err(Errno::BADF));
    assert_eq!(send(fd, b"x"), Err(Errno::BADF));
    assert_eq!(accept::<SockAddr>(fd).unwrap_err(), Errno::BADF);
    assert_eq!(local_addr::<SockAddr>(fd).unwrap_err(), Errno::BADF);
    assert_eq!(take_error(fd), Err(Errno::BADF));
    assert_eq!(dup_cloexec(fd).unwrap_err(), Errno::BADF);
    assert_eq!(is_nonblocking(fd), Err(Errno::BADF));
}

//! What Unix sockets have of their own: names, room at the other end, credentials, descriptors that go along.

use super::support::{assert_error, ms, past, wait_parked, wait_until};
use gort::net::{Shutdown, UnixDatagram, UnixListener, UnixStream};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

/// A path in the folder for such, removed at the end.
struct Path(PathBuf);

impl Path {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("gort-unix-{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn abstract_name() -> SocketAddr {
    let path = Path::new();
    SocketAddr::from_abstract_name(path.0.file_name().unwrap().as_encoded_bytes()).unwrap()
}

fn listener() -> (UnixListener, SocketAddr) {
    let addr = abstract_name();
    (UnixListener::bind_addr(&addr).unwrap(), addr)
}

fn round_trip(mut a: &UnixStream, mut b: &UnixStream) {
    let mut buf = [0; 4];
    a.write_all(b"ping").unwrap();
    b.read_exact(&mut buf).unwrap();
    b.write_all(b"pong").unwrap();
    a.read_exact(&mut buf).unwrap();
    assert_eq!(&buf, b"pong");
}

/// Names are said by both ends; errors name them.
#[gort::test(procs = [1, 2, 4])]
fn paths_and_abstract_names_are_those_of_std() {
    let path = Path::new();
    let error = UnixStream::connect(&path.0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains(path.0.to_str().unwrap()), "{error}");
    let listener = UnixListener::bind(&path.0).unwrap();
    assert_error(UnixListener::bind(&path.0), ErrorKind::AddrInUse);
    assert_eq!(listener.local_addr().unwrap().as_pathname(), Some(&*path.0));
    let near = UnixStream::connect(&path.0).unwrap();
    let (far, peer) = listener.accept().unwrap();
    assert!(peer.is_unnamed() && far.peer_addr().unwrap().is_unnamed() && near.local_addr().unwrap().is_unnamed());
    assert_eq!(near.peer_addr().unwrap().as_pathname(), Some(&*path.0));
    round_trip(&near, &far);
    let fd = near.as_raw_fd();
    let shown = format!("{near:?}");
    assert!(shown.starts_with(&format!("UnixStream {{ fd: {fd}, local: (unnamed), peer: ")), "{shown}");
    drop(listener);
    let error = UnixStream::connect(&path.0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    for bad in ["a\0b".to_owned(), "p".repeat(108)] {
        assert_error(UnixStream::connect(&bad), ErrorKind::InvalidInput);
        assert_error(UnixListener::bind(&bad), ErrorKind::InvalidInput);
        assert_error(UnixDatagram::bind(&bad), ErrorKind::InvalidInput);
    }

    let addr = abstract_name();
    let error = UnixStream::connect_addr(&addr).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert!(error.to_string().contains("@gort-unix-"), "{error}");
    let listener = UnixListener::bind_addr(&addr).unwrap();
    let near = UnixStream::connect_addr(&addr).unwrap();
    round_trip(&near, &listener.accept().unwrap().0);
    assert_eq!(near.peer_addr().unwrap().as_abstract_name(), addr.as_abstract_name());
}

/// NT-10, NT-15, NT-16. Accepting: deadlines in the past and to come, many who accept, a close that ends them all and the loop.
#[gort::test(procs = [1, 2, 4])]
fn accepting_ends_at_deadlines_and_closes() {
    let (listener, addr) = listener();
    let client = UnixStream::connect_addr(&addr).unwrap();
    listener.set_deadline(Some(past())).unwrap();
    assert_error(listener.accept(), ErrorKind::TimedOut);
    listener.set_deadline(None).unwrap();
    round_trip(&client, &listener.accept().unwrap().0);
    let deadline = Instant::now() + ms(10);
    listener.set_deadline(Some(deadline)).unwrap();
    assert_error(listener.accept(), ErrorKind::TimedOut);
    assert!(Instant::now() >= deadline);
    listener.set_deadline(None).unwrap();
    listener.set_nonblocking(true).unwrap();
    assert_error(listener.accept(), ErrorKind::WouldBlock);
    listener.set_nonblocking(false).unwrap();
    gort::scope(|s| {
        let accepting: Vec<_> = (0..10).map(|_| s.spawn(|| listener.incoming().map(Result::unwrap).count())).collect();
        for _ in 0..50 {
            // The accepted end is dropped at once.
            assert_eq!(UnixStream::connect_addr(&addr).unwrap().read(&mut [0]).unwrap(), 0);
        }
        listener.close().unwrap();
        assert_eq!(accepting.into_iter().map(|one| one.join().unwrap()).sum::<usize>(), 50);
    });
    assert_eq!((&listener).into_iter().count(), 0);
    assert_error(listener.accept(), ErrorKind::NotConnected);
    assert_error(listener.local_addr(), ErrorKind::NotConnected);
    assert_error(listener.close(), ErrorKind::NotConnected);
}

/// NT-26. A listener goes to std and comes back.
#[gort::test(procs = [1, 2, 4])]
fn a_listener_goes_to_std_and_comes_back() {
    let (listener, addr) = listener();
    let listener = UnixListener::from_std(listener.into_std().unwrap()).unwrap();
    // SAFETY: the fd was just given to us.
    let listener = unsafe { UnixListener::from_raw_fd(listener.into_raw_fd()) };
    let clone = listener.try_clone().unwrap();
    drop(listener);
    let near = UnixStream::connect_addr(&addr).unwrap();
    round_trip(&near, &clone.accept().unwrap().0);
}

/// A listener whose queue is full: connecting waits, although the kernel tells nobody when there is room; it goes on then, or ends with its context.
#[gort::test(procs = [1, 2, 4])]
fn connecting_waits_while_the_queue_is_full() {
    let (listener, addr) = listener();
    // SAFETY: no memory is involved.
    assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
    let _first = UnixStream::connect_addr(&addr).unwrap();
    let (ctx, cancel) = gort::context::background().with_cancel();
    gort::scope(|s| {
        let patient = s.spawn(|| UnixStream::connect_addr(&addr).map(drop));
        let hasty = s.spawn(|| ctx.run(|| UnixStream::connect_addr(&addr).map(drop)));
        for one in [&patient, &hasty] {
            wait_parked(one.goroutine().id(), "IO wait, write");
        }
        cancel.cancel();
        assert_error(hasty.join().unwrap(), ErrorKind::Other);
        assert!(!patient.is_finished());
        listener.accept().unwrap();
        patient.join().unwrap().unwrap();
    });
}

/// A receiver whose queue others have filled: sending waits, although the kernel tells nobody when there is room; it goes on then, or ends at its deadline.
#[gort::test(procs = [1, 2, 4])]
fn sending_waits_while_the_receivers_queue_is_full() {
    let (there, addr) = {
        let addr = abstract_name();
        (UnixDatagram::bind_addr(&addr).unwrap(), addr)
    };
    let other = UnixDatagram::unbound().unwrap();
    other.set_nonblocking(true).unwrap();
    let mut filled = 0;
    let error = loop {
        match other.send_to_addr(b"full", &addr) {
            Ok(_) => filled += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    let near = UnixDatagram::unbound().unwrap();
    let deadline = Instant::now() + ms(20);
    near.set_write_deadline(Some(deadline)).unwrap();
    assert_error(near.send_to_addr(b"more", &addr), ErrorKind::TimedOut);
    assert!(Instant::now() >= deadline);
    near.set_write_deadline(None).unwrap();
    let connected = UnixDatagram::unbound().unwrap();
    connected.connect_addr(&addr).unwrap();
    gort::scope(|s| {
        let patient = s.spawn(|| near.send_to_addr(b"more", &addr));
        let told = s.spawn(|| connected.send(b"told"));
        for one in [&patient, &told] {
            wait_parked(one.goroutine().id(), "IO wait, write");
        }
        for _ in 0..filled + 2 {
            assert_eq!(there.recv(&mut [0; 8]).unwrap(), 4);
        }
        assert_eq!(patient.join().unwrap().unwrap(), 4);
        assert_eq!(told.join().unwrap().unwrap(), 4);
    });
}

/// NT-19. Datagrams between named sockets come with their senders' names; errors name who is gone.
#[gort::test(procs = [1, 2, 4])]
fn datagrams_come_with_their_senders_names() {
    let (here, there) = (Path::new(), Path::new());
    let (near, far) = (UnixDatagram::bind(&here.0).unwrap(), UnixDatagram::bind(&there.0).unwrap());
    near.send_to(b"", &there.0).unwrap();
    let (length, from) = far.recv_from(&mut [0; 8]).unwrap();
    assert_eq!((length, from.as_pathname()), (0, Some(&*here.0)));
    far.send_to_addr(b"back", &from).unwrap();
    near.connect(&there.0).unwrap();
    assert_eq!(near.peer_addr().unwrap().as_pathname(), Some(&*there.0));
    assert_eq!(near.recv(&mut [0; 8]).unwrap(), 4);
    drop(far);
    assert_error(near.send(b"x"), ErrorKind::ConnectionRefused);
    let error = near.send_to(b"x", &there.0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert!(error.to_string().contains(there.0.to_str().unwrap()), "{error}");
}

/// NT-14. After shutdown(Read) of a datagram socket receivers get `Ok(0)`, also one that was parked, once what has come is received; sends to it fail.
#[gort::test(procs = [1, 2, 4])]
fn after_shutdown_of_receiving_receivers_end() {
    let (near, far) = UnixDatagram::pair().unwrap();
    gort::scope(|s| {
        let receiver = s.spawn(|| near.recv(&mut [0; 8]));
        wait_parked(receiver.goroutine().id(), "IO wait, read");
        near.shutdown(Shutdown::Read).unwrap();
        assert_eq!(receiver.join().unwrap().unwrap(), 0);
    });
    assert!(near.recv_from(&mut [0; 8]).unwrap().1.is_unnamed());
    assert_eq!(near.recv_with_fds(&mut [0; 8], 1).unwrap().bytes, 0);
    assert_error(far.send(b"x"), ErrorKind::BrokenPipe);
    near.send(b"still").unwrap();
    assert_eq!(far.recv(&mut [0; 8]).unwrap(), 5);
    near.shutdown(Shutdown::Write).unwrap();
    assert_error(near.send(b"x"), ErrorKind::BrokenPipe);
}

#[gort::test(procs = [1, 2, 4])]
fn the_peers_credentials_are_known() {
    let (listener, addr) = listener();
    let near = UnixStream::connect_addr(&addr).unwrap();
    let (far, _) = listener.accept().unwrap();
    // SAFETY: these touch nothing.
    let (user, group) = unsafe { (libc::geteuid(), libc::getegid()) };
    for stream in [&near, &far] {
        let peer = stream.peer_credentials().unwrap();
        assert_eq!((peer.process, peer.user, peer.group), (std::process::id(), user, group));
    }
}

/// A pipe whose ends can be given away, and seen to be closed.
fn pipe() -> (std::io::PipeReader, OwnedFd) {
    let (reader, writer) = std::io::pipe().unwrap();
    (reader, writer.into())
}

/// Nobody has the writing end any more: the reading end sees the end of the stream.
fn is_closed_everywhere(mut reader: &std::io::PipeReader) -> bool {
    gort::blocking_send(|| reader.read(&mut [0; 8]).unwrap() == 0)
}

/// Descriptors arrive as they were sent, closed on exec, with the bytes that they came with.
#[gort::test(procs = [1, 2, 4])]
fn descriptors_go_along_with_bytes() {
    let (near, far) = UnixStream::pair().unwrap();
    let pipes: Vec<_> = (0..3).map(|_| pipe()).collect();
    gort::scope(|s| {
        let receiver = s.spawn(|| {
            let mut buf = [0; 16];
            let parcel = far.recv_with_fds(&mut buf, 8).unwrap();
            assert_eq!((&buf[..parcel.bytes], parcel.lost_bytes, parcel.lost_fds), (&b"three"[..], false, false));
            parcel.fds
        });
        wait_parked(receiver.goroutine().id(), "IO wait, read");
        let fds: Vec<_> = pipes.iter().map(|(_, writer)| writer.as_fd()).collect();
        assert_eq!(near.send_with_fds(b"three", &fds).unwrap(), 5);
        let fds = receiver.join().unwrap();
        assert_eq!(fds.len(), 3);
        let pipes: Vec<_> = pipes.into_iter().map(|(reader, _ours)| reader).collect();
        for (at, fd) in fds.into_iter().enumerate() {
            // SAFETY: no memory is involved.
            assert_eq!(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFD) }, libc::FD_CLOEXEC);
            File::from(fd).write_all(&[at as u8]).unwrap();
        }
        for (at, mut reader) in pipes.iter().enumerate() {
            let mut text = Vec::new();
            gort::blocking_send(|| reader.read_to_end(&mut text).unwrap());
            assert_eq!(text, [at as u8]);
        }
    });
    // Bytes without any, and the end.
    (&near).write_all(b"none").unwrap();
    let parcel = far.recv_with_fds(&mut [0; 16], 8).unwrap();
    assert_eq!((parcel.bytes, parcel.fds.len()), (4, 0));
    drop(near);
    let parcel = far.recv_with_fds(&mut [0; 16], 8).unwrap();
    assert_eq!((parcel.bytes, parcel.fds.len()), (0, 0));
}

/// What has no room is said to be lost, and closed: no descriptor leaks. So it is if nobody asks for descriptors.
#[gort::test(procs = [1, 2, 4])]
fn descriptors_without_room_are_closed_and_said_to_be_lost() {
    for most in 0..=3 {
        let (near, far) = UnixDatagram::pair().unwrap();
        let pipes: Vec<_> = (0..3).map(|_| pipe()).collect();
        let fds: Vec<_> = pipes.iter().map(|(_, writer)| writer.as_fd()).collect();
        near.send_with_fds(b"too long", &fds).unwrap();
        let readers: Vec<_> = pipes.into_iter().map(|(reader, _ours)| reader).collect();
        let parcel = far.recv_with_fds(&mut [0; 4], most).unwrap();
        assert_eq!((parcel.bytes, parcel.lost_bytes), (4, true));
        assert_eq!((parcel.fds.len(), parcel.lost_fds), (most, most < 3));
        // The first ones are ours, the others nobody's.
        for reader in &readers[most..] {
            assert!(is_closed_everywhere(reader));
        }
        drop(parcel);
        assert!(readers.iter().all(is_closed_everywhere));
    }
    let (near, far) = UnixStream::pair().unwrap();
    let (reader, writer) = pipe();
    near.send_with_fds(b"x", &[writer.as_fd()]).unwrap();
    drop(writer);
    (&far).read_exact(&mut [0]).unwrap();
    assert!(is_closed_everywhere(&reader));
}

#[gort::test(procs = [1, 2, 4])]
fn what_cannot_be_passed_is_refused_with_the_way_out() {
    let (near, far) = UnixStream::pair().unwrap();
    let (_reader, writer) = pipe();
    let error = near.send_with_fds(b"", &[writer.as_fd()]).unwrap_err();
    assert!(error.kind() == ErrorKind::InvalidInput && error.to_string().contains("give one at least"), "{error}");
    let many = vec![writer.as_fd(); 254];
    let error = near.send_with_fds(b"x", &many).unwrap_err();
    assert!(error.kind() == ErrorKind::InvalidInput && error.to_string().contains("253"), "{error}");
    near.send_with_fds(b"x", &many[..253]).unwrap();
    assert_eq!(far.recv_with_fds(&mut [0; 8], usize::MAX).unwrap().fds.len(), 253);
}

/// Passing waits as a write and a read do, and ends at deadlines.
#[gort::test(procs = [1, 2, 4])]
fn passing_keeps_deadlines() {
    let (near, _far) = UnixStream::pair().unwrap();
    near.set_deadline(Some(past())).unwrap();
    assert_error(near.send_with_fds(b"x", &[]), ErrorKind::TimedOut);
    assert_error(near.recv_with_fds(&mut [0; 8], 1), ErrorKind::TimedOut);
    near.set_deadline(Some(Instant::now() + ms(10))).unwrap();
    assert_error(near.recv_with_fds(&mut [0; 8], 1), ErrorKind::TimedOut);
    wait_until(|| near.close().is_ok());
    assert_error(near.recv_with_fds(&mut [0; 8], 1), ErrorKind::NotConnected);
}

#[gort::test(procs = [1, 2, 4])]
fn the_types_have_the_traits_of_std() {
    fn check<T: Send + Sync + Unpin + UnwindSafe + RefUnwindSafe + std::fmt::Debug + 'static>() {}
    check::<UnixStream>();
    check::<UnixListener>();
}

/// Fills the queue of the receiver at `path`; how many datagrams that took.
fn fill(path: &Path) -> usize {
    let others = std::os::unix::net::UnixDatagram::unbound().unwrap();
    others.set_nonblocking(true).unwrap();
    (0..).find(|_| others.send_to(b"one", &path.0).is_err()).unwrap()
}

/// A timeout ends a send to a receiver whose queue others have filled. And such a send sees that there is room, also if our own buffer is not empty, when no
/// event comes of it.
#[gort::test(procs = [1, 2])]
fn a_send_to_a_full_receiver_ends_by_its_timeout_and_sees_that_there_is_room() {
    let (full, slow) = (Path::new(), Path::new());
    let there = UnixDatagram::bind(&full.0).unwrap();
    let _keeps = UnixDatagram::bind(&slow.0).unwrap();
    let count = fill(&full);
    let near = UnixDatagram::unbound().unwrap();
    near.set_write_timeout(Some(ms(20))).unwrap();
    assert_error(near.send_to(b"x", &full.0), ErrorKind::TimedOut);
    near.set_write_timeout(None).unwrap();
    // Half of our buffer lies with one who does not read.
    near.send_to(&[0; 60_000], &slow.0).unwrap();
    gort::scope(|s| {
        let sends = s.spawn(|| near.send_to(b"x", &full.0));
        wait_parked(sends.goroutine().id(), "IO wait, write");
        (0..count).for_each(|_| assert!(there.recv(&mut [0; 8]).is_ok()));
        assert_eq!(sends.join().unwrap().unwrap(), 1);
    });
    let connected = UnixDatagram::unbound().unwrap();
    there.recv(&mut [0; 8]).unwrap();
    let count = fill(&full);
    connected.connect(&full.0).unwrap();
    gort::scope(|s| {
        let sends = s.spawn(|| connected.send(b"x"));
        wait_parked(sends.goroutine().id(), "IO wait, write");
        (0..count).for_each(|_| assert!(there.recv(&mut [0; 8]).is_ok()));
        assert_eq!(sends.join().unwrap().unwrap(), 1);
    });
}

/// The kernel takes names of 108 bytes, without a zero at the end, which std's address cannot say: connection and datagram come all the same.
#[gort::test]
fn a_peer_whose_name_is_too_long_is_unnamed() {
    fn connected(kind: libc::c_int, to: &Path) -> (OwnedFd, Path) {
        fn addr(path: &[u8]) -> libc::sockaddr_un {
            // SAFETY: zeros are one.
            let mut addr: libc::sockaddr_un = unsafe { std::mem::zeroed() };
            addr.sun_family = libc::AF_UNIX as libc::sa_family_t;
            addr.sun_path.iter_mut().zip(path).for_each(|(to, from)| *to = *from as libc::c_char);
            addr
        }
        let mut name = Path::new().0.as_os_str().as_encoded_bytes().to_vec();
        name.resize(108, b'x');
        let length = size_of::<libc::sockaddr_un>() as libc::socklen_t;
        // SAFETY: the kernel reads two live addresses, and the descriptor is a new one.
        let fd = unsafe {
            let fd = libc::socket(libc::AF_UNIX, kind | libc::SOCK_CLOEXEC, 0);
            assert_eq!(libc::bind(fd, std::ptr::from_ref(&addr(&name)).cast(), length), 0);
            assert_eq!(
                libc::connect(fd, std::ptr::from_ref(&addr(to.0.as_os_str().as_encoded_bytes())).cast(), length),
                0
            );
            OwnedFd::from_raw_fd(fd)
        };
        (fd, Path(std::ffi::OsString::from(String::from_utf8(name).unwrap()).into()))
    }
    let (stream, datagram) = (Path::new(), Path::new());
    let listener = UnixListener::bind(&stream.0).unwrap();
    let (_near, _name) = connected(libc::SOCK_STREAM, &stream);
    assert!(listener.accept().unwrap().1.is_unnamed());
    let receiver = UnixDatagram::bind(&datagram.0).unwrap();
    let (near, _name) = connected(libc::SOCK_DGRAM, &datagram);
    // SAFETY: the kernel reads the slice.
    assert_eq!(unsafe { libc::send(near.as_raw_fd(), b"precious".as_ptr().cast(), 8, 0) }, 8);
    let (length, from) = receiver.recv_from(&mut [0; 16]).unwrap();
    assert!(length == 8 && from.is_unnamed());
}

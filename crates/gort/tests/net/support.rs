//! What several areas need.

pub(crate) use crate::common::draws::Draws;
pub(crate) use crate::common::{rounds, scaled, words_of};

use gort::net::{TcpListener, TcpStream};
use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

/// Yields until `condition` holds; the test's time limit ends it if it never does.
pub(crate) fn wait_until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        gort::sleep(Duration::from_micros(100));
    }
}

/// What a dump says about goroutine `id`: the words in brackets, and the lines below.
pub(crate) fn entry_of(id: gort::GoroutineId) -> Option<String> {
    let dump = gort::runtime::dump();
    dump.split("\n\n")
        .map(str::trim_start)
        .find(|entry| entry.starts_with(&format!("goroutine {id} ")))
        .map(str::to_owned)
}

/// Waits until the goroutine is parked for the reason that a dump shows as `words`.
pub(crate) fn wait_parked(id: gort::GoroutineId, words: &str) {
    wait_until(|| entry_of(id).is_some_and(|entry| entry.contains(&format!("[{words},"))));
}

pub(crate) fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// Closes the listener when dropped, also by a panic, so that whoever accepts in the same scope ends.
pub(crate) struct ClosesAtTheEnd<'a>(pub(crate) &'a TcpListener);

impl Drop for ClosesAtTheEnd<'_> {
    fn drop(&mut self) {
        let _ = self.0.close();
    }
}

/// Both ends of a connection.
pub(crate) fn pair() -> (TcpStream, TcpStream) {
    let listener = listener();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (far, peer) = listener.accept().unwrap();
    assert_eq!(peer, near.local_addr().unwrap());
    (near, far)
}

/// Both ends of a connection with small buffers, so that few writes fill them.
pub(crate) fn narrow_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::builder().recv_buffer_size(8192).send_buffer_size(8192).bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (far, _) = listener.accept().unwrap();
    near.set_send_buffer_size(8192).unwrap();
    (near, far)
}

/// Writes until the connection takes no more; returns how much it took.
pub(crate) fn fill(stream: &TcpStream) -> usize {
    stream.set_nonblocking(true).unwrap();
    let mut total = 0;
    let error = loop {
        match (&mut &*stream).write(&[0x55; 4096]) {
            Ok(n) => total += n,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    stream.set_nonblocking(false).unwrap();
    total
}

/// Sends `text` from `a` to `b` and an answer back.
pub(crate) fn round_trip(mut a: &TcpStream, mut b: &TcpStream) {
    let mut buf = [0; 4];
    a.write_all(b"ping").unwrap();
    b.read_exact(&mut buf).unwrap();
    assert_eq!(&buf, b"ping");
    b.write_all(b"pong").unwrap();
    a.read_exact(&mut buf).unwrap();
    assert_eq!(&buf, b"pong");
}

/// A time well in the past.
pub(crate) fn past() -> Instant {
    Instant::now().checked_sub(Duration::from_secs(5)).expect("the machine has been up for five seconds")
}

pub(crate) fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Asserts that `result` is an error of this kind.
#[track_caller]
pub(crate) fn assert_error<T: std::fmt::Debug>(result: std::io::Result<T>, kind: ErrorKind) {
    match result {
        Err(error) if error.kind() == kind => {}
        other => panic!("expected an error of kind {kind:?}, got {other:?}"),
    }
}

/// Makes the close of `stream` reset the connection.
pub(crate) fn reset_on_close(stream: &TcpStream) {
    use std::os::fd::AsRawFd;
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    // SAFETY: the kernel reads a live `linger`.
    let outcome = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size_of::<libc::linger>() as libc::socklen_t,
        )
    };
    assert_eq!(outcome, 0);
}

/// For the end of a connection that is closed last, in cases that make thousands: the kernel keeps nothing of it. Otherwise it remembers each for
/// a minute, and searches longer and longer for a free port.
pub(crate) fn forget_when_closed(stream: &TcpStream) {
    reset_on_close(stream);
}

/// FNV-1a.
pub(crate) fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// Sends a datagram there, and one back.
macro_rules! round_trip_datagrams {
    ($a:expr, $b:expr) => {
        let mut buf = [0; 8];
        $a.send(b"ping").unwrap();
        assert_eq!($b.recv(&mut buf).unwrap(), 4);
        $b.send(b"pong").unwrap();
        assert_eq!($a.recv(&mut buf).unwrap(), 4);
        assert_eq!(&buf[..4], b"pong");
    };
}

pub(crate) use round_trip_datagrams;

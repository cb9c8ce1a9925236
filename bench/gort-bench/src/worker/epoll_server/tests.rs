use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};

use super::*;

/// One loop with one connection, without the control thread, which would read the test's stdin.
fn start() -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (stream, _) = listener.accept().unwrap();
    stream.set_nonblocking(true).unwrap();
    let epoll = Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC).unwrap());
    let mut event_loop = EventLoop::new(epoll.clone(), Arc::default());
    let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
    let fd = OwnedFd::from(stream).into_raw_fd();
    // SAFETY: open; the loop closes it.
    epoll::add(&epoll, unsafe { BorrowedFd::borrow_raw(fd) }, EventData::new_u64(fd as u64), flags).unwrap();
    thread::spawn(move || drop(event_loop.run()));
    client
}

/// More than the sockets hold: the server has to keep some and go on later, and the end must come after all of it.
#[test]
fn every_byte_comes_back_in_order_also_if_nobody_reads_for_a_while() {
    let mut client = start();
    let data: Vec<u8> = (0..32_u32 << 20).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    client.set_nonblocking(true).unwrap();
    let mut sent = 0;
    // Until both directions are full for good: the server, once it holds something back, reads nothing more.
    let mut full = 0;
    while full < 1000 {
        match client.write(&data[sent..]) {
            Ok(n) => (sent, full) = (sent + n, 0),
            Err(e) if e.kind() == ErrorKind::WouldBlock => full += 1,
            Err(e) => panic!("{e}"),
        }
        thread::yield_now();
    }
    assert!(sent < data.len(), "nothing was held back");
    client.set_nonblocking(false).unwrap();
    let mut reader = client.try_clone().unwrap();
    let expected = data.clone();
    let reading = thread::spawn(move || {
        let mut echoed = Vec::new();
        reader.read_to_end(&mut echoed).unwrap();
        assert!(echoed == expected, "{} of {} bytes, or others", echoed.len(), expected.len());
    });
    client.write_all(&data[sent..]).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    reading.join().unwrap();
}

//! Copies by the kernel. That they are is seen in `process/copies.rs`.

use super::support::{Draws, assert_error, checksum, ms, narrow_pair, pair, past, wait_parked, wait_until};
use gort::io::{copy, copy_bidirectional, duplex, pipe};
use gort::net::{Shutdown, TcpListener, TcpStream, UnixStream};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::path::PathBuf;

/// A file that is gone when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("gort-copy-{name}-{}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        Self(path)
    }

    fn open(&self) -> gort::fs::File {
        gort::fs::File::open(&self.0).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// What comes out of the far end of a connection while `f` writes into the near one, which is closed for writing then.
fn through<R: Send>(f: impl FnOnce(&mut TcpStream) -> R + Send) -> (R, Vec<u8>) {
    let (mut near, mut far) = pair();
    gort::scope(|s| {
        let reading = s.spawn(move || {
            let mut bytes = Vec::new();
            far.read_to_end(&mut bytes).unwrap();
            bytes
        });
        let result = f(&mut near);
        near.shutdown(Shutdown::Write).unwrap();
        (result, reading.join().unwrap())
    })
}

/// NT-20. A file to TCP: whole, in pieces of three bytes, from an offset on, with a limit above its size. Counts, positions and bytes are right.
#[gort::test(procs = [1, 2, 4])]
fn a_file_goes_to_a_socket_as_it_is() {
    let bytes = Draws::new(7).bytes(200_000);
    let scratch = Scratch::new("file", &bytes);
    let mut file = scratch.open();
    let (count, received) = through(|to| copy(&mut file, to).unwrap());
    assert_eq!((count, checksum(&received)), (200_000, checksum(&bytes)));
    assert_eq!(file.stream_position().unwrap(), 200_000);
    // At its end there is nothing, at once.
    assert_eq!(through(|to| copy(&mut file, to).unwrap()), (0, Vec::new()));

    file.rewind().unwrap();
    let (position, received) = through(|to| {
        for _ in 0..3 {
            let mut piece = (&file).take(3);
            assert_eq!(copy(&mut piece, to).unwrap(), 3);
            assert_eq!(piece.limit(), 0);
        }
        (&file).stream_position().unwrap()
    });
    assert_eq!((position, &received[..]), (9, &bytes[..9]));

    file.seek(SeekFrom::Start(65 << 10)).unwrap();
    let mut rest = (&mut file).take(1 << 30);
    let (count, received) = through(|to| copy(&mut rest, to).unwrap());
    assert_eq!((count, rest.limit()), (200_000 - (65 << 10), (1 << 30) - count));
    assert!(received == bytes[65 << 10..]);

    // Std's file, and what goes to a pipe and to a child.
    let mut theirs = std::fs::File::open(&scratch.0).unwrap();
    let (count, received) = through(|mut to| copy(&mut theirs, &mut to).unwrap());
    assert_eq!((count, received == bytes, theirs.stream_position().unwrap()), (200_000, true, 200_000));
    let mut command = gort::process::Command::new("wc");
    command.arg("-c").stdin(gort::process::Stdio::piped()).stdout(gort::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    assert_eq!(copy(&mut scratch.open(), child.stdin.as_mut().unwrap()).unwrap(), 200_000);
    assert_eq!(child.wait_with_output().unwrap().stdout.trim_ascii(), b"200000");
}

/// NT-20. More than two gigabytes, of a file that is one large hole.
#[gort::test]
fn a_file_of_more_than_two_gigabytes_goes_to_a_socket() {
    const SIZE: u64 = (2 << 30) + 1;
    if cfg!(debug_assertions) {
        // In a release build.
        return;
    }
    let scratch = Scratch::new("hole", b"");
    std::fs::File::options().write(true).open(&scratch.0).unwrap().set_len(SIZE).unwrap();
    let (mut near, mut far) = pair();
    gort::scope(|s| {
        let reading = s.spawn(move || {
            let (mut buf, mut count) = (vec![0; 1 << 20], 0);
            loop {
                match far.read(&mut buf).unwrap() as u64 {
                    0 => return count,
                    some => count += some,
                }
            }
        });
        assert_eq!(copy(&mut scratch.open(), &mut near).unwrap(), SIZE);
        drop(near);
        assert_eq!(reading.join().unwrap(), SIZE);
    });
}

/// NT-20. From socket to socket, in chunks up to 64 MiB in a release build, and with limits: totals and bytes are right.
#[gort::test(procs = [1, 2, 4])]
fn a_socket_goes_to_a_socket() {
    let total: usize = if cfg!(debug_assertions) { 5 << 20 } else { 64 << 20 };
    let chunk = Draws::new(3).bytes(5 << 20);
    fn relay<A: Read + Write + Send, B: Read + Write + Send>(
        (mut source, mut from): (A, A),
        (mut to, mut sink): (B, B),
        chunk: &[u8],
        total: usize,
    ) {
        gort::scope(|s| {
            s.spawn(move || {
                let mut left = total;
                while left > 0 {
                    let count = left.min(chunk.len());
                    source.write_all(&chunk[..count]).unwrap();
                    left -= count;
                }
            });
            let reading = s.spawn(move || {
                let (mut buf, mut seen) = (vec![0; 1 << 16], 0);
                loop {
                    match sink.read(&mut buf).unwrap() {
                        0 => return seen,
                        count => {
                            let at = seen % chunk.len();
                            let first = count.min(chunk.len() - at);
                            assert!(buf[..first] == chunk[at..at + first]);
                            assert!(buf[first..count] == chunk[..count - first]);
                            seen += count;
                        }
                    }
                }
            });
            let mut some = (&mut from).take(1000);
            assert_eq!(copy(&mut some, &mut to).unwrap(), 1000);
            assert_eq!(copy(&mut from, &mut to).unwrap(), total as u64 - 1000);
            // The end, once more.
            assert_eq!(copy(&mut from, &mut to).unwrap(), 0);
            drop(to);
            assert_eq!(reading.join().unwrap(), total);
        });
    }
    relay(pair(), pair(), &chunk, total);
    relay(UnixStream::pair().unwrap(), pair(), &chunk, chunk.len());
    relay(pair(), UnixStream::pair().unwrap(), &chunk, chunk.len());
}

/// A target that the kernel splices nothing to, since it is to be appended to: what had been read is written, and counted, and so is the limit.
#[gort::test(procs = [1, 2, 4])]
fn a_target_that_takes_no_splice_gets_every_byte() {
    let ((mut source, mut from), (mut to, mut sink)) = (pair(), pair());
    let bytes = Draws::new(11).bytes(100_000);
    let fd = to.as_raw_fd();
    // SAFETY: no memory is involved.
    assert_eq!(unsafe { libc::fcntl(fd, libc::F_SETFL, libc::fcntl(fd, libc::F_GETFL) | libc::O_APPEND) }, 0);
    gort::scope(|s| {
        s.spawn(|| {
            source.write_all(&bytes).unwrap();
            source.shutdown(Shutdown::Write).unwrap();
        });
        let reading = s.spawn(move || {
            let mut received = Vec::new();
            sink.read_to_end(&mut received).unwrap();
            received
        });
        let mut some = (&mut from).take(60_000);
        assert_eq!((copy(&mut some, &mut to).unwrap(), some.limit()), (60_000, 0));
        assert_eq!(copy(&mut from, &mut to).unwrap(), 40_000);
        drop(to);
        assert!(reading.join().unwrap() == bytes);
    });
}

/// A copy that fails has lowered the limit of its reader by what it has read.
#[gort::test(procs = [1, 2, 4])]
fn a_limit_falls_with_what_is_read() {
    const LIMIT: u64 = 1 << 40;
    let ((source, from), (near, _far)) = (pair(), narrow_pair());
    near.set_write_timeout(Some(ms(20))).unwrap();
    let everything = vec![1; 4 << 20];
    gort::scope(|s| {
        s.spawn(|| {
            (&source).write_all(&everything).unwrap();
            source.shutdown(Shutdown::Write).unwrap();
        });
        let mut some = (&from).take(LIMIT);
        // Nobody reads at the other end.
        assert_error(copy(&mut some, &mut &near), ErrorKind::TimedOut);
        let read = LIMIT - some.limit();
        let mut rest = Vec::new();
        (&from).read_to_end(&mut rest).unwrap();
        assert_eq!(read + rest.len() as u64, everything.len() as u64);
    });
}

/// What lies in a socket's queue of errors is nothing to read: a copy to a pipe waits for the socket all the same.
#[gort::test(procs = [1, 2, 4])]
fn a_queue_of_errors_is_nothing_to_read() {
    let ((mut source, mut from), (mut sink, mut writer)) = (pair(), pipe().unwrap());
    let stamps = libc::SOF_TIMESTAMPING_TX_SOFTWARE | libc::SOF_TIMESTAMPING_SOFTWARE | libc::SOF_TIMESTAMPING_OPT_ID;
    let (option, bytes) = ((&raw const stamps).cast(), size_of_val(&stamps) as u32);
    // SAFETY: the kernel reads one number.
    unsafe { libc::setsockopt(from.as_raw_fd(), libc::SOL_SOCKET, libc::SO_TIMESTAMPING, option, bytes) };
    from.write_all(b"x").unwrap();
    source.read_exact(&mut [0]).unwrap();
    let mut entry = libc::pollfd { fd: from.as_raw_fd(), events: 0, revents: 0 };
    // SAFETY: one entry, which lives as long as the call. By a kernel that keeps no stamps nothing is asked here.
    if unsafe { libc::poll(&raw mut entry, 1, 0) } == 0 {
        return;
    }
    gort::scope(|s| {
        let copying = s.spawn(move || copy(&mut from, &mut writer).unwrap());
        wait_parked(copying.goroutine().id(), "IO wait, read");
        source.write_all(b"hello").unwrap();
        sink.read_exact(&mut [0; 5]).unwrap();
        drop(source);
        assert_eq!(copying.join().unwrap(), 5);
    });
}

/// From and to pipes, with pauses: whoever waits is parked, for the reader or the writer as it is.
#[gort::test(procs = [1, 2, 4])]
fn a_copy_from_and_to_pipes_parks_where_it_has_to() {
    let bytes = Draws::new(9).bytes(300_000);
    let ((reader, mut source), (sink, writer)) = (pipe().unwrap(), pipe().unwrap());
    gort::scope(|s| {
        let copying = s.spawn(move || copy(&mut &reader, &mut &writer).unwrap());
        let id = copying.goroutine().id();
        wait_parked(id, "IO wait, read");
        s.spawn({
            let bytes = &bytes;
            move || {
                source.write_all(&bytes[..1]).unwrap();
                gort::sleep(ms(5));
                source.write_all(&bytes[1..]).unwrap();
            }
        });
        // Nobody reads.
        wait_parked(id, "IO wait, write");
        let mut received = Vec::new();
        { sink }.read_to_end(&mut received).unwrap();
        assert!(received == bytes);
        assert_eq!(copying.join().unwrap(), 300_000);
    });
    // A pipe to a socket and back.
    let (mut near, far) = pair();
    let ((mut reader, mut source), (mut sink, mut writer)) = (pipe().unwrap(), pipe().unwrap());
    source.write_all(b"hello").unwrap();
    drop(source);
    assert_eq!(copy(&mut reader, &mut near).unwrap(), 5);
    drop(near);
    assert_eq!(copy(&mut { far }, &mut writer).unwrap(), 5);
    drop(writer);
    let mut text = String::new();
    sink.read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello");
}

/// NT-21. A copy from a pipe leaves it as it was: a later read deadline works. With an expired write deadline the copy gives `TimedOut`; limits and closes end
/// one under way.
#[gort::test(procs = [1, 2, 4])]
fn limits_end_a_copy_by_the_kernel() {
    let (mut reader, mut writer) = pipe().unwrap();
    let (mut near, mut far) = pair();
    writer.write_all(&[7; 10_000]).unwrap();
    assert_eq!(copy(&mut (&mut reader).take(10_000), &mut near).unwrap(), 10_000);
    far.read_exact(&mut [0; 10_000]).unwrap();
    reader.set_read_timeout(Some(ms(10))).unwrap();
    assert_error(reader.read(&mut [0; 8]), ErrorKind::TimedOut);
    assert_error(copy(&mut reader, &mut near), ErrorKind::TimedOut);
    reader.set_read_timeout(None).unwrap();
    writer.write_all(b"x").unwrap();
    near.set_write_deadline(Some(past())).unwrap();
    assert_error(copy(&mut (&mut reader).take(1), &mut near), ErrorKind::TimedOut);
    let scratch = Scratch::new("late", b"late");
    assert_error(copy(&mut scratch.open(), &mut near), ErrorKind::TimedOut);

    let ((near, _far), (from, mut source)) = (narrow_pair(), pair());
    let everything = vec![1; 1 << 20];
    gort::scope(|s| {
        s.spawn(|| drop(source.write_all(&everything)));
        near.set_write_timeout(Some(ms(20))).unwrap();
        // Nobody reads at the other end.
        assert_error(copy(&mut &from, &mut &near), ErrorKind::TimedOut);
        near.set_write_timeout(None).unwrap();
        let (ctx, _) = gort::context::background().with_timeout(ms(20));
        assert_error(ctx.run(|| copy(&mut &from, &mut &near)), ErrorKind::TimedOut);
        let copying = s.spawn(|| copy(&mut &from, &mut &near));
        wait_parked(copying.goroutine().id(), "IO wait, write");
        // A close of the reader does not wait for the writer.
        from.close().unwrap();
        near.close().unwrap();
        assert_error(copying.join().unwrap(), ErrorKind::NotConnected);
    });
    let (near, far) = pair();
    drop(far);
    wait_until(|| (&near).write(b"x").is_err());
    assert_error(copy(&mut scratch.open(), &mut &near), ErrorKind::BrokenPipe);
}

/// Everything else is read and written: what has a buffer, what is in memory, a file as the target, a reader behind a trait object.
#[gort::test(procs = [1, 2, 4])]
fn everything_else_is_read_and_written() {
    let bytes = Draws::new(5).bytes(100_000);
    let mut received = Vec::new();
    assert_eq!(copy(&mut &bytes[..], &mut received).unwrap(), 100_000);
    assert!(received == bytes);
    let (from, to) = (Scratch::new("from", &bytes), Scratch::new("to", b""));
    let mut target = gort::fs::File::create(&to.0).unwrap();
    assert_eq!(copy(&mut from.open(), &mut target).unwrap(), 100_000);
    assert!(std::fs::read(&to.0).unwrap() == bytes);
    let reader: &mut dyn Read = &mut from.open();
    assert_eq!(copy(&mut io::BufReader::new(reader), &mut io::sink()).unwrap(), 100_000);
    // A file that is appended to, and one that is no file.
    let mut zeros = gort::fs::File::open("/dev/zero").unwrap();
    let (count, received) = through(|to| copy(&mut (&mut zeros).take(70_000), to).unwrap());
    assert_eq!((count, received), (70_000, vec![0; 70_000]));
}

/// Both ways at once, each with its own end; an error of one ends the other.
#[gort::test(procs = [1, 2, 4])]
fn both_ways_at_once() {
    let answer = |mut stream: TcpStream| -> io::Result<usize> {
        let mut text = Vec::new();
        stream.read_to_end(&mut text)?;
        stream.write_all(&text.repeat(2))?;
        Ok(text.len())
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ((mut client, near), addr) = (UnixStream::pair().unwrap(), listener.local_addr().unwrap());
    gort::scope(|s| {
        let serving = s.spawn(|| answer(listener.accept()?.0));
        let proxy = s.spawn(move || copy_bidirectional(&near, &TcpStream::connect(addr)?));
        let question = vec![3; 300_000];
        client.write_all(&question).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut received = Vec::new();
        client.read_to_end(&mut received).unwrap();
        assert_eq!((serving.join().unwrap().unwrap(), received.len()), (300_000, 600_000));
        assert_eq!(proxy.join().unwrap().unwrap(), (300_000, 600_000));
    });
    // In memory, and cut off in the middle: the other way ends with it.
    let ((client, near), (far, server)) = (duplex(), pair());
    gort::scope(|s| {
        let proxy = s.spawn(move || copy_bidirectional(&near, &far));
        (&client).write_all(b"x").unwrap();
        (&server).read_exact(&mut [0]).unwrap();
        super::support::reset_on_close(&server);
        drop(server);
        assert_error(proxy.join().unwrap(), ErrorKind::ConnectionReset);
        assert!(matches!((&client).read(&mut [0]), Ok(0) | Err(_)));
    });
}

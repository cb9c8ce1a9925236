//! Pipes, and readiness of any descriptor.

use super::child;
use super::support::{assert_error, ms, past, rounds, wait_parked, wait_until};
use gort::io::{DuplexStream, PipeReader, PipeWriter, Pollable, duplex, pipe};
use gort::net::{TcpStream, UdpSocket, UnixStream};
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// HF-01, and HF-05 for pipes and sockets. With 50 threads at most, hundreds of goroutines wait, each for a byte of its own: none needs a thread, and all
/// finish.
#[gort::test]
fn waiting_for_pipes_and_sockets_takes_no_threads() {
    if !child::is_child() {
        child::run_with("io::waiting_for_pipes_and_sockets_takes_no_threads", &[("GORT_MAX_THREADS", "50")]);
        return;
    }
    let pipes: Vec<_> = (0..100).map(|_| pipe().unwrap()).collect();
    let streams: Vec<_> = (0..100).map(|_| UnixStream::pair().unwrap()).collect();
    let sockets: Vec<_> = (0..100).map(|_| super::udp::pair()).collect();
    gort::scope(|s| {
        let mut waiting = Vec::new();
        waiting.extend(pipes.iter().map(|(reader, _)| s.spawn(move || ({ reader }).read(&mut [0]).unwrap())));
        waiting.extend(streams.iter().map(|(near, _)| s.spawn(move || ({ near }).read(&mut [0]).unwrap())));
        waiting.extend(sockets.iter().map(|(near, _)| s.spawn(move || near.recv(&mut [0]).unwrap())));
        wait_until(|| gort::runtime::dump().matches("[IO wait, read,").count() == 300);
        assert!(gort::runtime::metrics().threads <= 50);
        for (_, writer) in &pipes {
            ({ writer }).write_all(b"x").unwrap();
        }
        for (_, far) in &streams {
            ({ far }).write_all(b"x").unwrap();
        }
        for (_, far) in &sockets {
            far.send(b"x").unwrap();
        }
        assert_eq!(waiting.into_iter().map(|one| one.join().unwrap()).sum::<usize>(), 300);
    });
    assert!(gort::runtime::metrics().threads_peak <= 50);
}

/// The other end of a pipe that was given to a child is in blocking mode there; ours goes on parking. The end comes when the child's is closed.
#[gort::test(procs = [1, 2, 4])]
fn a_child_gets_its_end_in_blocking_mode() {
    let ((mut answers, theirs), (their_input, mut questions)) = (pipe().unwrap(), pipe().unwrap());
    let mut command = Command::new("cat");
    command.stdin(their_input).stdout(Stdio::from(theirs));
    let mut cat = command.spawn().unwrap();
    drop(command);
    gort::scope(|s| {
        let answering = s.spawn(|| {
            let mut text = String::new();
            answers.read_to_string(&mut text).unwrap();
            text
        });
        wait_parked(answering.goroutine().id(), "IO wait, read");
        questions.write_all(b"hello").unwrap();
        drop(questions);
        assert_eq!(answering.join().unwrap(), "hello");
    });
    assert!(gort::blocking_send(|| cat.wait().unwrap()).success());
}

/// A pipe that nobody reads gives `BrokenPipe`; one that nobody writes to, the end.
#[gort::test(procs = [1, 2, 4])]
fn the_ends_of_a_pipe_see_each_other_go() {
    let (reader, mut writer) = pipe().unwrap();
    let clone = reader.try_clone().unwrap();
    drop(reader);
    writer.write_all(b"still read").unwrap();
    drop(clone);
    assert_error(writer.write(b"x"), ErrorKind::BrokenPipe);
    let (mut reader, writer) = pipe().unwrap();
    let clone = writer.try_clone().unwrap();
    drop(writer);
    (&clone).write_all(b"x").unwrap();
    drop(clone);
    assert_eq!(reader.read(&mut [0; 8]).unwrap(), 1);
    assert_eq!(reader.read(&mut [0; 8]).unwrap(), 0);
}

/// NT-21. Copying from a pipe into a socket leaves the pipe as it was: a later read deadline works. With an expired write deadline the copy gives
/// `TimedOut`.
#[gort::test(procs = [1, 2, 4])]
fn a_copy_from_a_pipe_keeps_deadlines() {
    let (mut reader, mut writer) = pipe().unwrap();
    let (mut near, far) = super::support::pair();
    writer.write_all(&[7; 10_000]).unwrap();
    assert_eq!(io::copy(&mut (&mut reader).take(10_000), &mut near).unwrap(), 10_000);
    (&far).read_exact(&mut [0; 10_000]).unwrap();
    let deadline = Instant::now() + ms(10);
    reader.set_read_deadline(Some(deadline)).unwrap();
    assert_error(reader.read(&mut [0; 8]), ErrorKind::TimedOut);
    assert!(Instant::now() >= deadline);
    reader.set_read_deadline(None).unwrap();
    writer.write_all(b"x").unwrap();
    near.set_write_deadline(Some(past())).unwrap();
    assert_error(io::copy(&mut (&mut reader).take(1), &mut near), ErrorKind::TimedOut);
}

/// NT-26, and what the poller refuses: each operation says why, and the descriptor comes out again.
#[gort::test(procs = [1, 2, 4])]
fn pipes_go_to_std_and_what_is_no_pipe_says_so() {
    let (reader, writer) = pipe().unwrap();
    let (mut reader, mut writer) = (reader.into_std().unwrap(), writer.into_std().unwrap());
    writer.write_all(b"x").unwrap();
    reader.read_exact(&mut [0]).unwrap();
    let (mut reader, writer) = (PipeReader::from_std(reader).unwrap(), PipeWriter::from(writer));
    reader.set_read_timeout(Some(ms(5))).unwrap();
    assert_error(reader.read(&mut [0]), ErrorKind::TimedOut);
    let fd = writer.as_raw_fd();
    assert_eq!(format!("{writer:?}"), format!("PipeWriter {{ fd: {fd} }}"));
    let mut file = PipeReader::from(OwnedFd::from(File::open("/proc/self/exe").unwrap()));
    let error = file.read(&mut [0; 4]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(error.to_string().contains("gort::blocking"), "{error}");
    let mut magic = [0; 4];
    File::from(OwnedFd::from(file)).read_exact(&mut magic).unwrap();
    assert_eq!(&magic, b"\x7fELF");
}

fn eventfd(flags: i32) -> File {
    // SAFETY: no memory is involved; the descriptor is new.
    unsafe { File::from_raw_fd(libc::eventfd(0, libc::EFD_CLOEXEC | flags)) }
}

fn is_nonblocking(fd: &impl AsRawFd) -> bool {
    // SAFETY: no memory is involved.
    unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) & libc::O_NONBLOCK != 0 }
}

/// An eventfd in blocking mode: the mode stays, a wait ends when there is something, and not before; the user's own calls read and write it.
#[gort::test(procs = [1, 2, 4])]
fn readiness_of_an_eventfd_and_its_mode_stays() {
    let event = Pollable::new(eventfd(0)).unwrap();
    gort::scope(|s| {
        for round in 0..rounds(500) {
            let waiter = s.spawn(|| {
                event.readable().unwrap();
                let mut count = [0; 8];
                event.get_ref().read_exact(&mut count).unwrap();
                u64::from_ne_bytes(count)
            });
            if round % 2 == 0 {
                wait_parked(waiter.goroutine().id(), "IO wait, read");
            }
            event.writable().unwrap();
            event.get_ref().write_all(&3_u64.to_ne_bytes()).unwrap();
            assert_eq!(waiter.join().unwrap(), 3);
        }
    });
    assert!(!is_nonblocking(event.get_ref()));
    // Full: no more can be added without a wait.
    event.get_ref().write_all(&(u64::MAX - 1).to_ne_bytes()).unwrap();
    event.set_write_timeout(Some(ms(5))).unwrap();
    assert_error(event.writable(), ErrorKind::TimedOut);
    event.readable().unwrap();
    assert!(!is_nonblocking(&event.into_inner()));
}

/// A timer of the kernel's and a folder that is watched.
#[gort::test(procs = [1, 2, 4])]
fn readiness_of_a_timerfd_and_inotify() {
    let flags = libc::TFD_CLOEXEC;
    // SAFETY: no memory is involved; the descriptor is new.
    let timer = unsafe { File::from_raw_fd(libc::timerfd_create(libc::CLOCK_MONOTONIC, flags)) };
    let timer = Pollable::new(timer).unwrap();
    let zero = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let spec = libc::itimerspec { it_interval: zero, it_value: libc::timespec { tv_sec: 0, tv_nsec: 10_000_000 } };
    let start = Instant::now();
    // SAFETY: the kernel reads a live value.
    let set = unsafe { libc::timerfd_settime(timer.as_raw_fd(), 0, &raw const spec, std::ptr::null_mut()) };
    assert_eq!(set, 0);
    timer.readable().unwrap();
    assert!(start.elapsed() >= ms(10));

    let folder = std::env::temp_dir().join(format!("gort-inotify-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    // SAFETY: no memory is involved; the descriptor is new.
    let watched = unsafe { File::from_raw_fd(libc::inotify_init1(libc::IN_CLOEXEC)) };
    let path = std::ffi::CString::new(folder.to_str().unwrap()).unwrap();
    // SAFETY: the kernel reads a live string.
    assert!(unsafe { libc::inotify_add_watch(watched.as_raw_fd(), path.as_ptr(), libc::IN_CREATE) } >= 0);
    let watched = Pollable::new(watched).unwrap();
    gort::scope(|s| {
        let waiter = s.spawn(|| watched.readable());
        wait_parked(waiter.goroutine().id(), "IO wait, read");
        File::create(folder.join("new")).unwrap();
        waiter.join().unwrap().unwrap();
    });
    assert!(watched.read_with(|mut file| file.read(&mut [0; 512])).unwrap() > 0);
    std::fs::remove_dir_all(folder).unwrap();
}

/// NT-24. Several wait for reading and for writing at once: readiness of one side wakes that side only, all of it; a hang-up wakes all.
#[gort::test(procs = [1, 2, 4])]
fn readiness_of_one_side_wakes_all_who_wait_there_and_nobody_else() {
    let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    while (&near).write(&[0; 4096]).is_ok() {}
    near.set_nonblocking(false).unwrap();
    let near = Pollable::new(near).unwrap();
    gort::scope(|s| {
        let writers: Vec<_> = (0..3).map(|_| s.spawn(|| near.writable())).collect();
        for _ in 0..3 {
            let readers: Vec<_> = (0..3).map(|_| s.spawn(|| near.readable())).collect();
            let parked = |words: &str| gort::runtime::dump().matches(&format!("[IO wait, {words},")).count();
            wait_until(|| parked("read") == 1 && parked("another reader") == 2);
            (&far).write_all(b"x").unwrap();
            for reader in readers {
                reader.join().unwrap().unwrap();
            }
            near.get_ref().read_exact(&mut [0]).unwrap();
            wait_until(|| parked("write") == 1 && parked("another writer") == 2);
        }
        let readers: Vec<_> = (0..3).map(|_| s.spawn(|| near.readable())).collect();
        drop(far);
        for one in readers.into_iter().chain(writers) {
            one.join().unwrap().unwrap();
        }
    });
}

/// The same thing is watched twice, and by a type of gort's as well; each is told.
#[gort::test(procs = [1, 2, 4])]
fn one_descriptor_may_be_watched_several_times() {
    let (near, far) = UnixStream::pair().unwrap();
    let (first, second) = (Pollable::new(&near).unwrap(), Pollable::new(&near).unwrap());
    gort::scope(|s| {
        let waiting = [s.spawn(|| first.readable()), s.spawn(|| second.readable())];
        let peeking = s.spawn(|| near.peek(&mut [0]));
        for one in &waiting {
            wait_parked(one.goroutine().id(), "IO wait, read");
        }
        (&far).write_all(b"x").unwrap();
        for one in waiting {
            one.join().unwrap().unwrap();
        }
        assert_eq!(peeking.join().unwrap().unwrap(), 1);
    });
    assert_eq!(first.as_fd().as_raw_fd(), near.as_raw_fd());
}

/// NT-03, NT-05. Deadlines of a watch: past, to come, moved while somebody waits; and contexts.
#[gort::test(procs = [1, 2, 4])]
fn a_watch_has_deadlines() {
    let event = Pollable::new(eventfd(libc::EFD_NONBLOCK)).unwrap();
    event.set_read_deadline(Some(past())).unwrap();
    assert_error(event.readable(), ErrorKind::TimedOut);
    event.writable().unwrap();
    let deadline = Instant::now() + ms(10);
    event.set_deadline(Some(deadline)).unwrap();
    assert_error(event.read_with(|mut event| event.read(&mut [0; 8])), ErrorKind::TimedOut);
    assert!(Instant::now() >= deadline);
    event.set_deadline(None).unwrap();
    let (ctx, _) = gort::context::background().with_timeout(ms(5));
    assert_error(ctx.run(|| event.readable()), ErrorKind::TimedOut);
    gort::scope(|s| {
        let waiter = s.spawn(|| event.readable());
        wait_parked(waiter.goroutine().id(), "IO wait, read");
        event.set_read_deadline(Some(past())).unwrap();
        assert_error(waiter.join().unwrap(), ErrorKind::TimedOut);
    });
}

/// In non-blocking mode several read what there is for one: those who come late wait again.
#[gort::test(procs = [1, 2, 4])]
fn those_who_find_nothing_wait_again() {
    let event = Pollable::new(eventfd(libc::EFD_NONBLOCK | libc::EFD_SEMAPHORE)).unwrap();
    gort::scope(|s| {
        let takers: Vec<_> = (0..4)
            .map(|_| {
                s.spawn(|| (0..25).for_each(|_| event.read_with(|mut event| event.read_exact(&mut [0; 8])).unwrap()))
            })
            .collect();
        for _ in 0..100 {
            event.write_with(|mut event| event.write_all(&1_u64.to_ne_bytes())).unwrap();
            gort::yield_now();
        }
        for taker in takers {
            taker.join().unwrap();
        }
    });
}

/// NT-25. Closing one end with an error: the other end gets it, for reads and writes, also those that wait.
#[gort::test(procs = [1, 2, 4])]
fn a_close_with_an_error_reaches_the_other_end_of_a_duplex() {
    let refuse = || io::Error::new(ErrorKind::InvalidData, "refused by the far end");
    let (near, far) = duplex();
    gort::scope(|s| {
        let waiting = [s.spawn(|| (&near).read(&mut [0; 8])), s.spawn(|| (&near).write(b"never read"))];
        for one in &waiting {
            wait_parked(one.goroutine().id(), "sync.Cond.Wait");
        }
        far.close_with(refuse()).unwrap();
        for one in waiting {
            let error = one.join().unwrap().unwrap_err();
            assert_eq!((error.kind(), error.to_string()), (ErrorKind::InvalidData, refuse().to_string()));
        }
    });
    assert_error((&near).read(&mut [0; 8]), ErrorKind::InvalidData);
    assert_error((&near).write(b"x"), ErrorKind::InvalidData);
    assert_error(far.close(), ErrorKind::NotConnected);
}

/// NT-25. A write to a duplex returns when all its bytes have been read, however large it is; one whose time is over says how many were.
#[gort::test(procs = [1, 2, 4])]
fn a_write_to_a_duplex_returns_when_it_has_been_read() {
    let (near, far) = duplex();
    gort::scope(|s| {
        let writer = s.spawn(|| (&near).write(&[5; 200_000]));
        let mut left = 200_000;
        while left > 0 {
            assert!(!writer.is_finished());
            left -= (&far).read(&mut [0; 4096]).unwrap();
        }
        assert_eq!(writer.join().unwrap().unwrap(), 200_000);

        let writer = s.spawn(|| (&near).write(b"half"));
        (&far).read_exact(&mut [0; 2]).unwrap();
        near.set_write_deadline(Some(past())).unwrap();
        assert_eq!(writer.join().unwrap().unwrap(), 2);
        near.set_write_deadline(None).unwrap();
        // What was not written is not read.
        let writer = s.spawn(|| (&near).write(b"new"));
        let mut text = [0; 3];
        (&far).read_exact(&mut text).unwrap();
        assert_eq!((&text, writer.join().unwrap().unwrap()), (b"new", 3));
    });
}

/// Readers of a duplex with all kinds of patience: every byte is read once, and nobody is left waiting.
#[gort::test(procs = [1, 2, 4])]
fn impatient_readers_of_a_duplex_lose_no_byte() {
    let bytes = rounds(2000);
    let (near, far) = duplex();
    let read = std::sync::atomic::AtomicUsize::new(0);
    gort::scope(|s| {
        for reader in 0..4 {
            let (near, read) = (&near, &read);
            s.spawn(move || {
                near.set_read_timeout((reader > 0).then_some(Duration::from_micros(50))).unwrap();
                loop {
                    match ({ near }).read(&mut [0]) {
                        Ok(0) => return,
                        Ok(n) => drop(read.fetch_add(n, std::sync::atomic::Ordering::Relaxed)),
                        Err(error) => assert_eq!(error.kind(), ErrorKind::TimedOut),
                    }
                }
            });
        }
        for _ in 0..bytes {
            (&far).write_all(b"x").unwrap();
        }
        far.close().unwrap();
    });
    assert_eq!(read.into_inner(), bytes);
}

/// On plain threads the same calls block the thread.
#[gort::test(procs = [1, 2, 4])]
fn plain_threads_use_pipes_datagrams_and_watches() {
    gort::blocking_send(|| std::thread::spawn(on_plain_threads).join().unwrap());
}

fn on_plain_threads() {
    let (mut reader, writer) = pipe().unwrap();
    let (near, far) = super::udp::pair();
    let (end, other) = duplex();
    let event = Pollable::new(eventfd(0)).unwrap();
    std::thread::scope(|s| {
        s.spawn(|| {
            reader.read_exact(&mut [0]).unwrap();
            far.send(b"x").unwrap();
            (&end).write_all(b"x").unwrap();
            event.get_ref().write_all(&1_u64.to_ne_bytes()).unwrap();
        });
        (&writer).write_all(b"x").unwrap();
        near.recv(&mut [0]).unwrap();
        (&other).read_exact(&mut [0]).unwrap();
        event.readable().unwrap();
    });
    near.set_read_timeout(Some(ms(5))).unwrap();
    assert_error(near.recv(&mut [0]), ErrorKind::TimedOut);
}

#[gort::test(procs = [1, 2, 4])]
fn the_types_have_the_traits_of_std() {
    fn check<T: Send + Sync + Unpin + UnwindSafe + RefUnwindSafe + std::fmt::Debug + 'static>() {}
    check::<PipeReader>();
    check::<PipeWriter>();
    check::<DuplexStream>();
    check::<Pollable<File>>();
    check::<Pollable<TcpStream>>();
    check::<UdpSocket>();
}

/// A clone that goes out of our hands takes the description's mode with it. Ours does not wait in the kernel: limits and the close hold.
#[gort::test(procs = [1, 2])]
fn a_clone_that_is_given_away_does_not_take_the_limits_along() {
    let (reader, writer) = gort::io::pipe().unwrap();
    let kept = writer.try_clone().unwrap();
    let _theirs = std::os::fd::OwnedFd::from(writer);
    kept.set_write_timeout(Some(ms(20))).unwrap();
    assert_error((&kept).write_all(&vec![7; 1 << 20]), ErrorKind::TimedOut);
    kept.close().unwrap();

    let kept = reader.try_clone().unwrap();
    let _theirs = std::os::fd::OwnedFd::from(reader);
    while kept.set_read_timeout(Some(ms(20))).and_then(|()| (&kept).read(&mut [0; 1 << 16])).is_ok() {}
    kept.close().unwrap();

    let listener = super::support::listener();
    let kept = listener.try_clone().unwrap();
    let _theirs = std::os::fd::OwnedFd::from(listener);
    kept.set_deadline(Some(std::time::Instant::now() + ms(20))).unwrap();
    assert_error(kept.accept(), ErrorKind::TimedOut);
    kept.close().unwrap();
}

/// What makes `poll` say "ready" may stay while there is nothing to read: a queue of errors. The next call waits for an event, and its timeout holds.
#[gort::test(procs = [1, 2])]
fn a_readiness_that_stays_is_not_asked_for_again_and_again() {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let on: libc::c_int = 1;
    // SAFETY: the kernel reads an int.
    let set =
        unsafe { libc::setsockopt(socket.as_raw_fd(), libc::IPPROTO_IP, libc::IP_RECVERR, (&raw const on).cast(), 4) };
    assert_eq!(set, 0);
    let nobody = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    socket.connect(nobody).unwrap();
    socket.send(b"x").unwrap();
    wait_until(|| socket.recv(&mut [0; 8]).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused));
    let watched = gort::io::Pollable::new(socket).unwrap();
    watched.set_read_timeout(Some(ms(20))).unwrap();
    let mut calls = 0;
    assert_error(watched.read_with(|socket| (calls += 1, socket.recv(&mut [0; 8])).1), ErrorKind::TimedOut);
    assert!(calls <= 3, "{calls}");
}

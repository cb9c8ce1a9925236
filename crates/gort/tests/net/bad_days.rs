//! No descriptors, signals all the time, plain threads, and what a dump shows.

use super::child;
use super::support::{
    ClosesAtTheEnd, Draws, assert_error, entry_of, forget_when_closed, listener, ms, pair, past, round_trip, scaled,
    wait_parked, wait_until, words_of,
};
use gort::io::Pollable;
use gort::net::{TcpListener, TcpStream, UnixStream};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Takes every descriptor that is left.
fn take_all_descriptors() -> Vec<File> {
    let mut files = Vec::new();
    loop {
        match File::open("/dev/null") {
            Ok(file) => files.push(file),
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
                return files;
            }
        }
    }
}

/// Out of descriptors, accept pauses, goes on when there are some again, and says so once, with the way out.
#[gort::test]
fn out_of_descriptors_accept_goes_on_later_and_says_so_once() {
    if !child::is_child() {
        let output = child::run("bad_days::out_of_descriptors_accept_goes_on_later_and_says_so_once");
        let text = String::from_utf8(output.stderr).unwrap();
        let (quiet, loud) = text.split_once("now a connection waits").expect("the child has come that far");
        assert!(!quiet.contains("gort: accept"), "{text}");
        assert_eq!(loud.matches("gort: accept on 127.0.0.1:").count(), 1, "{text}");
        assert!(
            loud.contains(&words_of(libc::EMFILE)) && loud.contains("ulimit -n") && loud.contains(" 100 "),
            "{text}"
        );
        return;
    }
    let listener = listener();
    let addr = listener.local_addr().unwrap();
    child::set_descriptor_limit(100);
    for round in 0..3 {
        let mut files = take_all_descriptors();
        gort::scope(|s| {
            let accepting = s.spawn(|| listener.accept());
            // Full, but nobody waits to be accepted: no reason to knock, or to say anything.
            wait_parked(accepting.goroutine().id(), "IO wait, read");
            gort::sleep(ms(20));
            if round == 0 {
                eprintln!("now a connection waits");
            }
            drop(files.pop());
            let client = TcpStream::connect(addr).unwrap();
            gort::sleep(ms(20));
            assert!(!accepting.is_finished(), "there was no descriptor to accept with");
            let freed_at = Instant::now();
            drop(files.pop());
            let (stream, _) = accepting.join().unwrap().unwrap();
            assert!(freed_at.elapsed() < scaled(ms(2000)));
            round_trip(&client, &stream);
        });
    }
    let mut files = take_all_descriptors();
    drop(files.pop());
    let client = TcpStream::connect(addr).unwrap();

    // The deadline and the close end the pause; without waits the caller gets the error.
    let deadline = Instant::now() + ms(30);
    listener.set_deadline(Some(deadline)).unwrap();
    assert_error(listener.accept(), ErrorKind::TimedOut);
    assert!(Instant::now() >= deadline);
    listener.set_deadline(None).unwrap();
    gort::scope(|s| {
        let accepting = s.spawn(|| listener.accept());
        wait_parked(accepting.goroutine().id(), "IO wait, read");
        listener.set_deadline(Some(past())).unwrap();
        assert_error(accepting.join().unwrap(), ErrorKind::TimedOut);
        listener.set_deadline(None).unwrap();

        let accepting = s.spawn(|| listener.accept());
        wait_parked(accepting.goroutine().id(), "IO wait, read");
        listener.set_nonblocking(true).unwrap();
        assert_eq!(accepting.join().unwrap().unwrap_err().raw_os_error(), Some(libc::EMFILE));
        assert_eq!(listener.accept().unwrap_err().raw_os_error(), Some(libc::EMFILE));
        listener.set_nonblocking(false).unwrap();

        let error = TcpStream::connect(addr).unwrap_err();
        assert!(error.to_string().contains(&words_of(libc::EMFILE)), "{error}");

        let accepting: Vec<_> = (0..3).map(|_| s.spawn(|| listener.accept())).collect();
        wait_until(|| gort::runtime::dump().matches("[IO wait, another reader,").count() == 2);
        // Long enough for the pauses to grow.
        gort::sleep(ms(200));
        let start = Instant::now();
        listener.close().unwrap();
        for one in accepting {
            assert_error(one.join().unwrap(), ErrorKind::NotConnected);
        }
        assert!(start.elapsed() < scaled(ms(500)), "the close had to wait for the pause");
    });
    drop(client);
}

/// The monitor asks the kernel for the state of threads. It has a descriptor of its own for that and does not take the program's last one.
#[gort::test]
fn the_monitor_opens_no_more_descriptors_than_it_has() {
    if !child::is_child() {
        child::run("bad_days::the_monitor_opens_no_more_descriptors_than_it_has");
        return;
    }
    let of_states = || {
        let open: Vec<_> = std::fs::read_dir("/proc/self/fd").unwrap().map(|entry| entry.unwrap().path()).collect();
        open.iter().filter(|fd| std::fs::read_link(fd).is_ok_and(|file| file.ends_with("stat"))).count()
    };
    // With nobody to look at it has one, too; but for the moments in which it changes it.
    let kept = (0..20).filter(|_| (gort::sleep(ms(1)), of_states() == 1).1).count();
    assert!(kept >= 10, "{kept} of 20");
    gort::scope(|s| {
        // Blocked without a mark, again and again, while others wait: each is looked at.
        let sleepers: Vec<_> = (0..4)
            .map(|_| s.spawn(|| (0..50).for_each(|_| (std::thread::sleep(ms(2)), gort::yield_now()).1)))
            .collect();
        while !sleepers.iter().all(|one| one.is_finished()) {
            assert!((0..20).all(|_| of_states() <= 1));
            gort::yield_now();
        }
    });
}

/// HF-06. A thread sends SIGURG and SIGCHLD to the process every 1 ms for 2 s while goroutines connect, accept, read, write and sleep, over TCP, pipes,
/// datagrams and Unix sockets. No call returns `Interrupted`; no sleep ends early.
#[gort::test(procs = [1, 2, 4])]
fn signals_all_the_time_interrupt_nothing() {
    static CAUGHT: AtomicUsize = AtomicUsize::new(0);
    static OVER: AtomicBool = AtomicBool::new(false);
    extern "C" fn count(_: libc::c_int) {
        CAUGHT.fetch_add(1, Relaxed);
    }
    fn handle(signal: libc::c_int, action: &libc::sigaction) -> libc::sigaction {
        // SAFETY: all zero is a valid `sigaction`.
        let mut before: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: both are live; the handler only adds to an atomic.
        assert_eq!(unsafe { libc::sigaction(signal, action, &raw mut before) }, 0);
        before
    }
    // SAFETY: all zero is a valid `sigaction`: the default action, and no SA_RESTART, so that calls can be interrupted.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = count as extern "C" fn(libc::c_int) as usize;
    let before = [libc::SIGURG, libc::SIGCHLD].map(|signal| (signal, handle(signal, &action)));

    OVER.store(false, Relaxed);
    let live = |what: &'static str, step: &mut dyn FnMut() -> std::io::Result<()>| {
        let mut rounds = 0_u64;
        while !OVER.load(Relaxed) {
            step().unwrap_or_else(|error| panic!("{what}: {error:?}"));
            rounds += 1;
        }
        assert!(rounds > 0);
    };
    let listener = listener();
    let addr = listener.local_addr().unwrap();
    let storm = std::thread::spawn(|| {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(2) {
            for signal in [libc::SIGURG, libc::SIGCHLD] {
                // SAFETY: signals to ourselves, both handled.
                unsafe { libc::kill(libc::getpid(), signal) };
            }
            std::thread::sleep(ms(1));
        }
    });
    gort::scope(|s| {
        s.spawn(|| {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                forget_when_closed(&stream);
                s.spawn(move || {
                    let mut buf = [0; 512];
                    loop {
                        match stream.read(&mut buf).unwrap() {
                            0 => return,
                            n => stream.write_all(&buf[..n]).unwrap(),
                        }
                    }
                });
            }
        });
        let _end = ClosesAtTheEnd(&listener);
        let mut busy = Vec::new();
        for seed in 1..=4 {
            busy.push(s.spawn(move || {
                let (mut draws, mut back) = (Draws::new(seed), [0; 512]);
                live("connect, write, read", &mut || {
                    let mut stream = TcpStream::connect(addr)?;
                    for _ in 0..4 {
                        let message = draws.bytes(512);
                        stream.write_all(&message)?;
                        stream.read_exact(&mut back)?;
                        assert!(message == back);
                    }
                    Ok(())
                });
            }));
        }
        busy.push(s.spawn(|| {
            let (mut reader, mut writer) = gort::io::pipe().unwrap();
            let ((near, far), (here, there)) = (super::udp::pair(), UnixStream::pair().unwrap());
            let watched = Pollable::new(&here).unwrap();
            live("pipes, datagrams, Unix sockets, readiness", &mut || {
                let mut back = [0; 8];
                gort::scope(|s| {
                    let sending = s.spawn(|| {
                        gort::sleep(Duration::from_micros(200));
                        writer.write_all(b"pipe")?;
                        far.send(b"datagram")?;
                        (&there).write_all(b"unix")
                    });
                    reader.read_exact(&mut back[..4])?;
                    assert_eq!(near.recv(&mut back)?, 8);
                    watched.readable()?;
                    (&here).read_exact(&mut back[..4])?;
                    sending.join().unwrap()
                })
            });
        }));
        busy.push(s.spawn(|| {
            live("sleep", &mut || {
                let (start, length) = (Instant::now(), ms(5));
                gort::sleep(length);
                assert!(start.elapsed() >= length);
                Ok(())
            });
        }));
        busy.push(s.spawn(|| {
            let (near, _far) = pair();
            live("time out", &mut || {
                let deadline = Instant::now() + ms(5);
                near.set_read_deadline(Some(deadline))?;
                assert_error((&near).read(&mut [0; 8]), ErrorKind::TimedOut);
                assert!(Instant::now() >= deadline);
                Ok(())
            });
        }));
        // A plain thread among them. Waited for elsewhere: in bound mode those that live on this thread answer it.
        let plain = std::thread::spawn(move || {
            let mut back = [0; 3];
            live("on a thread", &mut || {
                let mut stream = TcpStream::connect(addr)?;
                stream.set_read_timeout(Some(Duration::from_secs(20)))?;
                stream.write_all(b"abc")?;
                stream.read_exact(&mut back)
            });
        });
        gort::blocking_send(|| storm.join().unwrap());
        OVER.store(true, Relaxed);
        gort::blocking_send(|| plain.join().unwrap());
        for one in busy {
            one.join().unwrap();
        }
    });
    for (signal, action) in before {
        handle(signal, &action);
    }
    assert!(CAUGHT.load(Relaxed) > 100);
}

/// On plain threads the same calls block the thread: accept, read, write, timeouts, deadlines, close.
#[gort::test(procs = [1, 2, 4])]
fn plain_threads_accept_read_write_and_time_out() {
    gort::blocking_send(|| std::thread::spawn(on_plain_threads).join().unwrap());
}

fn on_plain_threads() {
    let listener = listener();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (say, heard) = std::sync::mpsc::channel();
    let waits_for = |fd: i32| {
        wait_until(|| gort::runtime::dump().contains(&format!("[IO wait, read, fd {fd},")));
    };
    std::thread::scope(|s| {
        let server = s.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut buf = [0; 1024];
            let mut total = 0;
            loop {
                match stream.read(&mut buf).unwrap() {
                    0 => break,
                    n => {
                        stream.write_all(&buf[..n]).unwrap();
                        total += n;
                    }
                }
            }
            let deadline = Instant::now() + ms(10);
            listener.set_deadline(Some(deadline)).unwrap();
            assert_error(listener.accept(), ErrorKind::TimedOut);
            assert!(Instant::now() >= deadline);
            listener.set_deadline(None).unwrap();
            say.send(()).unwrap();
            assert_error(listener.accept(), ErrorKind::NotConnected);
            total
        });
        let writer = s.spawn(|| (&client).write_all(&[9; 1 << 20]).unwrap());
        let mut back = vec![0; 1 << 20];
        (&client).read_exact(&mut back).unwrap();
        writer.join().unwrap();
        assert!(back.iter().all(|&byte| byte == 9));

        let start = Instant::now();
        client.set_read_timeout(Some(ms(20))).unwrap();
        assert_error((&client).read(&mut back), ErrorKind::TimedOut);
        assert!(start.elapsed() >= ms(20));
        client.set_read_timeout(None).unwrap();
        client.set_read_deadline(Some(Instant::now() + ms(20))).unwrap();
        assert_error((&client).read(&mut back), ErrorKind::TimedOut);
        assert!(start.elapsed() >= ms(40));
        client.set_read_deadline(None).unwrap();

        // Two threads wait in one connection; another one closes it.
        let readers = [(); 2].map(|()| s.spawn(|| (&client).read(&mut [0; 8])));
        waits_for(client.as_raw_fd());
        client.close().unwrap();
        for reader in readers {
            assert_error(reader.join().unwrap(), ErrorKind::NotConnected);
        }
        heard.recv().unwrap();
        waits_for(listener.as_raw_fd());
        listener.close().unwrap();
        assert_eq!(server.join().unwrap(), 1 << 20);
    });
}

/// A goroutine and a plain thread wait in one connection and hand each other the turn.
#[gort::test(procs = [1, 2, 4])]
fn goroutines_and_plain_threads_share_a_connection() {
    const BYTES: usize = 2000;
    let (near, far) = pair();
    let got = AtomicUsize::new(0);
    let read = || {
        while got.load(Relaxed) < BYTES {
            match (&near).read(&mut [0]) {
                Ok(1) => drop(got.fetch_add(1, Relaxed)),
                Ok(_) => return,
                Err(error) => panic!("{error}"),
            }
        }
    };
    gort::scope(|s| {
        s.spawn(read);
        s.spawn(|| {
            for _ in 0..BYTES {
                (&far).write_all(&[1]).unwrap();
            }
            wait_until(|| got.load(Relaxed) == BYTES);
            far.close().unwrap();
        });
        gort::blocking_send(|| std::thread::scope(|threads| drop(threads.spawn(read).join())));
    });
    assert_eq!(got.into_inner(), BYTES);
}

/// A dump shows who waits for which descriptor, for what, and on which line of the program.
#[gort::test(procs = [1, 2, 4])]
fn a_dump_shows_descriptor_and_line_of_whoever_waits() {
    let (near, _far) = pair();
    let fd = near.as_raw_fd();
    let listener = listener();
    let listener_fd = listener.as_raw_fd();
    let hole = TcpListener::builder().backlog(0).bind("127.0.0.1:0").unwrap();
    let hole_addr = hole.local_addr().unwrap();
    let _first = TcpStream::connect(hole_addr).unwrap();
    let expect = |id: gort::GoroutineId, state: String, line: u32| {
        wait_until(|| {
            entry_of(id).is_some_and(|entry| {
                entry.contains(&format!("[{state}")) && entry.contains(&format!("waits at {}:{line}:", file!()))
            })
        });
    };
    gort::scope(|s| {
        let (read_line, read_exact_line) = (line!() + 1, line!() + 2);
        let reader = s.spawn(|| (&near).read(&mut [0; 8]).map(drop));
        let exact = s.spawn(|| (&near).read_exact(&mut [0; 8]));
        let write_line = line!() + 1;
        let writer = s.spawn(|| (&near).write_all(&vec![0; 64 << 20]));
        let accept_line = line!() + 1;
        let accepting = s.spawn(|| listener.accept().map(drop));
        let connect_line = line!() + 3;
        let connecting = s.spawn(|| {
            // The kernel does not answer, until the listener is closed.
            TcpStream::connect(hole_addr).map(drop)
        });
        let ids = [&reader, &exact].map(|waiter| waiter.goroutine().id());
        wait_until(|| ids.iter().all(|&id| entry_of(id).is_some_and(|entry| entry.contains("[IO wait"))));
        let is_first = entry_of(ids[0]).unwrap().contains("[IO wait, read,");
        let words = |is_first| if is_first { "read" } else { "another reader" };
        expect(ids[0], format!("IO wait, {}, fd {fd}, ", words(is_first)), read_line);
        expect(ids[1], format!("IO wait, {}, fd {fd}, ", words(!is_first)), read_exact_line);
        expect(writer.goroutine().id(), format!("IO wait, write, fd {fd}, "), write_line);
        expect(accepting.goroutine().id(), format!("IO wait, read, fd {listener_fd}, "), accept_line);
        expect(connecting.goroutine().id(), "IO wait, write, fd ".to_owned(), connect_line);
        near.close().unwrap();
        listener.close().unwrap();
        for waiter in [reader, exact, writer, accepting] {
            assert_error(waiter.join().unwrap(), ErrorKind::NotConnected);
        }
        hole.close().unwrap();
        assert_error(connecting.join().unwrap(), ErrorKind::ConnectionRefused);
    });
}

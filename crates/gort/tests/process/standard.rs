//! Standard input, output and error.

use crate::child;
use crate::support::{entry_of, ms, wait_until};
use gort::io::{stderr, stdin, stdout};
use std::fs::File;
use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::Stdio;

/// Both ends of a new terminal: the one for whoever stands for the person, and the one for programs.
fn terminal() -> (File, OwnedFd) {
    // SAFETY: new descriptors, which nobody else has; the name is written into a live array.
    unsafe {
        let person = libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC);
        assert!(person >= 0 && libc::grantpt(person) == 0 && libc::unlockpt(person) == 0);
        let mut name = [0; 64];
        assert_eq!(libc::ptsname_r(person, name.as_mut_ptr(), name.len()), 0);
        let programs = libc::open(name.as_ptr(), libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC);
        assert!(programs >= 0);
        (File::from_raw_fd(person), OwnedFd::from_raw_fd(programs))
    }
}

fn flags(of: &impl AsRawFd) -> i32 {
    // SAFETY: no memory is involved.
    unsafe { libc::fcntl(of.as_raw_fd(), libc::F_GETFL) }
}

/// Reads until `text` has come.
fn expect(from: &mut impl Read, text: &str) {
    let mut heard = Vec::new();
    while !String::from_utf8_lossy(&heard).contains(text) {
        let mut some = [0; 256];
        let count = from.read(&mut some).unwrap();
        assert!(count > 0, "{text:?} has not come, but {:?}", String::from_utf8_lossy(&heard));
        heard.extend_from_slice(&some[..count]);
    }
}

/// Waits until a goroutine is parked at a descriptor, for reading.
fn wait_parked(id: gort::GoroutineId) {
    let is_parked = |entry: String| entry.contains("[IO wait, read,");
    wait_until(|| entry_of(&gort::runtime::dump(), &id.to_string()).is_some_and(is_parked));
}

/// What reads lines here: parked, and says each in capitals.
fn shout() {
    let reading = gort::go(|| -> io::Result<()> {
        for line in stdin().lines() {
            writeln!(stdout(), "<{}>", line?.to_uppercase())?;
        }
        writeln!(stdout(), "the end")
    });
    wait_parked(reading.goroutine().id());
    writeln!(stdout(), "it is parked").unwrap();
    reading.join().unwrap().unwrap();
}

const PROCS: [&str; 3] = ["1", "2", "4"];

/// A terminal that somebody else has open too, as a shell has: who reads it parks, and its open file keeps its flags.
#[test]
fn a_terminal_parks_its_reader_and_keeps_its_flags() {
    let this = child::of(|_| {
        assert!(stdin().is_terminal() && stdout().is_terminal() && stdout().lock().is_terminal());
        shout();
    });
    for procs in PROCS {
        let (mut person, programs) = terminal();
        let before = flags(&programs);
        let stream = || Stdio::from(programs.try_clone().unwrap());
        let running = this.case("").env("GORT_MAXPROCS", procs).start_with(stream(), stream());
        expect(&mut person, "it is parked");
        assert_eq!(flags(&programs), before);
        person.write_all(b"hello\n").unwrap();
        expect(&mut person, "<HELLO>");
        assert_eq!(flags(&programs), before);
        // Ctrl-D.
        person.write_all(b"\x04").unwrap();
        expect(&mut person, "the end");
        assert_eq!(flags(&programs), before);
        running.wait().exited(0);
    }
}

/// Pipes and sockets park as well, and keep their flags.
#[test]
fn pipes_and_sockets_park_their_readers_and_keep_their_flags() {
    let this = child::of(|_| shout());
    for procs in PROCS {
        let (reader, mut writer) = io::pipe().unwrap();
        let (mut answers, output) = io::pipe().unwrap();
        let (seen, seen_out) = (reader.try_clone().unwrap(), output.try_clone().unwrap());
        let running = this.case("").env("GORT_MAXPROCS", procs).start_with(reader.into(), output.into());
        expect(&mut answers, "it is parked");
        writer.write_all(b"hello\n").unwrap();
        expect(&mut answers, "<HELLO>");
        drop(writer);
        expect(&mut answers, "the end");
        assert_eq!((flags(&seen) & libc::O_NONBLOCK, flags(&seen_out) & libc::O_NONBLOCK), (0, 0));
        drop(seen_out);
        running.wait().exited(0);

        let (mut near, far) = std::os::unix::net::UnixStream::pair().unwrap();
        let clone = || Stdio::from(OwnedFd::from(far.try_clone().unwrap()));
        let running = this.case("").env("GORT_MAXPROCS", procs).start_with(clone(), clone());
        expect(&mut near, "it is parked");
        near.write_all(b"hello\n").unwrap();
        expect(&mut near, "<HELLO>");
        near.shutdown(std::net::Shutdown::Write).unwrap();
        expect(&mut near, "the end");
        assert_eq!(flags(&far) & libc::O_NONBLOCK, 0);
        running.wait().exited(0);
    }
}

/// Files and `/dev/null`, which epoll refuses: read from where the file's cursor is, and written to its end if it is appended to.
#[test]
fn files_and_null_are_read_and_written() {
    let this = child::of(|case| {
        let is_null = case == "null";
        gort::go(move || {
            let mut line = String::new();
            assert_eq!(stdin().read_line(&mut line).unwrap(), if is_null { 0 } else { 4 });
            let mut rest = String::new();
            stdin().read_to_string(&mut rest).unwrap();
            write!(stdout(), "{line}{rest}").unwrap();
            stderr().write_all(b"an error\n").unwrap();
        })
        .join()
        .unwrap();
    });
    let path = std::env::temp_dir().join(format!("gort-standard-{}", std::process::id()));
    std::fs::write(&path, "skipped\none\ntwo\n").unwrap();
    let mut input = File::open(&path).unwrap();
    input.read_exact(&mut [0; 8]).unwrap();
    let output = File::options().append(true).open(&path).unwrap();
    this.case("").start_with(input.into(), output.into()).wait().exited(0).says("an error");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("skipped\none\ntwo\n") && text.contains("one\ntwo\n"), "{text:?}");
    assert_eq!(text.matches("one\ntwo\n").count(), 2, "{text:?}");
    std::fs::remove_file(path).unwrap();
    this.case("null").start_with(Stdio::null(), Stdio::null()).wait().exited(0).says("an error");
}

/// Started without standard input and output, it has an empty one and one that takes everything.
#[test]
fn closed_streams_are_empty_and_take_everything() {
    let this = child::of(|_| {
        gort::go(|| {
            assert_eq!(stdin().read(&mut [0; 8]).unwrap(), 0);
            assert!(stdin().lines().next().is_none());
            stdout().write_all(b"nobody reads this").unwrap();
        })
        .join()
        .unwrap();
    });
    this.case("").without_descriptor(0).without_descriptor(1).run().exited(0);
}

/// Output that nobody reads any more is an error and no signal; the end of a context ends a wait for input, and what comes later is not lost.
#[test]
fn an_end_of_the_reader_and_of_a_context() {
    let this = child::of(|_| {
        let reading = || {
            let (ctx, _) = gort::context::background().with_timeout(ms(5));
            let error = ctx.run(|| stdin().read_line(&mut String::new())).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            let held = stdin().lock();
            let error = ctx.run(|| stdin().read(&mut [0])).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            drop(held);
            eprintln!("ready");
            let mut line = String::new();
            stdin().read_line(&mut line).unwrap();
            assert_eq!(line, "later\n");
            wait_until(|| writeln!(stdout(), "x").is_err_and(|error| error.kind() == ErrorKind::BrokenPipe));
        };
        gort::go(reading).join().unwrap();
        std::thread::spawn(|| assert_eq!(stdin().lock().lines().next().unwrap().unwrap(), "for a thread"))
            .join()
            .unwrap();
    });
    let (reader, mut writer) = io::pipe().unwrap();
    let (answers, output) = io::pipe().unwrap();
    let mut running = this.case("").start_with(reader.into(), output.into());
    running.wait_for_error("ready\n");
    drop(answers);
    writer.write_all(b"later\nfor a thread\n").unwrap();
    running.wait().exited(0);
}

/// The person's side of a terminal is not opened again, which would be a new terminal; and a terminal that is set to give up by itself does.
#[test]
fn a_terminal_is_the_one_it_was() {
    let this = child::of(|case| {
        let read = || {
            let mut buf = [0; 8];
            let count = stdin().read(&mut buf).unwrap();
            String::from_utf8_lossy(&buf[..count]).into_owned()
        };
        assert_eq!(gort::go(read).join().unwrap(), case);
    });
    for procs in PROCS {
        let (person, programs) = terminal();
        raw_with_timer(&programs);
        this.case("").env("GORT_MAXPROCS", procs).start_with(programs.into(), Stdio::null()).wait().exited(0);
        drop(person);
        let (person, programs) = terminal();
        raw_with_timer(&programs);
        File::from(programs.try_clone().unwrap()).write_all(b"hello").unwrap();
        this.case("hello").env("GORT_MAXPROCS", procs).start_with(person.into(), Stdio::null()).wait().exited(0);
    }
}

/// Bytes pass as they are, and a read gives up after a tenth of a second.
fn raw_with_timer(terminal: &OwnedFd) {
    // SAFETY: all-zero settings are valid, and the calls read and write live ones.
    unsafe {
        let mut settings: libc::termios = std::mem::zeroed();
        assert_eq!(libc::tcgetattr(terminal.as_raw_fd(), &raw mut settings), 0);
        libc::cfmakeraw(&raw mut settings);
        (settings.c_cc[libc::VMIN], settings.c_cc[libc::VTIME]) = (0, 1);
        assert_eq!(libc::tcsetattr(terminal.as_raw_fd(), libc::TCSANOW, &raw const settings), 0);
    }
}

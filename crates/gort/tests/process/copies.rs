//! Copies by the kernel, and without it.

use crate::child;
use crate::support::{refuse_system_calls, set_limit};
use gort::net::{TcpListener, TcpStream};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::ptr::null_mut;

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (near, listener.accept().unwrap().0)
}

/// NT-20. A copy from a file or socket to a socket is the kernel's: what the kernel says of it is the copy's error. One that does not know such calls, as a
/// container's filter pretends, leaves it to reads and writes.
#[test]
fn a_copy_is_the_kernels_where_it_can() {
    let this = child::of(|case| {
        let copy = move || {
            let errno = if case == "forbidden" { libc::EPERM } else { libc::ENOSYS };
            let ((mut source, mut from), (mut to, mut sink)) = (pair(), pair());
            let text = std::fs::read("Cargo.toml").unwrap();
            source.write_all(b"hello").unwrap();
            drop(source);
            refuse_system_calls(&[libc::SYS_sendfile, libc::SYS_splice], errno);
            let mut file = gort::fs::File::open("Cargo.toml").unwrap();
            let copies = [gort::io::copy(&mut from, &mut to), gort::io::copy(&mut file, &mut to)];
            if case == "forbidden" {
                copies.into_iter().for_each(|copy| assert_eq!(copy.unwrap_err().kind(), ErrorKind::PermissionDenied));
                return;
            }
            assert_eq!(copies.map(Result::unwrap), [5, text.len() as u64]);
            drop(to);
            let mut received = Vec::new();
            sink.read_to_end(&mut received).unwrap();
            assert_eq!(received, [b"hello", &text[..]].concat());
        };
        gort::scope(|s| s.spawn(copy).join().unwrap());
    });
    for case in ["forbidden", "unknown"] {
        this.run(case).exited(0);
    }
}

/// Without a descriptor for the pipe between two sockets the bytes are read and written.
#[test]
fn two_sockets_are_copied_at_the_limit_of_descriptors() {
    let this = child::of(|_| {
        let copy = || {
            let ((mut source, mut from), (mut to, mut sink)) = (pair(), pair());
            source.write_all(b"hello").unwrap();
            drop(source);
            // Those that are open stay so.
            set_limit(libc::RLIMIT_NOFILE, 3);
            assert_eq!(gort::io::copy(&mut from, &mut to).unwrap(), 5);
            drop(to);
            let mut received = String::new();
            sink.read_to_string(&mut received).unwrap();
            assert_eq!(received, "hello");
        };
        gort::scope(|s| s.spawn(copy).join().unwrap());
    });
    this.run("").exited(0);
}

/// A terminal waits for a person: a copy from one has no turn of those that wait for a disk.
#[test]
fn a_copy_from_a_terminal_takes_no_turn_at_the_disk() {
    let this = child::of(|_| {
        let (mut master, mut slave) = (0, 0);
        // SAFETY: two places for numbers; what is null is not looked at.
        assert_eq!(unsafe { libc::openpty(&raw mut master, &raw mut slave, null_mut(), null_mut(), null_mut()) }, 0);
        // SAFETY: two new descriptors, which nobody else has.
        let (mut master, slave) = unsafe { (std::fs::File::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) };
        let (mut reader, mut writer) = gort::io::pipe().unwrap();
        let slave = gort::fs::File::from(std::fs::File::from(slave));
        master.write_all(b"hello\n").unwrap();
        assert_eq!(gort::io::copy(&mut slave.take(6), &mut writer).unwrap(), 6);
        drop(writer);
        // Nobody else here has taken one.
        assert!(gort::runtime::blocking_classes().iter().all(|class| class.name != "gort::fs" || class.entered == 0));
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello\n");
    });
    this.run("").exited(0);
}

//! Copies by the kernel, and without it.

use crate::child;
use crate::support::refuse_system_calls;
use gort::net::{TcpListener, TcpStream};
use std::io::{ErrorKind, Read, Write};

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

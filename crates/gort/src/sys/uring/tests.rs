use super::{Refusal, Ring, Sqe};
use crate::sys::eventfd::EventFd;
use crate::sys::file::At;
use crate::sys::raw::Errno;
use std::os::fd::AsRawFd;

/// `None`: io_uring cannot be had here, which other tests are about.
fn ring(entries: u32, results: u32) -> Option<Ring> {
    Ring::new(entries, results).ok()
}

/// Submits and reaps until there are `count` results, in order of their words.
fn results(ring: &mut Ring, count: usize) -> Vec<(u64, i32)> {
    let mut all = Vec::new();
    while all.len() < count {
        ring.enter(1).unwrap();
        ring.reap(|word, result| all.push((word, result)));
    }
    all.sort_unstable();
    all
}

#[test]
fn a_file_is_read_and_written_and_synced() {
    let Some(mut ring) = ring(4, 8) else { return };
    let path = std::env::temp_dir().join(format!("gort-uring-{}", std::process::id()));
    let file = std::fs::File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let fd = file.as_raw_fd();
    // SAFETY: the buffers and the file outlive the results.
    unsafe {
        assert!(ring.push(Sqe::write(fd, At::Cursor, b"hello".as_ptr(), 5).with(1)));
        assert_eq!(results(&mut ring, 1), [(1, 5)]);
        assert!(ring.push(Sqe::write(fd, At::Cursor, b", disk".as_ptr(), 6).with(2)));
        assert_eq!(results(&mut ring, 1), [(2, 6)]);
        let mut text = [0; 16];
        assert!(ring.push(Sqe::read(fd, At::Offset(0), text.as_mut_ptr(), 16).with(3)));
        assert!(ring.push(Sqe::sync(fd, false).with(4)) && ring.push(Sqe::sync(fd, true).with(5)));
        assert_eq!(results(&mut ring, 3), [(3, 11), (4, 0), (5, 0)]);
        assert_eq!(&text[..11], b"hello, disk");
        assert!(ring.push(Sqe::read(-1, At::Offset(0), text.as_mut_ptr(), 16).with(6)));
        assert_eq!(results(&mut ring, 1), [(6, -libc::EBADF)]);
    }
}

/// A queue that is full says so, and takes more when it has been handed in; results without room come all the same, each once.
#[test]
fn full_queues_lose_nothing() {
    let Some(mut ring) = ring(4, 4) else { return };
    let file = std::fs::File::open("/proc/self/exe").unwrap();
    let mut bytes = [[0_u8; 16]; 64];
    let mut refused = 0;
    for (n, buf) in bytes.iter_mut().enumerate() {
        // SAFETY: the buffers and the file outlive the results.
        while unsafe { !ring.push(Sqe::read(file.as_raw_fd(), At::Offset(0), buf.as_mut_ptr(), 16).with(n as u64 + 1)) }
        {
            refused += 1;
            // Without reaping: 64 results for a queue of 4 or 8. Later calls may be refused until they are reaped.
            let mut before = Vec::new();
            ring.enter(0).unwrap();
            if refused % 5 == 0 {
                ring.reap(|word, result| before.push((word, result)));
            }
            assert!(before.iter().all(|(_, result)| *result == 16));
            // Counted below.
            bytes_done(before.len());
        }
    }
    assert!(refused >= 64 / 4 - 1);
    let reaped = bytes_done(0);
    let rest = results(&mut ring, 64 - reaped);
    assert_eq!(rest.len() + reaped, 64);
    assert!(rest.iter().all(|(_, result)| *result == 16));
    assert!(bytes.iter().all(|buf| buf.starts_with(b"\x7fELF")));
}

fn bytes_done(more: usize) -> usize {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    static DONE: AtomicUsize = AtomicUsize::new(0);
    DONE.fetch_add(more, Relaxed) + more
}

#[test]
fn what_waits_is_cancelled_and_what_is_over_is_not() {
    let Some(mut ring) = ring(4, 8) else { return };
    let bell = EventFd::new().unwrap();
    let mut word = 0_u64;
    let waits = Sqe::read(bell.raw(), At::Cursor, (&raw mut word).cast(), 8).with(1);
    // SAFETY: the word and the descriptor outlive the results.
    unsafe {
        assert!(ring.push(waits));
        assert!(ring.push(Sqe::cancel(waits).with(2)));
        assert_eq!(results(&mut ring, 2), [(1, -libc::ECANCELED), (2, 0)]);
        assert!(ring.push(waits));
        bell.tell();
        assert_eq!(results(&mut ring, 1), [(1, 8)]);
        assert!(ring.push(Sqe::cancel(waits).with(2)));
        assert_eq!(results(&mut ring, 1), [(2, -libc::ENOENT)]);
    }
    assert_eq!(word, 1);
}

/// Who has closed a ring knows that the kernel is gone from what its operations point to: what waits is cancelled, and what comes later goes elsewhere.
#[test]
fn a_closed_ring_is_gone_from_its_operations() {
    let Some(mut ring) = ring(4, 8) else { return };
    let bell = EventFd::new().unwrap();
    let mut word = 0_u64;
    let file = std::fs::File::open("/proc/self/exe").unwrap();
    let mut bytes = [0_u8; 16];
    // SAFETY: the memory and the descriptors outlive the operations: that is what is tested.
    unsafe {
        assert!(ring.push(Sqe::read(bell.raw(), At::Cursor, (&raw mut word).cast(), 8).with(1)));
        assert!(ring.push(Sqe::read(file.as_raw_fd(), At::Offset(0), bytes.as_mut_ptr(), 16).with(2)));
        ring.enter(0).unwrap();
        // Not handed in.
        assert!(ring.push(Sqe::read(bell.raw(), At::Cursor, (&raw mut word).cast(), 8).with(3)));
    }
    ring.close().unwrap();
    bell.tell();
    let mut buf = [std::mem::MaybeUninit::new(0); 8];
    // SAFETY: the descriptor is open.
    let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(bell.raw()) };
    assert_eq!(crate::sys::file::read(fd, At::Cursor, &mut buf), Ok(8));
    assert_eq!(word, 0, "read by an operation of a closed ring");
}

#[test]
fn a_refusal_says_what_was_refused() {
    let refused = Ring::new(0, 0).unwrap_err();
    assert!(matches!(refused, Refusal::Call("io_uring_setup", _)), "{refused}");
    assert!(
        Refusal::Call("io_uring_setup", Errno::PERM).to_string().starts_with("io_uring_setup: Operation not permitted")
    );
    assert!(Refusal::Lacks("IORING_FEAT_NODROP").to_string().contains("no IORING_FEAT_NODROP"));
    assert!(Refusal::Call("io_uring_setup", Errno::MFILE).is_momentary());
    assert!(!Refusal::Call("io_uring_setup", Errno::PERM).is_momentary());
}

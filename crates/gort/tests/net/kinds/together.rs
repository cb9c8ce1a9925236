//! Many at once.

use super::{End, for_kinds};
use crate::support::{Draws, ms, past, wait_until};
use std::time::Instant;

for_kinds!(tcp: TcpStream, unix: UnixStream, pipes: Pipes, duplex: DuplexStream; [
    all_methods_may_be_called_at_once,
    a_hang_up_wakes_all,
    writes_that_fit_do_not_mix,
]);

for_kinds!(tcp_sides: TcpStream, unix_sides: UnixStream, pipes_sides: Pipes; [
    one_sides_readiness_leaves_the_other_side_parked,
]);

/// NT-08. 100 times 7 goroutines call read, write, the three deadline setters, local and peer address at once; then the stream is brought in
/// step again, and a round trip works.
fn all_methods_may_be_called_at_once<E: End>() {
    let (near, far) = E::pair();
    gort::scope(|s| {
        s.spawn(|| {
            let mut buf = [0; 1024];
            while let Ok(n @ 1..) = far.read(&mut buf) {
                if far.write_all(&buf[..n]).is_err() {
                    return;
                }
            }
        });
        gort::scope(|s| {
            for _ in 0..100 {
                s.spawn(|| drop(near.read(&mut [0; 1024])));
                s.spawn(|| drop(near.write(&[0; 1024])));
                s.spawn(|| near.set_deadline(Some(Instant::now() + ms(10))).unwrap());
                s.spawn(|| near.set_read_deadline(Some(past())).unwrap());
                s.spawn(|| near.set_write_deadline(Some(past())).unwrap());
                s.spawn(|| near.ask());
                s.spawn(|| near.ask());
            }
        });
        near.set_deadline(None).unwrap();
        let mark = Draws::new(77).bytes(32);
        gort::scope(|s| {
            s.spawn(|| near.write_all(&mark).unwrap());
            let (mut seen, mut byte) = (Vec::new(), [0]);
            while !seen.ends_with(&mark) {
                near.read_exact(&mut byte).unwrap();
                seen.push(byte[0]);
            }
            assert!(seen[..seen.len() - mark.len()].iter().all(|&byte| byte == 0));
        });
        near.write_all(b"ping").unwrap();
        let mut back = [0; 4];
        near.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"ping");
        near.close().unwrap();
    });
}

/// NT-24. A hang-up wakes all, readers and writers.
fn a_hang_up_wakes_all<E: End>() {
    let (near, far) = E::narrow_pair();
    near.fill();
    gort::scope(|s| {
        let readers: Vec<_> = (0..3).map(|_| s.spawn(|| near.read(&mut [0]))).collect();
        let writers: Vec<_> = (0..3).map(|_| s.spawn(|| near.write_all(&[0; 1 << 20]))).collect();
        let ids: Vec<_> = (readers.iter().map(|one| one.goroutine().id()))
            .chain(writers.iter().map(|one| one.goroutine().id()))
            .collect();
        wait_until(|| {
            ids.iter()
                .all(|&id| crate::support::entry_of(id).is_some_and(|entry| entry.to_lowercase().contains("wait")))
        });
        drop(far);
        for reader in readers {
            // TCP: what was never read makes it a reset, which the first one to ask gets.
            drop(reader.join().unwrap());
        }
        for writer in writers {
            assert!(writer.join().unwrap().is_err());
        }
    });
}

/// NT-25. What several write at once does not mix, as long as each write is taken whole.
fn writes_that_fit_do_not_mix<E: End>() {
    const MESSAGES: usize = 50;
    let (near, far) = E::pair();
    gort::scope(|s| {
        for mark in 1..=4_u8 {
            let near = &near;
            s.spawn(move || {
                for _ in 0..MESSAGES {
                    assert_eq!(near.write(&[mark; 100]).unwrap(), 100);
                }
            });
        }
        let (mut message, mut counts) = ([0; 100], [0; 5]);
        for _ in 0..4 * MESSAGES {
            far.read_exact(&mut message).unwrap();
            assert!(message.iter().all(|&byte| byte == message[0]), "{message:?}");
            counts[usize::from(message[0])] += 1;
        }
        assert_eq!(counts, [0, MESSAGES, MESSAGES, MESSAGES, MESSAGES]);
    });
}

/// NT-24. Several wait for reading and for writing on one connection; what happens on one side wakes that side only.
fn one_sides_readiness_leaves_the_other_side_parked<E: End>() {
    let (near, far) = E::narrow_pair();
    let filled = near.fill();
    gort::scope(|s| {
        let read = |_| s.spawn(|| near.read(&mut [0]).map(drop));
        let mut readers: Vec<_> = (0..3).map(read).collect();
        // More than the buffers have room for, each.
        let writers: Vec<_> = (0..3).map(|_| s.spawn(|| near.write_all(&[0x55; 1 << 20]))).collect();
        let parked = |words: &str| gort::runtime::dump().matches(&format!("[IO wait, {words},")).count();
        wait_until(|| parked("read") == 1 && parked("another reader") == 2);
        wait_until(|| parked("write") == 1 && parked("another writer") == 2);

        // A byte for the readers: one of them ends, the writers stay where they are.
        far.write_all(b"x").unwrap();
        wait_until(|| readers.iter().any(|reader| reader.is_finished()));
        let ended = readers.iter().position(|reader| reader.is_finished()).unwrap();
        readers.remove(ended).join().unwrap().unwrap();
        wait_until(|| parked("read") == 1 && parked("another reader") == 1);
        assert!(writers.iter().all(|writer| !writer.is_finished()));
        // They may have gained a few bytes by the acknowledgement that the byte carried.
        wait_until(|| parked("write") == 1 && parked("another writer") == 2);

        // Room for the writers: they get on, the readers stay where they are.
        let mut rest = vec![0; filled + 3 * (1 << 20)];
        far.read_exact(&mut rest).unwrap();
        assert!(rest.iter().all(|&byte| byte == 0x55));
        for writer in writers {
            writer.join().unwrap().unwrap();
        }
        wait_until(|| parked("read") == 1 && parked("another reader") == 1);
        assert!(readers.iter().all(|reader| !reader.is_finished()));
        far.close().unwrap();
        for reader in readers {
            reader.join().unwrap().unwrap();
        }
    });
}

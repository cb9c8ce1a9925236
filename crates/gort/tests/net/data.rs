//! Bytes go through as they are: streams of them, messages, many connections, pieces, clones.

use super::support::{
    ClosesAtTheEnd, Draws, assert_error, checksum, forget_when_closed, listener, pair, round_trip, rounds, wait_parked,
};
use gort::net::{Shutdown, TcpStream};
use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};

/// NT-17. Two connections with 10,000 echoed messages of 512 bytes each, both sides in goroutines.
#[gort::test(procs = [1, 2, 4], timeout = "120s")]
fn ten_thousand_messages_are_echoed_on_two_connections() {
    gort::scope(|s| {
        for connection in 0..2 {
            let (mut near, mut far) = pair();
            s.spawn(move || {
                let mut buf = [0; 512];
                while far.read_exact(&mut buf).is_ok() {
                    far.write_all(&buf).unwrap();
                }
            });
            s.spawn(move || {
                let mut draws = Draws::new(100 + connection);
                let mut back = [0; 512];
                for _ in 0..rounds(10_000) {
                    let message = draws.bytes(512);
                    near.write_all(&message).unwrap();
                    near.read_exact(&mut back).unwrap();
                    assert!(message == back);
                }
            });
        }
    });
}

/// A thousand connections at once echo; every answer's content is checked.
#[gort::test(procs = [1, 2, 4], timeout = "120s")]
fn a_thousand_connections_echo_at_the_same_time() {
    const CONNECTIONS: usize = 1000;
    super::child::raise_descriptor_limit();
    let listener = listener();
    let addr = listener.local_addr().unwrap();
    gort::scope(|s| {
        s.spawn(|| {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                s.spawn(move || {
                    let mut buf = [0; 1024];
                    loop {
                        match stream.read(&mut buf).unwrap() {
                            0 => return,
                            n => stream.write_all(&buf[..n]).unwrap(),
                        }
                    }
                });
            }
        });
        let clients: Vec<_> = (0..CONNECTIONS)
            .map(|client| {
                s.spawn(move || {
                    let mut stream = TcpStream::connect(addr).unwrap();
                    forget_when_closed(&stream);
                    let mut draws = Draws::new(7919 * client as u64);
                    let (mut sent, mut received) = (Vec::new(), Vec::new());
                    for _ in 0..5 {
                        let length = 1 + draws.below(700);
                        let message = draws.bytes(length);
                        stream.write_all(&message).unwrap();
                        let mut back = vec![0; message.len()];
                        stream.read_exact(&mut back).unwrap();
                        sent.extend(message);
                        received.extend(back);
                    }
                    stream.shutdown(Shutdown::Write).unwrap();
                    assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0);
                    assert_eq!(checksum(&received), checksum(&sent), "client {client}");
                })
            })
            .collect();
        let _end = ClosesAtTheEnd(&listener);
        for client in clients {
            client.join().unwrap();
        }
    });
}

#[gort::test(procs = [1, 2, 4])]
fn pieces_are_sent_and_received_in_order() {
    let (mut near, mut far) = pair();
    let sent = near.write_vectored(&[IoSlice::new(b"one"), IoSlice::new(b""), IoSlice::new(b"two")]).unwrap();
    assert_eq!(sent, 6);
    let (mut first, mut none, mut second) = ([0; 2], [], [0; 10]);
    wait_for(&far, 6);
    let pieces = &mut [IoSliceMut::new(&mut first), IoSliceMut::new(&mut none), IoSliceMut::new(&mut second)];
    assert_eq!(far.read_vectored(pieces).unwrap(), 6);
    assert_eq!((&first, &second[..4]), (b"on", &b"etwo"[..]));
    // A short read came before: the next one has to wait, and wakes.
    gort::scope(|s| {
        let reader = s.spawn(|| {
            let mut buf = [0; 10];
            let n = far.read_vectored(&mut [IoSliceMut::new(&mut buf)]).unwrap();
            buf[..n].to_vec()
        });
        wait_parked(reader.goroutine().id(), "IO wait, read");
        near.write_all(b"three").unwrap();
        assert_eq!(reader.join().unwrap(), b"three");
    });
}

/// More pieces than the kernel takes at once, all of them filled: what is left must be found without another event.
#[gort::test(procs = [1, 2, 4])]
fn more_pieces_than_the_kernel_takes_do_not_stop_a_reader() {
    let (mut near, mut far) = pair();
    near.write_all(&[7; 3000]).unwrap();
    wait_for(&far, 3000);
    let mut bytes = vec![0_u8; 2000];
    let mut pieces: Vec<_> = bytes.chunks_mut(1).map(IoSliceMut::new).collect();
    assert_eq!(far.read_vectored(&mut pieces).unwrap(), 1024);
    let mut rest = vec![0; 1976];
    far.read_exact(&mut rest).unwrap();
    assert!(rest.iter().all(|&byte| byte == 7));
}

fn wait_for(stream: &TcpStream, count: usize) {
    let mut buf = vec![0; count];
    super::support::wait_until(|| stream.peek(&mut buf).unwrap() == count);
}

/// NT-22. Two goroutines read from two clones of one connection; both make progress.
#[gort::test(procs = [1, 2, 4])]
fn two_clones_read_and_both_get_on() {
    let (mut near, far) = pair();
    let clone = far.try_clone().unwrap();
    let read_one = |mut stream: TcpStream| {
        gort::go(move || {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            byte[0]
        })
    };
    let readers = [read_one(far), read_one(clone)];
    for reader in &readers {
        wait_parked(reader.goroutine().id(), "IO wait, read");
    }
    near.write_all(&[1]).unwrap();
    near.write_all(&[2]).unwrap();
    let mut got = readers.map(|reader| reader.join().unwrap());
    got.sort_unstable();
    assert_eq!(got, [1, 2]);
}

/// NT-22. Two goroutines write to two clones of one connection; both make progress, and no write is torn that fits the buffers.
#[gort::test(procs = [1, 2, 4])]
fn two_clones_write_and_both_get_on() {
    const MESSAGES: usize = 200;
    let (near, mut far) = pair();
    let clone = near.try_clone().unwrap();
    let writers: Vec<_> = [(near, 1_u8), (clone, 2)]
        .into_iter()
        .map(|(mut stream, mark)| {
            gort::go(move || {
                for _ in 0..MESSAGES {
                    stream.write_all(&[mark; 100]).unwrap();
                }
            })
        })
        .collect();
    let (mut message, mut counts) = ([0; 100], [0; 3]);
    for _ in 0..2 * MESSAGES {
        far.read_exact(&mut message).unwrap();
        assert!(message.iter().all(|&byte| byte == message[0]));
        counts[usize::from(message[0])] += 1;
    }
    assert_eq!(counts, [0, MESSAGES, MESSAGES]);
    assert_eq!(far.read(&mut message).unwrap(), 0);
    for writer in writers {
        writer.join().unwrap();
    }
}

/// NT-22. Two goroutines accept on two clones of one listener; both make progress.
#[gort::test(procs = [1, 2, 4])]
fn two_clones_accept_and_both_get_on() {
    let first = listener();
    let addr = first.local_addr().unwrap();
    let second = first.try_clone().unwrap();
    let accepting = [first, second].map(|listener| gort::go(move || listener.accept().unwrap().1));
    for one in &accepting {
        wait_parked(one.goroutine().id(), "IO wait, read");
    }
    let clients = [TcpStream::connect(addr).unwrap(), TcpStream::connect(addr).unwrap()];
    let mut peers = accepting.map(|one| one.join().unwrap());
    let mut expected = clients.map(|client| client.local_addr().unwrap());
    peers.sort_unstable();
    expected.sort_unstable();
    assert_eq!(peers, expected);
}

/// NT-22. Closing one clone leaves the other usable, also with somebody parked in the one that closes.
#[gort::test(procs = [1, 2, 4])]
fn closing_one_clone_leaves_the_other_usable() {
    let (near, far) = pair();
    let clone = near.try_clone().unwrap();
    gort::scope(|s| {
        let reader = s.spawn(|| (&clone).read(&mut [0; 8]));
        wait_parked(reader.goroutine().id(), "IO wait, read");
        clone.close().unwrap();
        assert_error(reader.join().unwrap(), ErrorKind::NotConnected);
    });
    round_trip(&near, &far);
    let clone = near.try_clone().unwrap();
    drop(near);
    round_trip(&clone, &far);
}

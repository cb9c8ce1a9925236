//! Bytes go through as they are.

use super::{Bytes, End, for_kinds};
use crate::support::{Draws, ms};
use std::io;

for_kinds!(tcp: TcpStream, unix: UnixStream, pipes: Pipes, duplex: DuplexStream; [
    a_mebibyte_in_chunks_arrives_as_it_was_sent,
    a_counter_bounces_to_a_thousand,
    reading_into_an_empty_buffer_returns_at_once_and_consumes_nothing,
    two_bytes_with_a_pause_both_arrive_through_a_copy,
]);

/// NT-01. A mebibyte of random bytes in chunks goes one way; then both ends close. The bytes are equal, both closes succeed.
fn a_mebibyte_in_chunks_arrives_as_it_was_sent<E: End>() {
    let (near, far) = E::pair();
    let sent = Draws::new(11).bytes(1 << 20);
    let received = gort::scope(|s| {
        s.spawn(|| {
            let (mut draws, mut left) = (Draws::new(12), &sent[..]);
            while !left.is_empty() {
                let (chunk, rest) = left.split_at((1 + draws.below(8192)).min(left.len()));
                near.write_all(chunk).unwrap();
                left = rest;
            }
            near.close().unwrap();
        });
        let mut received = Vec::new();
        let (mut draws, mut buf) = (Draws::new(13), vec![0; 16384]);
        loop {
            let room = 1 + draws.below(buf.len());
            match far.read(&mut buf[..room]).unwrap() {
                0 => break,
                n => received.extend_from_slice(&buf[..n]),
            }
        }
        far.close().unwrap();
        received
    });
    assert!(received == sent, "{} of {} bytes, checksums differ", received.len(), sent.len());
}

/// NT-02. Two ends bounce a counter to 1000 in messages of 8 bytes; each sees steps of 2.
fn a_counter_bounces_to_a_thousand<E: End>() {
    fn bounce<E: End>(stream: &E) {
        let (mut buf, mut last) = ([0; 8], None);
        loop {
            stream.read_exact(&mut buf).unwrap();
            let count = u64::from_le_bytes(buf);
            if let Some(last) = last {
                assert_eq!(count, last + 2);
            }
            last = Some(count);
            if count == 1000 {
                return;
            }
            stream.write_all(&(count + 1).to_le_bytes()).unwrap();
            if count + 1 == 1000 {
                return;
            }
        }
    }
    let (near, far) = E::pair();
    gort::scope(|s| {
        s.spawn(|| bounce(&far));
        near.write_all(&0_u64.to_le_bytes()).unwrap();
        bounce(&near);
    });
}

/// NT-19. Reading a stream into an empty buffer gives `Ok(0)` at once and consumes nothing.
fn reading_into_an_empty_buffer_returns_at_once_and_consumes_nothing<E: End>() {
    let (near, far) = E::pair();
    assert_eq!(near.read(&mut []).unwrap(), 0);
    assert_eq!(near.write(&[]).unwrap(), 0);
    gort::scope(|s| {
        s.spawn(|| far.write_all(b"whole").unwrap());
        let mut buf = [0; 5];
        near.read_exact(&mut buf[..1]).unwrap();
        assert_eq!(near.read(&mut []).unwrap(), 0);
        near.read_exact(&mut buf[1..]).unwrap();
        assert_eq!(&buf, b"whole");
    });
}

/// NT-25. Two writes of one byte, 100 ms apart, both arrive through a copy from one stream into another.
fn two_bytes_with_a_pause_both_arrive_through_a_copy<E: End>() {
    let ((source, from), (to, sink)) = (E::pair(), E::pair());
    gort::scope(|s| {
        s.spawn(|| {
            let copied = io::copy(&mut Bytes(&from), &mut Bytes(&to)).unwrap();
            assert_eq!(copied, 2);
            to.close().unwrap();
        });
        s.spawn(|| {
            source.write_all(b"a").unwrap();
            gort::sleep(ms(100));
            source.write_all(b"b").unwrap();
            source.close().unwrap();
        });
        assert_eq!(sink.read_to_end().unwrap(), b"ab");
    });
}

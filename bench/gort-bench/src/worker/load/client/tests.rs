use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

use super::*;

/// A server for one connection that changes what it echoes.
fn server(change: impl Fn(&mut Vec<u8>) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut message = vec![0; MESSAGE];
        while stream.read_exact(&mut message).is_ok() {
            let mut reply = message.clone();
            change(&mut reply);
            let (one, two) = reply.split_at(reply.len() / 2);
            if stream.write_all(one).and_then(|()| stream.write_all(two)).is_err() {
                break;
            }
        }
    });
    addr
}

fn run_for(client: Client, time: Duration) -> (Result<Tally>, u64) {
    let shared = Arc::new(Shared::default());
    shared.phase.store(WINDOW, Relaxed);
    let running = {
        let shared = shared.clone();
        thread::spawn(move || client.run(&shared))
    };
    let began = Instant::now();
    while began.elapsed() < time || (shared.replies.load(Relaxed) == 0 && !running.is_finished()) {
        thread::yield_now();
    }
    shared.phase.store(END, Relaxed);
    (running.join().unwrap(), shared.replies.load(Relaxed))
}

#[test]
fn replies_in_pieces_are_put_together_and_counted() {
    let client = Client::connect(server(|_| {}), 0..1).unwrap();
    let (tally, replies) = run_for(client, Duration::from_millis(20));
    let tally = tally.unwrap();
    assert!(replies > 0 && tally.latency_ns.len() == replies, "{replies} replies");
    assert_eq!(tally.silent, 0);
}

#[test]
fn a_wrong_byte_is_found() {
    let e = Client::connect(server(|reply| reply[MESSAGE - 1] ^= 1), 0..1).err().unwrap();
    assert!(format!("{e:#}").contains("not what was sent"), "{e:#}");
}

#[test]
fn a_byte_too_many_is_found() {
    let client = Client::connect(server(|reply| reply.push(0)), 0..1);
    // It may come together with the reply or later.
    let e = match client {
        Ok(client) => run_for(client, Duration::ZERO).0.err().unwrap(),
        Err(e) => e,
    };
    assert!(format!("{e:#}").contains("not what was sent"), "{e:#}");
}

#[test]
fn messages_differ_by_connection_and_turn() {
    assert_ne!(message(1), message(2));
    assert_ne!(message(1), message(257));
}

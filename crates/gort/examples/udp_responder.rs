//! A UDP responder, as a small name server is one: questions are received many at a time, and all answers go back by one system call.
//!
//! `cargo run --release --example udp_responder -- 127.0.0.1:5300` serves for ever; without an argument it shows itself at work.

use gort::net::{Batch, UdpSocket};
use std::collections::HashMap;
use std::io;
use std::time::Duration;

fn serve(socket: &UdpSocket) -> io::Result<()> {
    let names = HashMap::from([("one", "192.0.2.1"), ("two", "192.0.2.2")]);
    // All the room there will ever be; nothing is allocated in the loop.
    let (mut questions, mut answers) = (Batch::new(64, 512), Batch::new(64, 512));
    loop {
        socket.recv_batch(&mut questions)?;
        for question in &questions {
            let answer = match std::str::from_utf8(question.bytes) {
                Ok(name) if !question.is_truncated => names.get(name).copied().unwrap_or("no such name"),
                _ => "no name",
            };
            answers.push(answer.as_bytes(), question.addr)?;
        }
        // One that cannot be sent concerns nobody else.
        while let Err(error) = socket.send_batch(&mut answers) {
            eprintln!("{error}");
            answers.skip_first();
        }
    }
}

fn ask(client: &UdpSocket, name: &str) -> io::Result<String> {
    let mut buf = [0; 512];
    // A datagram may be lost: ask again.
    for _ in 0..5 {
        client.send(name.as_bytes())?;
        match client.recv(&mut buf) {
            Ok(length) => return Ok(String::from_utf8_lossy(&buf[..length]).into_owned()),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

#[gort::main]
fn main() -> io::Result<()> {
    if let Some(addr) = std::env::args().nth(1) {
        return serve(&UdpSocket::bind(addr)?);
    }
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let addr = socket.local_addr()?;
    gort::go(move || serve(&socket));

    let client = UdpSocket::bind("127.0.0.1:0")?;
    client.connect(addr)?;
    client.set_read_timeout(Some(Duration::from_secs(1)))?;
    for (name, expected) in [("one", "192.0.2.1"), ("two", "192.0.2.2"), ("three", "no such name")] {
        let answer = ask(&client, name)?;
        println!("{name}: {answer}");
        assert_eq!(answer, expected);
    }
    Ok(())
}

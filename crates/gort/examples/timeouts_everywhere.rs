//! Timeouts everywhere: one deadline holds for everything that is called under it, also for code that knows nothing of it.
//!
//! `cargo run --release --example timeouts_everywhere`

use gort::context;
use gort::net::{TcpListener, TcpStream};
use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A server that answers the first line and then falls silent.
fn server(listener: TcpListener) -> io::Result<()> {
    let (stream, _) = listener.accept()?;
    let mut lines = BufReader::new(&stream).lines();
    while let Some(line) = lines.next().transpose()? {
        if line == "hello" {
            (&stream).write_all(b"hello yourself\n")?;
        }
    }
    Ok(())
}

/// Ordinary blocking code, from a library perhaps: no timeout anywhere.
fn talk(addr: SocketAddr) -> io::Result<Vec<String>> {
    let stream = TcpStream::connect(addr)?;
    let mut answers = BufReader::new(&stream).lines();
    let mut heard = Vec::new();
    for question in ["hello\n", "how are you?\n"] {
        (&stream).write_all(question.as_bytes())?;
        heard.extend(answers.next().transpose()?);
        println!("heard {heard:?}");
    }
    Ok(heard)
}

#[gort::main]
fn main() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    gort::go(|| server(listener));

    let start = Instant::now();
    let (ctx, _cancel) = context::background().with_timeout(Duration::from_millis(100));
    let error = ctx.run(|| talk(addr)).unwrap_err();
    println!("after {:?}: {error}", start.elapsed());
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(start.elapsed() >= Duration::from_millis(100));
    Ok(())
}

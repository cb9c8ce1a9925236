//! A TCP proxy: each connection is copied to the target and back, by two goroutines.
//!
//! `cargo run --release --example tcp_proxy -- 127.0.0.1:7000 example.org:80` serves for ever; without arguments it shows itself at work.

use gort::net::{Dialer, Shutdown, TcpListener, TcpStream};
use std::io::{self, Read, Write};
use std::time::Duration;

/// Copies until the end, and passes the end on.
fn copy(mut from: &TcpStream, mut to: &TcpStream) -> io::Result<u64> {
    let copied = io::copy(&mut from, &mut to);
    // The other side may have gone already.
    let _ = to.shutdown(Shutdown::Write);
    copied
}

fn serve(client: TcpStream, target: &str) -> io::Result<()> {
    let server = Dialer::new().timeout(Duration::from_secs(10)).connect(target)?;
    gort::scope(|s| {
        let there = s.spawn(|| copy(&client, &server));
        let back = copy(&server, &client);
        // Whoever still reads from the client would wait as long as the client likes.
        if back.is_err() {
            let _ = client.close();
        }
        there.join().unwrap().and(back).map(drop)
    })
}

fn proxy(listener: TcpListener, target: String) -> io::Result<()> {
    for client in listener.incoming() {
        let (client, target) = (client?, target.clone());
        gort::go(move || {
            if let Err(error) = serve(client, &target) {
                eprintln!("{error}");
            }
        });
    }
    Ok(())
}

#[gort::main]
fn main() -> io::Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if let [listen, target] = &arguments[..] {
        return proxy(TcpListener::bind(listen)?, target.clone());
    }
    // Something that answers in capitals, behind the proxy.
    let shouting = TcpListener::bind("127.0.0.1:0")?;
    let target = shouting.local_addr()?.to_string();
    gort::go(move || -> io::Result<()> {
        let (mut stream, _) = shouting.accept()?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        stream.write_all(text.to_uppercase().as_bytes())
    });
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    gort::go(move || proxy(listener, target));

    let mut stream = TcpStream::connect(addr)?;
    stream.write_all(b"hello through the proxy")?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    println!("{answer}");
    assert_eq!(answer, "HELLO THROUGH THE PROXY");
    Ok(())
}

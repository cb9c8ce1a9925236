//! A TCP proxy: the kernel copies each connection to the target and back, so its bytes never come up to the program.
//!
//! `cargo run --release --example tcp_proxy -- 127.0.0.1:7000 example.org:80` serves for ever; without arguments it shows itself at work.

use gort::io::copy_bidirectional;
use gort::net::{Dialer, Shutdown, TcpListener, TcpStream};
use std::io::{self, Read, Write};
use std::time::Duration;

fn serve(client: &TcpStream, target: &str) -> io::Result<()> {
    let server = Dialer::new().timeout(Duration::from_secs(10)).connect(target)?;
    // Both ways at once, by the kernel; the end of each is passed on.
    copy_bidirectional(client, &server).map(drop)
}

fn proxy(listener: TcpListener, target: String) -> io::Result<()> {
    for client in listener.incoming() {
        let (client, target) = (client?, target.clone());
        gort::go(move || {
            if let Err(error) = serve(&client, &target) {
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

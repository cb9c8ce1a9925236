//! The echo server with a thread per connection.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use anyhow::{Context as _, Result};
use gort_bench_wire::control;

pub fn serve(listener: &TcpListener) -> Result<()> {
    control::obey(listener.local_addr()?, || None)?;
    for stream in listener.incoming() {
        let stream = stream.context("cannot accept")?;
        stream.set_nodelay(true)?;
        // A client that is gone ends its thread; the load generator counts what it misses.
        thread::Builder::new().spawn(move || echo(stream)).context("cannot start a thread for a connection")?;
    }
    Ok(())
}

fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buf = [0; 4096];
    loop {
        match stream.read(&mut buf)? {
            0 => return Ok(()),
            n => stream.write_all(&buf[..n])?,
        }
    }
}

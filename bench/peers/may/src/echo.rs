//! The echo server: a coroutine for each connection.

use std::io::{self, Read as _, Write as _};

use gort_bench_wire::control;
use may::go;
use may::net::{TcpListener, TcpStream};

use crate::Result;

pub fn serve() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    control::obey(listener.local_addr()?, || None)?;
    for stream in listener.incoming() {
        let stream = stream?;
        stream.set_nodelay(true)?;
        // A client that is gone ends its coroutine; the load generator counts what it misses.
        go!(move || echo(stream));
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

//! The echo server: what one would write on a whiteboard.

use std::io::{self, Read as _, Write as _};

use gort::net::{TcpListener, TcpStream};
use gort_bench_wire::control;

use crate::Result;

pub fn serve() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    control::obey(listener.local_addr()?, || {
        let metrics = gort::runtime::metrics();
        Some(metrics.io_calls + metrics.polls)
    })?;
    for stream in listener.incoming() {
        let stream = stream?;
        stream.set_nodelay(true)?;
        // A client that is gone ends its goroutine; the load generator counts what it misses.
        gort::go(move || echo(stream));
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

//! The echo server: a task for each connection.

use std::io;

use gort_bench_wire::control;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use crate::{Result, on_worker};

pub fn serve(runtime: &Runtime) -> Result<()> {
    on_worker(runtime, async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        control::obey(listener.local_addr()?, || None)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            // A client that is gone ends its task; the load generator counts what it misses.
            tokio::spawn(echo(stream));
        }
    })
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buf = [0; 4096];
    loop {
        match stream.read(&mut buf).await? {
            0 => return Ok(()),
            n => stream.write_all(&buf[..n]).await?,
        }
    }
}

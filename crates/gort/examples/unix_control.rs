//! A control port: a program listens on a Unix socket for commands of its own user, line by line, and lends an open file to whoever asks.
//!
//! `cargo run --release --example unix_control`

use gort::net::{UnixListener, UnixStream};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

static COUNT: AtomicU64 = AtomicU64::new(0);

fn serve(stream: UnixStream) -> io::Result<()> {
    // The kernel says who is there. SAFETY: touches nothing.
    if stream.peer_credentials()?.user != unsafe { libc::geteuid() } {
        return (&stream).write_all(b"not you\n");
    }
    for command in BufReader::new(&stream).lines() {
        match command?.as_str() {
            "count" => writeln!(&stream, "{}", COUNT.load(Relaxed))?,
            "more" => writeln!(&stream, "{}", COUNT.fetch_add(1, Relaxed) + 1)?,
            "file" => drop(stream.send_with_fds(b"here\n", &[File::open("/proc/self/status")?.as_fd()])?),
            other => writeln!(&stream, "what is {other:?}? There are: count, more, file")?,
        }
    }
    Ok(())
}

fn talk(path: &Path) -> io::Result<()> {
    let stream = UnixStream::connect(path)?;
    let mut answers = BufReader::new(&stream).lines();
    for (command, expected) in [("more", "1"), ("more", "2"), ("count", "2")] {
        writeln!(&stream, "{command}")?;
        let answer = answers.next().transpose()?.unwrap_or_default();
        println!("{command}: {answer}");
        assert_eq!(answer, expected);
    }
    // The file comes along with the answer, so the answer is received, not read.
    writeln!(&stream, "file")?;
    let mut buf = [0; 64];
    let parcel = stream.recv_with_fds(&mut buf, 1)?;
    let mut text = String::new();
    for fd in parcel.fds {
        File::from(fd).read_to_string(&mut text)?;
    }
    println!("file: {}", text.lines().next().unwrap_or_default());
    assert!(text.starts_with("Name:"));
    Ok(())
}

#[gort::main]
fn main() -> io::Result<()> {
    let path = std::env::temp_dir().join(format!("gort-control-{}", std::process::id()));
    let listener = UnixListener::bind(&path)?;
    gort::go(move || -> io::Result<()> {
        for stream in &listener {
            let stream = stream?;
            gort::go(move || serve(stream));
        }
        Ok(())
    });
    let outcome = talk(&path);
    std::fs::remove_file(&path)?;
    outcome
}

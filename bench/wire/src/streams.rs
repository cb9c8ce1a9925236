//! The far ends of copies: plain threads that give bytes and take them as cheaply as can be, so that what is measured is the copy.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::thread::{self, JoinHandle};

use rustix::fs::{MemfdFlags, memfd_create, sendfile};
use rustix::net::{RecvFlags, recv};

/// As much is moved at once.
const STEP: usize = 1 << 20;

/// A thread behind an address.
#[derive(Debug)]
pub struct FarEnd {
    addr: SocketAddr,
    thread: JoinHandle<io::Result<u64>>,
}

impl FarEnd {
    /// One that takes a connection and throws away what comes.
    ///
    /// # Errors
    /// There is no loopback.
    pub fn sink() -> io::Result<FarEnd> {
        FarEnd::start(|listener| {
            let stream = listener.accept()?.0;
            let (mut room, mut count) = (vec![0; STEP], 0);
            loop {
                // Nothing is copied: TCP throws away what is cut.
                match recv(&stream, &mut room[..], RecvFlags::TRUNC)?.1 {
                    0 => return Ok(count),
                    more => count += more as u64,
                }
            }
        })
    }

    /// One that takes a connection and sends so many bytes.
    ///
    /// # Errors
    /// There is no loopback, or no memory.
    pub fn source(bytes: u64) -> io::Result<FarEnd> {
        let file = memfd_create("gort-bench", MemfdFlags::CLOEXEC)?;
        rustix::fs::ftruncate(&file, STEP as u64)?;
        FarEnd::start(move |listener| {
            let stream = listener.accept()?.0;
            let mut sent = 0;
            while sent < bytes {
                let mut from = 0;
                sent += sendfile(&stream, &file, Some(&mut from), (bytes - sent).min(STEP as u64) as usize)? as u64;
            }
            Ok(sent)
        })
    }

    fn start(serve: impl FnOnce(TcpListener) -> io::Result<u64> + Send + 'static) -> io::Result<FarEnd> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        Ok(FarEnd { addr, thread: thread::Builder::new().spawn(move || serve(listener))? })
    }

    /// Where it is.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// How many bytes it was in the end.
    ///
    /// # Errors
    /// Those of its connection.
    pub fn end(self) -> io::Result<u64> {
        self.thread.join().unwrap_or_else(|_| Err(io::Error::other("the far end panicked")))
    }
}

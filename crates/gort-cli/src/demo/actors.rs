//! Who plays: goroutines, or plain threads that do the same with std alone, which is what the kernel gives to everybody.

use std::fmt::Debug;
use std::io::{self, Read, Write};
use std::net;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actors {
    /// With gort.
    Goroutines,
    /// Without.
    Threads,
}

/// A connection of either kind.
pub type Connection = Box<dyn Stream>;

/// What a connection does.
pub trait Stream: Read + Write + Send + Debug {}

impl<T: Read + Write + Send + Debug> Stream for T {}

impl Actors {
    /// Starts one. It is told by the place of whoever starts it.
    #[track_caller]
    pub fn go(self, act: impl FnOnce() + Send + 'static) -> io::Result<()> {
        match self {
            Actors::Goroutines => drop(gort::go(act)),
            Actors::Threads => drop(thread::Builder::new().spawn(act)?),
        }
        Ok(())
    }

    /// For one of them.
    pub fn sleep(self, time: Duration) {
        match self {
            Actors::Goroutines => gort::sleep(time),
            Actors::Threads => thread::sleep(time),
        }
    }

    /// A server on loopback, one of them for each connection, that sends each byte back after `pause`.
    pub fn far_end(self, pause: impl Fn(u8) + Clone + Send + 'static) -> io::Result<FarEnd> {
        let any = (net::Ipv4Addr::LOCALHOST, 0);
        match self {
            Actors::Goroutines => {
                let listener = Arc::new(gort::net::TcpListener::bind(any)?);
                let far_end = FarEnd::Goroutines(listener.clone());
                self.go(move || {
                    let streams = listener.incoming().map_while(Result::ok);
                    self.serve(streams.filter(|stream| stream.set_nodelay(true).is_ok()), &pause);
                })?;
                Ok(far_end)
            }
            Actors::Threads => {
                let listener = net::TcpListener::bind(any)?;
                let far_end = FarEnd::Threads(listener.local_addr()?);
                self.go(move || {
                    let streams = listener.incoming().map_while(Result::ok);
                    self.serve(streams.filter(|stream| stream.set_nodelay(true).is_ok()), &pause);
                })?;
                Ok(far_end)
            }
        }
    }

    /// Starts one for each connection; without one it is closed.
    fn serve<S: Stream + 'static>(
        self,
        streams: impl Iterator<Item = S>,
        pause: &(impl Fn(u8) + Clone + Send + 'static),
    ) {
        for stream in streams {
            let pause = pause.clone();
            let _ = self.go(move || answer(stream, pause));
        }
    }
}

/// Until the other end is closed.
fn answer(mut stream: impl Stream, pause: impl Fn(u8)) {
    let mut byte = [0];
    while stream.read(&mut byte).is_ok_and(|n| n > 0) {
        pause(byte[0]);
        if stream.write_all(&byte).is_err() {
            return;
        }
    }
}

/// The server. Dropped, that of goroutines takes no more connections.
#[derive(Debug)]
pub enum FarEnd {
    /// Its listener.
    Goroutines(Arc<gort::net::TcpListener>),
    /// Where it listens until the process ends.
    Threads(net::SocketAddr),
}

impl FarEnd {
    /// A connection to it, which has been tried: whoever answers is there.
    pub fn connect(&self) -> io::Result<Connection> {
        let mut stream: Connection = match self {
            FarEnd::Goroutines(listener) => {
                let stream = gort::net::TcpStream::connect(listener.local_addr()?)?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
            FarEnd::Threads(addr) => {
                let stream = net::TcpStream::connect(addr)?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
        };
        stream.write_all(&[1])?;
        stream.read_exact(&mut [0])?;
        Ok(stream)
    }
}

impl Drop for FarEnd {
    fn drop(&mut self) {
        if let FarEnd::Goroutines(listener) = self {
            let _ = listener.close();
        }
    }
}

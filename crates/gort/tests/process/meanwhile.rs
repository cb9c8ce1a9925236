//! What everybody else does meanwhile: sleeps and talks over loopback TCP.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use gort::net::{TcpListener, TcpStream};

/// A connection whose other end sends everything back.
pub(crate) struct Echo(TcpStream);

impl Echo {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        client.set_nodelay(true).unwrap();
        server.set_nodelay(true).unwrap();
        gort::go(move || {
            let mut byte = [0];
            while server.read(&mut byte).is_ok_and(|n| n > 0) {
                server.write_all(&byte).unwrap();
            }
        });
        Self(client)
    }

    /// There and back.
    pub(crate) fn once(&mut self) -> Duration {
        let start = Instant::now();
        self.0.write_all(&[7]).unwrap();
        self.0.read_exact(&mut [0]).unwrap();
        start.elapsed()
    }
}

/// A goroutine that sleeps for a millisecond and asks the other end of a connection, again and again.
pub(crate) struct Meanwhile {
    rounds: Arc<AtomicU64>,
}

impl Meanwhile {
    /// Goes on to the end of the process.
    pub(crate) fn start() -> Self {
        let (mut echo, rounds) = (Echo::start(), Arc::new(AtomicU64::new(0)));
        let theirs = rounds.clone();
        gort::go(move || {
            loop {
                gort::sleep(Duration::from_millis(1));
                echo.once();
                theirs.fetch_add(1, SeqCst);
            }
        });
        Self { rounds }
    }

    pub(crate) fn rounds(&self) -> u64 {
        self.rounds.load(SeqCst)
    }

    /// Blocks the thread that calls this until there were so many more.
    pub(crate) fn wait_for(&self, more: u64) {
        let until = self.rounds() + more;
        // A plain thread's own time: it must not depend on the runtime. The child's time limit ends it.
        while self.rounds() < until {
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

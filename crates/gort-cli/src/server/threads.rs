//! An OS thread per connection: the same blocking code as the gort style, at an OS thread's price.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread::Builder;

use anyhow::{Error, Result, anyhow};

use super::accept::Acceptor;
use super::alarm::Alarm;
use super::echo::echo;
use super::open::OpenSet;
use super::{Counters, LAST_WORDS, Nature, Server};
use crate::limits;

/// Stack of one thread: enough for the buffer, little enough that 100,000 are only address space. What is never touched is never
/// resident, so a larger one would not change the figures.
const STACK_BYTES: usize = 64 << 10;

/// Memory mappings of one thread: its stack, its signal stack, and a guard before each. When they run out after the thread was
/// started, Rust's library aborts the process without a word about the limit, so we stop before that.
const MAPPINGS: u64 = 4;
/// Mappings the rest of the process may need.
const OTHER_MAPPINGS: u64 = 500;

#[derive(Debug)]
struct Threads {
    acceptor: Acceptor,
    open: Arc<OpenSet<TcpStream>>,
    procs: u64,
}

/// Starts the server.
pub fn start(listeners: Vec<TcpListener>, alarm: &Alarm) -> Result<(Box<dyn Server>, Vec<SocketAddr>)> {
    let addrs = listeners.iter().map(TcpListener::local_addr).collect::<io::Result<_>>()?;
    let open = OpenSet::new();
    let (entrance, bell) = (open.clone(), alarm.clone());
    let most = limits::read_number("/proc/sys/vm/max_map_count")
        .map_or(u64::MAX, |n| n.saturating_sub(OTHER_MAPPINGS) / MAPPINGS);
    let acceptor = Acceptor::start(listeners, alarm, move |stream| {
        // Small pieces of a large message must not wait for acknowledgements. If it fails the peer is gone already.
        let _ = stream.set_nodelay(true);
        let ready = stream.set_nonblocking(false).and_then(|()| match entrance.open() {
            n if n < most => Ok(()),
            n => Err(io::Error::other(format!("{n} threads use up the memory mappings of a process"))),
        });
        let Some(connection) = entrance.enter(stream) else { return ControlFlow::Break(()) };
        let serve = move || {
            // An error here is a peer that left; the load generator counts it on its side.
            let _ = echo(&*connection);
        };
        match ready.and_then(|()| Builder::new().name("echo".into()).stack_size(STACK_BYTES).spawn(serve)) {
            Ok(_) => ControlFlow::Continue(()),
            Err(e) => {
                bell.ring(no_thread(&e, entrance.sums().connections));
                ControlFlow::Break(())
            }
        }
    })?;
    // Threads run on every processor there is: --procs cannot hold them back, so the report tells the truth instead.
    let procs = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    Ok((Box::new(Threads { acceptor, open, procs }), addrs))
}

impl Server for Threads {
    fn nature(&self) -> Nature {
        Nature { mode: None, procs: self.procs }
    }

    fn counters(&self) -> Counters {
        let sums = self.open.sums();
        // A blocking thread makes exactly the calls it asks for.
        Counters { connections: sums.connections, bytes: sums.bytes, syscalls: Some(sums.calls), ..Counters::default() }
    }

    fn stop(&mut self) {
        self.acceptor.stop();
        // A reader sees the end of the stream, a writer finishes its message first.
        self.open.close(|stream| drop(stream.shutdown(Shutdown::Read)), LAST_WORDS);
    }
}

fn no_thread(e: &io::Error, connections: u64) -> Error {
    anyhow!(
        "cannot start a thread for connection {connections}: {e}; a thread per connection ends here\n{}\n\
         \x20 way out:   raise the one that is short, ask for fewer --conns, or take --style gort",
        limits::of_threads()
    )
}

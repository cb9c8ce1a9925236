//! A goroutine per connection: blocking code, no thread held while it waits.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use anyhow::{Context as _, Error, Result};
use gort::net::{TcpListener, TcpStream};

use super::alarm::Alarm;
use super::echo::echo;
use super::open::OpenSet;
use super::{Counters, LAST_WORDS, Nature, Server, cannot_listen};
use crate::place::Place;

#[derive(Debug)]
struct Gort {
    listeners: Vec<Arc<TcpListener>>,
    accepting: Vec<gort::JoinHandle<()>>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    open: Arc<OpenSet<TcpStream>>,
    stopping: AtomicBool,
    alarm: Alarm,
}

/// Starts the runtime with so many processors, or as many as it chooses; says how many those are.
pub fn use_procs(procs: Option<u32>) -> Result<u64> {
    if let Some(procs) = procs {
        let procs = procs as usize;
        gort::runtime::Builder::new().max_procs(procs).start().context("cannot start the runtime")?;
        // The environment (GORT_MAXPROCS) may have had the last word; the command line is nearer to the user.
        if gort::runtime::max_procs() != procs {
            gort::runtime::set_max_procs(procs);
        }
    }
    Ok(gort::runtime::max_procs() as u64)
}

/// Starts the server.
pub fn start(places: &[Place], procs: Option<u32>, alarm: &Alarm) -> Result<(Box<dyn Server>, Vec<SocketAddr>)> {
    use_procs(procs)?;
    let shared = Arc::new(Shared { open: OpenSet::new(), stopping: AtomicBool::new(false), alarm: alarm.clone() });
    let mut server = Gort { listeners: Vec::new(), accepting: Vec::new(), shared };
    let mut got = Vec::new();
    for place in places {
        // The error says what could not be listened on; its sources would say it again.
        let listener = TcpListener::bind(place.addrs()).map_err(|e| Error::msg(e.to_string()))?;
        got.push(listener.local_addr().with_context(|| cannot_listen(place))?);
        server.listeners.push(Arc::new(listener));
    }
    for listener in &server.listeners {
        let (listener, shared) = (listener.clone(), server.shared.clone());
        let accepting = gort::Builder::new().spawn(move || shared.accept_all(&listener));
        server.accepting.push(accepting.context("cannot start a goroutine to accept connections")?);
    }
    Ok((Box::new(server), got))
}

impl Shared {
    /// Without descriptors to spare, `accept` itself waits until there are, and says so.
    fn accept_all(&self, listener: &TcpListener) {
        loop {
            match listener.accept() {
                Ok((stream, _)) => self.serve(stream),
                // Relaxed: the flag is set before the close that brought us here, and carries no data.
                Err(_) if self.stopping.load(Relaxed) => return,
                // The peer gave up before we came to it: not our trouble, the next one may be fine.
                Err(e) if e.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(e) => return self.alarm.ring(Error::new(e).context("cannot accept")),
            }
        }
    }

    fn serve(&self, stream: TcpStream) {
        // Small pieces of a large message must not wait for acknowledgements. If it fails the peer is gone already.
        let _ = stream.set_nodelay(true);
        let Some(connection) = self.open.enter(stream) else { return };
        let serve = move || {
            // An error here is a peer that left; the load generator counts it on its side.
            let _ = echo(&*connection);
        };
        if let Err(e) = gort::Builder::new().name("echo".into()).spawn(serve) {
            self.alarm.ring(Error::new(e).context("cannot start a goroutine for a connection"));
        }
    }
}

impl Server for Gort {
    fn nature(&self) -> Nature {
        Nature { mode: Some(gort::runtime::mode().to_string()), procs: gort::runtime::metrics().procs }
    }

    fn counters(&self) -> Counters {
        let sums = self.shared.open.sums();
        let metrics = gort::runtime::metrics();
        Counters {
            connections: sums.connections,
            bytes: sums.bytes,
            // Reads, writes and polls; waking a sleeping thread is not among them.
            syscalls: Some(metrics.io_calls + metrics.polls),
            goroutines_peak: Some(metrics.goroutines_peak),
            threads_peak: Some(metrics.threads_peak),
        }
    }

    fn stop(&mut self) {
        // Relaxed: `close` below is what the accepting goroutines wake from.
        self.shared.stopping.store(true, Relaxed);
        for listener in &self.listeners {
            let _ = listener.close();
        }
        for accepting in self.accepting.drain(..) {
            let _ = accepting.join();
        }
        // A reader sees the end of the stream, a writer finishes its message first.
        self.shared.open.close(|stream| drop(stream.shutdown(Shutdown::Read)), LAST_WORDS);
    }
}

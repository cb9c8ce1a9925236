//! The yardstick: edge-triggered event loops written by hand, the way one writes a fast server without goroutines.
//!
//! - `procs` threads, each with an epoll instance of its own; a connection stays with its thread, so nothing is locked or shared
//!   once it is there. They are dealt out in turn by one accepting thread (see `accept` for why).
//! - Registered once for reading, writing and hang-up, edge-triggered; no further `epoll_ctl` in its life.
//! - An event: read until the socket is empty, which a read shorter than the buffer shows without another call. Not so if the
//!   peer has hung up or sent urgent data: then data and the end of it can lie behind one single edge, so such a connection is
//!   read until the kernel says it is empty.
//! - A write that does not fit leaves its rest with the connection, which is then not read from until the rest is gone: the peer
//!   is held back instead of our memory being filled.
//! - One buffer of 4 KiB per thread, not per connection: event loops may do that, and it is their advantage in memory.
//!
//! A connection handed over: it goes into the loop's inbox first and into its epoll instance second, so an event for a connection
//! the loop does not know is always found in the inbox. No wake-up is needed, the first event is one.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use anyhow::{Context as _, Result};
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;

use super::accept::Acceptor;
use super::alarm::Alarm;
use super::{Counters, Nature, Server};
use crate::limits::no_thread;

/// Events taken by one `epoll_wait`.
const BATCH: usize = 256;
/// Event data of the descriptor that ends a loop; sockets carry their number, which is smaller.
const STOP: u64 = u64::MAX;

#[derive(Debug)]
struct Epoll {
    acceptor: Acceptor,
    loops: Vec<Arc<Shared>>,
    threads: Vec<JoinHandle<()>>,
}

/// What a loop shares with the accepting thread and with whoever asks for figures.
#[derive(Debug)]
struct Shared {
    epoll: OwnedFd,
    stop: OwnedFd,
    inbox: Mutex<Vec<TcpStream>>,
    connections: AtomicU64,
    bytes: AtomicU64,
    calls: AtomicU64,
}

/// One loop's own.
#[derive(Debug)]
struct EventLoop {
    shared: Arc<Shared>,
    /// By descriptor number, which the kernel keeps small and dense: finding one is an index, not a search.
    connections: Vec<Option<Box<Connection>>>,
    buffer: Box<[u8; 4096]>,
    bytes: u64,
    calls: u64,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    /// What did not fit into the socket, from `sent` on.
    rest: Vec<u8>,
    sent: usize,
    /// An edge may hide another one: never trust a short read again.
    hung_up: bool,
}

/// Starts the server.
pub fn start(
    listeners: Vec<TcpListener>,
    procs: Option<u32>,
    alarm: &Alarm,
) -> Result<(Box<dyn Server>, Vec<SocketAddr>)> {
    let addrs = listeners.iter().map(TcpListener::local_addr).collect::<io::Result<_>>()?;
    let procs = procs.map_or_else(|| std::thread::available_parallelism().map_or(1, |n| n.get()), |n| n as usize);
    let mut loops = Vec::new();
    let mut threads = Vec::new();
    for i in 0..procs {
        let shared = Arc::new(Shared::new().context("cannot make an epoll instance")?);
        let (mine, bell) = (shared.clone(), alarm.clone());
        let run = move || {
            if let Err(e) = EventLoop::new(mine).run() {
                bell.ring(anyhow::Error::new(e).context("an event loop failed"));
            }
        };
        let thread = Builder::new().name(format!("epoll {i}")).spawn(run);
        threads.push(thread.map_err(|e| no_thread("the thread of an event loop", &e))?);
        loops.push(shared);
    }
    let (dealt, bell) = (loops.clone(), alarm.clone());
    let mut turn = (0..procs).cycle();
    let acceptor = Acceptor::start(listeners, alarm, move |stream| {
        let target = &dealt[turn.next().unwrap_or(0)];
        match target.take_over(stream) {
            Ok(()) => ControlFlow::Continue(()),
            Err(e) => {
                bell.ring(anyhow::Error::new(e).context("cannot register a connection"));
                ControlFlow::Break(())
            }
        }
    })?;
    Ok((Box::new(Epoll { acceptor, loops, threads }), addrs))
}

impl Server for Epoll {
    fn nature(&self) -> Nature {
        Nature { mode: None, procs: self.loops.len() as u64 }
    }

    fn counters(&self) -> Counters {
        // Relaxed: statistics.
        let sum = |word: fn(&Shared) -> &AtomicU64| self.loops.iter().map(|l| word(l).load(Relaxed)).sum::<u64>();
        Counters {
            connections: sum(|l| &l.connections),
            bytes: sum(|l| &l.bytes),
            syscalls: Some(sum(|l| &l.calls)),
            ..Counters::default()
        }
    }

    fn stop(&mut self) {
        self.acceptor.stop();
        for shared in &self.loops {
            let _ = rustix::io::write(&shared.stop, &1_u64.to_ne_bytes());
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn new() -> io::Result<Shared> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let stop = eventfd(0, EventfdFlags::CLOEXEC)?;
        epoll::add(&epoll, &stop, EventData::new_u64(STOP), EventFlags::IN)?;
        let zero = AtomicU64::default;
        Ok(Shared { epoll, stop, inbox: Mutex::new(Vec::new()), connections: zero(), bytes: zero(), calls: zero() })
    }

    fn take_over(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nonblocking(true)?;
        // Small pieces of a large message must not wait for acknowledgements. If it fails the peer is gone already.
        let _ = stream.set_nodelay(true);
        let fd = stream.as_raw_fd();
        // The lock is held over the registration: the loop, woken by an event at once, waits for it before it looks.
        let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        inbox.push(stream);
        let Some(stream) = inbox.last() else { return Ok(()) };
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::PRI | EventFlags::ET;
        let added = epoll::add(&self.epoll, stream, EventData::new_u64(fd as u64), flags);
        // Relaxed: statistics, written by the accepting thread only.
        self.connections.fetch_add(1, Relaxed);
        Ok(added?)
    }
}

impl EventLoop {
    fn new(shared: Arc<Shared>) -> EventLoop {
        EventLoop { shared, connections: Vec::new(), buffer: Box::new([0; 4096]), bytes: 0, calls: 0 }
    }

    fn run(mut self) -> io::Result<()> {
        let mut events = Vec::with_capacity(BATCH);
        loop {
            self.calls += 1;
            // Relaxed: statistics, written by this thread only.
            self.shared.calls.store(self.calls, Relaxed);
            self.shared.bytes.store(self.bytes, Relaxed);
            match epoll::wait(&self.shared.epoll, rustix::buffer::spare_capacity(&mut events), None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
            for event in events.drain(..) {
                if event.data.u64() == STOP {
                    self.shared.calls.store(self.calls, Relaxed);
                    self.shared.bytes.store(self.bytes, Relaxed);
                    return Ok(());
                }
                self.serve(event.data.u64() as usize, event.flags);
            }
        }
    }

    fn serve(&mut self, fd: usize, flags: EventFlags) {
        if !matches!(self.connections.get(fd), Some(Some(_))) {
            self.welcome();
        }
        let Some(Some(connection)) = self.connections.get_mut(fd) else { return };
        connection.hung_up |= flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR | EventFlags::PRI);
        // An error here is a peer that left; the load generator counts it on its side.
        if connection
            .echo(&mut self.buffer, &mut self.bytes, &mut self.calls)
            .unwrap_or(ControlFlow::Break(()))
            .is_break()
        {
            self.connections[fd] = None;
        }
    }

    /// Takes over what lies in the inbox.
    fn welcome(&mut self) {
        for stream in self.shared.inbox.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let fd = stream.as_raw_fd() as usize;
            if self.connections.len() <= fd {
                self.connections.resize_with(fd + 1, || None);
            }
            self.connections[fd] = Some(Box::new(Connection::new(stream)));
        }
    }
}

impl Connection {
    fn new(stream: TcpStream) -> Connection {
        Connection { stream, rest: Vec::new(), sent: 0, hung_up: false }
    }

    /// Goes on until the socket is empty or full; breaks at the end of the stream.
    fn echo(&mut self, buffer: &mut [u8; 4096], bytes: &mut u64, calls: &mut u64) -> io::Result<ControlFlow<()>> {
        loop {
            while self.sent < self.rest.len() {
                *calls += 1;
                match (&self.stream).write(&self.rest[self.sent..]) {
                    Ok(n) => {
                        self.sent += n;
                        *bytes += n as u64;
                    }
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(ControlFlow::Continue(())),
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(e) => return Err(e),
                }
            }
            *calls += 1;
            let got = match (&self.stream).read(buffer) {
                Ok(0) => return Ok(ControlFlow::Break(())),
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(ControlFlow::Continue(())),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            *calls += 1;
            let sent = match (&self.stream).write(&buffer[..got]) {
                Ok(n) => n,
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => 0,
                Err(e) => return Err(e),
            };
            *bytes += sent as u64;
            if sent < got {
                self.rest.clear();
                self.rest.extend_from_slice(&buffer[sent..got]);
                self.sent = 0;
            } else if got < buffer.len() && !self.hung_up {
                return Ok(ControlFlow::Continue(()));
            }
        }
    }
}

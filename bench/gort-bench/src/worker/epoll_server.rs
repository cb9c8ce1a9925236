//! The yardstick: an echo server as one writes it by hand when speed is all that counts.
//!
//! - A thread with an epoll instance of its own for each processor; the accepting thread deals connections out in turn, so nothing is shared.
//! - Registered once, edge-triggered, for reading, writing and hang-up.
//! - An event: read into the thread's one buffer until a read is shorter than it, which means empty without another call (epoll(7)); echo at once.
//!   With a hang-up the end of the stream may hide behind the same edge, so then until the kernel says empty or end.
//! - A connection has no state while all goes well: its descriptor is the event's data. Only what did not fit into the socket is kept, and then
//!   nothing more is read from that connection until it is gone.

use std::collections::HashMap;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd as _, IntoRawFd as _, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

use anyhow::{Context as _, Result};
use gort_bench_wire::control;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, accept_with, recv, send, sockopt};

const BATCH: usize = 256;
const BUFFER_BYTES: usize = 4096;

pub fn serve(listener: &TcpListener, threads: usize) -> Result<()> {
    let loops: Vec<_> = (0..threads)
        .map(|_| {
            let epoll = Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC).context("cannot make an epoll instance")?);
            let calls = Arc::new(AtomicU64::new(0));
            let mut event_loop = EventLoop::new(epoll.clone(), calls.clone());
            thread::Builder::new().spawn(move || {
                let Err(e) = event_loop.run();
                // Without it the server is not what it claims to be.
                eprintln!("epoll: an event loop failed: {e}");
                std::process::exit(1);
            })?;
            Ok((epoll, calls))
        })
        .collect::<Result<_>>()?;
    // Relaxed: statistics.
    let counts: Vec<_> = loops.iter().map(|(_, calls)| calls.clone()).collect();
    control::obey(listener.local_addr()?, move || Some(counts.iter().map(|calls| calls.load(Relaxed)).sum()))?;

    for (epoll, _) in loops.iter().cycle() {
        let stream = accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC).context("cannot accept")?;
        sockopt::set_tcp_nodelay(&stream, true)?;
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        let fd = stream.into_raw_fd();
        // SAFETY: just taken out of its owner; the loop closes it, but not before it is registered.
        let stream = unsafe { BorrowedFd::borrow_raw(fd) };
        epoll::add(epoll, stream, EventData::new_u64(fd as u64), flags).context("cannot register a connection")?;
    }
    Ok(())
}

struct EventLoop {
    epoll: Arc<OwnedFd>,
    /// For whoever asks; written here only.
    published_calls: Arc<AtomicU64>,
    calls: u64,
    buffer: Box<[u8; BUFFER_BYTES]>,
    /// By descriptor, what did not fit into the socket.
    unsent: HashMap<RawFd, Vec<u8>>,
}

/// What is left to do for a connection.
enum Then {
    Wait,
    Close,
}

/// There is no value of it.
enum Never {}

impl EventLoop {
    fn new(epoll: Arc<OwnedFd>, published_calls: Arc<AtomicU64>) -> EventLoop {
        EventLoop { epoll, published_calls, calls: 0, buffer: Box::new([0; BUFFER_BYTES]), unsent: HashMap::new() }
    }

    fn run(&mut self) -> io::Result<Never> {
        let mut events = Vec::with_capacity(BATCH);
        loop {
            self.calls += 1;
            // Relaxed: statistics.
            self.published_calls.store(self.calls, Relaxed);
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
            for event in events.drain(..) {
                self.serve(event.data.u64() as RawFd, event.flags);
            }
        }
    }

    fn serve(&mut self, fd: RawFd, flags: EventFlags) {
        // SAFETY: registered with this loop's epoll and closed by this loop only, which takes it off the list of events. An event of the same
        // batch cannot be for a closed one: a descriptor is in a batch once.
        let stream = unsafe { BorrowedFd::borrow_raw(fd) };
        let hung_up = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        // An error is a client that is gone; the load generator counts what it misses.
        if let Then::Close = self.echo(stream, fd, hung_up).unwrap_or(Then::Close) {
            self.unsent.remove(&fd);
            // SAFETY: taken out of its owner when it was accepted, and nobody else closes it.
            drop(unsafe { OwnedFd::from_raw_fd(fd) });
        }
    }

    fn echo(&mut self, stream: BorrowedFd<'_>, fd: RawFd, hung_up: bool) -> rustix::io::Result<Then> {
        if !self.unsent.is_empty()
            && let Some(rest) = self.unsent.remove(&fd)
            && self.send(stream, fd, rest)?
        {
            return Ok(Then::Wait);
        }
        loop {
            self.calls += 1;
            let got = match recv(stream, &mut self.buffer[..], RecvFlags::empty()) {
                Ok((0, _)) => return Ok(Then::Close),
                Ok((got, _)) => got,
                Err(Errno::AGAIN) => return Ok(Then::Wait),
                Err(Errno::INTR) => continue,
                Err(e) => return Err(e),
            };
            self.calls += 1;
            let sent = match send(stream, &self.buffer[..got], SendFlags::NOSIGNAL) {
                Ok(sent) => sent,
                Err(Errno::AGAIN | Errno::INTR) => 0,
                Err(e) => return Err(e),
            };
            if sent < got {
                let rest = self.buffer[sent..got].to_vec();
                if self.send(stream, fd, rest)? {
                    return Ok(Then::Wait);
                }
            } else if got < BUFFER_BYTES && !hung_up {
                return Ok(Then::Wait);
            }
        }
    }

    /// Sends on; keeps what does not fit, and says whether something was kept.
    fn send(&mut self, stream: impl AsFd, fd: RawFd, mut rest: Vec<u8>) -> rustix::io::Result<bool> {
        while !rest.is_empty() {
            self.calls += 1;
            match send(&stream, &rest, SendFlags::NOSIGNAL) {
                Ok(sent) => drop(rest.drain(..sent)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    self.unsent.insert(fd, rest);
                    return Ok(true);
                }
                Err(e) => return Err(e),
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests;

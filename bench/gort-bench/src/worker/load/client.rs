//! A client: a thread with an edge-triggered epoll, a message in flight on each connection.
//!
//! A message is 64 bytes: the number of the connection, the number of the message, and filling that depends on both. A reply must be the same 64
//! bytes and not one more. A reply may come in pieces; then the next edge brings the rest.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use hdrhistogram::Histogram;
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send, sockopt};

use super::{END, Shared, WINDOW};

/// Bytes in a message.
const MESSAGE: usize = 64;
const BATCH: usize = 256;
/// How long the client sleeps if nothing happens, so that it sees the end.
const NAP: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
/// For connecting and the first reply.
const PATIENCE: Duration = Duration::from_secs(10);

/// One thread's connections.
pub struct Client {
    epoll: rustix::fd::OwnedFd,
    connections: Vec<Connection>,
}

struct Connection {
    stream: TcpStream,
    message: [u8; MESSAGE],
    /// How many messages were sent.
    turn: u64,
    /// How much of the reply is there.
    got: usize,
    sent_at: Instant,
    /// Replies within the window.
    replies: u32,
}

/// What came out of it.
pub struct Tally {
    /// From sending to having the whole reply, of those that came within the window.
    pub latency_ns: Histogram<u64>,
    /// Connections without a reply in the window.
    pub silent: usize,
}

impl Client {
    /// Connects those with these numbers, each with a first exchange, so that the server has accepted it.
    pub fn connect(addr: SocketAddr, numbers: impl Iterator<Item = usize>) -> Result<Client> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).context("cannot make an epoll instance")?;
        let mut connections = Vec::new();
        for number in numbers {
            let connection = Connection::open(addr, number as u64).with_context(|| format!("connection {number}"))?;
            let flags = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
            epoll::add(&epoll, &connection.stream, EventData::new_u64(connections.len() as u64), flags)?;
            connections.push(connection);
        }
        Ok(Client { epoll, connections })
    }

    /// Asks and checks until the phase is [`END`].
    pub fn run(mut self, shared: &Shared) -> Result<Tally> {
        let mut tally = Tally::new()?;
        let mut events = Vec::with_capacity(BATCH);
        for (number, connection) in self.connections.iter_mut().enumerate() {
            connection.send(Instant::now()).with_context(|| format!("connection {number}"))?;
        }
        loop {
            let phase = shared.phase.load(Relaxed);
            if phase == END {
                break;
            }
            match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&NAP)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(e) => bail!("epoll_wait: {e}"),
            }
            let mut replies = 0;
            for event in events.drain(..) {
                let number = event.data.u64();
                let connection = &mut self.connections[number as usize];
                let Some(now) = connection.receive().with_context(|| format!("connection {number}"))? else { continue };
                replies += 1;
                if phase == WINDOW {
                    tally.latency_ns.saturating_record((now - connection.sent_at).as_nanos() as u64);
                    connection.replies += 1;
                }
                connection.send(now).with_context(|| format!("connection {number}"))?;
            }
            // Relaxed: a count.
            shared.replies.fetch_add(replies, Relaxed);
        }
        tally.silent = self.connections.iter().filter(|connection| connection.replies == 0).count();
        Ok(tally)
    }
}

impl Tally {
    pub fn new() -> Result<Tally> {
        Ok(Tally { latency_ns: Histogram::new_with_bounds(1, 60_000_000_000, 3)?, silent: 0 })
    }

    /// Takes another one in.
    pub fn add(&mut self, other: &Tally) -> Result<()> {
        self.latency_ns.add(&other.latency_ns)?;
        self.silent += other.silent;
        Ok(())
    }
}

impl Connection {
    fn open(addr: SocketAddr, number: u64) -> Result<Connection> {
        let stream = TcpStream::connect_timeout(&addr, PATIENCE).context("cannot connect")?;
        stream.set_nodelay(true)?;
        // Closed with a reset: ten thousand ports in TIME_WAIT after each measurement would soon be all there are.
        sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
        let mut connection =
            Connection { stream, message: message(number), turn: 0, got: 0, sent_at: Instant::now(), replies: 0 };
        connection.stream.set_read_timeout(Some(PATIENCE))?;
        connection.send(Instant::now())?;
        while connection.receive().context("first reply")?.is_none() {}
        connection.stream.set_nonblocking(true)?;
        Ok(connection)
    }

    fn send(&mut self, now: Instant) -> Result<()> {
        self.turn += 1;
        self.message[8..16].copy_from_slice(&self.turn.to_le_bytes());
        let last = self.message[MESSAGE - 1].wrapping_add(1);
        self.message[16..].fill(last);
        self.got = 0;
        self.sent_at = now;
        // One message in flight always fits.
        let sent = send(&self.stream, &self.message, SendFlags::NOSIGNAL).context("cannot send")?;
        ensure!(sent == MESSAGE, "{sent} of {MESSAGE} bytes sent");
        Ok(())
    }

    /// The time at which the reply was complete, if it is.
    fn receive(&mut self) -> Result<Option<Instant>> {
        // Room for more than may come, to see it if it comes.
        let mut buffer = [0; 2 * MESSAGE];
        let got = match recv(&self.stream, &mut buffer[..], RecvFlags::empty()) {
            Ok((0, _)) => bail!("the server closed the connection"),
            Ok((got, _)) => got,
            Err(Errno::INTR) => return self.receive(),
            // An edge without data, such as the one that registering brings.
            Err(Errno::AGAIN) if self.is_nonblocking()? => return Ok(None),
            Err(e) => bail!("cannot receive: {}", io::Error::from(e)),
        };
        let expected = self.message.get(self.got..self.got + got);
        ensure!(expected == Some(&buffer[..got]), "the reply to message {} is not what was sent", self.turn);
        self.got += got;
        Ok((self.got == MESSAGE).then(Instant::now))
    }

    /// Asked in the rare case only: on a blocking socket the same error means that the time is up.
    fn is_nonblocking(&self) -> io::Result<bool> {
        Ok(rustix::fs::fcntl_getfl(&self.stream)?.contains(rustix::fs::OFlags::NONBLOCK))
    }
}

fn message(number: u64) -> [u8; MESSAGE] {
    let mut message = [number as u8; MESSAGE];
    message[..8].copy_from_slice(&number.to_le_bytes());
    message
}

#[cfg(test)]
mod tests;

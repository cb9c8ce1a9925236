//! One client: connects, tries its connection, waits for the start, then asks and checks until told to end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use gort::net::TcpStream;

use super::Shared;
use super::fault::Fault;
use super::message::Message;
use super::phase::Phase;
use crate::place::Place;

/// Opens and tries connection `number`, then leaves it to a goroutine of its own.
pub fn begin(shared: &Arc<Shared>, number: u32) {
    let presence = Presence { shared: shared.clone(), number };
    if shared.phase.now() == Phase::Stopping || shared.shortage.get().is_some() {
        return;
    }
    let place = &shared.plan.places[number as usize % shared.plan.places.len()];
    let (stream, addr) = match connect(place) {
        Ok((stream, addr)) => (Arc::new(stream), addr),
        Err(e) => return shared.faults.count(Fault::of_connect(&e), || e.to_string()),
    };
    // Relaxed: as `connected` below.
    shared.opened.fetch_add(1, Relaxed);
    shared.streams().insert(number, stream.clone());
    let mut message = Message::new(&shared.pattern, number);
    if let Err(e) = message.exchange(&mut &*stream) {
        return lost(shared, number, &addr, &e);
    }
    // Relaxed: shown to people; the phase is what orders clients and the main thread.
    shared.connected.fetch_add(1, Relaxed);
    let client = gort::Builder::new().spawn(move || {
        let shared = &*presence.shared;
        shared.phase.enlist();
        shared.phase.wait_while(Phase::Connecting);
        let ended = match shared.plan.rate {
            None => ask_at_once(shared, number, &stream, &mut message),
            Some(rate) => ask_when_due(shared, number, &stream, &mut message, rate),
        };
        if let Err(e) = ended {
            lost(shared, number, &addr, &e);
        }
    });
    if let Err(e) = client {
        shared.run_short(&format!("the client goroutine of connection {number}"), &e);
    }
}

/// The client counts as present until its last deed is done, however it ends.
struct Presence {
    shared: Arc<Shared>,
    number: u32,
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.shared.streams().remove(&self.number);
        // Relaxed: see `Load::wait_for_clients`.
        self.shared.clients.fetch_sub(1, Relaxed);
    }
}

/// The first of the place's addresses that accepts. The error, the last one's, names its address, as gort's do.
fn connect(place: &Place) -> io::Result<(TcpStream, SocketAddr)> {
    let mut failed = None;
    for addr in place.addrs() {
        match TcpStream::connect_timeout(addr, Duration::from_secs(10)) {
            Ok(stream) => {
                // If it fails the peer is gone already, which the first exchange tells better.
                let _ = stream.set_nodelay(true);
                return Ok((stream, *addr));
            }
            Err(e) => failed = Some(e),
        }
    }
    Err(failed.unwrap_or_else(|| io::ErrorKind::InvalidInput.into()))
}

fn lost(shared: &Shared, number: u32, addr: &SocketAddr, e: &io::Error) {
    // A stream that is not there any more was closed under its client by `Load::stop`, which has counted it.
    let ours = shared.streams().remove(&number).is_some();
    if ours {
        shared.faults.count(Fault::of_exchange(e), || format!("request to {addr}: {e}"));
    }
}

/// Closed loop: the next request leaves when the reply is there.
fn ask_at_once(shared: &Shared, number: u32, mut stream: &TcpStream, message: &mut Message) -> io::Result<()> {
    while shared.phase.now() != Phase::Stopping {
        let asked = Instant::now();
        message.exchange(&mut stream)?;
        answered(shared, number, asked);
    }
    Ok(())
}

/// Open loop: requests are due at fixed times, and a late reply delays none of the due times after it.
fn ask_when_due(
    shared: &Shared,
    number: u32,
    mut stream: &TcpStream,
    message: &mut Message,
    rate: u64,
) -> io::Result<()> {
    for turn in 0_u64.. {
        let due = shared.phase.began() + due_after(turn, number, shared.plan.conns, rate);
        shared.phase.wait_until(due);
        if shared.phase.now() == Phase::Stopping {
            break;
        }
        message.exchange(&mut stream)?;
        answered(shared, number, due);
    }
    Ok(())
}

fn answered(shared: &Shared, number: u32, since: Instant) {
    let recorded = shared.phase.now() == Phase::Measuring;
    shared.tally.reply(number as usize, recorded.then(|| since.elapsed()));
}

/// Connections take turns, so that all together ask `rate` times a second at even distances.
fn due_after(turn: u64, number: u32, conns: u32, rate: u64) -> Duration {
    let place = u128::from(turn) * u128::from(conns) + u128::from(number);
    Duration::from_nanos(u64::try_from(place * 1_000_000_000 / u128::from(rate)).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_take_turns_at_even_distances() {
        let mut due: Vec<_> =
            (0..3).flat_map(|turn| (0..4).map(move |number| due_after(turn, number, 4, 1000))).collect();
        due.sort();
        let even: Vec<_> = (0..12).map(Duration::from_millis).collect();
        assert_eq!(due, even);
    }
}

//! The echo server, written three times, and what all three have in common.
//!
//! | file      | what                                                                                     |
//! |-----------|------------------------------------------------------------------------------------------|
//! | `echo`    | the blocking loop one connection gets: the same function for goroutines and OS threads   |
//! | `gort`    | a goroutine per connection                                                               |
//! | `threads` | an OS thread per connection                                                              |
//! | `epoll`   | edge-triggered event loops, the yardstick                                                |
//! | `open`    | the set of open connections, to end them in order and to count what they did             |
//! | `accept`  | accepting for the two styles without goroutines                                          |
//! | `alarm`   | how a server that cannot go on tells the main thread                                     |

mod accept;
pub mod alarm;
mod echo;
mod epoll;
mod gort;
mod open;
mod threads;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::args::Style;
use crate::place::Place;
use alarm::Alarm;

pub use self::gort::use_procs;

/// How long connections get to finish what they are at when the server is told to stop.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A server at work, whatever its style.
pub trait Server {
    /// Its nature: constant while it runs.
    fn nature(&self) -> Nature;
    /// Its counters now.
    fn counters(&self) -> Counters;
    /// Accepts no more, lets connections finish the message they are at, and ends them.
    fn stop(&mut self);
}

/// What a server is made of.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Nature {
    /// How goroutines keep their identity; none without goroutines.
    pub mode: Option<String>,
    /// How many processors it uses at once.
    pub procs: u64,
}

/// What a server has counted.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Counters {
    /// Connections accepted so far.
    pub connections: u64,
    /// Bytes echoed so far.
    pub bytes: u64,
    /// System calls so far, if the style can tell.
    pub syscalls: Option<u64>,
    /// Goroutines at peak, in the style that has them.
    pub goroutines_peak: Option<u64>,
    /// OS threads at peak by the runtime's own count.
    pub threads_peak: Option<u64>,
}

/// Starts a server on `places`; returns it with the addresses it got (port 0 is a request for any).
pub fn start(
    style: Style,
    places: &[Place],
    procs: Option<u32>,
    alarm: &Alarm,
) -> Result<(Box<dyn Server>, Vec<SocketAddr>)> {
    match style {
        Style::Gort => gort::start(places, procs, alarm),
        Style::Threads => threads::start(bind(places)?, alarm),
        Style::Epoll => epoll::start(bind(places)?, procs, alarm),
    }
}

fn bind(places: &[Place]) -> Result<Vec<TcpListener>> {
    places.iter().map(|place| TcpListener::bind(place.addrs()).with_context(|| cannot_listen(place))).collect()
}

fn cannot_listen(place: &Place) -> String {
    format!("cannot listen on {place}")
}

/// Whether an error of `accept` is about descriptors, which only somebody closing one can cure.
fn out_of_descriptors(e: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(Errno::from_io_error(e), Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM))
}

/// How long to leave a connection in the backlog when there is no descriptor for it.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

fn say_paused(e: &io::Error) {
    crate::out::stderr(format_args!(
        "cannot accept for now: {e}; connections wait until others close (said once; see `ulimit -Hn`)"
    ));
}

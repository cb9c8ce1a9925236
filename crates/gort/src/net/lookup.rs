//! Names to addresses, by the system's resolver.
//!
//! `getaddrinfo` blocks its thread for as long as a name server takes, wants more stack than most goroutines have, and keeps things per thread. So it
//! runs as the thread beneath a goroutine, in a class that lets so many in at a time, and whoever waits for it may give up earlier.

use super::{SocketAddr, ToSocketAddrs};
use crate::{BlockingClass, context};
use std::io;
use std::vec;

/// Look-ups at a time, in the whole process: as many threads they may keep when a name server does not answer.
static RESOLVER: BlockingClass = BlockingClass::new("gort::net::lookup_host", 32);

/// The addresses of `host`, a name or address with a port, as `"localhost:80"`: what [`ToSocketAddrs`] gives, without keeping a thread for each.
///
/// Parks until the system's resolver has answered. 32 look-ups run at a time, and keep a thread each; others wait for their turn. If the ambient
/// [context](crate::context) ends, so does the wait; the look-up goes on to its own end. What is an address already is not looked up.
///
/// # Errors
/// The resolver's; `InvalidInput` for a host without a port; the context's.
///
/// # Examples
/// ```
/// let addrs: Vec<_> = gort::net::lookup_host("localhost:80")?.collect();
/// assert!(addrs.iter().all(|addr| addr.ip().is_loopback() && addr.port() == 80));
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn lookup_host(host: &str) -> io::Result<vec::IntoIter<SocketAddr>> {
    if let Ok(addr) = host.parse::<SocketAddr>() {
        return Ok(vec![addr].into_iter());
    }
    let name = host.to_owned();
    let addrs = RESOLVER.run_detached(&context::current(), move || crate::host(move || name.to_socket_addrs()))?;
    addrs.map_err(|error| io::Error::new(error.kind(), format!("cannot resolve {host:?}: {error}")))
}

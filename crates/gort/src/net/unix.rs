//! Unix sockets: connections and datagrams within this machine, named by paths, by abstract names, or not at all.

mod credentials;
mod datagram;
mod listener;
mod passing;
mod stream;

pub use credentials::PeerCredentials;
pub use datagram::UnixDatagram;
pub use listener::{UnixIncoming, UnixListener};
pub use passing::Parcel;
pub use stream::UnixStream;

use crate::sys::raw::Errno;
use crate::sys::socket::{self as sys, UnixAddr};
use std::fmt;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr;

fn local_addr(fd: i32) -> Result<SocketAddr, Errno> {
    sys::local_addr::<UnixAddr>(fd)?.to_std()
}

fn peer_addr(fd: i32) -> Result<SocketAddr, Errno> {
    sys::peer_addr::<UnixAddr>(fd)?.to_std()
}

/// Sends a datagram or connects, where there may be no room at the other end, of which no event tells: see `Handle::write_when_room`.
fn unless_full<R>(result: Result<R, Errno>) -> Result<R, Errno> {
    match result {
        Err(Errno::AGAIN) => Err(crate::handle::NO_ROOM_THERE),
        other => other,
    }
}

/// An address in an error: as the user wrote it.
struct Shown<'a>(&'a SocketAddr);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.as_pathname(), self.0.as_abstract_name()) {
            (Some(path), _) => path.display().fmt(f),
            (None, Some(name)) => write!(f, "@{}", name.escape_ascii()),
            (None, None) => f.write_str("(unnamed)"),
        }
    }
}

fn named(what: &'static str, addr: &SocketAddr, error: io::Error) -> io::Error {
    super::resolve::failed(what, Shown(addr), error)
}

fn debug(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    handle: &crate::handle::Handle,
    peer: io::Result<SocketAddr>,
) -> fmt::Result {
    let mut f = f.debug_struct(name);
    f.field("fd", handle);
    if let Ok(addr) = handle.with_fd(local_addr) {
        f.field("local", &addr);
    }
    if let Ok(addr) = peer {
        f.field("peer", &addr);
    }
    f.finish()
}

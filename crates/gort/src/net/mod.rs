//! Sockets that park the goroutine: TCP, UDP and Unix sockets with std's types and methods, plus deadlines, an explicit close and more options.
//!
//! Everything of `std::net` is here under its name, and the types of `std::os::unix::net` too, so in most programs `use std::net` becomes
//! `use gort::net` and that is all. Beyond std: batches of datagrams ([`Batch`]), descriptors that go along with bytes
//! ([`UnixStream::send_with_fds`]), connecting to names with limits ([`Dialer`], [`lookup_host`]).
//!
//! **What blocks.** Connecting, accepting, reading and writing, sending and receiving. On a goroutine they park it, and its thread runs other
//! goroutines; on a plain thread they block that thread. A signal never ends them: `Interrupted` does not exist here.
//!
//! **What ends a wait**, besides the event itself:
//! - a *timeout* ([`TcpStream::set_read_timeout`] …): how long each call may take, as in std;
//! - a *deadline* ([`TcpStream::set_deadline`] …): a point in time for all calls together, as in Go. It may be moved while others wait, and
//!   they see it at once: setting one in the past ends every wait. An expired deadline fails every call, even if data is there, until it is
//!   moved or cleared;
//! - a [`context`](crate::context) in which the call is made;
//! - [`TcpStream::close`], [`TcpListener::close`] and so on by another goroutine.
//!
//! Timeouts and deadlines give [`TimedOut`](std::io::ErrorKind::TimedOut), where std gives `WouldBlock` on Unix. After a close every call fails
//! with [`NotConnected`](std::io::ErrorKind::NotConnected).
//!
//! **Sharing.** All methods take `&self`, and any number of goroutines may call them at the same time: one reads while another one writes,
//! readers among themselves take turns. [`std::sync::Arc`] or [`crate::scope`] is all that is needed; `try_clone` is there as in std.

mod dial;
mod lookup;
mod no_room;
mod options;
mod resolve;
mod tcp_listener;
mod tcp_stream;
mod udp;
mod unix;

pub use dial::Dialer;
pub use lookup::lookup_host;
pub use options::{KeepAlive, TcpListenerBuilder};
pub use std::net::{
    AddrParseError, IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, SocketAddrV4, SocketAddrV6, ToSocketAddrs,
};
pub use tcp_listener::{Incoming, TcpListener};
pub use tcp_stream::TcpStream;
pub use udp::{Batch, Datagram, Datagrams, UdpSocket};
pub use unix::{Parcel, PeerCredentials, UnixDatagram, UnixIncoming, UnixListener, UnixStream};

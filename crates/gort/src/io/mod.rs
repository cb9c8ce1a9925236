//! What parks besides sockets: pipes, standard streams, and any descriptor that epoll takes.
//!
//! - [`pipe`]: the system's, for child processes and other programs;
//! - [`duplex`](duplex()): both ends of a connection in memory, for tests and for parts of a program that talk through streams;
//! - [`stdin`], [`stdout`], [`stderr`]: the process's own, on a terminal too;
//! - [`copy`](copy()), [`copy_bidirectional`]: by the kernel, where it can;
//! - [`Pollable`]: waits for readiness of a descriptor that somebody else reads and writes, such as a C library.
//!
//! Limits, contexts and ends are those of [`net`](crate::net). `Read`, `Write`, `BufReader` and so on are std's, and work with all of it.

mod copy;
mod duplex;
mod pipe;
mod pollable;
mod standard;

pub use copy::{Connection, copy, copy_bidirectional};
pub use duplex::{DuplexStream, duplex};
pub use pipe::{PipeReader, PipeWriter, pipe};
pub use pollable::Pollable;
pub use standard::{Stderr, StderrLock, Stdin, StdinLock, Stdout, StdoutLock, stderr, stdin, stdout};

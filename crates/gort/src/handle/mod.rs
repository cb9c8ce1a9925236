//! Operations on descriptors: try the call, else park until the descriptor's side has changed.

mod accept;
mod look;
mod op;
mod owned;
mod patience;
pub(crate) mod surface;

pub(crate) use look::look;
pub(crate) use owned::Handle;
pub(crate) use patience::NO_ROOM_THERE;

use std::io;

/// The kernel moves no more at once (`MAX_RW_COUNT`), so that a longer buffer would always look as if it had been filled in part.
pub(crate) const MOST_AT_ONCE: usize = 0x7fff_f000;

/// A type of the surface that is one.
pub(crate) trait HasHandle {
    fn handle(&self) -> &Handle;
}

/// What `read_exact` says when the end comes first, as std.
#[cold]
pub(crate) fn ended_early() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "failed to fill whole buffer")
}

/// What `write_all` says when a write takes nothing, as std.
#[cold]
pub(crate) fn took_nothing() -> io::Error {
    io::Error::new(io::ErrorKind::WriteZero, "failed to write whole buffer")
}

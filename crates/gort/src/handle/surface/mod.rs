//! What every public type over a [`Handle`](super::Handle) offers, written once: macros that a type calls with its name and the lines that its
//! examples begin with.
//!
//! Macros, not a trait: a user calls `stream.set_deadline(…)` without an import, as on std's types, and reads it on the type's own page, with an
//! example that compiles. The type has one field, `handle`.

mod bytes;
mod convert;
mod ends;
mod limits;
mod readiness;
mod socket;

pub(crate) use bytes::{readable, writable};
pub(crate) use convert::converts;
pub(crate) use ends::{ends, socket_ends};
pub(crate) use limits::{limits, read_limits, write_limits};
pub(crate) use readiness::readiness;
pub(crate) use socket::{buffers, ttl};

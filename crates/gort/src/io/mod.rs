//! Operations on descriptors: try the call, else park until the descriptor's side has changed.

mod accept;
mod op;
mod socket;

pub(crate) use socket::Socket;

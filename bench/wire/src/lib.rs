//! What the harness and the peers written in Rust say to each other.
//!
//! A peer is an executable. The harness calls it as
//!
//! ```text
//! <executable> worker <peer> <task> [key=value ..]
//! ```
//!
//! and expects one JSON object on stdout, `{"metrics": {"ns": 63.1}, "notes": {}}`, and exit status 0. Anything else is a failure, and stderr
//! says why: a task that finds its own result wrong ends with a message and a status other than 0. The task `echo_server` is the exception: it
//! serves until its stdin ends, see [`control`].
//!
//! Peers in other languages implement the same few lines; `bench/go` does.

pub mod call;
pub mod check;
pub mod control;
pub mod files;
pub mod lateness;
pub mod memory;
pub mod outcome;
pub mod process;
pub mod streams;
pub mod timing;

pub use call::Call;
pub use outcome::Outcome;

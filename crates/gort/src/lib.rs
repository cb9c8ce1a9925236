//! gort: goroutines for Rust. Code that looks blocking and scales like async.
//!
//! A program writes `stream.read(&mut buf)?` in straight lines and starts a goroutine for each connection; a runtime in the manner of Go's runs
//! hundreds of thousands of them on a handful of threads. There is no `async`, and any synchronous crate works inside a goroutine.
//!
//! ```no_run
//! use gort::net::TcpListener;
//! use std::io::{Read, Write};
//!
//! #[gort::main]
//! fn main() -> std::io::Result<()> {
//!     let listener = TcpListener::bind("127.0.0.1:7000")?;
//!     for stream in listener.incoming() {
//!         let mut stream = stream?;
//!         gort::go(move || -> std::io::Result<()> {
//!             let mut buf = [0; 4096];
//!             loop {
//!                 match stream.read(&mut buf)? {
//!                     0 => return Ok(()),
//!                     n => stream.write_all(&buf[..n])?,
//!                 }
//!             }
//!         });
//!     }
//!     Ok(())
//! }
//! ```
//!
//! - [`go`], [`Builder`], [`scope`], [`JoinHandle`]: as `std::thread`, for goroutines. They work from any thread; the runtime starts by itself.
//! - [`chan`], [`select!`]: channels as in Go, with crossbeam's names.
//! - [`time`]: timers, tickers, functions called later; nothing is ever early.
//! - [`context`]: cancellation and deadlines, also for calls deep inside a library that knows nothing of them.
//! - [`sync`]: std's locks, and what std lacks, that park goroutines.
//! - [`fs`]: files with std's types and functions, of which a slow disk does not eat the threads.
//! - [`net`]: TCP, UDP and Unix sockets with std's types and methods, plus deadlines. [`io`]: pipes, and readiness of any other descriptor.
//! - [`process`]: child processes; [`signal`]: signals as a channel and as a context.
//! - [`blocking`]: marks a call that may block its thread. Unmarked ones are noticed too, a little later. [`BlockingClass`] bounds how many
//!   of a kind run at a time.
//! - [`host`]: runs a closure as the thread beneath the goroutine, for code that expects few threads or its own stack.
//! - [`with_stack`]: calls a function on a larger stack.
//! - [`runtime`]: configuration, metrics, a dump of all goroutines.
//! - [`alloc`]: the allocator that `#[gort::main]` installs.
//!
//! Everything that waits parks the goroutine, and blocks the thread when it is called on a plain one.

pub mod alloc;
mod blocking;
pub mod chan;
mod config;
pub mod context;
mod deep;
mod dump;
pub mod fs;
mod g;
mod handle;
mod host;
pub mod io;
pub mod net;
mod netpoll;
mod prim;
pub mod process;
pub mod runtime;
mod sched;
pub mod signal;
mod spawn;
mod stack;
pub mod sync;
mod sys;
mod testing;
pub mod time;
mod timer;
mod uring;
mod wait;

pub use blocking::{BlockingClass, BlockingClassMetrics, blocking, blocking_class, blocking_ctx, blocking_send};
pub use deep::with_stack;
pub use gort_macros::{main, test};
pub use host::host;
pub use spawn::{
    Builder, Goroutine, GoroutineId, GoroutineLocal, JoinHandle, OsThreadGuard, Scope, ScopedJoinHandle, current, go,
    lock_os_thread, park, park_timeout, scope, sleep, unlock_os_thread, yield_now,
};

/// What the macros expand to. Not for anybody else.
#[doc(hidden)]
pub mod __private {
    pub use crate::testing::{Options, TestOptions, main, pending_timers, pretend_machine, test, visits};
}

/// The guide's examples, run with the other ones.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/GUIDE.md")]
pub struct Guide;

//! Locks and other meeting points, for goroutines and threads alike, with std's interfaces.
//!
//! - [`Mutex`], [`RwLock`], [`Condvar`], [`Once`], [`OnceLock`], [`LazyLock`] and [`Barrier`] are std's, poisoning included: a program changes its
//!   `use` line.
//! - [`WaitGroup`], [`ErrGroup`] and [`Pool`] are Go's, [`Semaphore`] and [`Notify`] what Rust programs know by these names.
//!
//! Whoever waits parks its goroutine, or blocks its thread, and both kinds may stand in one queue. What is free is taken without parking and without
//! an allocation; waiting does not allocate either.
//!
//! Every wait has forms that end by a time (`…_timeout`, `…_deadline`) or by a context (`…_ctx`). What can be had at once is had whatever the time
//! and the context; what is handed to a party that has just given up goes to the next. Two waits have none: that for a function that somebody else
//! runs in [`Once::call_once`], [`OnceLock::get_or_init`] or a [`LazyLock`], and that for the goroutines of an [`ErrGroup`]. Both last as long as
//! those run, so the context belongs to them.
//!
//! ```
//! use gort::sync::Mutex;
//! use std::sync::Arc;
//!
//! let total = Arc::new(Mutex::new(0));
//! let adders: Vec<_> = (1..=10)
//!     .map(|number| {
//!         let total = total.clone();
//!         gort::go(move || *total.lock().unwrap() += number)
//!     })
//!     .collect();
//! for adder in adders {
//!     adder.join().unwrap();
//! }
//! assert_eq!(*total.lock().unwrap(), 55);
//! ```

mod barrier;
mod condvar;
mod ctx;
mod err_group;
pub(crate) mod gate;
mod lazy_lock;
mod mutex;
mod notify;
mod once;
mod once_lock;
mod poison;
mod pool;
mod rwlock;
mod semaphore;
mod wait_group;

pub use barrier::{Barrier, BarrierWaitResult};
pub use condvar::{Condvar, WaitTimeoutResult};
pub use ctx::{LockCtxError, LockCtxResult};
pub use err_group::ErrGroup;
pub use lazy_lock::LazyLock;
pub use mutex::{Mutex, MutexGuard};
pub use notify::Notify;
pub use once::{Once, OnceState};
pub use once_lock::OnceLock;
pub use pool::Pool;
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use semaphore::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
pub use wait_group::WaitGroup;

//! Locks and other meeting points, for goroutines and threads alike, with std's interfaces.
//!
//! [`Mutex`], [`RwLock`] and [`Condvar`] are std's, poisoning included: a program changes its `use` line. Whoever waits parks its goroutine, or
//! blocks its thread, and both kinds may stand in one queue. What is free is taken without parking and without an allocation; waiting does not
//! allocate either.
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

mod condvar;
mod gate;
mod mutex;
mod poison;
mod rwlock;

pub use condvar::{Condvar, WaitTimeoutResult};
pub use mutex::{Mutex, MutexGuard};
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};

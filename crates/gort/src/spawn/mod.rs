//! Starting goroutines and waiting for them: [`go`], [`Builder`], [`scope`], [`JoinHandle`], and the goroutine as a value.

mod builder;
mod goroutine;
pub(crate) mod join;
pub(crate) mod local;
#[cfg(all(target_os = "linux", target_env = "gnu", not(target_feature = "crt-static")))]
pub(crate) mod pi_mutex;
pub(crate) mod report;
pub(crate) mod scope;
mod task;

pub use builder::Builder;
pub use goroutine::{
    Goroutine, GoroutineId, OsThreadGuard, current, lock_os_thread, park, park_timeout, sleep, unlock_os_thread,
    yield_now,
};
pub(crate) use goroutine::{me, wait_record};
pub use join::JoinHandle;
pub use local::GoroutineLocal;
pub use scope::{Scope, ScopedJoinHandle, scope};
pub(crate) use task::dormant;

use crate::g::G;
use std::panic::Location;
use std::sync::Arc;

/// Starts a goroutine that runs `f`.
///
/// Works from anywhere: a goroutine, `main`, a plain thread; the runtime starts on first use. The goroutine gets its stack when it first runs,
/// so spawning touches no page and, once warm, allocates nothing unless `f` captures more than 64 bytes.
///
/// Dropping the handle lets the goroutine run on by itself. A panic in it is reported on stderr with the goroutine's id and this call's place,
/// whether or not somebody joins; see [`Builder::abort_on_panic`] for another policy. When the program's `main` returns, goroutines that still
/// run are ended with the process, as in Go.
///
/// # Panics
/// If there is no memory for another goroutine's stack, or while the runtime is being [shut down](crate::runtime::shutdown).
/// [`Builder::spawn`] returns that as an error.
///
/// # Examples
/// ```
/// let answer = gort::go(|| 6 * 7);
/// assert_eq!(answer.join().unwrap(), 42);
/// ```
#[track_caller]
#[inline]
pub fn go<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    // SAFETY: closure and result are 'static.
    match unsafe { task::spawn(task::Attributes::default(), f, Location::caller()) } {
        Ok((g, name)) => JoinHandle::new(g, name),
        Err(error) => panic!("gort::go: {error}"),
    }
}

/// What a handle needs of a started goroutine.
type Started = (&'static G, Option<Arc<str>>);

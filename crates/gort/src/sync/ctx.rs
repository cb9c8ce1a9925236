//! What a lock says to one that would not wait longer than its context.

use crate::context::Ended;
use std::error::Error;
use std::fmt;
use std::sync::PoisonError;

/// Why a lock was not taken, or is not in order. As [`std::sync::TryLockError`], for a wait that a context bounds.
///
/// # Examples
/// ```
/// use gort::sync::{LockCtxError, Mutex};
///
/// let (ctx, cancel) = gort::context::background().with_cancel();
/// let mutex = Mutex::new(0);
/// let guard = mutex.lock().unwrap();
/// cancel.cancel();
/// let Err(LockCtxError::Ended(why)) = mutex.lock_ctx(&ctx) else { panic!() };
/// assert!(why.is_cancelled());
/// # drop(guard);
/// ```
pub enum LockCtxError<G> {
    /// It is locked all the same, and the guard is in here.
    Poisoned(PoisonError<G>),
    /// The context has ended. It is not locked.
    Ended(Ended),
}

/// The guard, or why there is none.
pub type LockCtxResult<G> = Result<G, LockCtxError<G>>;

impl<G> From<PoisonError<G>> for LockCtxError<G> {
    fn from(error: PoisonError<G>) -> Self {
        Self::Poisoned(error)
    }
}

impl<G> fmt::Debug for LockCtxError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Poisoned(_) => f.write_str("Poisoned(..)"),
            Self::Ended(why) => write!(f, "Ended({why:?})"),
        }
    }
}

impl<G> fmt::Display for LockCtxError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Poisoned(error) => error.fmt(f),
            Self::Ended(why) => write!(f, "locking: {why}"),
        }
    }
}

impl<G> Error for LockCtxError<G> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Poisoned(_) => None,
            Self::Ended(why) => Some(why),
        }
    }
}

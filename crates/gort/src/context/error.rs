//! Why a context has ended, as errors.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

/// What whoever cancels may give as the reason.
pub type Cause = Arc<dyn Error + Send + Sync>;

/// The context, or an ancestor of it, was cancelled. Its [`source`](Error::source) is the cause that was given.
#[derive(Clone, Debug, Default)]
pub struct Cancelled {
    cause: Option<Cause>,
}

impl Cancelled {
    pub(super) fn new(cause: Option<Cause>) -> Self {
        Self { cause }
    }

    /// The cause that was given.
    #[must_use]
    pub fn cause(&self) -> Option<&Cause> {
        self.cause.as_ref()
    }
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the context was cancelled")
    }
}

impl Error for Cancelled {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as &(dyn Error + 'static))
    }
}

/// The context's deadline, or that of an ancestor, has passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadlineExceeded;

impl fmt::Display for DeadlineExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the context's deadline has passed")
    }
}

impl Error for DeadlineExceeded {}

/// Why a context has ended. As an error it looks like the one inside.
///
/// Converts to an [`io::Error`]: of kind `TimedOut` for a deadline, else of kind `Other` (never `Interrupted`, after which std's helpers try
/// again), with the error inside as its inner error.
#[derive(Clone, Debug)]
pub enum Ended {
    /// Somebody has cancelled it.
    Cancelled(Cancelled),
    /// Its time is over.
    DeadlineExceeded(DeadlineExceeded),
}

impl Ended {
    /// True for [`Ended::Cancelled`].
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled(_))
    }

    /// True for [`Ended::DeadlineExceeded`].
    #[must_use]
    pub fn is_deadline_exceeded(&self) -> bool {
        matches!(self, Self::DeadlineExceeded(_))
    }

    /// Whether `error` is, or comes from, the end of a context: looks through its sources and the inner errors of [`io::Error`]s.
    ///
    /// # Examples
    /// ```
    /// use gort::context::{Ended, background};
    /// let (ctx, cancel) = background().with_cancel_cause();
    /// cancel.cancel("enough");
    /// let error = std::io::Error::from(ctx.err().unwrap());
    /// assert_eq!(error.kind(), std::io::ErrorKind::Other);
    /// let Some(Ended::Cancelled(why)) = Ended::find(&error) else { panic!() };
    /// assert_eq!(why.cause().unwrap().to_string(), "enough");
    /// ```
    #[must_use]
    pub fn find(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(ended) = error.downcast_ref::<Self>() {
                return Some(ended.clone());
            }
            if let Some(cancelled) = error.downcast_ref::<Cancelled>() {
                return Some(Self::Cancelled(cancelled.clone()));
            }
            if let Some(exceeded) = error.downcast_ref::<DeadlineExceeded>() {
                return Some(Self::DeadlineExceeded(*exceeded));
            }
            // An `io::Error`'s source is that of its inner error.
            next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
                Some(inner) => Some(inner),
                None => error.source(),
            };
        }
        None
    }

    pub(super) fn into_cause(self) -> Cause {
        match self {
            Self::Cancelled(Cancelled { cause: Some(cause) }) => cause,
            Self::Cancelled(cancelled) => Arc::new(cancelled),
            Self::DeadlineExceeded(exceeded) => Arc::new(exceeded),
        }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled(cancelled) => cancelled.fmt(f),
            Self::DeadlineExceeded(exceeded) => exceeded.fmt(f),
        }
    }
}

impl Error for Ended {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Cancelled(cancelled) => cancelled.source(),
            Self::DeadlineExceeded(_) => None,
        }
    }
}

impl From<Ended> for io::Error {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Cancelled(cancelled) => Self::other(cancelled),
            Ended::DeadlineExceeded(exceeded) => Self::new(io::ErrorKind::TimedOut, exceeded),
        }
    }
}

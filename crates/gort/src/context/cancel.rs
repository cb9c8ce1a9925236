//! Who may cancel a context.

use super::ending::Ending;
use super::error::{Cancelled, Cause, Ended};
use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// Cancels a context. Clones cancel the same one; dropping them does nothing.
#[derive(Clone)]
pub struct Cancel {
    ending: Arc<Ending>,
}

impl Cancel {
    pub(super) fn new(ending: Arc<Ending>) -> Self {
        Self { ending }
    }

    /// Ends the context and all its descendants, unless they have ended before. When this returns they have, or another call that ended one of
    /// them is about to tell those below it. Never blocks.
    pub fn cancel(&self) {
        self.ending.end(Ended::Cancelled(Cancelled::new(None)));
    }

    /// Something that cancels when it is dropped, as Go's `defer cancel()`.
    ///
    /// # Examples
    /// ```
    /// let (ctx, cancel) = gort::context::background().with_cancel();
    /// {
    ///     let _at_the_end = cancel.on_drop();
    ///     assert!(ctx.err().is_none());
    /// }
    /// assert!(ctx.err().is_some());
    /// ```
    #[must_use = "it cancels when it is dropped"]
    pub fn on_drop(self) -> CancelOnDrop {
        CancelOnDrop(self)
    }
}

impl fmt::Debug for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cancel { .. }")
    }
}

/// Cancels a context when it is dropped; see [`Cancel::on_drop`].
#[derive(Debug)]
pub struct CancelOnDrop(Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Cancels a context and says why. Clones cancel the same one; dropping them does nothing.
#[derive(Clone)]
pub struct CancelCause {
    ending: Arc<Ending>,
}

impl CancelCause {
    pub(super) fn new(ending: Arc<Ending>) -> Self {
        Self { ending }
    }

    /// Ends the context and all its descendants for `cause`, an error or a text. Of several calls the first counts. Otherwise as
    /// [`Cancel::cancel`].
    pub fn cancel(&self, cause: impl Into<Box<dyn Error + Send + Sync>>) {
        let cause = Cause::from(cause.into());
        self.ending.end(Ended::Cancelled(Cancelled::new(Some(cause))));
    }

    /// As [`Cancel::cancel`]: the context and its descendants end without a cause.
    pub(crate) fn without_cause(&self) {
        self.ending.end(Ended::Cancelled(Cancelled::new(None)));
    }
}

impl fmt::Debug for CancelCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CancelCause { .. }")
    }
}

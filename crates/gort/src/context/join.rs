//! Waiting for a goroutine, with a context.

use super::{Context, Ended};
use crate::spawn::JoinHandle;
use std::panic::Location;

impl<T> JoinHandle<T> {
    /// Waits for the goroutine to end, until `ctx` ends: `Ok` says that [`join`](Self::join) will not wait.
    ///
    /// # Errors
    /// The context has ended first. The goroutine goes on, and can be waited for again.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// let mut parked = gort::go(gort::park);
    /// let (ctx, _) = gort::context::background().with_timeout(Duration::from_millis(1));
    /// assert!(parked.wait_ctx(&ctx).unwrap_err().is_deadline_exceeded());
    /// parked.goroutine().unpark();
    /// parked.join().unwrap();
    /// ```
    #[track_caller]
    pub fn wait_ctx(&mut self, ctx: &Context) -> Result<(), Ended> {
        let site = Location::caller();
        self.wait_while_open(ctx.ending(), site);
        if self.is_finished() { Ok(()) } else { Err(ctx.err().expect("nothing else ends the wait")) }
    }
}

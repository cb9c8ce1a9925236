//! A function that is called later.
//!
//! The function lies in the record of a goroutine that has not been queued (`timer::cell`), so starting it is nothing but queueing it.

use crate::sched;
use crate::spawn;
use crate::timer::cell::due_after;
use crate::timer::{CellRef, Target};
use std::panic::Location;
use std::time::Duration;

/// Calls `f` on a goroutine of its own, `duration` from now. As Go's `time.AfterFunc`.
///
/// Dropping the result lets it go on. A panic in `f` is reported as that of any goroutine, and concerns nobody else. `f` is called once at
/// most: what is to happen again makes another call.
///
/// # Panics
/// If there is no memory for a goroutine's record.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// let (s, r) = gort::chan::bounded(1);
/// gort::time::after_func(Duration::from_millis(1), move || s.send("later").unwrap());
/// assert_eq!(r.recv(), Ok("later"));
///
/// let never = gort::time::after_func(Duration::from_secs(60), || unreachable!());
/// assert!(never.stop());
/// ```
#[track_caller]
pub fn after_func<F>(duration: Duration, f: F) -> AfterFunc
where
    F: FnOnce() + Send + 'static,
{
    let site = Location::caller();
    let me = spawn::wait_record();
    sched::begin_call(me);
    let due_ns = due_after(duration);
    let this = AfterFunc { cell: CellRef::new(spawn::dormant(f, site)) };
    this.arm(due_ns);
    this
}

/// A call that is to come; see [`after_func`].
#[derive(Debug)]
pub struct AfterFunc {
    cell: CellRef,
}

impl AfterFunc {
    /// Prevents the call. True if that has succeeded: the function will not be called, unless a [`reset`](Self::reset) says so. False if it has
    /// been called, or is about to be, or was prevented before. Does not wait for a call under way.
    ///
    /// Never blocks, and allocates nothing. The function is kept, and dropped with this value.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// let call = gort::time::after_func(Duration::from_secs(60), || ());
    /// assert!(call.stop());
    /// assert!(!call.stop(), "it is stopped already");
    /// ```
    pub fn stop(&self) -> bool {
        self.cell.disarm()
    }

    /// Moves the call to `duration` from now, or arms it anew if it was prevented. True if the function will be called then; false if it has been
    /// called, or is about to be.
    ///
    /// Never blocks, and allocates nothing of its own.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// let (s, r) = gort::chan::bounded(1);
    /// let call = gort::time::after_func(Duration::from_secs(60), move || s.send(()).unwrap());
    /// assert!(call.stop());
    /// assert!(call.reset(Duration::from_millis(1)));
    /// r.recv().unwrap();
    /// assert!(!call.reset(Duration::from_millis(1)), "it has been called");
    /// ```
    pub fn reset(&self, duration: Duration) -> bool {
        self.arm(due_after(duration))
    }

    fn arm(&self, due_ns: u64) -> bool {
        let Some((_, entry)) = self.cell.arm(due_ns) else { return false };
        if let Some(when_ns) = entry {
            sched::park::push_timer(spawn::wait_record(), when_ns, Target::cell(self.cell.cell()));
        }
        true
    }
}

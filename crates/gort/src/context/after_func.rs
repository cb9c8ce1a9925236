//! A function that is called when a context ends.
//!
//! The same goroutine that has not been queued as behind `time::after_func`, in the same cell. Here two may start it: the cell's timer, armed for
//! the context's deadline, and whoever ends the context. The cell says which of them has.

use super::{Context, Ending};
use crate::g::GList;
use crate::sched;
use crate::spawn;
use crate::timer::{CellRef, NEVER, Target};
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

impl Context {
    /// Calls `f` on a goroutine of its own once the context has ended; at once if it has. The goroutine has no ambient context.
    ///
    /// Dropping the result lets it go on waiting, also after every handle of the context is gone, as long as an ancestor may end.
    ///
    /// # Examples
    /// ```
    /// let (ctx, cancel) = gort::context::background().with_cancel();
    /// let (s, r) = gort::chan::bounded(1);
    /// ctx.after_func(move || s.send("over").unwrap());
    /// cancel.cancel();
    /// assert_eq!(r.recv(), Ok("over"));
    /// ```
    #[track_caller]
    pub fn after_func<F>(&self, f: F) -> AfterFunc
    where
        F: FnOnce() + Send + 'static,
    {
        let site = Location::caller();
        let me = spawn::wait_record();
        sched::begin_call(me);
        let cell = CellRef::new(spawn::dormant(f, site));
        let mut place = None;
        if let Some(ending) = self.ending() {
            match ending.add_func(cell.clone()) {
                None => {
                    let mut ready = GList::new();
                    cell.start(&mut ready);
                    sched::ready_list(&mut ready);
                }
                Some(slot) => {
                    place = Some((ending.clone(), AtomicUsize::new(slot)));
                    let due_ns = ending.deadline_ns();
                    if due_ns != NEVER
                        && let Some((_, Some(when_ns))) = cell.arm(due_ns)
                    {
                        sched::park::push_timer(me, when_ns, Target::cell(cell.cell()));
                    }
                }
            }
        }
        AfterFunc { cell, place }
    }
}

/// A call that comes when a context ends; see [`Context::after_func`].
#[derive(Debug)]
pub struct AfterFunc {
    cell: CellRef,
    /// Where it is registered, as which number; [`GONE`] once it is no more.
    place: Option<(Arc<Ending>, AtomicUsize)>,
}

const GONE: usize = usize::MAX;

impl AfterFunc {
    /// Prevents the call, and drops the function. True if that has succeeded; false if it has been called, or is about to be, or was prevented
    /// before. Does not wait for a call under way. Never blocks.
    ///
    /// # Examples
    /// ```
    /// let (ctx, cancel) = gort::context::background().with_cancel();
    /// let call = ctx.after_func(|| unreachable!());
    /// assert!(call.stop() && !call.stop());
    /// cancel.cancel();
    /// ```
    pub fn stop(&self) -> bool {
        let was_to_come = self.cell.discard();
        if let Some((ending, slot)) = &self.place {
            // Relaxed: only one may use the number; what it stands for is under the ending's lock.
            let slot = slot.swap(GONE, Relaxed);
            if slot != GONE {
                ending.remove_func(slot);
            }
        }
        was_to_come
    }
}

//! Marked blocking sections.

use crate::context::{Context, Ended};
use crate::sched::section::Section;
use std::panic::{Location, resume_unwind};

/// Runs `f`, which may block its thread, and says so: if it lasts, other goroutines go on elsewhere.
///
/// Go's entersyscall and exitsyscall. The section costs a few nanoseconds if `f` returns at once; if it is still running after some 20 µs and
/// work waits, the monitor gives the processor to another thread, and the goroutine queues for one when `f` returns. Where that has happened, the
/// next section of the same call site gives it away at once. Use it for system calls, C libraries and locks that may take long.
///
/// Without the mark the same happens, but after 10 ms, for each goroutine and in turn: one that blocks keeps its processor for 10 ms, and then the
/// next one may do the same. Of 200 calls that block for 3 s, with two processors, the last begins after a good second; marked, after some 40 ms.
///
/// Sections nest, and `f` may do everything that a goroutine may: park, send, spawn. On a plain thread `f` just runs.
///
/// # Panics
/// If `f` does; the section ends all the same.
///
/// # Examples
/// ```
/// let text = gort::blocking(|| std::fs::read_to_string("Cargo.toml"))?;
/// # drop(text);
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn blocking<F, R>(f: F) -> R
where
    F: FnOnce() -> R,
{
    blocking_at(Location::caller(), f)
}

#[inline]
fn blocking_at<F, R>(site: &'static Location<'static>, f: F) -> R
where
    F: FnOnce() -> R,
{
    let Some(g) = crate::spawn::me() else { return f() };
    let _section = Section::begin(g, site);
    f()
}

/// As [`blocking`], for a caller that waits until `ctx` ends at most.
///
/// A call that is in the kernel, or in a C library, cannot be ended. So `f` runs on a goroutine of its own, and what ends is the wait for it:
/// `f` then goes on to its own end, keeps its thread busy as long as that takes, and its result is dropped there. Whatever it needs moves in,
/// and what it changes it may change after this call has returned an error. If the context ends before `f` has begun, `f` is dropped and never
/// called. Costs a goroutine, also without a context that can end; `f` has thread-locals of its own.
///
/// # Errors
/// The context has ended first. A result that is there wins over a context that has ended.
///
/// # Panics
/// If `f` does, with its payload; if it does so after this call has returned, that is reported as any goroutine's panic. And as
/// [`gort::go`](crate::go).
///
/// # Examples
/// ```
/// use std::time::Duration;
///
/// let (ctx, cancel) = gort::context::background().with_cancel();
/// assert_eq!(gort::blocking_ctx(&ctx, || 7).unwrap(), 7);
/// gort::go(move || cancel.cancel());
/// let slow = || std::thread::sleep(Duration::from_millis(50));
/// assert!(gort::blocking_ctx(&ctx, slow).unwrap_err().is_cancelled());
/// ```
#[track_caller]
pub fn blocking_ctx<F, R>(ctx: &Context, f: F) -> Result<R, Ended>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    if let Some(why) = ctx.err() {
        return Err(why);
    }
    let theirs = ctx.clone();
    let site = Location::caller();
    let mut section = crate::go(move || theirs.err().is_none().then(|| blocking_at(site, f)));
    section.wait_ctx(ctx)?;
    match section.join() {
        Ok(result) => result.ok_or_else(|| ctx.ended()),
        Err(payload) => resume_unwind(payload),
    }
}

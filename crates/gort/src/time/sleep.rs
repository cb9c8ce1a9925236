//! Sleeping.

use crate::context::{Bound, Context, Ended};
use crate::g::WaitReason;
use crate::sched;
use crate::sys::clock;
use std::panic::Location;
use std::time::{Duration, Instant};

pub use crate::spawn::sleep;

/// Sleeps until `deadline`, or returns at once if that has passed.
///
/// Parks the goroutine; blocks a plain thread. Never early.
///
/// # Examples
/// ```
/// use std::time::{Duration, Instant};
/// let deadline = Instant::now() + Duration::from_millis(2);
/// gort::time::sleep_until(deadline);
/// assert!(Instant::now() >= deadline);
/// ```
#[track_caller]
pub fn sleep_until(deadline: Instant) {
    let site = Location::caller();
    match crate::spawn::me() {
        Some(g) => {
            sched::begin_call(g);
            sched::sleep_until(g, clock::deadline_ns(deadline), site);
        }
        None => {
            while let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
                std::thread::sleep(left);
            }
        }
    }
}

/// Sleeps for at least `duration`, or until `ctx` ends.
///
/// # Errors
/// The context has ended first.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// let (ctx, cancel) = gort::context::background().with_cancel();
/// assert!(gort::time::sleep_ctx(&ctx, Duration::from_millis(1)).is_ok());
/// gort::go(move || cancel.cancel());
/// assert!(gort::time::sleep_ctx(&ctx, Duration::MAX).unwrap_err().is_cancelled());
/// ```
#[track_caller]
pub fn sleep_ctx(ctx: &Context, duration: Duration) -> Result<(), Ended> {
    let site = Location::caller();
    let me = crate::spawn::wait_record();
    sched::begin_call(me);
    if let Some(why) = ctx.err() {
        return Err(why);
    }
    let until_ns = clock::after(duration);
    let bound = Bound::ctx(ctx).and_at(until_ns);
    while clock::now_ns() < until_ns {
        if let Some(why) = ctx.err() {
            return Err(why);
        }
        bound.park(me, WaitReason::Sleep, 0, site);
    }
    Ok(())
}

impl Context {
    /// Sleeps for at least `duration`, or until the context ends: [`time::sleep_ctx`](sleep_ctx).
    ///
    /// # Errors
    /// The context has ended first.
    #[track_caller]
    pub fn sleep(&self, duration: Duration) -> Result<(), Ended> {
        sleep_ctx(self, duration)
    }
}

/// Runs `f` with an ambient context that ends `duration` from now (or with the ambient one that is there): calls inside that return an
/// [`io::Result`](std::io::Result) and would wait longer fail with `TimedOut`, in goroutines started inside as well.
///
/// `f` always runs to its end: nothing is unwound, and what does not wait in gort is not interrupted. It can ask
/// [`context::current`](crate::context::current) how it stands.
///
/// # Examples
/// ```
/// use std::io::{ErrorKind, Read};
/// use std::time::Duration;
/// let listener = gort::net::TcpListener::bind("127.0.0.1:0")?;
/// let mut stream = gort::net::TcpStream::connect(listener.local_addr()?)?;
/// let silence = gort::time::timeout(Duration::from_millis(2), || stream.read(&mut [0; 8]));
/// assert_eq!(silence.unwrap_err().kind(), ErrorKind::TimedOut);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn timeout<R>(duration: Duration, f: impl FnOnce() -> R) -> R {
    crate::context::current().with_timeout(duration).0.run(f)
}

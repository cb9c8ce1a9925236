//! Causes and errors.

use gort::context::{Cancelled, DeadlineExceeded, Ended, background};
use std::error::Error;
use std::io;
use std::time::Duration;

/// CX-04, causes.
#[gort::test(procs = [1, 2, 4])]
fn the_first_cause_wins_and_is_seen_below() {
    let (parent, cancel) = background().with_cancel_cause();
    let (child, cancel_child) = parent.with_cancel_cause();
    let (other, cancel_other) = parent.with_cancel_cause();
    cancel_other.cancel("its own");
    cancel.cancel("first");
    cancel.cancel("second");
    cancel_child.cancel("third");
    assert_eq!(parent.cause().unwrap().to_string(), "first");
    assert_eq!(child.cause().unwrap().to_string(), "first");
    assert_eq!(other.cause().unwrap().to_string(), "its own");
    assert!(child.err().unwrap().is_cancelled());
    let (plain, cancel) = background().with_cancel();
    assert!(plain.cause().is_none());
    cancel.cancel();
    assert!(plain.cause().unwrap().downcast_ref::<Cancelled>().is_some());
    let (late, _) = background().with_timeout(Duration::ZERO);
    assert!(late.cause().unwrap().downcast_ref::<DeadlineExceeded>().is_some());
}

/// CX-04, `without_cancel`.
#[gort::test(procs = [1, 2, 4])]
fn without_cancel_keeps_values_and_nothing_else() {
    static KEY: gort::context::Key<u8> = gort::context::Key::new("key");
    let (ctx, cancel) = background().with_value(&KEY, 5).with_timeout(Duration::from_secs(3600));
    let free = ctx.without_cancel();
    cancel.cancel();
    assert_eq!(free.value(&KEY), Some(&5));
    assert!(free.err().is_none() && free.deadline().is_none() && free.cause().is_none());
    assert!(free.done().try_recv().unwrap_err().is_empty());
    let (child, cancel) = free.with_cancel();
    assert!(child.err().is_none());
    cancel.cancel();
    assert!(child.err().is_some() && free.err().is_none());
}

#[gort::test(procs = [1, 2, 4])]
fn an_io_error_tells_the_kind_and_carries_the_cause() {
    let (ctx, cancel) = background().with_cancel_cause();
    cancel.cancel(io::Error::new(io::ErrorKind::BrokenPipe, "the client has gone"));
    let error = io::Error::from(ctx.err().unwrap());
    assert_eq!(error.kind(), io::ErrorKind::Other);
    assert!(error.get_ref().unwrap().downcast_ref::<Cancelled>().is_some());
    let source = error.source().unwrap().downcast_ref::<io::Error>().unwrap();
    assert_eq!(source.kind(), io::ErrorKind::BrokenPipe);
    let wrapped = io::Error::new(io::ErrorKind::InvalidData, error);
    assert!(Ended::find(&wrapped).unwrap().is_cancelled());
    let (ctx, _) = background().with_timeout(Duration::ZERO);
    let error = io::Error::from(ctx.err().unwrap());
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(Ended::find(&error).unwrap().is_deadline_exceeded());
    assert!(Ended::find(&io::Error::from(io::ErrorKind::TimedOut)).is_none());
}

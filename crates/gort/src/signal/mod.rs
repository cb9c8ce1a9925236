//! Signals as a channel, and as a context.
//!
//! | Go | here |
//! |---|---|
//! | `signal.Notify(c, sigs...)`, `signal.Stop(c)` | [`notify`], and dropping its result |
//! | `signal.NotifyContext(ctx, sigs...)` | [`notify_context`] |
//! | `signal.Ignore`, `Ignored`, `Reset` | [`ignore`], [`is_ignored`], [`reset`] |
//!
//! **What is not lost.** A signal says that something has happened, not how often: the system itself keeps one of each kind while a process does not look.
//! So does a receiver: whatever it does, of each kind that has come since it received that kind last one stays for it. Go drops what finds its
//! channel full.
//!
//! **What a signal does.** While somebody receives a signal it does nothing else: SIGINT does not end the process. With its last receiver what it did
//! before gort was asked comes back, also if it was [ignored](ignore) in between, as in Go. SIGQUIT prints a dump of all goroutines while nobody receives it. The handler is safe on any thread and leaves `errno` alone; system
//! calls that it interrupts go on, in C code too.
//!
//! A [shutdown](crate::runtime::shutdown) of the runtime ends receivers: their channel is closed, and a second Ctrl-C ends a program whose end hangs.
//!
//! # Examples
//! ```
//! use gort::signal::{self, Signal};
//!
//! let signals = signal::notify(&[Signal::INT, Signal::TERM])?;
//! # gort::process::Command::new("kill").args(["-TERM", &std::process::id().to_string()]).status()?;
//! gort::select! {
//!     recv(signals) -> signal => assert_eq!(signal, Ok(Signal::TERM)),
//!     recv(gort::chan::after(std::time::Duration::from_secs(60))) -> _ => panic!("nobody sent a signal"),
//! }
//! # Ok::<(), std::io::Error>(())
//! ```

mod kind;
mod registry;
mod relay;

pub use kind::Signal;

use crate::chan::{Receiver, bounded};
use crate::context::{CancelCause, Context, current};
use crate::sys::notice::Action;
use relay::Relay;
use std::error::Error;
use std::fmt;
use std::io;
use std::ops::Deref;

/// The receiver of [`notify`]: a [`Receiver`] in everything else. Dropping it gives the signals back.
pub struct Signals {
    receiver: Receiver<Signal>,
    _relay: Relay,
}

/// Receives `signals` from now on, instead of what they do otherwise. Several may receive the same ones: each gets them.
///
/// # Errors
/// `InvalidInput` for those that no program can have (SIGKILL, SIGSTOP) or live with (SIGSEGV and other faults); if the process has no descriptor left, or while
/// the runtime is being shut down.
///
/// # Examples
/// See the [module](self).
#[track_caller]
pub fn notify(signals: &[Signal]) -> io::Result<Signals> {
    let (sender, receiver) = bounded(1);
    let relay = Relay::start(signals, move |signal, context| sender.send_ctx(signal, context).is_ok())?;
    Ok(Signals { receiver, _relay: relay })
}

impl Deref for Signals {
    type Target = Receiver<Signal>;

    fn deref(&self) -> &Receiver<Signal> {
        &self.receiver
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signals").finish_non_exhaustive()
    }
}

/// Why a context of [`notify_context`] has ended: its [cause](Context::cause).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Received(pub Signal);

impl fmt::Display for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "received {}", self.0)
    }
}

impl Error for Received {}

/// Gives the signals of [`notify_context`] back when dropped, and ends the context.
#[must_use = "dropping it ends the context at once"]
pub struct StopOnDrop {
    cancel: CancelCause,
    _relay: Relay,
}

/// A child of the ambient context that the first of `signals` ends, with [`Received`] as its cause.
///
/// Until the second value is dropped, later ones do nothing: a program that is about to end drops it first, so that a second Ctrl-C ends it at once.
///
/// # Errors
/// As [`notify`].
///
/// # Examples
/// ```
/// use gort::signal::{self, Received, Signal};
///
/// let (ctx, stop) = signal::notify_context(&[Signal::INT, Signal::TERM])?;
/// let serving = ctx.run(|| gort::go(|| gort::net::TcpListener::bind("127.0.0.1:0")?.accept()));
/// # gort::process::Command::new("kill").args(["-INT", &std::process::id().to_string()]).status()?;
/// assert!(serving.join().unwrap().is_err());
/// assert_eq!(ctx.cause().unwrap().to_string(), "received SIGINT");
/// drop(stop);
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn notify_context(signals: &[Signal]) -> io::Result<(Context, StopOnDrop)> {
    let (context, cancel) = current().with_cancel_cause();
    let theirs = cancel.clone();
    let relay = Relay::start(signals, move |signal, _| {
        theirs.cancel(Received(signal));
        true
    })?;
    Ok((context, StopOnDrop { cancel, _relay: relay }))
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.cancel.cancel("nobody waits for signals any more");
    }
}

impl fmt::Debug for StopOnDrop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StopOnDrop").finish_non_exhaustive()
    }
}

/// From now on nobody receives `signals`, and they do nothing: not here, and not in children started from now on either.
///
/// # Errors
/// As [`notify`].
///
/// # Examples
/// ```
/// use gort::signal::{Signal, ignore, is_ignored, reset};
/// ignore(&[Signal::HUP])?;
/// assert!(is_ignored(Signal::HUP));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn ignore(signals: &[Signal]) -> io::Result<()> {
    registry::check(signals)?;
    registry::ignore(signals)
}

/// Whether the signal does nothing, by [`ignore`] or because this process was started so, as `nohup` does it. A program that receives such a signal
/// undoes that.
///
/// # Examples
/// ```
/// assert!(!gort::signal::is_ignored(gort::signal::Signal::TERM));
/// ```
#[must_use]
pub fn is_ignored(signal: Signal) -> bool {
    Action::of(signal.as_raw()).is_ok_and(|action| action.is_ignore())
}

/// From now on nobody receives `signals`, and they do what they did before gort was asked to receive or [`ignore`] them.
///
/// # Errors
/// As [`notify`].
///
/// # Examples
/// ```
/// use gort::signal::{Signal, notify, reset};
/// let signals = notify(&[Signal::USR1])?;
/// reset(&[Signal::USR1])?; // from here on SIGUSR1 ends the process
/// # drop(signals);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn reset(signals: &[Signal]) -> io::Result<()> {
    registry::check(signals)?;
    registry::reset(signals);
    Ok(())
}

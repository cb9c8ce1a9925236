//! What a panicking goroutine says of itself.
//!
//! A hook in front of the one that is installed when the runtime starts adds a line with the goroutine's id, name and spawn site. A panic that
//! runs no hook (`resume_unwind`), or another hook than ours (the program has replaced it), is reported when it reaches the goroutine's end, so
//! that none is silent.
//!
//! The hook also sees panics that are caught on the way, and the one that arrives need not be one that it saw. So it notes what it spoke of:
//! the text, or the type of a payload that is no text. (Not its address: std moves the payload after the hook.)
//!
//! Errors of standard error are ignored. `eprintln!` would panic, here inside a panic.

use crate::g::G;
use crate::g::record::{ABORT_ON_PANIC, THREAD};
use crate::sched;
use std::any::{Any, TypeId};
use std::cell::Cell;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::panic;

/// What a panic is recognised by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Hash of the message.
    Text(u64),
    Other(TypeId),
}

thread_local! {
    /// What the hook spoke of last.
    static SPOKEN: Cell<Option<Mark>> = const { Cell::new(None) };
    /// The goroutine on whose behalf this thread runs (`gort::host`).
    static GUEST: Cell<Option<&'static G>> = const { Cell::new(None) };
}

/// Says on whose behalf the calling thread runs.
#[inline(always)]
pub(crate) fn set_guest(g: Option<&'static G>) {
    GUEST.set(g);
}

/// The goroutine on whose behalf the calling thread runs, inside `gort::host`.
pub(crate) fn guest() -> Option<&'static G> {
    GUEST.get()
}

/// Takes what the hook spoke of on this thread block.
pub(crate) fn take_spoken() -> Option<Mark> {
    SPOKEN.take()
}

/// Leaves it to this one, on which the panic goes on.
pub(crate) fn set_spoken(mark: Option<Mark>) {
    SPOKEN.set(mark);
}

/// The same, for a goroutine that comes or goes: see `sched::words`.
#[inline]
pub(crate) fn replace_spoken(mark: Option<Mark>) -> Option<Mark> {
    SPOKEN.replace(mark)
}

/// Puts the hook in front of the present one. Called once, at start.
///
/// Not while the calling thread panics (a destructor may be the first to use gort), when std refuses it; panics are then reported at the end.
pub(crate) fn install_hook() {
    if std::thread::panicking() {
        return;
    }
    let next = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if let Some(g) = sched::current().filter(|g| !g.has(THREAD)).or_else(|| GUEST.get()) {
            SPOKEN.set(Some(Mark::of(info.payload())));
            say(format_args!("{} panicked", Whose(g)));
        }
        next(info);
    }));
}

impl Mark {
    fn of(payload: &(dyn Any + Send)) -> Self {
        match text_of(payload) {
            Some(text) => {
                let mut hasher = DefaultHasher::new();
                text.hash(&mut hasher);
                Self::Text(hasher.finish())
            }
            None => Self::Other(payload.type_id()),
        }
    }
}

fn text_of(payload: &(dyn Any + Send)) -> Option<&str> {
    payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str))
}

/// Prints a line, or does without.
pub(crate) fn say(line: fmt::Arguments<'_>) {
    // In one piece, so that lines of several threads do not mix.
    let _ = io::stderr().write_all(format!("gort: {line}\n").as_bytes());
}

/// `goroutine 12 "name" (started at src/main.rs:7:5)`
pub(super) struct Whose(pub(super) &'static G);

impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(g) = *self;
        write!(f, "goroutine {}", g.id())?;
        // Without the registry's lock, which a fork may have left locked for ever: it is the caller's own.
        if let Some(name) = g.extra().and_then(|extra| extra.name.as_ref()) {
            write!(f, " {name:?}")?;
        }
        write_site(f, g)
    }
}

fn write_site(f: &mut fmt::Formatter<'_>, g: &'static G) -> fmt::Result {
    match g.spawn_site() {
        Some(site) => write!(f, " (started at {site})"),
        None => Ok(()),
    }
}

/// A panic has reached the end of `g`, which runs this.
#[cold]
pub(super) fn unwound(g: &'static G, payload: &(dyn Any + Send)) {
    if SPOKEN.take() != Some(Mark::of(payload)) {
        const WHY: &str = "resume_unwind, or a panic hook set after gort's";
        match text_of(payload) {
            Some(text) => {
                say(format_args!("{} panicked without a message of its own, with {text:?} ({WHY})", Whose(g)))
            }
            None => say(format_args!("{} panicked without a message of its own ({WHY})", Whose(g))),
        }
    }
    if g.has(ABORT_ON_PANIC) {
        say(format_args!(
            "{} was to end the process on a panic (GORT_PANIC=abort, or abort_on_panic of a builder)",
            Whose(g)
        ));
        std::process::abort();
    }
}

/// The result of `g`, which may have ended long ago, has panicked in its destructor: ends the process, as with std's threads.
#[cold]
pub(super) fn result_panicked(g: &'static G) -> ! {
    let whose = fmt::from_fn(|f| {
        write!(f, "goroutine {}", g.id())?;
        write_site(f, g)
    });
    say(format_args!("the result of {whose} panicked when it was dropped"));
    std::process::abort();
}

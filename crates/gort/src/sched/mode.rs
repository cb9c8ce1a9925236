//! Whether goroutines move between threads, or stay on the one on which they begin.
//!
//! Decided once, at the start, before anything has touched the thread pointer. Migrating is what gort is for; bound is what is left where a
//! goroutine cannot have thread-locals of its own. That changes what a thread-local means and who waits for whom (`docs/SOUNDNESS.md`), so the
//! program is told, and one that asks for migrating goroutines ends instead.

use super::start::{self, Wishes};
use crate::alloc::detect;
use crate::config::Mode;
use crate::sys::identity::{self, Identity, Unavailable};
use crate::sys::{thread, tools};
use std::io;

/// The decision.
pub(super) enum Choice {
    Migrating(Box<Identity>),
    /// Bound, because the program or its user says so.
    Asked(String),
    /// Bound, because of this.
    Fallback(String),
    /// The program cannot be run as it wants to be.
    Refused(String),
}

const REQUIRES: &str = "the program requires goroutines that move between threads (require = migrating)";

/// Decides. The environment wins over what the program wishes, but not over what it requires.
pub(super) fn choose(configured: Mode, wishes: &Wishes) -> Choice {
    let (mode, asked) = match (configured, wishes.mode) {
        (Mode::Auto, Some(Mode::Bound)) => (Mode::Bound, "runtime::Builder::mode(Bound)"),
        (Mode::Auto, Some(Mode::Migrating)) => (Mode::Migrating, "runtime::Builder::mode(Migrating)"),
        (Mode::Bound, _) => (Mode::Bound, "GORT_MODE=bound"),
        (Mode::Migrating, _) => (Mode::Migrating, "GORT_MODE=migrating"),
        (Mode::Auto, _) => (Mode::Auto, ""),
    };
    let required = wishes.require_migrating;
    if mode == Mode::Bound {
        return if required {
            Choice::Refused(format!("{asked} is not possible: {REQUIRES}"))
        } else {
            Choice::Asked(format!("{asked} says so"))
        };
    }
    let found = match tools::present() {
        Some(tool) => Err(Unavailable::new(tool)),
        None => identity::probe(),
    };
    match found {
        Ok(identity) => match allocator_fault(&identity) {
            Some((Fault::Explodes, why)) if mode == Mode::Auto && !required => Choice::Fallback(why),
            fault => {
                if let Some((_, why)) = fault {
                    start::say(&why);
                }
                Choice::Migrating(Box::new(identity))
            }
        },
        // The attempt starts threads. If that is what cannot be had, this is no question of modes, and the way out is another one.
        Err(why) => match a_thread_can_be_had() {
            Err(error) => Choice::Refused(error.to_string()),
            Ok(()) if why.is_shortage() => Choice::Refused(why.to_string()),
            Ok(()) if required => Choice::Refused(format!("{why}; {REQUIRES}")),
            Ok(()) if mode == Mode::Migrating => Choice::Refused(format!("{why}; {asked} wants that or nothing")),
            Ok(()) => Choice::Fallback(why.reason().to_owned()),
        },
    }
}

/// What is wrong with the program's global allocator, if it is.
enum Fault {
    /// It costs.
    Costs,
    /// It cannot be lived with.
    Explodes,
}

/// Bytes for each goroutine from which on the allocator is worse than goroutines that do not move: ten thousand of them would have more than a GiB.
const TOO_MANY_BYTES: usize = 128 << 10;

fn allocator_fault(identity: &Identity) -> Option<(Fault, String)> {
    let bytes = detect::bytes_for_each(identity)?;
    let fault = if bytes > TOO_MANY_BYTES { Fault::Explodes } else { Fault::Costs };
    let why = format!(
        "the program's global allocator takes each goroutine for a thread and keeps a cache for it ({} KiB for one that has allocated a little, \
         {} MiB for ten thousand); put gort's in front of it: #[global_allocator] static ALLOCATOR: gort::alloc::Global<A> = gort::alloc::Global::new(A), where A is the \
         allocator",
        bytes >> 10,
        (bytes * 10_000) >> 20
    );
    Some((fault, why))
}

/// A later start requires what the first one could not have.
pub(super) fn required_too_late(bound_because: &str) -> String {
    format!("goroutines stay on their threads in this process, because {bound_because}; {REQUIRES}")
}

fn a_thread_can_be_had() -> io::Result<()> {
    start::room_for_a_thread()?;
    thread::spawn("gort-trial", || ())
}

impl Choice {
    /// Why goroutines are bound.
    pub(super) fn reason(&self) -> Option<&str> {
        match self {
            Choice::Asked(why) | Choice::Fallback(why) => Some(why),
            Choice::Migrating(_) | Choice::Refused(_) => None,
        }
    }
}

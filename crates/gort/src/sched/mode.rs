//! Whether goroutines move between threads, or stay on the one on which they begin.
//!
//! Decided once, at the start, before anything has touched the thread pointer. Migrating is what gort is for; bound is what is left where a
//! goroutine cannot have thread-locals of its own. That changes what a thread-local means and who waits for whom (`docs/SOUNDNESS.md`), so the
//! program is told, and one that asks for migrating goroutines ends instead.

use super::start::{self, Wishes};
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
        Ok(identity) => Choice::Migrating(Box::new(identity)),
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

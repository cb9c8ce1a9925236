//! Whether goroutines move between threads, or stay on the one on which they begin.
//!
//! Decided once, at the start, before anything has touched the thread pointer. Migrating is what gort is for; bound is what is left where a
//! goroutine cannot have thread-locals of its own. That changes what a thread-local means and who waits for whom (`docs/SOUNDNESS.md`), so the
//! program is told, and one that asks for migrating goroutines ends instead.

use super::start;
use crate::config::Mode;
use crate::sys::identity::{self, Identity, Unavailable};
use crate::sys::{thread, tools};
use std::io;

/// The decision.
pub(super) enum Choice {
    Migrating(Box<Identity>),
    /// Bound, because the program's user said so.
    Asked,
    /// Bound, because of this.
    Fallback(String),
    /// The program cannot be run as it wants to be.
    Refused(String),
}

const ASKED_FOR: &str = "GORT_MODE=bound says so";
const REQUIRES: &str = "the program requires goroutines that move between threads (require = migrating)";

/// Decides. `required`: the program wants migrating goroutines or none.
pub(super) fn choose(mode: Mode, required: bool) -> Choice {
    if mode == Mode::Bound {
        return if required {
            Choice::Refused(format!("GORT_MODE: \"bound\" is not possible: {REQUIRES}"))
        } else {
            Choice::Asked
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
            Ok(()) => without(why, mode, required),
        },
    }
}

/// What is left without thread blocks.
fn without(why: Unavailable, mode: Mode, required: bool) -> Choice {
    match why {
        why if why.is_shortage() => Choice::Refused(why.to_string()),
        why if required => Choice::Refused(format!("{why}; {REQUIRES}")),
        why if mode == Mode::Migrating => Choice::Refused(format!("{why}; GORT_MODE=migrating wants that or nothing")),
        why => Choice::Fallback(why.reason().to_owned()),
    }
}

fn a_thread_can_be_had() -> io::Result<()> {
    start::room_for_a_thread()?;
    thread::spawn("gort-trial", || ())
}

impl Choice {
    /// Why goroutines are bound.
    pub(super) fn reason(&self) -> Option<&str> {
        match self {
            Choice::Asked => Some(ASKED_FOR),
            Choice::Fallback(why) => Some(why),
            Choice::Migrating(_) | Choice::Refused(_) => None,
        }
    }
}

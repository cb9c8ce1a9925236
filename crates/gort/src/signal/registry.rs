//! Who has asked for which signals, and what was done about them before.
//!
//! A signal is caught as long as somebody wants it. Then what was done about it before gort was asked is done again, unless somebody else has taken it over
//! meanwhile.

use super::Signal;
use crate::sync::{Mutex, MutexGuard};
use crate::sys::notice::{Action, LAST};
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};

/// A set of signals that somebody has asked for, one bit for each. Relaxed everywhere: changed under the registry's lock; who looks at it without sees a
/// signal that is no longer wanted once more at worst.
#[derive(Debug)]
pub(super) struct Wanted(AtomicU64);

fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

impl Wanted {
    pub(super) fn signals(&self) -> impl Iterator<Item = i32> + use<> {
        let bits = self.0.load(Relaxed);
        (1..=LAST).filter(move |&signal| bits & bit(signal) != 0)
    }
}

struct Registry {
    wanted: Vec<Arc<Wanted>>,
    /// What was done before, for each signal that is caught or ignored by us.
    before: BTreeMap<i32, Action>,
}

static REGISTRY: Mutex<Registry> = Mutex::new(Registry { wanted: Vec::new(), before: BTreeMap::new() });

fn lock() -> MutexGuard<'static, Registry> {
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Those that say that the program is broken, and come to the thread that has broken it.
const FAULTS: [i32; 7] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGSYS, libc::SIGABRT];

/// An error that names the first of `signals` that cannot be received or ignored.
pub(super) fn check(signals: &[Signal]) -> io::Result<()> {
    let refuse = |why: String| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    if signals.is_empty() {
        return refuse("no signals were named".into());
    }
    for &signal in signals {
        let number = signal.as_raw();
        if !(1..=LAST).contains(&number) {
            return refuse(format!("{number} is no signal: they are numbered from 1 to {LAST}"));
        }
        if FAULTS.contains(&number) {
            return refuse(format!("{signal} tells of a fault of the thread that gets it, which cannot go on"));
        }
        // The C library keeps some for itself.
        if [Signal::KILL, Signal::STOP].contains(&signal) || Action::of(number).is_err() {
            return refuse(format!("{signal} cannot be received: the system does not let programs have it"));
        }
    }
    Ok(())
}

/// From now on `signals`, which have been checked, are caught, for the one who calls this as well.
pub(super) fn add(signals: &[Signal]) -> io::Result<Arc<Wanted>> {
    let bits = signals.iter().fold(0, |bits, signal| bits | bit(signal.as_raw()));
    let wanted = Arc::new(Wanted(AtomicU64::new(bits)));
    let mut registry = lock();
    registry.wanted.push(wanted.clone());
    for signal in wanted.signals() {
        if let Err(error) = registry.change(signal, &Action::notice()) {
            registry.remove(&wanted);
            return Err(error);
        }
    }
    Ok(wanted)
}

/// Takes back [`add`]; a second time does nothing.
pub(super) fn remove(wanted: &Arc<Wanted>) {
    lock().remove(wanted);
}

/// Nobody gets `signals` any more, and nothing is done about them.
pub(super) fn ignore(signals: &[Signal]) -> io::Result<()> {
    let mut registry = lock();
    signals.iter().try_for_each(|signal| {
        registry.withdraw(signal.as_raw());
        registry.change(signal.as_raw(), &Action::ignore())
    })
}

/// Nobody gets `signals` any more, and what was done about them before is done again.
pub(super) fn reset(signals: &[Signal]) {
    let mut registry = lock();
    for signal in signals {
        registry.withdraw(signal.as_raw());
        registry.release(signal.as_raw());
    }
}

impl Registry {
    fn change(&mut self, signal: i32, action: &Action) -> io::Result<()> {
        let before = Action::of(signal)?;
        action.set(signal)?;
        self.before.entry(signal).or_insert(before);
        Ok(())
    }

    fn withdraw(&self, signal: i32) {
        for wanted in &self.wanted {
            wanted.0.fetch_and(!bit(signal), Relaxed);
        }
    }

    fn remove(&mut self, wanted: &Arc<Wanted>) {
        // The relay says it as well, later, when somebody may have been asked for something else.
        let Some(index) = self.wanted.iter().position(|other| Arc::ptr_eq(other, wanted)) else { return };
        self.wanted.swap_remove(index);
        for signal in wanted.signals() {
            if !self.wanted.iter().any(|other| other.0.load(Relaxed) & bit(signal) != 0) {
                self.release(signal);
            }
        }
    }

    /// Puts back what was done before gort was asked.
    fn release(&mut self, signal: i32) {
        let Some(before) = self.before.remove(&signal) else { return };
        if Action::of(signal).is_ok_and(|now| now.is_notice() || now.is_ignore()) {
            // It was accepted before.
            let _ = before.set_after_pending(signal);
        }
    }
}

//! The goroutine that passes signals on.
//!
//! It remembers how often each signal had come when it passed it on last, and waits for the bell when nothing has changed. So what comes while its
//! receiver is busy is not lost: it is passed on once more, for each kind once, however often it came. It has a descriptor and a stack of its own as long as
//! somebody listens.

use super::registry::{self, Wanted};
use super::{Signal, registry::check};
use crate::Builder;
use crate::context::{Cancel, Context, background};
use crate::handle::Handle;
use crate::sys::notice;
use crate::sys::raw::Errno;
use std::io;
use std::panic::Location;
use std::sync::Arc;

/// Ends the relay, and what its signals do, when dropped.
#[derive(Debug)]
pub(super) struct Relay {
    wanted: Arc<Wanted>,
    end: Cancel,
}

impl Relay {
    /// Calls `pass` for each of `signals` that comes, on a goroutine of its own, until the relay is dropped, the runtime shut down, or `pass` says
    /// `false`. It gets the context in which it runs, to wait in.
    #[track_caller]
    pub(super) fn start(
        signals: &[Signal],
        mut pass: impl FnMut(Signal, &Context) -> bool + Send + 'static,
    ) -> io::Result<Self> {
        let site = Location::caller();
        check(signals)?;
        // First the runtime: it may want to do something about the same signals by itself, and that is to come back afterwards.
        crate::sched::start::ensure();
        let bell = Handle::new(notice::hear()?, false, false)?;
        // What comes from here on is passed on.
        let mut seen = [0; notice::LAST as usize + 1];
        signals.iter().for_each(|signal| seen[signal.as_raw() as usize] = notice::count(signal.as_raw()));
        let wanted = registry::add(signals)?;
        let (context, end) = background().with_cancel();
        let theirs = (wanted.clone(), context.clone());
        let relay = move || {
            let (wanted, context) = theirs;
            let mut last = 0;
            // In turns, beginning behind the last one: one that comes all the time does not hide the others.
            let mut next = || {
                let behind = wanted.signals().filter(|&signal| signal > last);
                let signal = behind.chain(wanted.signals()).find(|&signal| {
                    let count = notice::count(signal);
                    std::mem::replace(&mut seen[signal as usize], count) != count
                })?;
                last = signal;
                Some(signal)
            };
            while let Ok(signal) = bell.read_other(site, |_| next().ok_or(Errno::AGAIN)) {
                if !pass(Signal::from_raw(signal), &context) {
                    break;
                }
            }
            registry::remove(&wanted);
        };
        let relay = Builder::new().name("signals".to_owned()).context(context).spawn(relay);
        if let Err(error) = relay {
            registry::remove(&wanted);
            return Err(error);
        }
        Ok(Self { wanted, end })
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        registry::remove(&self.wanted);
        self.end.cancel();
    }
}

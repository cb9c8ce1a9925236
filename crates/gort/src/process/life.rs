//! A child process, as seen by all who wait for it or end it.
//!
//! The number of a process belongs to it until somebody has fetched its status, and may be another process's right after that. So whoever fetches it and
//! whoever sends a signal do so under one lock, and no signal reaches a stranger.
//!
//! A wait is one for a descriptor that becomes readable at the end (pidfd), made when somebody waits. Where there is none to be had, by the kernel's
//! age, a filter or the limit on descriptors, the wait is one of sleeps: a thread that waits could not be called back from a wait that has been given up.

use crate::context::{self, Context};
use crate::handle::Handle;
use crate::netpoll::Side;
use crate::signal::Signal;
use crate::sync::{Mutex, MutexGuard};
use crate::sys::child as sys;
use crate::sys::raw::Errno;
use crate::{sched, spawn};
use std::io;
use std::panic::Location;
use std::process::{Child, ExitStatus};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(super) struct Life {
    child: Mutex<Child>,
    pub(super) id: u32,
}

/// Between two looks at a child that cannot be watched: so late at most its end is seen.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// What a wait for a child watches, once there has been one.
pub(super) type Watch = Option<Handle>;

impl Life {
    pub(super) fn new(child: Child) -> Self {
        let id = child.id();
        Self { child: Mutex::new(child), id }
    }

    fn lock(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn into_std(self) -> Child {
        self.child.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// The status, if it has ended; fetches it from the system the first time.
    pub(super) fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        self.lock().try_wait()
    }

    /// Sends `signal`; nothing to one that has ended.
    pub(super) fn send(&self, signal: Signal) -> io::Result<()> {
        let mut child = self.lock();
        if child.try_wait()?.is_none() {
            sys::kill(self.id, signal.as_raw())?;
        }
        Ok(())
    }

    /// Waits for the end, until `deadline` or the end of the ambient context at most.
    pub(super) fn wait(
        &self,
        watch: &mut Watch,
        deadline: Option<Instant>,
        site: &'static Location<'static>,
    ) -> io::Result<ExitStatus> {
        if let Some(g) = spawn::me() {
            sched::begin_call(g);
        }
        if let Some(status) = self.try_wait()? {
            return Ok(status);
        }
        if watch.is_none() {
            *watch = sys::pidfd_open(self.id).ok().and_then(|fd| Handle::new(fd, false, true).ok());
        }
        let Some(handle) = watch else { return self.wait_in_sleeps(deadline) };
        handle.set_deadline(Side::Read, deadline)?;
        handle.read_other(site, |_| match self.try_wait() {
            Ok(None) => Err(Errno::AGAIN),
            Ok(Some(status)) => Ok(Ok(status)),
            Err(error) => Ok(Err(error)),
        })?
    }

    fn wait_in_sleeps(&self, deadline: Option<Instant>) -> io::Result<ExitStatus> {
        let context = context::current();
        let context = deadline.map_or_else(|| context.clone(), |deadline| context.with_deadline(deadline).0);
        let mut pause = Duration::from_millis(1);
        loop {
            context.sleep(pause)?;
            pause = (pause * 2).min(LONGEST_PAUSE);
            if let Some(status) = self.try_wait()? {
                return Ok(status);
            }
        }
    }

    /// Ends it, and fetches its status: with `signal`, and with SIGKILL if it lives for longer than `grace` after that.
    pub(super) fn end(&self, signal: Signal, grace: Duration) {
        let site = Location::caller();
        let end = || -> io::Result<()> {
            let mut watch = None;
            if signal != Signal::KILL {
                self.send(signal)?;
                let deadline = Instant::now().checked_add(grace);
                if self.wait(&mut watch, deadline, site).is_ok() {
                    return Ok(());
                }
            }
            self.send(Signal::KILL)?;
            self.wait(&mut watch, None, site).map(drop)
        };
        // Nobody is there to be told. It is one that we may not signal, then, or somebody else has waited for it.
        let _ = uncancelled().run(end);
    }
}

/// A context that nothing ends, in place of the ambient one.
pub(super) fn uncancelled() -> Context {
    context::current().without_cancel()
}

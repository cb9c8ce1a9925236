//! How a server that cannot go on tells the main thread, which sleeps in `poll`.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Error, Result};
use rustix::event::{EventfdFlags, eventfd};

/// Rung at most once in effect: the first error is the one that counts.
#[derive(Debug, Clone)]
pub struct Alarm(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    error: Mutex<Option<Error>>,
    bell: OwnedFd,
}

impl Alarm {
    /// A silent one.
    pub fn new() -> Result<Alarm> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).context("cannot make an eventfd")?;
        Ok(Alarm(Arc::new(Inner { error: Mutex::new(None), bell })))
    }

    /// Says that the server is at an end, and why.
    pub fn ring(&self, error: Error) {
        self.0.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        // Fails only if the counter is full, and then it is readable anyway.
        let _ = rustix::io::write(&self.0.bell, &1_u64.to_ne_bytes());
    }

    /// The error, once rung.
    pub fn take(&self) -> Option<Error> {
        self.0.error.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl AsFd for Alarm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.bell.as_fd()
    }
}

//! Where a load is, and the clients that wait for it to move on.
//!
//! ```text
//! Connecting ──▶ WarmUp ──▶ Measuring ──▶ CoolDown ──▶ Stopping        (and from anywhere to Stopping)
//! ```
//!
//! Only the main thread moves it. A client enlists once, before it looks at the phase for the first time; the main thread moves
//! the phase first and goes through the list second, both sides under the list's lock: a client either sees the new phase or is
//! woken. A wake-up that finds nobody parked stays with its goroutine and ends the next park early, which is harmless: every wait
//! looks again.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;

/// A phase of the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// Connections are opened and tried; clients wait when they are through.
    Connecting,
    /// Full load, nothing recorded.
    WarmUp,
    /// Full load, everything recorded.
    Measuring,
    /// Full load, nothing recorded.
    CoolDown,
    /// Clients end.
    Stopping,
}

/// The phase, and the clients to wake when it changes.
#[derive(Debug)]
pub struct PhaseWord {
    phase: AtomicU8,
    began: OnceLock<Instant>,
    clients: Mutex<Vec<gort::Goroutine>>,
}

impl PhaseWord {
    /// Connecting.
    pub fn new() -> PhaseWord {
        PhaseWord {
            phase: AtomicU8::new(Phase::Connecting as u8),
            began: OnceLock::new(),
            clients: Mutex::new(Vec::new()),
        }
    }

    /// The phase now.
    pub fn now(&self) -> Phase {
        // Acquire: pairs with the Release in `enter`; a client that sees the load begun also sees `began`.
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Connecting,
            1 => Phase::WarmUp,
            2 => Phase::Measuring,
            3 => Phase::CoolDown,
            _ => Phase::Stopping,
        }
    }

    /// When the load began; for a client that has seen it begin.
    pub fn began(&self) -> Instant {
        self.began.get().copied().unwrap_or_else(Instant::now)
    }

    /// Adds the calling goroutine to those that are woken when the phase changes. Once, before its first wait.
    pub fn enlist(&self) {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner).push(gort::current());
    }

    /// Parks the calling goroutine while `phase` lasts.
    pub fn wait_while(&self, phase: Phase) {
        while self.now() == phase {
            gort::park();
        }
    }

    /// Parks the calling goroutine until `due` or until the clients are told to end.
    pub fn wait_until(&self, due: Instant) {
        while self.now() != Phase::Stopping {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            gort::park_timeout(left);
        }
    }

    /// Lets the clients go.
    pub fn warm_up(&self, now: Instant) {
        let _ = self.began.set(now);
        self.enter(Phase::WarmUp);
    }

    /// Requests count from here.
    pub fn measure(&self) {
        self.phase.store(Phase::Measuring as u8, Ordering::Release);
    }

    /// Requests count no more.
    pub fn cool_down(&self) {
        self.phase.store(Phase::CoolDown as u8, Ordering::Release);
    }

    /// Clients are to end.
    pub fn stop(&self) {
        self.enter(Phase::Stopping);
    }

    fn enter(&self, phase: Phase) {
        // Release: pairs with the Acquire in `now`.
        self.phase.store(phase as u8, Ordering::Release);
        for client in &*self.clients.lock().unwrap_or_else(PoisonError::into_inner) {
            client.unpark();
        }
    }
}

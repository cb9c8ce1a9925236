//! Ctrl-C: the first ends the run with what has been measured, the second ends the program.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use signal_hook::consts::{SIGINT, SIGTERM};

/// Exit status of a run that was ended early, as shells have it.
pub const INTERRUPTED: u8 = 130;

/// Whether to stop.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Begins to listen to SIGINT and SIGTERM.
    ///
    /// # Errors
    /// If the handlers cannot be installed.
    pub fn on_signals() -> io::Result<Stop> {
        let stop = Stop::default();
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first signal finds the flag down, so it ends nothing, and then raises it.
            signal_hook::flag::register_conditional_shutdown(signal, INTERRUPTED.into(), stop.0.clone())?;
            signal_hook::flag::register(signal, stop.0.clone())?;
        }
        Ok(stop)
    }

    /// Whether somebody asked to.
    pub fn requested(&self) -> bool {
        // Relaxed: a flag that guards no data.
        self.0.load(Relaxed)
    }
}

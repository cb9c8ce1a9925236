//! SIGINT and SIGTERM, as a flag for loops that look often and as a descriptor for those that sleep.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result};
use signal_hook::consts::{SIGINT, SIGTERM};

/// Exit status after an interrupt, as shells count it: 128 + SIGINT.
pub const INTERRUPTED: u8 = 130;

/// Set by the first signal; the second one ends the process at once, should the orderly way hang.
#[derive(Debug, Clone)]
pub struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// Takes over SIGINT and SIGTERM.
    pub fn install() -> Result<StopFlag> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first signal finds the flag unset, passes the first handler and sets it in the second.
            signal_hook::flag::register_conditional_shutdown(signal, i32::from(INTERRUPTED), flag.clone())
                .and_then(|_| signal_hook::flag::register(signal, flag.clone()))
                .context("cannot handle SIGINT and SIGTERM")?;
        }
        Ok(StopFlag(flag))
    }

    /// Whether it is time to stop.
    pub fn raised(&self) -> bool {
        // Relaxed: the flag carries no data, and every loop looks again.
        self.0.load(Ordering::Relaxed)
    }
}

/// Becomes readable with the first signal.
#[derive(Debug)]
pub struct StopPipe(UnixStream);

impl StopPipe {
    /// Takes over SIGINT and SIGTERM.
    pub fn install() -> Result<StopPipe> {
        let open = || -> io::Result<UnixStream> {
            let (read, write) = UnixStream::pair()?;
            signal_hook::low_level::pipe::register(SIGINT, write.try_clone()?)?;
            signal_hook::low_level::pipe::register(SIGTERM, write)?;
            Ok(read)
        };
        Ok(StopPipe(open().context("cannot handle SIGINT and SIGTERM")?))
    }
}

impl AsFd for StopPipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

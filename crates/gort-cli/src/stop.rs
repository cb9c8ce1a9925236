//! SIGINT, SIGTERM and SIGHUP, as a flag for loops that look often and as a descriptor for those that sleep.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// Exit status after an interrupt, as shells count it: 128 + SIGINT.
pub const INTERRUPTED: u8 = 130;

/// The signals that end the command in order. SIGHUP only where it would end it at all: `nohup` ignores it for us, and a handler
/// would undo that.
fn signals() -> impl Iterator<Item = i32> {
    [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|&signal| signal != SIGHUP || !is_ignored(signal))
}

/// Whether this process was started with the signal ignored, by the kernel's list, a mask in hexadecimal digits.
fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// Set by the first signal; the second one ends the process at once, should the orderly way hang.
#[derive(Debug, Clone)]
pub struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// Takes over the signals.
    pub fn install() -> Result<StopFlag> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in signals() {
            // In this order: the first signal finds the flag unset, passes the first handler and sets it in the second.
            signal_hook::flag::register_conditional_shutdown(signal, i32::from(INTERRUPTED), flag.clone())
                .and_then(|_| signal_hook::flag::register(signal, flag.clone()))
                .context("cannot handle signals")?;
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
    /// Takes over the signals.
    pub fn install() -> Result<StopPipe> {
        let open = || -> io::Result<UnixStream> {
            let (read, write) = UnixStream::pair()?;
            for signal in signals() {
                signal_hook::low_level::pipe::register(signal, write.try_clone()?)?;
            }
            Ok(read)
        };
        Ok(StopPipe(open().context("cannot handle signals")?))
    }
}

impl AsFd for StopPipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

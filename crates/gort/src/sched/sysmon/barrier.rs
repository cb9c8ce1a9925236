//! The fence without which no P is taken from anybody, and what is said when it cannot be had any more.
//!
//! Whether there is a membarrier is asked at the start (`sys::fence`). A sandbox that begins later may refuse it. Ms that enter the runtime pay for no
//! fence of their own then, and nobody can tell which of them have heard of a change. So nothing is taken from that day on: who blocks or computes keeps
//! its P until it comes back, and the mark that was set makes it look then.

use super::super::fixed;
use crate::sys::aloud;
use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

/// What a sandbox refuses it refuses for ever.
static IS_REFUSED: AtomicBool = AtomicBool::new(false);

/// Makes the fence. False: there was none.
pub(super) fn run() -> bool {
    // Relaxed, both: only the monitor comes here.
    if IS_REFUSED.load(Relaxed) {
        return false;
    }
    let done = fixed().barrier.run();
    if let Err(errno) = done {
        IS_REFUSED.store(true, Relaxed);
        let error = io::Error::from_raw_os_error(errno.0);
        let line = format!(
            "gort: membarrier worked at the start and fails now: {error}. A sandbox that began later refuses it, so from now on a goroutine that blocks or \
             computes keeps its processor until it calls gort again, and a shutdown waits for it. Let the sandbox permit membarrier, begin it before \
             the first goroutine, or set GORT_MEMBARRIER=off\n"
        );
        // Where nobody reads, nobody is told.
        let _ = aloud::offer(line.as_bytes());
    }
    done.is_ok()
}

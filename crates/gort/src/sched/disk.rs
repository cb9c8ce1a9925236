//! The thread that hands files' operations to io_uring (`uring`): when it is started, and that it ends with the runtime.
//!
//! The first operation that could use it asks for it and does without; so do all others until it is there. The monitor starts it, as it does all threads
//! of which nobody says anything: it has never run user code, so they inherit nothing odd, credentials, name spaces and priority among it. Where
//! io_uring is refused, that stays so until the next start, or for a while if it was for want of descriptors or memory, and files have threads (`fs::turn`).
//!
//! Threads that the kernel makes for it count as threads of the runtime, all that there may be of them, from the moment at which it is up.

use super::{SCHED, park, start, sysmon};
use crate::config::Fs;
use crate::prim::lock::Lock;
use crate::sys::thread::{self, Thread};
use crate::sys::{priority, signal, uring as kernel};
use crate::uring::{self, Lasts, Room, State};
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::Relaxed;

/// The most threads that the kernel may make: as many as have turns without io_uring.
const MOST_WORKERS: usize = 64;
/// With fewer threads in all there is nothing to spare.
const LEAST_THREADS: usize = 16;

/// What was asked for; set by each start.
static CHOICE: AtomicU8 = AtomicU8::new(Fs::Auto as u8);
static THREAD: Lock<Option<Thread>> = Lock::new(None);

/// What files are to be done with from here on.
///
/// # Errors
/// io_uring and nothing else is wanted, and cannot be had: why.
pub(super) fn choose(choice: Fs) -> Result<(), String> {
    // Relaxed: the phase publishes it.
    CHOICE.store(choice as u8, Relaxed);
    // One of before that is still there, because an operation of it is.
    uring::set_stops(false);
    uring::forget_refusal();
    if choice != Fs::Uring {
        return Ok(());
    }
    kernel::Ring::new(1, 1).and_then(|ring| ring.limit_workers(1)).map_err(|why| {
        format!(
            "GORT_FS=uring (or runtime::Builder::files): io_uring cannot be had here: {why}. Let the process have it (sysctl kernel.io_uring_disabled, the \
             seccomp profile of its container, ulimit -l), or let files have threads (GORT_FS=auto or threads)"
        )
    })
}

/// Whether files are not to have io_uring.
pub(crate) fn is_unwanted() -> bool {
    // Relaxed: as above.
    CHOICE.load(Relaxed) == Fs::Threads as u8
}

/// Whether there is a thread to hand operations to. If not, asks for it.
#[inline]
pub(crate) fn is_up() -> bool {
    match uring::state() {
        State::Up => !is_unwanted(),
        State::Off | State::Later if !is_unwanted() => {
            told(uring::want());
            false
        }
        _ => false,
    }
}

/// The monitor's look: starts the thread if somebody has asked for it.
pub(super) fn start_if_wanted() {
    if uring::state() != State::Wanted || !uring::begin() {
        return;
    }
    // Relaxed: a setting.
    let max_threads = SCHED.max_threads.load(Relaxed);
    if max_threads < LEAST_THREADS {
        return uring::refuse(
            "too few threads are allowed (GORT_MAX_THREADS, or runtime::Builder::max_threads)",
            Lasts::ForGood,
            park::ready_late,
        );
    }
    let workers = (max_threads / 4).min(MOST_WORKERS) as u32;
    let room = Room { entries: 256, results: 4096, workers };
    let started = start::room_for_a_thread().and_then(|()| {
        thread::start("gort-fs", move || {
            // Without this thread goroutines would hang, and its operations use their memory.
            let body = || {
                signal::block_all();
                // The monitor has started it. Before the ring is made, whose workers take after this thread.
                priority::be_prompt();
                uring::run(room, park::ready_late, sysmon::wake);
            };
            if std::panic::catch_unwind(body).is_err() {
                std::process::abort();
            }
        })
    });
    match started {
        Ok(thread) => {
            if let Some(before) = THREAD.lock().replace(thread) {
                before.detach();
            }
        }
        // A limit that others come below again.
        Err(error) => uring::refuse(&error.to_string(), Lasts::AWhile, park::ready_late),
    }
}

/// Ends the thread, and waits for that. How many are there still at `deadline_ns`: its operations last.
pub(super) fn end(deadline_ns: u64) -> usize {
    uring::set_stops(true);
    let thread = THREAD.lock().take();
    thread.map_or(0, |thread| usize::from(!thread.join_until(deadline_ns)))
}

/// The monitor has to hear of something that was pushed.
pub(crate) fn told(is_news: bool) {
    if is_news {
        sysmon::wake();
    }
}

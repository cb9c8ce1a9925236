//! What several areas need.

pub(crate) use crate::common::{needs_migration, rounds, scaled};

use gort::chan::{Sender, unbounded};
use gort::context::{Cancel, Context, background};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::sync::atomic::{AtomicBool, AtomicI64};
use std::time::Duration;

/// Yields until `condition` holds; the test's time limit ends it if it never does.
pub(crate) fn wait_until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        gort::yield_now();
    }
}

/// Waits until a goroutine's state in a dump begins with `words`.
pub(crate) fn wait_for_state<T>(handle: &gort::JoinHandle<T>, words: &str) {
    let start = format!("goroutine {} ", handle.goroutine().id());
    let state = format!("[{words}");
    wait_until(|| {
        let dump = gort::runtime::dump();
        dump.lines().any(|line| line.starts_with(&start) && line.contains(&state))
    });
}

/// Number of the kernel's thread.
pub(crate) fn os_thread() -> i64 {
    // SAFETY: gettid has no preconditions.
    unsafe { libc::syscall(libc::SYS_gettid) }
}

/// Goroutines that yield until `stop`, and never find themselves on the thread that `locked_on` names.
pub(crate) fn keep_off(count: usize, stop: &Arc<AtomicBool>, locked_on: &Arc<AtomicI64>) -> Vec<gort::JoinHandle<()>> {
    (0..count)
        .map(|_| {
            let (stop, locked_on) = (stop.clone(), locked_on.clone());
            gort::go(move || {
                while !stop.load(Relaxed) {
                    assert_ne!(os_thread(), locked_on.load(Acquire));
                    gort::yield_now();
                }
            })
        })
        .collect()
}

/// Small and the same in every run, as far as the order of things is.
pub(crate) struct Dice(u64);

impl Dice {
    /// Those of party number `party`.
    pub(crate) fn of(party: usize) -> Self {
        Self(0x9e37_79b9_7f4a_7c15 ^ (party as u64 + 1) << 20)
    }

    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % sides
    }

    pub(crate) fn micros(&mut self) -> Duration {
        Duration::from_micros(self.roll(200) as u64)
    }
}

/// Contexts that end soon, by themselves or because somebody cancels them: a goroutine and a thread that do nothing else.
pub(crate) struct Cancellers {
    contexts: Contexts,
    goroutine: gort::JoinHandle<()>,
    thread: std::thread::JoinHandle<()>,
}

/// Where the parties of a test get their contexts from.
#[derive(Clone)]
pub(crate) struct Contexts(Sender<Cancel>);

impl Cancellers {
    pub(crate) fn start() -> Self {
        let (s, r) = unbounded::<Cancel>();
        let theirs = r.clone();
        Self {
            contexts: Contexts(s),
            goroutine: gort::go(move || theirs.iter().for_each(|cancel| cancel.cancel())),
            thread: std::thread::spawn(move || r.iter().for_each(|cancel| cancel.cancel())),
        }
    }

    pub(crate) fn contexts(&self) -> Contexts {
        self.contexts.clone()
    }

    /// Waits for both; all copies of the contexts are gone.
    pub(crate) fn stop(self) {
        drop(self.contexts);
        self.goroutine.join().unwrap();
        gort::blocking_send(|| self.thread.join().unwrap());
    }
}

impl Contexts {
    /// One that ends by its deadline, or is cancelled at about the time it is used, or both.
    pub(crate) fn brief(&self, dice: &mut Dice) -> Context {
        let kind = dice.roll(3);
        let (ctx, cancel) =
            if kind == 0 { background().with_cancel() } else { background().with_timeout(dice.micros()) };
        if kind < 2 {
            self.0.send(cancel).unwrap();
        }
        ctx
    }
}

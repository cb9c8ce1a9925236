//! Prints what the watchdog has to say, on a thread made for it: the pipe may be full and its reader asleep, and the monitor must go on.
//!
//! With the kernel's `write`, as SIGQUIT's dump, and for the same reasons. What is to be printed meanwhile waits; there is not much of it, since
//! each site is reported once.

use crate::prim::lock::Lock;
use crate::sys::clock;
use crate::sys::fault;
use crate::sys::thread::{self, Thread};

/// A thread that has printed all ends at once.
const LAST_NS: u64 = 1_000_000_000;

struct Queue {
    text: String,
    /// Ends the process when that is printed.
    aborts: bool,
    is_at_work: bool,
    has_hinted: bool,
}

static QUEUE: Lock<Queue> =
    Lock::new(Queue { text: String::new(), aborts: false, is_at_work: false, has_hinted: false });

/// The thread, if there is one.
pub(super) struct Printer(Option<Thread>);

impl Printer {
    pub(super) fn new() -> Self {
        Self(None)
    }

    /// Prints `text`, and then ends the process with SIGABRT if it `aborts`.
    pub(super) fn print(&mut self, text: &str, aborts: bool) {
        let is_at_work = {
            let mut queue = QUEUE.lock();
            queue.text.push_str(text);
            if !std::mem::replace(&mut queue.has_hinted, true) {
                queue.text.push_str("\t(once for each call site; GORT_WATCHDOG=off keeps gort quiet, GORT_WATCHDOG_AFTER=30s makes it patient)\n");
            }
            queue.aborts |= aborts;
            std::mem::replace(&mut queue.is_at_work, true)
        };
        if is_at_work {
            return;
        }
        self.join();
        match thread::start("gort-watchdog", print_all) {
            Ok(thread) => self.0 = Some(thread),
            Err(_) => print_all(),
        }
    }

    /// True as long as the thread is there.
    pub(super) fn is_at_work(&mut self) -> bool {
        if self.0.is_some() && !QUEUE.lock().is_at_work {
            self.join();
        }
        self.0.is_some()
    }

    fn join(&mut self) {
        if let Some(thread) = self.0.take() {
            thread.join_until(clock::now_ns() + LAST_NS);
        }
    }
}

impl Drop for Printer {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take() {
            thread.detach();
        }
    }
}

fn print_all() {
    loop {
        let (text, aborts) = {
            let mut queue = QUEUE.lock();
            queue.is_at_work = !queue.text.is_empty();
            if !queue.is_at_work {
                return;
            }
            (std::mem::take(&mut queue.text), queue.aborts)
        };
        fault::write_stderr(text.as_bytes());
        if aborts {
            fault::abort();
        }
    }
}

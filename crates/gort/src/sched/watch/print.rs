//! Prints what the watchdog has to say, on a thread made for it: the pipe may be full and its reader asleep, and the monitor must go on. For the same
//! reason it is this thread that looks at who waits for whom.
//!
//! With the kernel's `write`, as SIGQUIT's dump, and for the same reasons. What is to be printed meanwhile waits; there is not much of it, since
//! each site is reported once.

use super::circles;
use crate::prim::lock::Lock;
use crate::sys::thread::{self, Thread};
use crate::sys::{aloud, clock, fault};

/// Behind the first report.
const HINT: &str =
    "\t(each place is reported once; GORT_WATCHDOG=off keeps gort quiet, GORT_WATCHDOG_AFTER=30s makes it patient)\n";
/// A thread that has printed all ends at once, unless it has no processor. The monitor has other things to do than to wait for that.
const LAST_NS: u64 = 10_000_000;

struct Queue {
    text: String,
    /// Look at those who have waited for so many milliseconds.
    look_ms: Option<u64>,
    /// Ends the process when that is printed.
    aborts: bool,
    is_at_work: bool,
    has_hinted: bool,
}

static QUEUE: Lock<Queue> =
    Lock::new(Queue { text: String::new(), look_ms: None, aborts: false, is_at_work: false, has_hinted: false });

/// The thread, if there is one.
pub(super) struct Printer(Option<Thread>);

impl Printer {
    pub(super) fn new() -> Self {
        Self(None)
    }

    /// Prints `text`, and then ends the process with SIGABRT if it `aborts`.
    pub(super) fn print(&mut self, text: &str, aborts: bool) {
        self.ask(|queue| {
            queue.text.push_str(text);
            queue.aborts = aborts;
        });
    }

    /// Looks at those who have waited for so many milliseconds, and prints what there is to be said.
    pub(super) fn look(&mut self, age_ms: u64, aborts: bool) {
        self.ask(|queue| {
            queue.look_ms = Some(age_ms);
            queue.aborts = aborts;
        });
    }

    fn ask(&mut self, what: impl FnOnce(&mut Queue)) {
        let is_at_work = {
            let mut queue = QUEUE.lock();
            what(&mut queue);
            std::mem::replace(&mut queue.is_at_work, true)
        };
        if is_at_work {
            return;
        }
        self.join();
        match thread::start("gort-watchdog", || print_all(fault::write_stderr)) {
            Ok(thread) => self.0 = Some(thread),
            // As much as is taken at once.
            Err(_) => print_all(|text| _ = aloud::offer(text)),
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

fn print_all(write: impl Fn(&[u8])) {
    loop {
        let (mut text, look_ms, aborts) = {
            let mut queue = QUEUE.lock();
            queue.is_at_work = !queue.text.is_empty() || queue.look_ms.is_some();
            if !queue.is_at_work {
                return;
            }
            (std::mem::take(&mut queue.text), queue.look_ms.take(), queue.aborts)
        };
        text += &look_ms.map(circles::look).unwrap_or_default();
        if text.is_empty() {
            continue;
        }
        if !std::mem::replace(&mut QUEUE.lock().has_hinted, true) {
            text.push_str(HINT);
        }
        write(text.as_bytes());
        if aborts {
            fault::abort();
        }
    }
}

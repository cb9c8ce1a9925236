//! Marked blocking sections.

use crate::g::{G, Status};
use crate::sched;

/// Runs `f`, which may block its thread, and says so: if it lasts, other goroutines go on elsewhere.
///
/// Go's entersyscall and exitsyscall. The section costs a few nanoseconds if `f` returns at once; if it is still running after some 20 µs and
/// work waits, the monitor gives the processor to another thread, and the goroutine queues for one when `f` returns. Use it for system calls, C
/// libraries and locks that may take long.
///
/// Without the mark the same happens, but after 10 ms, for each goroutine and in turn: one that blocks keeps its processor for 10 ms, and then the
/// next one may do the same. Of 200 calls that block for 3 s, with two processors, the last begins after a good second; marked, after some 40 ms.
///
/// Sections nest, and `f` may do everything that a goroutine may: park, send, spawn. On a plain thread `f` just runs.
///
/// # Panics
/// If `f` does; the section ends all the same.
///
/// # Examples
/// ```
/// let text = gort::blocking(|| std::fs::read_to_string("Cargo.toml"))?;
/// # drop(text);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn blocking<F, R>(f: F) -> R
where
    F: FnOnce() -> R,
{
    let Some(g) = crate::spawn::me() else { return f() };
    let _section = Section { before: g.status(), g };
    g.set_status(Status::Blocking);
    f()
}

/// Ends the section, also by panic.
struct Section {
    before: Status,
    g: &'static G,
}

impl Drop for Section {
    fn drop(&mut self) {
        self.g.set_status(self.before);
        sched::checkpoint(self.g);
    }
}

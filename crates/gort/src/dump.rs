//! Every goroutine as text: what SIGQUIT, a test's time limit and [`crate::runtime::dump`] print.
//!
//! The header of each entry is Go's, so that tools which group Go's dumps group ours. The world is not stopped: each line is true for the
//! moment at which it was read.
//!
//! SIGQUIT's is written by a thread made for it, with the kernel's `write` and without std's lock of standard error. The monitor must not do it
//! itself: the pipe may be full and its reader asleep, and nobody would get a P back or a new thread meanwhile. And the lock may be held by a
//! goroutine that is parked, which is just the program that somebody wants a dump of. The price is that lines of the program may come between.

use crate::g::{G, Status, WaitReason, registry};
use crate::sched::{SCHED, fixed, names, snapshot};
use crate::sys::call::Place;
use crate::sys::{aloud, clock, fault, thread};
use std::fmt::{self, Write as _};
use std::panic::Location;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::sync::atomic::{AtomicU8, AtomicU64};

/// The whole picture.
pub(crate) fn text() -> String {
    let mut out = String::new();
    if !SCHED.fixed.is_set() {
        return out;
    }
    let now_ms = now_ms();
    let (mut count, mut entries) = (0, String::new());
    registry::for_each(|g| {
        if add_entry(&mut entries, g, now_ms).is_some() && !g.is_thread() {
            count += 1;
        }
    });
    let procs = SCHED.procs.load(Relaxed);
    let threads = snapshot::ms().count();
    let _ = writeln!(out, "gort: {count} goroutines, {procs} procs, {threads} threads\n");
    snapshot::write_state(&mut out);
    out.push('\n');
    out + &entries
}

/// Milliseconds since the first start, as waits are noted; 0 before it.
pub(crate) fn now_ms() -> u64 {
    if SCHED.fixed.is_set() { (clock::now_ns() - fixed().start_ns) / 1_000_000 } else { 0 }
}

/// The goroutine for which `#[gort::main]` waits; 0 without it.
static MAIN: AtomicU64 = AtomicU64::new(0);

/// The calling thread will wait for `goroutine` as `#[gort::main]`.
pub(crate) fn note_main(goroutine: crate::GoroutineId) {
    // Relaxed: for dumps.
    MAIN.store(goroutine.as_u64(), Relaxed);
}

const NOBODY: u8 = 0;
const PRINTING: u8 = 1;
/// Somebody prints, and more requests have come since it began.
const ONCE_MORE: u8 = 2;

static PRINTER: AtomicU8 = AtomicU8::new(NOBODY);

/// Prints it where a person looks who has sent SIGQUIT. Does not wait for that; if no thread can be had it prints as much
/// as is taken at once. Requests that come while a dump
/// is being printed share the next one.
pub(crate) fn print_to_stderr() {
    let asked = |state| Some(if state == NOBODY { PRINTING } else { ONCE_MORE });
    // AcqRel: a request that is left to the printer happens before the dump that answers it.
    if PRINTER.fetch_update(AcqRel, Acquire, asked) != Ok(NOBODY) {
        return;
    }
    if thread::spawn("gort-dump", || print(fault::write_stderr)).is_err() {
        print(|text| _ = aloud::offer(text));
    }
}

/// The printer: as many dumps as are asked for.
fn print(write: impl Fn(&[u8])) {
    loop {
        write(text().as_bytes());
        let done = |state| Some(if state == ONCE_MORE { PRINTING } else { NOBODY });
        // AcqRel: as above.
        if PRINTER.fetch_update(AcqRel, Acquire, done) == Ok(PRINTING) {
            return;
        }
    }
}

fn add_entry(out: &mut String, g: &'static G, now_ms: u64) -> Option<()> {
    let state = state_of(g, now_ms)?;
    if g.is_thread() && g.status() != Status::Waiting {
        // A plain thread is of interest while it waits for a goroutine.
        return None;
    }
    let kind = if g.is_thread() { "thread" } else { "goroutine" };
    // Cloned, so that nothing is allocated under the registry's lock.
    let mut name = registry::with_extra(g, |extra| extra.and_then(|extra| extra.name.clone()));
    // Relaxed: set before that thread began to wait.
    if g.is_thread() && g.wait().0 == WaitReason::Join && g.wait_object() as u64 == MAIN.load(Relaxed) {
        name = Some("#[gort::main]".into());
    }
    let wait_site = if g.status() == Status::Waiting { g.call_site() } else { None };
    let spawn_site = if g.is_thread() { None } else { g.spawn_site() };
    let _ = write_entry(out, kind, g.id(), name.as_deref(), &state, wait_site, spawn_site);
    out.push('\n');
    Some(())
}

/// An entry, without the empty line behind it.
pub(crate) fn write_entry(
    out: &mut dyn fmt::Write,
    kind: &str,
    id: u64,
    name: Option<&str>,
    state: &str,
    wait_site: Option<&Location<'_>>,
    spawn_site: Option<&Location<'_>>,
) -> fmt::Result {
    write!(out, "{kind} {id}")?;
    if let Some(name) = name {
        write!(out, " {name:?}")?;
    }
    writeln!(out, " [{state}]:")?;
    for (what, site) in [("waits at", wait_site), ("created at", spawn_site)] {
        if let Some(site) = site {
            writeln!(out, "\t{what} {site}")?;
        }
    }
    Ok(())
}

/// What a record's party does, as it stands in brackets; `None` if there is no party.
pub(crate) fn state_of(g: &'static G, now_ms: u64) -> Option<String> {
    let status = g.status();
    let (reason, since_ms) = g.wait();
    let place;
    let state = match status {
        Status::Free | Status::Dormant | Status::Done => return None,
        Status::Runnable => "runnable",
        // On a processor it is Go's word.
        Status::Running => match snapshot::place_of(g) {
            (None | Some(Place::OnCpu), true) => "running",
            (None | Some(Place::OnCpu), false) => "running, without a P",
            (Some(there), _) => {
                place = there.to_string();
                &place
            }
        },
        Status::Blocking => "syscall",
        Status::Ending => "running, thread-local destructors",
        Status::Waiting => reason.words(),
    };
    let mut out = String::from(state);
    let class = match (status, reason) {
        (Status::Waiting, WaitReason::Blocking) => g.wait_object(),
        _ => g.section_class(),
    };
    if let Some(name) = names::of(class) {
        let _ = write!(out, ", class {name:?}");
    }
    if status == Status::Waiting {
        match reason {
            WaitReason::BlockingClass => {
                let _ = write!(out, " {:?}", names::of(g.wait_object()).unwrap_or("?"));
            }
            WaitReason::Read | WaitReason::Write | WaitReason::ReadLock | WaitReason::WriteLock | WaitReason::Close => {
                let _ = write!(out, ", fd {}", g.wait_object());
            }
            WaitReason::Join => {
                let _ = write!(out, ", goroutine {}", g.wait_object());
            }
            WaitReason::Scope => {
                let _ = write!(out, ", {} goroutines", g.wait_object());
            }
            _ => {}
        }
        let _ = write!(out, ", {} ms", now_ms.saturating_sub(since_ms));
    }
    if g.has(crate::g::record::LOCKED) {
        let _ = write!(out, ", locked to thread");
    }
    Some(out)
}

/// Writes `4711 "name"` for the overflow report. Async-signal-safe: no lock, no allocation.
pub(crate) fn write_name(g: *const (), out: &mut dyn FnMut(&[u8])) {
    // SAFETY: footers of stack slots hold records, which are never freed.
    let Some(g) = (unsafe { g.cast::<G>().as_ref() }) else { return out(b"?") };
    write_number(g.id(), out);
    // The goroutine has faulted on this very thread, so its extra data stays.
    if let Some(name) = g.extra().and_then(|extra| extra.name.as_ref()) {
        out(b" \"");
        out(name.as_bytes());
        out(b"\"");
    }
}

/// Writes `src/server.rs:88`. Async-signal-safe.
pub(crate) fn write_origin(g: *const (), out: &mut dyn FnMut(&[u8])) {
    // SAFETY: as above.
    let site = unsafe { g.cast::<G>().as_ref() }.and_then(G::spawn_site);
    let Some(site) = site else { return out(b"?") };
    out(site.file().as_bytes());
    out(b":");
    write_number(u64::from(site.line()), out);
}

fn write_number(mut number: u64, out: &mut dyn FnMut(&[u8])) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out(&digits[at..]);
}

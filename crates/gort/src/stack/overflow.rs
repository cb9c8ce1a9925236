//! Stack overflow of a goroutine: from a faulting address to a message that says what to do.
//!
//! ```text
//! gort: goroutine 4711 "conn 10.0.0.7:5123" overflowed its 256 KiB stack (started at src/server.rs:88)
//!       raise it with gort::Builder::new().stack_size(1 << 20), or GORT_STACK_SIZE=1048576 for all goroutines
//! ```
//!
//! Then the process ends by SIGABRT, as for a thread of std's. There is nothing to unwind: the fault may be anywhere, with any lock held.
//!
//! What a goroutine is called is known to higher layers, which register functions for it. They run inside the signal handler: no lock, no
//! allocation, and a record that may be half written. If they fault themselves, the handler comes here again and says so in fewer words.

use super::slab;
use crate::sys::fault::{self, abort, write_stderr};
use crate::sys::identity::{self, thread_pointer};
use crate::sys::raw;
use crate::sys::thread::gettid;
use std::io;
use std::sync::atomic::{
    AtomicU32, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};

/// Writes something about a goroutine in pieces. Gets the pointer from the slot's footer; must be async-signal-safe.
pub(crate) type Describe = fn(goroutine: *const (), out: &mut dyn FnMut(&[u8]));

static NAME: AtomicUsize = AtomicUsize::new(0);
static ORIGIN: AtomicUsize = AtomicUsize::new(0);
static HOST: AtomicUsize = AtomicUsize::new(0);

/// Says how to write a goroutine's id and name, as in `4711 "conn 10.0.0.7:5123"`.
pub(crate) fn set_describe(name: Describe) {
    // Release: pairs with the Acquire in `described`; what the function relies on was set up before.
    NAME.store(name as usize, Release);
}

/// Says how to write where a goroutine was started, as in `src/server.rs:88`.
pub(crate) fn set_origin(origin: Describe) {
    // Release: as above.
    ORIGIN.store(origin as usize, Release);
}

/// Says how to find out whose call of `gort::host` has overflowed the calling thread's own stack at an address; null: none has.
pub(crate) fn set_host(find: fn(usize) -> *const ()) {
    // Release: as above.
    HOST.store(find as usize, Release);
}

fn host_at(address: usize) -> *const () {
    // Acquire: pairs with the Release in `set_host`.
    let find = HOST.load(Acquire);
    if find == 0 {
        return std::ptr::null();
    }
    // SAFETY: only functions of this type are stored.
    let find = unsafe { std::mem::transmute::<usize, fn(usize) -> *const ()>(find) };
    find(address)
}

fn described(by: &AtomicUsize) -> Option<Describe> {
    // Acquire: pairs with the Release in `set_describe` and `set_origin`.
    let function = by.load(Acquire);
    // SAFETY: only functions of this type are stored.
    (function != 0).then(|| unsafe { std::mem::transmute::<usize, Describe>(function) })
}

/// Installs the fault handler. Start-up calls it once; again changes nothing.
///
/// # Errors
/// The system's, if it refuses the handler.
pub(crate) fn install() -> io::Result<()> {
    identity::on_thread_exit(report_exit);
    fault::install(look)
}

/// The goroutine of the current thread pointer has called `pthread_exit`, or was cancelled. The caller ends the process.
fn report_exit() {
    let mut line = Line::new();
    line.push(b"gort: ");
    match slab::find(thread_pointer()) {
        Some(place) => {
            line.who(place.footer.goroutine());
            line.origin(place.footer.goroutine());
        }
        None => line.push(b"the thread beneath a goroutine (gort::host)"),
    }
    line.push(b" was ended by pthread_exit or pthread_cancel, which end threads: a goroutine ends by returning, or by a panic\n");
    line.flush();
}

/// The thread that reports; 0 if none does.
static REPORTER: AtomicU32 = AtomicU32::new(0);

/// Reports a fault in a guard and does not return then.
fn look(address: usize) {
    let me = gettid();
    // Relaxed: only ever compared with the reader's own id.
    if REPORTER.load(Relaxed) == me {
        write_stderr(b"gort: a second memory fault while reporting a goroutine's stack overflow\n");
        abort();
    }
    let place = slab::find(address).filter(|place| place.guard);
    let host = if place.is_none() { host_at(address) } else { std::ptr::null() };
    if place.is_none() && host.is_null() {
        return;
    }
    // Relaxed: as above; the first reporter ends the process.
    if REPORTER.compare_exchange(0, me, Relaxed, Relaxed).is_err() {
        loop {
            // SAFETY: changes nothing.
            unsafe { raw::syscall0(libc::SYS_sched_yield) }.ok();
        }
    }
    match place {
        Some(place) => report(&place),
        None => report_host(host),
    }
    abort();
}

/// A goroutine has gone down to the end of the stack of the thread beneath it.
fn report_host(goroutine: *const ()) {
    let mut line = Line::new();
    line.push(b"gort: ");
    line.who(goroutine);
    line.push(b" overflowed the stack of the thread beneath it, in a gort::host");
    line.origin(goroutine);
    line.push(b"\n      that has 1 MiB: inside, gort::with_stack(1 << 22, ..) gives more; or leave gort::host out, with gort::Builder::new().stack_size(1 << 22)\n");
    line.flush();
}

fn report(place: &slab::Place) {
    let mut line = Line::new();
    line.push(b"gort: ");
    let goroutine = place.footer.goroutine();
    let is_lent = place.footer.is_lent();
    match is_lent && goroutine.is_null() {
        true => line.push(b"a thread"),
        false => line.who(goroutine),
    }
    line.push(if is_lent { b" overflowed the " } else { b" overflowed its " });
    line.size(place.size);
    line.push(b" stack");
    if is_lent {
        line.push(b" of a gort::with_stack");
    }
    line.origin(goroutine);
    let larger = place.size * 4;
    if is_lent && larger <= super::layout::slot_bytes(super::layout::CLASSES as u8 - 1) {
        line.push(b"\n      ask it for more: gort::with_stack(1 << ");
        line.number(larger.trailing_zeros() as usize);
        line.push(b", ..)\n");
    } else if larger <= super::layout::slot_bytes(super::layout::CLASSES as u8 - 1) {
        line.push(b"\n      raise it with gort::Builder::new().stack_size(1 << ");
        line.number(larger.trailing_zeros() as usize);
        line.push(b"), or GORT_STACK_SIZE=");
        line.number(larger);
        line.push(b" for all goroutines\n");
    } else {
        line.push(b"\n      the largest stack there is has 1 GiB; is this a recursion without end?\n");
    }
    line.flush();
}

/// Text collected for as few writes as possible, so that it is not torn apart by others'.
struct Line {
    text: [u8; 1024],
    length: usize,
}

impl Line {
    fn new() -> Line {
        Line { text: [0; 1024], length: 0 }
    }

    fn push(&mut self, piece: &[u8]) {
        for &byte in piece {
            if self.length == self.text.len() {
                self.flush();
            }
            self.text[self.length] = byte;
            self.length += 1;
        }
    }

    /// `goroutine 4711 "name"`
    fn who(&mut self, goroutine: *const ()) {
        self.push(b"goroutine ");
        match described(&NAME) {
            Some(name) if !goroutine.is_null() => name(goroutine, &mut |piece| self.push(piece)),
            _ => self.push(b"(unknown)"),
        }
    }

    /// ` (started at src/server.rs:88)`, if that is known.
    fn origin(&mut self, goroutine: *const ()) {
        if let Some(origin) = described(&ORIGIN).filter(|_| !goroutine.is_null()) {
            self.push(b" (started at ");
            origin(goroutine, &mut |piece| self.push(piece));
            self.push(b")");
        }
    }

    fn number(&mut self, mut number: usize) {
        let mut digits = [0; 20];
        let mut first = digits.len();
        loop {
            first -= 1;
            digits[first] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.push(&digits[first..]);
    }

    fn size(&mut self, bytes: usize) {
        let units: [(u32, &[u8]); 3] = [(30, b" GiB"), (20, b" MiB"), (10, b" KiB")];
        for (shift, unit) in units {
            if bytes >> shift > 0 {
                self.number(bytes >> shift);
                return self.push(unit);
            }
        }
    }

    fn flush(&mut self) {
        write_stderr(&self.text[..self.length]);
        self.length = 0;
    }
}

#[cfg(test)]
mod tests;

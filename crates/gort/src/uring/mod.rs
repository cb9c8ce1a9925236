//! Operations that the kernel carries out by itself (io_uring), and the one thread that hands them over and hears of their ends.
//!
//! An operation is bound to the thread that submits it: if that thread ends, or sits in user code when the kernel needs it for a last step, the
//! operation fails or waits. So no M submits. One thread does, which never runs user code, lives as long as there are operations, and waits for nothing
//! but the kernel. Goroutines leave their operations in its inbox (`gort_lockfree::inbox`) and park; it takes what has come, submits all of it with one
//! call, which also waits for results, and returns goroutines that can go on as a list. The scheduler starts and ends it (`sched::disk`).
//!
//! # The thread's life
//! | state | meaning | left by |
//! |---|---|---|
//! | `Off` | there is no thread | whoever wants one: `Wanted` |
//! | `Wanted` | the monitor is to start it | the monitor: `Starting` |
//! | `Starting` | it makes its ring | the thread: `Up`, `Later`, `Refused` |
//! | `Up` | operations are taken | the thread, told to stop, when it has none: `Off`, or `Wanted`; when the kernel refuses more: `Closing` |
//! | `Closing` | the ring was given back, and the kernel is waited for | the thread: `Later`, `Refused` |
//! | `Later` | io_uring could not be had, for something that passes | whoever wants it after a pause: `Wanted`; the next start of the runtime: `Off` |
//! | `Refused` | io_uring cannot be had | the next start of the runtime: `Off`; else nobody, but for what is below |
//!
//! The pause doubles with each refusal, from [`FIRST_PAUSE_NS`] to [`LONGEST_PAUSE_NS`], until a ring was had.
//!
//! The state changes under a lock, which also guards the descriptor by which the thread is woken: it is never written to after it was closed.
//!
//! **Nothing is left in the inbox.** Who pushes looks at the state before, and may be late: the thread may have left meanwhile. Its last act on the
//! inbox is `sleep`, so the first who comes after that is told to wake it ([`wake`]) and finds, under the lock, that it is not there: he asks
//! for a new one. If he has pushed and not come to the lock yet when the thread gets there, it finds the inbox filled and asks itself. And a
//! thread that gets no ring gives back what there is as not done. So whatever was pushed is taken by the next thread, at the next start of the
//! runtime if this one is being stopped: as whatever else is left at a stop.
//!
//! Rejected: a ring for each M (it must not end nor lose its P to the monitor while operations are in flight, and results would wait for whoever computes on
//! it); a thread of the kernel's that polls for operations (`IORING_SETUP_SQPOLL`: it takes a processor).

mod op;
mod serve;
#[cfg(test)]
mod tests;

pub(crate) use op::{NOT_DONE, Op};
pub(crate) use serve::{Lasts, Room, refuse, run};

use crate::prim::lock::Lock;
use crate::sys::clock;
use crate::sys::eventfd::EventFd;
use gort_lockfree::inbox::Inbox;
use op::Node;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32};

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum State {
    Off,
    Wanted,
    Starting,
    Up,
    Closing,
    Later,
    Refused,
}

impl State {
    const ALL: [Self; 7] =
        [Self::Off, Self::Wanted, Self::Starting, Self::Up, Self::Closing, Self::Later, Self::Refused];
}

const FIRST_PAUSE_NS: u64 = 50_000_000;
const LONGEST_PAUSE_NS: u64 = 30_000_000_000;

struct Door {
    state: State,
    /// Wakes the thread while it is up.
    bell: Option<EventFd>,
    refused_because: Option<&'static str>,
    /// The pause after the next refusal that passes.
    pause_ns: u64,
    /// The end of the pause, in [`State::Later`].
    pauses_until_ns: u64,
}

static INBOX: Inbox<Node> = Inbox::new();
static DOOR: Lock<Door> = Lock::new(Door {
    state: State::Off,
    bell: None,
    refused_because: None,
    pause_ns: FIRST_PAUSE_NS,
    pauses_until_ns: 0,
});
/// The state of [`DOOR`], for those who look without the lock.
static STATE: AtomicU8 = AtomicU8::new(State::Off as u8);
/// The thread is to end when it has no operation.
static STOPS: AtomicBool = AtomicBool::new(false);
/// The thread's number, 0 while there is none.
static TID: AtomicU32 = AtomicU32::new(0);
/// The most threads that the kernel may make for it, 0 while it is not there.
static WORKERS: AtomicU32 = AtomicU32::new(0);

impl Door {
    fn set(&mut self, state: State) {
        self.state = state;
        // Release: pairs with the Acquire in `state`.
        STATE.store(state as u8, Release);
    }

    fn note_reason(&mut self, reason: &str) {
        if self.refused_because != Some(reason) {
            // There are few reasons, for the life of the process.
            self.refused_because = Some(Box::leak(reason.into()));
        }
    }
}

/// The state, as far as one can tell without the lock.
#[inline]
pub(crate) fn state() -> State {
    // Acquire: pairs with the Release in `Door::set`.
    State::ALL[usize::from(STATE.load(Acquire))]
}

/// Why there is no io_uring, if it was refused.
pub(crate) fn refused_because() -> Option<&'static str> {
    DOOR.lock().refused_because
}

/// Most threads that are there for files besides those that run goroutines.
pub(crate) fn reserved_threads() -> usize {
    // Relaxed: a hint.
    match WORKERS.load(Relaxed) {
        0 => 0,
        workers => workers as usize + 1,
    }
}

/// How many there are at the moment: looks at `/proc`.
pub(crate) fn threads() -> usize {
    // Relaxed: a picture.
    let tid = TID.load(Relaxed);
    if tid == 0 {
        return 0;
    }
    1 + crate::sys::thread::count_named(&format!("iou-wrk-{tid}"))
}

/// Descriptors that are open for it: the ring, its end and the bell.
pub(crate) fn descriptors() -> usize {
    if state() == State::Up { 3 } else { 0 }
}

/// Says that the thread is wanted. True: the monitor has to hear of it.
#[cold]
#[must_use = "nobody else tells the monitor"]
pub(crate) fn want() -> bool {
    let mut door = DOOR.lock();
    let is_first = match door.state {
        State::Off => true,
        State::Later => clock::now_ns() >= door.pauses_until_ns,
        _ => false,
    };
    if is_first {
        door.set(State::Wanted);
    }
    is_first
}

/// A new start: what was refused to the one before may be had by this one.
pub(crate) fn forget_refusal() {
    let mut door = DOOR.lock();
    if matches!(door.state, State::Later | State::Refused) {
        door.refused_because = None;
        door.pause_ns = FIRST_PAUSE_NS;
        door.set(State::Off);
    }
}

/// Wakes the thread, for somebody to whom the inbox has said so. True: there is none, and the monitor has to hear of it.
#[must_use = "nobody else tells the monitor"]
fn wake() -> bool {
    let mut door = DOOR.lock();
    match door.state {
        State::Up => {
            door.bell.as_ref().expect("it is up").tell();
            false
        }
        // It looks when it begins, or when it has closed its ring.
        State::Wanted | State::Starting | State::Closing => false,
        State::Off | State::Later | State::Refused => {
            door.set(State::Wanted);
            true
        }
    }
}

/// The monitor's: takes the wish. False: there is none.
pub(crate) fn begin() -> bool {
    let mut door = DOOR.lock();
    let is_wanted = door.state == State::Wanted;
    if is_wanted {
        // Relaxed: the thread is started after this.
        STOPS.store(false, Relaxed);
        door.set(State::Starting);
    }
    is_wanted
}

/// The thread is to end as soon as it has no operations; or is not, after all.
pub(crate) fn set_stops(stops: bool) {
    let door = DOOR.lock();
    // Relaxed: whoever is woken by the bell, or comes to the lock, sees it.
    STOPS.store(stops, Relaxed);
    if let Some(bell) = door.bell.as_ref().filter(|_| stops) {
        bell.tell();
    }
}

//! The ring's thread: what it does until it is told to stop.
//!
//! Each round it takes what has come, hands it to the kernel, and waits for results, all with one system call. It says that it sleeps before it waits,
//! and who comes after that writes to its bell, which is an operation of the ring as well. So it waits for everything in one place, without a limit:
//! with nothing to do it makes no wake-ups.
//!
//! The kernel takes any number of operations. If its queue is full, that is handed in and goes on; results for which there is no room are
//! kept by the kernel and come with a later call.
//!
//! If the kernel refuses that call one day (a sandbox that begins later), the ring is given back. Once the kernel says that it is done with all operations, those
//! without a result end as not done, and are done again without io_uring: each has its place in the file, so to do it twice is to do it.

use super::op::{InFlight, NOT_DONE, Node, Op};
use super::{DOOR, FIRST_PAUSE_NS, INBOX, LONGEST_PAUSE_NS, STOPS, State, TID, WORKERS, want};
use crate::g::GList;
use crate::sys::clock;
use crate::sys::eventfd::EventFd;
use crate::sys::file::At;
use crate::sys::thread;
use crate::sys::uring::{Refusal, Ring, Sqe};
use std::ptr::{self, NonNull};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// How much there is room for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Operations handed over at a time.
    pub(crate) entries: u32,
    /// Results kept at a time, beyond which the kernel allocates.
    pub(crate) results: u32,
    /// Threads that the kernel may make.
    pub(crate) workers: u32,
}

/// In place of an operation's address: the result of a request to cancel, which nobody waits for.
const NOBODY: u64 = 0;
/// The bell.
const BELL: u64 = 1;
/// What is read from the bell. Nobody looks at it.
static RUNG: AtomicU64 = AtomicU64::new(0);

/// The thread's body. `deliver` readies goroutines; `tell_monitor` makes the monitor look.
pub(crate) fn run(room: Room, deliver: fn(&mut GList), tell_monitor: fn()) {
    // Relaxed: for metrics.
    TID.store(thread::gettid(), Relaxed);
    let ring = Ring::new(room.entries, room.results).and_then(|ring| ring.limit_workers(room.workers).map(|()| ring));
    let bell = EventFd::new().map_err(|errno| Refusal::Call("eventfd2", errno));
    let is_wanted = match ring.and_then(|ring| Ok((ring, bell?))) {
        Ok((ring, bell)) => {
            // Relaxed: a hint.
            WORKERS.store(room.workers, Relaxed);
            let bell_fd = bell.raw();
            {
                let mut door = DOOR.lock();
                door.bell = Some(bell);
                door.refused_because = None;
                door.pause_ns = FIRST_PAUSE_NS;
                door.set(State::Up);
            }
            let mut server = Server::new(ring, bell_fd, deliver);
            let outcome = server.serve();
            WORKERS.store(0, Relaxed);
            match outcome {
                Ok(()) => {
                    TID.store(0, Relaxed);
                    let mut door = DOOR.lock();
                    door.bell = None;
                    door.set(State::Off);
                    drop(door);
                    // See the module above: somebody may have come and not got as far as `wake`.
                    INBOX.is_filled() && want()
                }
                Err(refusal) => {
                    {
                        let mut door = DOOR.lock();
                        door.bell = None;
                        // From here on files have threads, and whoever asks is told why.
                        door.note_reason(&refusal.to_string());
                        door.set(State::Closing);
                    }
                    server.close(&refusal);
                    TID.store(0, Relaxed);
                    refuse(&refusal.to_string(), Lasts::of(&refusal), deliver);
                    false
                }
            }
        }
        Err(refusal) => {
            TID.store(0, Relaxed);
            refuse(&refusal.to_string(), Lasts::of(&refusal), deliver);
            false
        }
    };
    if is_wanted {
        tell_monitor();
    }
}

/// How long a refusal does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lasts {
    /// Until somebody wants it after a pause.
    AWhile,
    /// Until the next start of the runtime.
    ForGood,
}

impl Lasts {
    fn of(refusal: &Refusal) -> Self {
        if refusal.is_momentary() { Self::AWhile } else { Self::ForGood }
    }
}

/// There is no ring: whoever waits does without.
pub(crate) fn refuse(reason: &str, lasts: Lasts, deliver: fn(&mut GList)) {
    {
        let mut door = DOOR.lock();
        door.note_reason(reason);
        match lasts {
            Lasts::ForGood => door.set(State::Refused),
            Lasts::AWhile => {
                door.pauses_until_ns = clock::now_ns() + door.pause_ns;
                door.pause_ns = (door.pause_ns * 2).min(LONGEST_PAUSE_NS);
                door.set(State::Later);
            }
        }
    }
    // After the state: who comes later and is told to wake somebody asks for another try.
    let mut ready = GList::new();
    loop {
        for_each_message(|node| {
            // SAFETY: a message's operation is held for it, and a message is taken once.
            unsafe {
                match node.gives_up() {
                    true => Op::let_go(node.op(), &mut ready),
                    false => Op::end(node.op(), NOT_DONE, &mut ready),
                }
            }
        });
        if INBOX.sleep() {
            break;
        }
    }
    deliver(&mut ready);
}

/// Calls `f` for each message that has come, in order.
fn for_each_message(mut f: impl FnMut(&Node)) {
    let mut first: *mut Node = ptr::null_mut();
    INBOX.take(|node| {
        // SAFETY: whoever has pushed a message keeps it until the thread has let go of it.
        let link = unsafe { node.as_ref() }.link();
        link.replace(std::mem::replace(&mut first, node.as_ptr()))
    });
    while let Some(node) = NonNull::new(first) {
        // SAFETY: as above; the link is read before `f`, which lets go.
        let node = unsafe { node.as_ref() };
        first = node.link().get();
        f(node);
    }
}

struct Server {
    ring: Ring,
    bell: i32,
    /// The bell's operation has ended.
    was_rung: bool,
    in_flight: InFlight,
    /// Can go on.
    ready: GList,
    deliver: fn(&mut GList),
    /// What the kernel has refused to go on with.
    lost: Result<(), Refusal>,
}

impl Server {
    fn new(ring: Ring, bell: i32, deliver: fn(&mut GList)) -> Self {
        Self { ring, bell, was_rung: true, in_flight: InFlight::new(), ready: GList::new(), deliver, lost: Ok(()) }
    }

    /// Until it is told to stop and has no operations.
    ///
    /// # Errors
    /// The kernel has refused the ring, and may have operations still.
    fn serve(&mut self) -> Result<(), Refusal> {
        loop {
            if std::mem::take(&mut self.was_rung) {
                let sqe = Sqe::read(self.bell, At::Cursor, RUNG.as_ptr().cast(), size_of::<u64>()).with(BELL);
                // SAFETY: a static, and a descriptor that is open until this has returned and the ring is gone.
                unsafe { self.push(sqe) };
            }
            self.take();
            // Taking messages may have reaped a full queue. So nobody who can go on is left waiting, and the thread sleeps with a bell only.
            self.deliver();
            let sleeps = !self.was_rung && !self.ring.has_results() && INBOX.sleep();
            // Relaxed: who sets it rings after that.
            if sleeps && self.in_flight.is_empty() && STOPS.load(Relaxed) {
                return Ok(());
            }
            self.enter(u32::from(sleeps));
            // Awake: from here on nobody rings.
            self.take();
            self.reap();
            self.deliver();
            self.lost?;
        }
    }

    /// Waits until the kernel has nothing of ours any more. What has no result then is not done.
    fn close(self, refusal: &Refusal) {
        let Self { ring, mut in_flight, mut ready, deliver, .. } = self;
        let count = in_flight.count();
        if let Err(errno) = ring.close() {
            // Their frames cannot be left, and nobody will ever know when they can.
            eprintln!(
                "gort: the kernel has taken io_uring away ({refusal}) with {count} operations of files in flight, and descriptors of gort's were closed \
                 by somebody ({errno}), so that nothing tells when they end. A program that closes descriptors which it has not opened should do so before it \
                 uses gort, or set GORT_FS=threads"
            );
            std::process::abort();
        }
        while let Some(op) = in_flight.pop() {
            // SAFETY: it is held, since it was in the list, and the kernel is gone from it.
            unsafe { Op::end(op, NOT_DONE, &mut ready) };
        }
        deliver(&mut ready);
    }

    fn enter(&mut self, least: u32) {
        if self.lost.is_ok() {
            self.lost = self.ring.enter(least);
        }
    }

    fn deliver(&mut self) {
        if !self.ready.is_empty() {
            (self.deliver)(&mut self.ready);
        }
    }

    /// Hands over what has come.
    fn take(&mut self) {
        for_each_message(|node| {
            let op = node.op();
            // SAFETY: a message's operation is held for it, and a message is taken once. What the operation points to is as `Op::submit` demands.
            unsafe {
                if !node.gives_up() {
                    self.in_flight.add(&*op);
                    self.push((*op).sqe());
                    return;
                }
                if !(*op).is_over() {
                    self.push(Sqe::cancel((*op).sqe()).with(NOBODY));
                }
                Op::let_go(op, &mut self.ready);
            }
        });
    }

    /// Nothing if the ring is lost: whoever has no result by then has none.
    ///
    /// # Safety
    /// As [`Ring::push`].
    unsafe fn push(&mut self, sqe: Sqe) {
        // SAFETY: as the caller says.
        while self.lost.is_ok() && !unsafe { self.ring.push(sqe) } {
            self.enter(0);
            // Else the kernel may refuse more.
            self.reap();
        }
    }

    fn reap(&mut self) {
        let Self { ring, was_rung, in_flight, ready, .. } = self;
        ring.reap(|user_data, result| match user_data {
            NOBODY => {}
            BELL => *was_rung = true,
            address => {
                let op: *const Op = ptr::with_exposed_provenance(address as usize);
                // SAFETY: the address of an operation that is held, and in the list, until now, since its result comes once.
                unsafe {
                    in_flight.remove(&*op);
                    Op::end(op, result, ready);
                }
            }
        });
    }
}

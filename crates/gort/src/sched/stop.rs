//! Shutting the runtime down, so that it can be started again.
//!
//! # Phases
//! | phase | spawns | the root context | Ps, Ms | left when |
//! |---|---|---|---|---|
//! | `New` | start it | open | none | somebody needs the runtime |
//! | `Running` | go | open | work | somebody calls [`shutdown`] |
//! | `Draining` | are refused | has ended | work | nobody is left, or a deadline has come |
//! | `Leaving` | are refused | has ended | are given up, end | no P is in use, and whoever can leave has |
//! | `Stopped` | start it | a new one, open | none | somebody needs the runtime |
//!
//! The phase stands under the scheduler's lock, and in a word for those who look without it. Whoever changes it holds [`STATE`], too. The monitor
//! drives: it looks in each of its rounds, since it is the one thread that runs no goroutines and can outlast the Ms. It is the last to end, and
//! whoever has called waits for it.
//!
//! # The rule for what is left
//! Nothing is unwound, dropped or freed by force: a goroutine's frames may lend what they hold to others. What is left at the deadline **stays as
//! it is**, whether it was parked, runnable or had never run, and goes on when the runtime is started again; with it its timers, which come up
//! late. So a stop is a long pause for those who did not heed it. Whatever the process holds when `main` returns is left alone as well.
//! A bound goroutine goes on on its own thread, which waits until then (`bound`).
//! Rejected: to forget them for ever. Somebody may wait for them, with borrows that end when they do (`scope`), and each wake-up would have to
//! look whether its goroutine is one of the dead.
//!
//! # Waits that a context reaches
//! The root is what [`background`](crate::context::background) gives and what a goroutine is in that is in no other context. Ending it ends its
//! children, which tell those who wait (`context::root`). Those who wait in no context but the root are told of nowhere, because that would cost
//! each read a lock: they look at the phase before they park (`context::ambient::Root`), and every descriptor there is gets a kick when it
//! changes ([`kick_all`]). A kick says no more than "look", so it does no harm to those whom it does not concern. None is missed: the phase is
//! stored before the kick, and each kick is a read-modify-write of the word in which its receiver commits. One that parks later has seen the kick's
//! word, and the phase with it, or is refused. A descriptor that is opened meanwhile resets its words; the two SeqCst fences, there and here, see to
//! it that its user finds the phase or gets the kick. Who comes to look only when the phase has changed once more finds that there has been another
//! shutdown since ([`shutdowns`]).
//!
//! # Spawns against the shutdown
//! A spawner is either refused or seen. A plain thread queues its goroutine under the scheduler's lock, under which the phase changes
//! (`global::push_new`): what was queued before is counted when the monitor counts, later. A goroutine that spawns is itself alive and counted, so
//! it may look at the phase without a lock: nobody concludes that all have ended before it has, and whoever sees its end counted sees its children
//! counted (`snapshot::goroutines` reads ends first, with Acquire; ends are published with Release). So if as many ends as starts are counted,
//! there is nobody who could start another. Functions of timers and contexts (`after_func`) are spawned when they are made, before. Those that the
//! root's end starts are queued when the monitor begins to count (`is_cancelled`) and are waited for; one that a timer starts at the last moment,
//! or a plain thread's `cancel` later, waits in the queue for the next start, as if it had come up after the stop. That is why, besides the count,
//! the records are looked at.
//!
//! # Who may still touch what while threads leave
//! The Ps are taken out of use as by a resize to none (`resize`): an M gives its P up at its next turn, the monitor takes it from one in user code.
//! Whoever takes a P out empties it: goroutines to the global queue, timers to the common set, stacks and records to the common pools. Ms and Ps
//! are never freed and are used again, so that a late look at one is harmless. A P given up is nobody's; an M without one touches the common queue
//! only, under the lock; `leave` says which Ms end and how they are told from those that stay.
//! - *A wake-up against a leaving M*: Ms are woken after having been taken from the idle ones, under the lock, and such an M waits for what it is
//!   handed. An M that leaves is in no list. Work that is queued without a P to wake lies in the global queue, where the next start looks.
//! - *The poller* is left by its M as by any wake-up. It is kept, with its two descriptors and what is registered: sockets outlive the runtime,
//!   and an edge that comes meanwhile waits in the kernel for the next runtime's first poll.
//! - *A thread's waits* need no runtime, its timers included (`park::arm`), but for sockets. A wait on a socket with nobody polling starts the
//!   runtime, as the first use of anything does, unless it began before: then it goes on with the next start.
//! - *A goroutine that comes back from a call* finds its P gone, goes to the global queue at its next gort call, and its thread ends. If it ends
//!   instead, it ends as it should: its stack goes back, whoever joins it gets its result.
//!
//! # Who calls
//! - *A plain thread*: returns when the threads are gone.
//! - *A goroutine* (in `blocking`, in a context's function, while it unwinds, whatever): it needs a thread itself. It gets what is left but itself,
//!   and the rest happens when it has ended. Meanwhile nothing is accepted, unless it starts the runtime again itself. The same inside `host`, where
//!   the goroutine is the thread's guest.
//! - *Several at once*: the earliest deadline counts for all. A goroutine that has called does not keep a plain thread waiting beyond the deadline.
//! - *While nothing runs*: returns what was left before.

use super::left::{Left, is_other};
use super::{SCHED, disk, leave, locked, resize, snapshot, sysmon};
use crate::context::root;
use crate::g::record::BOUND;
use crate::g::{G, GList, WaitReason, registry};
use crate::netpoll::{self, Side};
use crate::prim::lock::Lock;
use crate::spawn::{self, report};
use crate::sys::clock;
use crate::sys::thread::Thread;
use crate::timer::NEVER;
use std::error::Error;
use std::fmt;
use std::panic::Location;
use std::ptr;
use std::sync::atomic::Ordering::{Acquire, Release, SeqCst};
use std::sync::atomic::{AtomicU8, AtomicU32, fence};

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    New,
    Running,
    Draining,
    Leaving,
    Stopped,
}

impl Phase {
    const ALL: [Self; 5] = [Self::New, Self::Running, Self::Draining, Self::Leaving, Self::Stopped];

    /// Ms that look for a P end instead.
    pub(super) fn lets_ms_go(self) -> bool {
        matches!(self, Self::Leaving | Self::Stopped)
    }

    /// Whoever needs the runtime starts it.
    pub(super) fn is_down(self) -> bool {
        matches!(self, Self::New | Self::Stopped)
    }
}

static PHASE: AtomicU8 = AtomicU8::new(Phase::New as u8);
/// Grows when the root ends.
static SHUTDOWNS: AtomicU32 = AtomicU32::new(0);

/// The phase, as far as one can tell without a lock.
#[inline(always)]
pub(crate) fn phase() -> Phase {
    // Acquire: pairs with the store in `set_phase`; what start-up has made is there.
    Phase::ALL[usize::from(PHASE.load(Acquire))]
}

/// True while it neither stands still nor is being shut down.
#[inline(always)]
pub(crate) fn is_running() -> bool {
    // Acquire: as in `phase`.
    PHASE.load(Acquire) == Phase::Running as u8
}

/// True while the root context has ended.
#[inline]
pub(crate) fn has_root_ended() -> bool {
    matches!(phase(), Phase::Draining | Phase::Leaving)
}

/// How many shutdowns have begun.
#[inline]
pub(crate) fn shutdowns() -> u32 {
    // Acquire: a phase that is looked at after this is not older.
    SHUTDOWNS.load(Acquire)
}

/// The holder of `STATE` does this.
pub(super) fn set_phase(phase: Phase) {
    let mut central = SCHED.central.lock();
    central.phase = phase;
    // Release: pairs with the Acquire in `phase`.
    PHASE.store(phase as u8, Release);
}

/// The runtime is being shut down: why [`Builder::spawn`](crate::Builder::spawn) has failed, and the cause of the end of contexts.
///
/// # Examples
/// ```
/// use gort::runtime::{ShuttingDown, shutdown};
/// use std::time::{Duration, Instant};
/// let (s, r) = gort::chan::bounded(1);
/// // Functions of the background are called when the runtime is shut down.
/// gort::context::background().after_func(move || {
///     let refused = gort::Builder::new().spawn(|| ()).unwrap_err();
///     s.send(refused.get_ref().unwrap().is::<ShuttingDown>()).unwrap();
/// });
/// assert!(shutdown(Instant::now() + Duration::from_secs(5)).is_empty());
/// assert_eq!(r.recv(), Ok(true));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShuttingDown;

impl fmt::Display for ShuttingDown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the gort runtime is shutting down (runtime::shutdown)")
    }
}

impl Error for ShuttingDown {}

impl From<ShuttingDown> for std::io::Error {
    fn from(why: ShuttingDown) -> Self {
        Self::other(why)
    }
}

/// A goroutine, for as long as it exists.
type Who = (&'static G, u64);

/// One call of [`shutdown`].
struct Call {
    ticket: u64,
    /// Who waits, and is kicked.
    party: &'static G,
    /// The goroutine that calls, if it is one.
    goroutine: Option<Who>,
    answer: Option<Left>,
}

impl Call {
    /// There is an answer: whoever waits for it is to look.
    fn tell(&self, ready: &mut GList) {
        if self.party.park.kick() {
            ready.push(self.party);
        }
    }
}

/// What start and stop share. Both may take milliseconds and allocate with it held; they park nobody.
pub(super) struct State {
    calls: Vec<Call>,
    tickets: u64,
    /// The earliest deadline of those who wait.
    deadline_ns: u64,
    /// The root has ended, and whoever waited has been kicked.
    is_cancelled: bool,
    leaving_since_ns: u64,
    /// Goroutines that have their answer: the runtime goes on as long as they do.
    answered: Vec<Who>,
    pub(super) monitor: Option<Thread>,
}

/// Taken before every other lock of the scheduler, and by the monitor while there is something to do.
pub(super) static STATE: Lock<State> = Lock::new(State {
    calls: Vec::new(),
    tickets: 0,
    deadline_ns: NEVER,
    is_cancelled: false,
    leaving_since_ns: 0,
    answered: Vec::new(),
    monitor: None,
});

/// Threads that have nothing left to do but their thread-locals' destructors get this long.
const LAST_NS: u64 = 1_000_000_000;
/// The longest pause between two looks whether everybody has ended.
const LOOK_NS: u64 = 200_000;

/// Shuts the runtime down; see the module.
pub(crate) fn shutdown(deadline_ns: u64, site: &'static Location<'static>) -> Left {
    crate::sys::fork::refuse_child();
    let party = spawn::wait_record();
    super::begin_call(party);
    let goroutine = caller();
    let exempt = goroutine.map(|g| (g, g.id()));
    // In bound mode whoever began on the caller's thread, and blocked it, would make it late.
    let _thread = goroutine.filter(|g| g.has(BOUND) && ptr::eq(*g, party)).map(KeepsThread::of);
    let (ticket, is_first) = {
        let mut state = STATE.lock();
        if phase().is_down() {
            drop(state);
            wait_for_monitor();
            return Left::take(exempt.as_slice());
        }
        let is_first = phase() == Phase::Running;
        if is_first {
            set_phase(Phase::Draining);
            // Release: pairs with the Acquire in `shutdowns`. After the phase: who sees the new number sees that, or a later one.
            SHUTDOWNS.fetch_add(1, Release);
            state.is_cancelled = false;
        }
        state.deadline_ns = state.deadline_ns.min(deadline_ns);
        state.tickets += 1;
        let ticket = state.tickets;
        state.calls.push(Call { ticket, party, goroutine: exempt, answer: None });
        (ticket, is_first)
    };
    if is_first {
        root::end();
        kick_all();
        STATE.lock().is_cancelled = true;
    }
    sysmon::wake();
    let left = loop {
        if let Some(left) = STATE.lock().take_answer(ticket) {
            break left;
        }
        super::park(party, WaitReason::Shutdown, 0, site, |party| party.park.commit_sleep());
    };
    if goroutine.is_none() {
        wait_for_monitor();
    }
    left
}

/// Keeps others from beginning on the goroutine's thread.
struct KeepsThread(&'static G);

impl KeepsThread {
    fn of(g: &'static G) -> Self {
        locked::lock_as_far_as_can_be(g);
        Self(g)
    }
}

impl Drop for KeepsThread {
    fn drop(&mut self) {
        locked::unlock(self.0);
    }
}

/// The goroutine that calls, or on whose behalf the calling thread runs.
fn caller() -> Option<&'static G> {
    super::current().filter(|me| !me.is_thread()).or_else(report::guest)
}

/// Makes whoever waits for a descriptor look again.
fn kick_all() {
    // Pairs with the fence in `Desc::open`.
    fence(SeqCst);
    let mut ready = GList::new();
    netpoll::for_each(|desc| {
        desc.kick(Side::Read, &mut ready);
        desc.kick(Side::Write, &mut ready);
    });
    super::ready_list(&mut ready);
}

/// Waits until the monitor's thread is gone, if the runtime has stopped and nobody has waited yet.
fn wait_for_monitor() {
    // Who comes second waits as long as the first.
    static WAITING: Lock<()> = Lock::new(());
    let _one = WAITING.lock();
    let monitor = {
        let mut state = STATE.lock();
        if phase() == Phase::Stopped { state.monitor.take() } else { None }
    };
    if let Some(monitor) = monitor {
        monitor.join_until(clock::now_ns() + LAST_NS);
    }
}

/// What the monitor does next.
pub(super) enum Step {
    /// Look again at `next_ns` at the latest; at `latest_ns`, if nothing runs meanwhile.
    Look { next_ns: u64, latest_ns: u64 },
    /// End.
    End,
}

impl Step {
    /// Nothing to look for.
    const IDLE: Self = Self::Look { next_ns: NEVER, latest_ns: NEVER };

    fn at(now_ns: u64) -> Self {
        Self::Look { next_ns: now_ns, latest_ns: now_ns }
    }
}

/// The monitor's look, in each of its rounds.
pub(super) fn step(now_ns: u64) -> Step {
    if is_running() {
        return Step::IDLE;
    }
    let mut ready = GList::new();
    let step = {
        let mut state = STATE.lock();
        match phase() {
            Phase::Draining => state.drain(now_ns, &mut ready),
            Phase::Leaving => {
                resize::ask_for_retired();
                if leave::is_over(state.leaving_since_ns) {
                    // Without the lock: destructors of thread-locals may want it. Nobody else leaves this phase.
                    drop(state);
                    let late = leave::join(clock::now_ns() + LAST_NS) + disk::end(clock::now_ns() + LAST_NS);
                    state = STATE.lock();
                    state.finish(late, &mut ready);
                    Step::End
                } else {
                    Step::at(now_ns)
                }
            }
            // Somebody has revived it.
            _ => Step::IDLE,
        }
    };
    super::ready_list(&mut ready);
    step
}

impl State {
    fn take_answer(&mut self, ticket: u64) -> Option<Left> {
        let at = self.calls.iter().position(|call| call.ticket == ticket && call.answer.is_some())?;
        self.calls.swap_remove(at).answer
    }

    fn waiting(&mut self) -> impl Iterator<Item = &mut Call> {
        self.calls.iter_mut().filter(|call| call.answer.is_none())
    }

    /// Looks whether all have ended, or have had their time.
    fn drain(&mut self, now_ns: u64, ready: &mut GList) -> Step {
        if !self.is_cancelled {
            return Step::at(now_ns + LOOK_NS);
        }
        self.answered.retain(|&(g, id)| g.id() == id && is_other(g, &[]));
        if self.waiting().next().is_none() {
            // Somebody has an answer, or nobody would be left to leave it.
            if self.answered.is_empty() {
                return self.begin_to_leave(now_ns);
            }
            return Step::IDLE;
        }
        let mut exempt = self.answered.clone();
        exempt.extend(self.waiting().filter_map(|call| call.goroutine));
        let is_late = now_ns >= self.deadline_ns;
        if !is_late && !is_nobody_but(&exempt) {
            return self.look_again(now_ns);
        }
        let mut answer = None;
        let mut answered = Vec::new();
        for call in self.waiting().filter(|call| call.goroutine.is_some()) {
            call.answer = Some(answer.get_or_insert_with(|| Left::take(&exempt)).clone());
            answered.extend(call.goroutine);
            call.tell(ready);
        }
        self.answered.extend(answered);
        let is_awaited = self.waiting().next().is_some();
        if self.answered.is_empty() || is_late && is_awaited {
            return self.begin_to_leave(now_ns);
        }
        if is_awaited {
            return self.look_again(now_ns);
        }
        self.deadline_ns = NEVER;
        Step::IDLE
    }

    fn look_again(&self, now_ns: u64) -> Step {
        Step::Look { next_ns: self.deadline_ns.min(now_ns + LOOK_NS), latest_ns: self.deadline_ns }
    }

    fn begin_to_leave(&mut self, now_ns: u64) -> Step {
        self.leaving_since_ns = now_ns;
        set_phase(Phase::Leaving);
        resize::take_all_out();
        super::idle::dismiss_all();
        Step::at(now_ns)
    }

    /// All have left who can.
    fn finish(&mut self, late_threads: usize, ready: &mut GList) {
        let left = Left::take(&[]).and_threads(late_threads);
        let mut exempt = self.answered.clone();
        exempt.extend(self.waiting().filter_map(|call| call.goroutine));
        let left_but_callers = Left::take(&exempt).and_threads(late_threads);
        root::renew();
        set_phase(Phase::Stopped);
        leave::detach();
        self.over();
        for call in self.waiting() {
            // One that has called in this phase, late. Its own end is not what it waits for.
            let answer = if call.goroutine.is_some() { &left_but_callers } else { &left };
            call.answer = Some(answer.clone());
            call.tell(ready);
        }
    }

    /// Nothing is being shut down any more.
    fn over(&mut self) {
        self.deadline_ns = NEVER;
        self.answered.clear();
    }

    /// A goroutine that has its answer wants the runtime to go on: true if nobody else waits for the end.
    pub(super) fn revive(&mut self) -> bool {
        let is_entitled = caller().is_some_and(|me| self.answered.iter().any(|&(g, _)| std::ptr::eq(g, me)));
        if phase() != Phase::Draining || !is_entitled || self.waiting().next().is_some() {
            return false;
        }
        self.over();
        root::renew();
        true
    }
}

/// True if every goroutine but these has ended.
fn is_nobody_but(exempt: &[Who]) -> bool {
    if snapshot::goroutines() > exempt.len() as u64 {
        return false;
    }
    let mut is_nobody = true;
    registry::for_each(|g| is_nobody &= !is_other(g, exempt));
    is_nobody
}

//! Total deadlock: all goroutines are asleep, and nobody is left who could wake one.
//!
//! Sysmon asks when every P has been idle for a second. The question is not "is somebody running" but "could anything still happen":
//!
//! - a goroutine that waits for a descriptor or sleeps goes on when the kernel or the clock says so; one in a blocking call goes on by itself;
//!   a timer that is pending starts something. Any of these, and there is no deadlock.
//! - A thread of the process that is not gort's, and does not wait in a call of gort's itself, may do anything.
//!
//! **Certain.** Without any of them only an M, or a plain thread that comes back from a wait, could make a goroutine ready. An M does so while it
//! runs a goroutine, polls for a descriptor that somebody waits for, or fires a timer; a plain thread comes back when it is woken, which is
//! seen of it, or when its own limit has come. So all are asleep for good. A picture taken piece by piece shows each piece at another moment.
//! Therefore the world is looked at twice, some milliseconds apart, and from before the first look to the end of the second no goroutine may have
//! run and no plain thread have begun or ended a wait ([`epoch`]): then both pictures are of one moment. Then
//! the process ends with status 2 and a dump, as in Go; unlike there, also if sockets were used (golang/go#12734).
//!
//! **Suspected.** With a foreign thread alive it is only said, once, after [`SUSPECTED_NS`]: it may be a thread that waits for its user.
//!
//! With the limit on threads reached and every thread locked to a goroutine that sleeps, goroutines that wait for a thread wait for ever, too.
//! If it was the system that refused a thread, it may give one later, and nothing is certain.
//!
//! What is not seen: a signal handler of the program that wakes a goroutine. `GORT_DEADLOCK=report` or `off` is for such programs.

use super::watch::deadlocks::Deadlock;
use super::{SCHED, fixed, snapshot, start};
use crate::config::DeadlockPolicy;
use crate::g::record::LOCKED;
use crate::g::{Status, WaitReason, registry};
use crate::sys::{aloud, fault};
use crate::timer::NEVER;
use std::fmt::Write as _;
use std::sync::atomic::Ordering::Relaxed;

/// All asleep for so long, with a foreign thread alive, is worth a line.
const SUSPECTED_NS: u64 = 10_000_000_000;
/// While nothing changes the looks become rarer, down to this: each is a wake-up of a process that is at rest otherwise.
const RAREST_NS: u64 = 3_600_000_000_000;
/// Between two looks, also if a plain thread's limit is up already: it is on its way.
const SHORTEST_NS: u64 = 1_000_000;

/// What sysmon remembers from look to look.
#[derive(Debug)]
pub(super) struct Watch {
    /// The [`epoch`] at the last look, if that one found everybody asleep.
    seen: Option<u64>,
    has_said: Option<Said>,
    /// The [`epoch`] at the last look after which nothing but a pause was to be done, and that pause.
    paused: (u64, u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Suspected,
    Certain,
}

/// What to do now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Something may still happen by itself.
    Fine,
    /// All are asleep: look again soon.
    Again,
    /// Nothing happens before this time but by a foreign thread: look again then.
    Later(u64),
}

impl Watch {
    pub(super) const fn new() -> Self {
        Self { seen: None, has_said: None, paused: (0, SUSPECTED_NS) }
    }

    /// Looks; all Ps have been idle since `since_ns`. Does not return from a deadlock that is certain.
    pub(super) fn look(&mut self, since_ns: u64, now_ns: u64) -> Verdict {
        let policy = fixed().deadlock;
        if policy == DeadlockPolicy::Off || self.has_said == Some(Said::Certain) {
            return Verdict::Fine;
        }
        if is_expected() {
            self.seen = None;
            return Verdict::Fine;
        }
        let epoch_before = epoch();
        let asleep = match look_around() {
            Picture::AllAsleep(asleep) => asleep,
            Picture::Fine => {
                self.seen = None;
                return Verdict::Fine;
            }
            Picture::FineUntil { at_ns, perhaps_before } => {
                self.seen = None;
                let later_ns = if perhaps_before { self.later_ns(now_ns, epoch_before) } else { NEVER };
                return Verdict::Later(at_ns.max(now_ns + SHORTEST_NS).min(later_ns));
            }
        };
        let is_certain = asleep.is_for_good && has_foreign_threads(asleep.threads) == Some(false);
        if epoch() != epoch_before || self.seen.replace(epoch_before) != Some(epoch_before) {
            return Verdict::Again;
        }
        if !is_certain {
            let at_ns = since_ns + SUSPECTED_NS;
            if now_ns < at_ns {
                return Verdict::Later(at_ns);
            }
            if self.has_said.is_some() {
                // That thread may come to wait for us, too, and nobody will say so. Only that is still of interest.
                return Verdict::Later(self.later_ns(now_ns, epoch_before));
            }
        }
        if !say(&asleep, is_certain, policy) {
            // Nobody takes it now.
            return Verdict::Later(now_ns + SUSPECTED_NS);
        }
        self.has_said = Some(if is_certain { Said::Certain } else { Said::Suspected });
        if is_certain && policy == DeadlockPolicy::Exit {
            // SAFETY: ends the process. Not `exit`: what was registered there may want what the sleepers hold.
            unsafe { libc::_exit(2) };
        }
        if is_certain { Verdict::Fine } else { Verdict::Later(self.later_ns(now_ns, epoch_before)) }
    }

    /// When to look again if nobody can say when something happens: ever later, as long as nothing has.
    fn later_ns(&mut self, now_ns: u64, epoch: u64) -> u64 {
        let (before, pause_ns) = self.paused;
        let pause_ns = if before == epoch { (pause_ns * 2).min(RAREST_NS) } else { SUSPECTED_NS };
        self.paused = (epoch, pause_ns);
        now_ns + pause_ns
    }
}

/// Changes whenever a goroutine starts or goes on, and whenever a plain thread begins to wait in a call of gort's or is woken from it.
pub(super) fn epoch() -> u64 {
    // Relaxed: a stale sum costs another look.
    let outside = SCHED.created_outside.load(Relaxed);
    let mut sum = snapshot::ps()
        .fold(outside, |sum, p| sum.wrapping_add(p.counters.runs.get()).wrapping_add(p.counters.spawned.get()));
    registry::for_each(|g| {
        if g.is_thread() {
            sum = sum.wrapping_add(u64::from(g.thread_waits()));
        }
    });
    sum
}

/// What a look shows.
enum Picture {
    /// Something may happen by itself, or nobody is there to care.
    Fine,
    /// A plain thread's wait ends at this time, or `perhaps_before`, nobody knows when.
    FineUntil {
        at_ns: u64,
        perhaps_before: bool,
    },
    AllAsleep(Asleep),
}

/// Everybody, asleep.
struct Asleep {
    goroutines: usize,
    /// Of them: waiting for a thread.
    without_thread: usize,
    /// Plain threads that wait in a call of gort's.
    threads: usize,
    /// Not even another thread from the system would help.
    is_for_good: bool,
}

/// Something is sure to happen, as can be told without a look at each goroutine.
fn is_expected() -> bool {
    // Relaxed: asked once more between two looks at the epoch.
    snapshot::has_armed_timers() || SCHED.ms_starting.load(Relaxed) > 0 || super::stackless::is_exhausted()
}

/// Whether anything can go on by itself.
fn look_around() -> Picture {
    if is_expected() {
        return Picture::Fine;
    }
    let mut asleep = Asleep { goroutines: 0, without_thread: 0, threads: 0, is_for_good: true };
    let (mut may_go_on, mut waits_outside, mut until_ns, mut locked) = (false, false, NEVER, 0);
    registry::for_each(|g| match g.status() {
        Status::Free | Status::Dormant | Status::Done => {}
        Status::Waiting => {
            use WaitReason::{Blocking, Close, Disk, Read, ReadLock, Resize, Sleep, Write, WriteLock};
            let by_itself =
                matches!(g.wait().0, Read | Write | ReadLock | WriteLock | Close | Disk | Sleep | Resize | Blocking);
            if g.is_thread() {
                asleep.threads += 1;
                // An odd number: woken, and on its way.
                let is_soon = g.thread_waits() % 2 == 1;
                until_ns = until_ns.min(if is_soon { 0 } else { g.alarm_ns() });
                waits_outside |= by_itself;
            } else {
                may_go_on |= by_itself;
                asleep.goroutines += 1;
                locked += usize::from(g.has(LOCKED));
            }
        }
        // A plain thread that does something else; whether it lives is seen below.
        _ if g.is_thread() => {}
        Status::Runnable => {
            asleep.goroutines += 1;
            asleep.without_thread += 1;
        }
        Status::Running | Status::Blocking | Status::Ending => may_go_on = true,
    });
    if may_go_on || asleep.goroutines == 0 {
        return Picture::Fine;
    }
    // When a goroutine goes on sysmon hears of it; when a thread does, nobody says so.
    if waits_outside || until_ns != NEVER {
        return Picture::FineUntil { at_ns: until_ns, perhaps_before: waits_outside };
    }
    if asleep.without_thread > 0 {
        // Queued goroutines are no sleepers, unless there is no thread left that may take them.
        let are_closed = fixed().is_bound().then(|| snapshot::ms().filter(|m| m.residents.is_closed()).count());
        if are_closed.unwrap_or(locked) < snapshot::ms().count() {
            return Picture::Fine;
        }
        asleep.is_for_good = start::is_at_limit();
    }
    Picture::AllAsleep(asleep)
}

/// Whether there are threads in the process that are neither gort's nor among the `waiting` ones; `None` if that cannot be known.
fn has_foreign_threads(waiting: usize) -> Option<bool> {
    let all = std::fs::read_dir("/proc/self/task").ok()?.count();
    // One more is sysmon, which asks.
    Some(all != snapshot::ms().count() + 1 + crate::uring::threads() + waiting)
}

/// Says it. False if standard error does not take it, and that can wait.
fn say(asleep: &Asleep, is_certain: bool, policy: DeadlockPolicy) -> bool {
    let mut text = if is_certain {
        "gort: all goroutines are asleep - deadlock! None of them waits for a descriptor, the clock or a thread (for a program that a \
         signal handler wakes: GORT_DEADLOCK=report, or off).\n"
            .to_owned()
    } else {
        format!(
            "gort: all {} goroutines have been asleep for {} s, and nothing that gort knows of will wake one: a deadlock, unless another \
             thread of this process does (SIGQUIT prints them; GORT_DEADLOCK=off keeps gort quiet)\n",
            asleep.goroutines,
            SUSPECTED_NS / 1_000_000_000,
        )
    };
    if asleep.without_thread > 0 {
        text += &format!(
            "gort: {} goroutines wait for a thread, but the limit of {} threads is reached, and each has a sleeping goroutine locked to it \
             (GORT_MAX_THREADS, or runtime::Builder::max_threads)\n",
            asleep.without_thread,
            SCHED.max_threads.load(Relaxed),
        );
    }
    if is_certain {
        for circle in Deadlock::circles() {
            let _ = writeln!(text, "gort: {circle}");
        }
        text.push('\n');
        text += &crate::dump::text();
    }
    if is_certain && policy == DeadlockPolicy::Exit {
        // Nobody is left who could be held up.
        fault::write_stderr(text.as_bytes());
        return true;
    }
    aloud::offer(text.as_bytes())
}

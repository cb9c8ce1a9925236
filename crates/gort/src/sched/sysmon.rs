//! The system monitor: a thread without a P that keeps the others honest.
//!
//! Each round it
//! - takes Ps from Ms that stay in user code while work waits: at once (two looks, 20 µs apart at least) if the goroutine is in a section
//!   marked as blocking; after 0.4 ms if its thread is seen to be blocked in the kernel; after 10 ms otherwise, unless the thread only waits for a
//!   processor; a retired P whatever happens;
//! - asks a goroutine that has run for 10 ms to give way at its next gort call, while work waits;
//! - wakes somebody for work that a P's owner leaves lying while Ps are idle, the run-next slot included;
//! - polls if nobody has for 10 ms (`poll`), or gets an idle M to poll, and fires timers that are overdue;
//! - gives the memory of stacks back that nobody needs (`stack::scavenge`);
//! - starts threads that others ask for (it has never run user code, so they inherit nothing odd);
//! - prints the dump that SIGQUIT asks for, and says so when all goroutines are asleep for good (`deadlock`);
//! - follows the CPU quota (`quota`);
//! - drives a shutdown (`stop`), and ends last.
//!
//! It looks every 20 µs while Ps are to be taken or somebody wakes it, doubling to 10 ms when not, and sleeps until woken once everything has
//! been idle for a second: an idle process makes no wake-ups. If nobody has run since the look before, whoever takes the last idle P wakes it: in a
//! process that does little all Ps may block at once, and the next looks would be 10 and 20 ms away.
//!
//! A look shows that an M is in user code, not for how long. So another one follows 20 µs later, and as long as the M stays there more at 0.4 ms and
//! 1 ms: calls that last about as long as sysmon sleeps would otherwise be new at every look, and none of them would ever be noticed. Once one was
//! seen to be away for a millisecond while a P was idle, an M that runs dry polls for a second instead of leaving that to the one that is away.
//!
//! Never for nobody: a P is taken only if something could run on it. But not for ever: after a second a thread that is blocked loses its P all the
//! same. With it in use, the rounds above would go on as long as the call lasts, and a program whose main goroutine waits for a key would never rest.
//! (Source: golang/go runtime/proc.go, retake, which makes the same exception for the same reason.)

mod barrier;
mod poll;
mod second;
mod steady;

use super::deadlock::Verdict;
use super::find::{POLL_BLOCKED, POLL_NOBODY};
use super::p::P;
use super::retakes::{self, Cause};
use super::stop::{self, Step};
use super::watch::Watch;
use super::{SCHED, bound, deadlock, disk, find, fixed, global, idle, quota, snapshot, start};
use crate::g::{GList, Status};
use crate::stack::scavenge::Scavenger;
use crate::sys::priority::Patience;
use crate::sys::thread::{self, States};
use crate::sys::{clock, futex};
use crate::timer::NEVER;
use gort_lockfree::owner::{Stay, retake_step};
use poll::Poll;
use second::SecondLooks;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use steady::Steady;

const SHORTEST_NS: u64 = 20_000;
const LONGEST_NS: u64 = 10_000_000;
/// The longest round while a goroutine is queued or an M stays in user code: what waits there should not wait long.
const LONGEST_BUSY_NS: u64 = 500_000;
/// A thread was away within this time: others may be.
const WARY_NS: u64 = 1_000_000_000;
/// Stacks that lose their memory in one round, 1 to 10 us each: beside others, and while nobody is there to be held up.
const STACKS_BUSY: usize = 16;
const STACKS_IDLE: usize = 64;
const QUIET_ROUNDS: u32 = 50;
/// What a goroutine may use of a P before those who wait get it.
const SLICE_NS: u64 = 10_000_000;
/// A thread that turns out to be blocked in the kernel, without a mark, has its P for this long.
const UNMARKED_NS: u64 = 400_000;
/// A marked section is left alone for this long: most end sooner.
const BLOCKING_NS: u64 = 20_000;
/// The same if a thread would have to be made for the P, or no more of them sleep than are kept for those who are late: longer the more there are,
/// since one of those may be back in the meantime.
const FEW_THREADS: u64 = 16;
const LONGEST_BLOCKING_NS: u64 = 500_000;
/// An M in user code for longer than this does not count as one that polls.
const HOG_NS: u64 = 1_000_000;
/// CPU time that a thread must have used of its stay for it to count as burning; with less it is blocked, or has no processor itself.
const BURNT_NS: u64 = SLICE_NS / 4;
/// A thread that waits for a processor keeps its P for so long: another thread would wait as well.
const STARVED_NS: u64 = 10 * SLICE_NS;
/// Who waits for longer than this, and has seen nobody run, is woken when the last idle P is taken.
const REST_NS: u64 = 1_000_000;
/// All idle for so long: sleep until woken. A thread that is blocked for so long counts as idle.
const SETTLED_NS: u64 = 1_000_000_000;

/// Makes sysmon look now.
pub(super) fn wake() {
    // Release: publishes the request; the Acquire is in `run`.
    if SCHED.sysmon_word.swap(1, Release) == 0 {
        futex::wake(&SCHED.sysmon_word, 1);
    }
}

/// What looks at threads need.
struct Eyes {
    watch: Watch,
    states: States,
}

#[derive(Default)]
struct Round {
    /// A P was taken.
    acted: bool,
    /// Some M stays in user code.
    hogs: bool,
    /// Goroutines are queued at a P that an M has.
    backlog: bool,
    /// And another P is idle; or an M claims a P.
    uneven: bool,
    /// A thread may be blocked: the next look tells.
    soon: bool,
    /// Somebody was seen in user code for the first time, and a P is idle or work waits.
    is_new: bool,
    /// When to look again at those who were seen in user code for the first time.
    again_ns: u64,
    /// Somebody was seen like that, and a P is idle or work waits.
    inside: bool,
    /// This look was made to see them again.
    is_second: bool,
    /// A thread is away, in the kernel or computing, and a P is idle.
    away: bool,
    /// One was within the last second.
    was_away: bool,
}

/// The thread's body, until the runtime stops. Without this thread the others would hang one by one, so its panic ends the process.
pub(super) fn run(states: States) {
    if std::panic::catch_unwind(|| watch(Eyes { watch: Watch::new(), states })).is_err() {
        std::process::abort();
    }
}

fn watch(mut eyes: Eyes) {
    let mut poll = Poll::new();
    let mut delay_ns = SHORTEST_NS;
    let mut quiet = 0;
    let mut idle_since_ns = None;
    let (mut away_until_ns, mut is_second) = (0, false);
    let (mut runs, mut is_alarmed) = (0, false);
    let mut deadlock = deadlock::Watch::new();
    let mut quota = quota::Watch::new();
    let mut scavenger = Scavenger::new();
    let (mut steady, mut second, mut patience) = (Steady::default(), SecondLooks::default(), Patience::new());
    loop {
        // Acquire: pairs with the Release in `wake`.
        let was_woken = SCHED.sysmon_word.swap(0, Acquire) != 0;
        if crate::sys::signal::take_quit_request() {
            crate::dump::print_to_stderr();
        }
        // One thread more would be one more to end.
        if SCHED.ms_wanted.swap(0, Relaxed) != 0 && !stop::phase().lets_ms_go() {
            start::add_m();
        }
        if !stop::phase().lets_ms_go() {
            disk::start_if_wanted();
        }
        let now_ns = clock::now_ns();
        let round = look(now_ns, &steady, Round::new(is_second, now_ns < away_until_ns), &mut poll, &mut eyes);
        eyes.watch.look(steady.at(now_ns), steady.lost_ns);
        eyes.watch.hogs.look(now_ns);
        if round.away {
            away_until_ns = now_ns + WARY_NS;
        }
        // Two thousand rounds a second took the processor from the Ms of a busy server often enough to cost it 3 to 6 % of its CPU time. Who computes
        // is not waited for, and a shutdown has a limit.
        patience.set(!round.hogs && stop::is_running());
        let is_busy = round.uneven || round.hogs || round.backlog || round.inside && now_ns < away_until_ns;
        if std::mem::take(&mut is_alarmed) {
            // Whoever has the last P may block in a moment. Not as often as for a request: in most cases all goes well.
            quiet = QUIET_ROUNDS;
            delay_ns = LONGEST_BUSY_NS;
            second.has_found();
        } else if round.acted || was_woken {
            quiet = 0;
            delay_ns = SHORTEST_NS;
        } else {
            quiet += 1;
            if quiet > QUIET_ROUNDS {
                delay_ns = (delay_ns * 2).min(if is_busy { LONGEST_BUSY_NS } else { LONGEST_NS });
            }
        }
        let (next_ns, latest_ns) = match stop::step(now_ns) {
            Step::Look { next_ns, latest_ns } => (next_ns, latest_ns),
            Step::End => return,
        };
        let is_all_idle = is_all_idle();
        let scavenge_ns = scavenger.step(now_ns, if is_all_idle { STACKS_IDLE } else { STACKS_BUSY });
        if is_all_idle {
            let since_ns = *idle_since_ns.get_or_insert(now_ns);
            if now_ns - since_ns >= SETTLED_NS {
                // A shutdown ends by its deadline.
                let verdict = match stop::is_running() {
                    // Its thread would count as a stranger's.
                    true if eyes.watch.is_printing() => Verdict::Again,
                    true => deadlock.look(since_ns, now_ns),
                    false => Verdict::Fine,
                };
                let latest_ns = latest_ns.min(eyes.watch.next_ns(steady.lost_ns).max(now_ns + SHORTEST_NS));
                let until_ns = match verdict {
                    Verdict::Fine => Some(latest_ns),
                    Verdict::Again => None,
                    Verdict::Later(at_ns) => Some(at_ns.min(latest_ns)),
                };
                if let Some(until_ns) = until_ns {
                    let until_ns = until_ns.min(scavenge_ns).max(now_ns + SHORTEST_NS);
                    let slept = sleep_until_woken(until_ns);
                    if slept != Slept::No {
                        // Not on to the wait below, which counts from the look before.
                        steady.has_waited(until_ns);
                        if slept == Slept::UntilWoken {
                            idle_since_ns = None;
                        }
                        continue;
                    }
                }
            }
        } else {
            idle_since_ns = None;
            quota.look(now_ns);
        }
        if round.acted || round.away {
            second.has_found();
        }
        let soon = second.follows(round.is_new && !round.is_second) || round.soon;
        let wait_ns = if soon { SHORTEST_NS } else { delay_ns.min(round.again_ns.saturating_sub(now_ns)) };
        is_second = wait_ns < delay_ns;
        // What is being shut down is looked at more often, with a breath in between.
        let mut until_ns = (now_ns + wait_ns).min(next_ns.max(now_ns + SHORTEST_NS));
        if is_all_idle {
            until_ns = until_ns.min(scavenge_ns.max(now_ns + SHORTEST_NS));
        }
        if round.hogs {
            // Timers of Ps that hogs hold are ours to fire.
            until_ns = until_ns.min(idle::earliest_timer().max(now_ns + SHORTEST_NS));
        }
        let runs_before = std::mem::replace(&mut runs, snapshot::runs());
        let rests = runs == runs_before && until_ns > now_ns + REST_NS;
        // Relaxed: see `idle::adopt`.
        SCHED.sysmon_rests.store(rests, Relaxed);
        futex::wait(&SCHED.sysmon_word, 0, Some(until_ns));
        is_alarmed = rests && !SCHED.sysmon_rests.swap(false, Relaxed);
        steady.has_waited(until_ns);
    }
}

fn is_all_idle() -> bool {
    SCHED.spinning.idle() as usize >= SCHED.procs.load(Relaxed)
}

#[derive(PartialEq, Eq)]
enum Slept {
    /// Something was not idle.
    No,
    UntilWoken,
    UntilItsTime,
}

/// Sleeps until woken or `until_ns`, if still all is idle.
fn sleep_until_woken(until_ns: u64) -> Slept {
    {
        let central = SCHED.central.lock();
        let is_covered = idle::earliest_timer() >= central.covered_ns() || idle::earliest_timer() == NEVER;
        // Relaxed: it may be out of date. An M that has left the poller meanwhile comes to this lock for a P after us (`idle::withdraw`), or to the
        // global queue with what it has found, and who takes an idle P wakes us.
        let is_polled = SCHED.polling.load(Relaxed) == POLL_BLOCKED;
        let is_all_idle = central.idle_p_count >= SCHED.procs.load(Relaxed);
        if !is_all_idle || !is_polled || !is_covered || idle::is_work_anywhere() || super::stackless::is_exhausted() {
            return Slept::No;
        }
        // Relaxed: under the lock that every taker of an idle P has held before it looks (`idle::adopt`).
        SCHED.sysmon_asleep.store(true, Relaxed);
    }
    // Acquire: pairs with the Release in `wake`.
    while SCHED.sysmon_word.load(Acquire) == 0 {
        let limit_ns = (until_ns != NEVER).then_some(until_ns);
        if futex::wait(&SCHED.sysmon_word, 0, limit_ns) == futex::WaitResult::TimedOut {
            break;
        }
    }
    SCHED.sysmon_asleep.store(false, Relaxed);
    // Acquire: as above.
    if SCHED.sysmon_word.load(Acquire) != 0 { Slept::UntilWoken } else { Slept::UntilItsTime }
}

impl Round {
    fn new(is_second: bool, was_away: bool) -> Self {
        Self { again_ns: NEVER, is_second, was_away, ..Self::default() }
    }
}

fn look(now_ns: u64, steady: &Steady, mut round: Round, poll: &mut Poll, eyes: &mut Eyes) -> Round {
    // Relaxed: coarse pictures.
    SCHED.coarse_ms.store((now_ns - fixed().start_ns) / 1_000_000, Relaxed);
    SCHED.goroutines_peak.fetch_max(snapshot::goroutines(), Relaxed);
    let mut overdue = GList::new();
    for id in 0..SCHED.ps_made.load(Acquire) {
        // SAFETY: the first `ps_made` entries are set, and Ps are never freed.
        let p = unsafe { &*SCHED.ps[id].load(Acquire) };
        look_at(p, now_ns, steady.at(now_ns), &mut round, &mut overdue, eyes);
    }
    // Relaxed: see the field.
    if SCHED.idle_next_ns.load(Relaxed) <= now_ns {
        find::expire_idle(now_ns, &mut overdue);
    }
    let is_nobody_polling = is_all_idle() && SCHED.polling.load(Relaxed) == POLL_NOBODY;
    if global::has_work() && SCHED.spinning.idle() > 0 || is_nobody_polling {
        // Whoever queued it has woken somebody; if that somebody was out of threads, now may be the time.
        idle::wake_for_work();
    }
    poll.look(now_ns, round.hogs, &mut overdue);
    super::park::ready_late(&mut overdue);
    if global::has_late() {
        // An M whose queue is never empty, since what is in it computes and gives way, would look in every eighth turn at best.
        snapshot::ps().for_each(P::ask_to_look);
    }
    // Relaxed: a hint, set anew each round.
    SCHED.hogged.store(round.hogs || round.was_away, Relaxed);
    if round.hogs && SCHED.polling.load(Relaxed) == POLL_NOBODY && SCHED.spinning.idle() > 0 {
        // It will find nothing else to do and poll.
        idle::wake_for_work();
    }
    if super::stackless::is_exhausted() {
        super::stackless::retry();
    }
    round
}

/// `steady_ns` is for what the P's holder has done or not, `now_ns` for timers.
fn look_at(p: &'static P, now_ns: u64, steady_ns: u64, round: &mut Round, overdue: &mut GList, eyes: &mut Eyes) {
    if p.timers.next_ns().saturating_add(HOG_NS) <= now_ns {
        // Its M is in user code, or in and out of it without ever looking for work. Or it has none: it is on its way to one that a goroutine has
        // locked, whose thread does not run yet.
        p.timers.expire(now_ns, overdue);
    }
    let lease = p.owner.current();
    let Some(m) = idle::m_by_id(lease.m) else {
        if !p.queue.is_empty() {
            // No thread could be had when it was given up with work.
            idle::wake_for_work();
        }
        return;
    };
    round.backlog |= !p.queue.is_empty();
    round.uneven |= SCHED.spinning.idle() > 0 && !p.queue.is_empty() || bound::is_p_claimed();
    let work = || !p.queue.is_empty() || global::has_work() || p.inbox_full.load(Relaxed) || bound::is_p_claimed();
    let runs = p.counters.runs.get();
    if p.seen_runs.get() != runs || p.seen_m.get() != lease.m {
        p.seen_runs.set(runs);
        p.seen_run_since_ns.set(steady_ns);
    } else if steady_ns - p.seen_run_since_ns.get() >= SLICE_NS && (work() || m.residents.may_be_due()) {
        // It may be in and out of the runtime all the time, where its P cannot be taken; then it gives way by itself.
        m.ask_to_give_way();
    }
    let seq = m.stay.sample();
    if p.seen_stay.get() != seq || p.seen_m.get() != lease.m {
        p.seen_stay.set(seq);
        p.seen_m.set(lease.m);
        p.seen_since_ns.set(steady_ns);
        p.seen_cpu_ns.set(0);
        let is_uneven = SCHED.spinning.idle() > 0 && !p.queue.is_empty();
        let dry = p.counters.dry.get();
        let stays = p.seen_uneven.replace(is_uneven) && p.seen_dry.replace(dry) == dry;
        if stays && is_uneven && p.queue.ring_len() > 0 {
            // It never ran dry in between: two that take turns on one P, say, each of which fills the slot before it yields. What comes in
            // from the network and is done before the next poll is better off without a second thread.
            idle::wake_for_work();
        }
        if Stay::in_user_code(seq) && (work() || SCHED.spinning.idle() > 0 || idle::is_work_anywhere()) {
            // Without a second look, calls that last about as long as sysmon sleeps would be new each time.
            round.inside = true;
            round.is_new = true;
        }
        return;
    }
    if !Stay::in_user_code(seq) {
        return;
    }
    let held_ns = steady_ns - p.seen_since_ns.get();
    // Relaxed: set before the M took its first P.
    let tid = m.tid.load(Relaxed);
    let is_first = p.seen_cpu_ns.get() == 0;
    if is_first {
        p.seen_cpu_ns.set(thread::cpu_ns(tid).unwrap_or(0).max(1));
        p.seen_still_ns.set(p.seen_cpu_ns.get());
        // If it has not moved by then, the thread may be blocked.
        round.soon |= held_ns >= UNMARKED_NS;
    }
    if held_ns < HOG_NS {
        let least_ns = if held_ns < UNMARKED_NS { UNMARKED_NS } else { HOG_NS };
        round.again_ns = round.again_ns.min(now_ns + least_ns - held_ns);
    }
    if held_ns >= HOG_NS {
        round.hogs = true;
        p.timers.expire(now_ns, overdue);
    }
    let g = m.current();
    let is_blocking = g.is_some_and(|g| g.status() == Status::Blocking);
    if held_ns >= SLICE_NS
        && !is_blocking
        && !eyes.watch.has_noted(m, seq)
        && (fixed().is_bound() && m.residents.may_be_due() || is_blocked(&mut eyes.states, p, tid))
    {
        // It keeps its P, which nobody wants or nobody else can use. Should it wait for something that never comes, nobody else would say so.
        eyes.watch.note(m, seq, p.seen_cpu_ns.get(), steady_ns);
    }
    let idle_ps = SCHED.spinning.idle();
    // With no P idle, what is queued at another one, too: whoever gets this one steals it.
    let work = work() || !overdue.is_empty() || idle_ps == 0 && idle::is_work_anywhere();
    round.inside |= work || idle_ps > 0;
    // Once for each stay.
    if idle_ps > 0 && (HOG_NS..2 * HOG_NS).contains(&held_ns) {
        let used_ns = thread::cpu_ns(tid).map_or(0, |cpu_ns| cpu_ns.saturating_sub(p.seen_cpu_ns.get()));
        round.away |= used_ns >= HOG_NS / 2 || !eyes.states.is_runnable(tid).unwrap_or(true);
    }
    if work && idle_ps > 0 {
        round.uneven = true;
        idle::wake_for_work();
    }
    let slice_ns = if is_blocking { blocking_slice_ns(!overdue.is_empty()) } else { SLICE_NS };
    let is_still =
        held_ns < slice_ns && held_ns >= UNMARKED_NS && work && !is_first && is_blocked(&mut eyes.states, p, tid);
    let is_over = held_ns >= slice_ns || is_still;
    // A marked section with every P in use: somebody has to be there for what the network brings.
    let is_last = is_blocking && idle_ps == 0 && SCHED.spinning.spinning() == 0;
    let is_forgotten = held_ns >= SETTLED_NS && (is_blocking || is_blocked(&mut eyes.states, p, tid));
    let is_due = is_over && (work || is_last || is_forgotten) || p.is_retired();
    // At a stop no P stays with anybody. Asked last, and only of those whose time is up: whether a thread is starved can cost a look at /proc.
    let mut may_take = || {
        stop::phase().lets_ms_go() || fixed().retake && (is_blocking || !is_starved(&mut eyes.states, p, tid, held_ns))
    };
    if is_due && may_take() && retake_step(&m.stay, &p.owner, lease, seq, barrier::run) {
        round.acted = true;
        let cause = match (is_blocking, is_still || is_forgotten) {
            (true, _) => Cause::Marked,
            (_, true) => Cause::InKernel,
            _ if is_on_cpu(&mut eyes.states, p, tid) => Cause::OnCpu,
            _ => Cause::InKernel,
        };
        retakes::count(g, cause);
        if cause == Cause::OnCpu {
            eyes.watch.hogs.add(m, seq);
        }
        if !is_blocking {
            eyes.watch.note(m, seq, p.seen_cpu_ns.get(), steady_ns);
        }
        // Relaxed: a statistic.
        SCHED.handoffs.fetch_add(1, Relaxed);
        // To somebody who runs what waits, or among the idle ones.
        idle::handoff_or_idle(p);
    }
}

/// How long a marked section keeps its P while others want it, somebody who is late among them or not.
fn blocking_slice_ns(is_late: bool) -> u64 {
    let is_somebody_there = {
        let central = SCHED.central.lock();
        central.has_idle_m_to_spare() || is_late && central.has_idle_m()
    };
    if is_somebody_there {
        return BLOCKING_NS;
    }
    // Relaxed: a coarse picture.
    let threads = SCHED.ms_live.load(Relaxed) as u64;
    (BLOCKING_NS + BLOCKING_NS * threads / FEW_THREADS).min(LONGEST_BLOCKING_NS)
}

/// True if the thread waits for something in the kernel, as far as can be seen: it has used no CPU time since the last look, and would not
/// run if it could.
fn is_blocked(states: &mut States, p: &'static P, tid: u32) -> bool {
    let cpu_ns = thread::cpu_ns(tid).unwrap_or(u64::MAX);
    // The clock is the cheap look: what computes moves on.
    p.seen_still_ns.replace(cpu_ns) == cpu_ns && !states.is_runnable(tid).unwrap_or(true)
}

/// True if the thread has used a processor since it was seen first, or would if it had one.
fn is_on_cpu(states: &mut States, p: &'static P, tid: u32) -> bool {
    // Where nothing can be seen of it, what has used that little has slept or waited for a processor: to be made nice for that would be wrong.
    used_ns(p, tid) >= BURNT_NS || states.is_runnable(tid).unwrap_or(false)
}

/// CPU time that the thread has used since it was seen first.
fn used_ns(p: &'static P, tid: u32) -> u64 {
    thread::cpu_ns(tid).map_or(u64::MAX, |cpu_ns| cpu_ns.saturating_sub(p.seen_cpu_ns.get()))
}

/// True if the thread would go on if it only had a processor: taking its P would help nobody.
fn is_starved(states: &mut States, p: &'static P, tid: u32, held_ns: u64) -> bool {
    // The clock is the cheap look. It alone would call a starved thread blocked; the state tells.
    used_ns(p, tid) < BURNT_NS && held_ns < STARVED_NS && states.is_runnable(tid).unwrap_or(false)
}

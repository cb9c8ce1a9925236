//! Bringing the runtime up: on first use, from whatever thread comes first, and again after each shutdown.
//!
//! What belongs to the process is made once: thread identity, the poller, handlers and hooks. Threads, Ps and the settings of a builder are made
//! anew by each start; the environment is read by the first.

use super::leave;
use super::mode::{self, Choice};
use super::p::P;
use super::resize;
use super::stop::{self, Phase, STATE, ShuttingDown};
use super::{
    Fixed, M, MAX_MS, SCHED, crowd, disk, forked, hogs, perturb, run, spare, sysmon, threadless, watch, words,
};
use crate::config::{Config, Fs, Mode, PanicPolicy, WatchdogPolicy};
use crate::g::G;
use crate::netpoll::Netpoll;
use crate::prim::lock::Lock;
use crate::stack::{control, overflow, slab};
use crate::sys::fence::Barrier;
use crate::sys::{clock, fault, fork, identity, limits, priority, signal, stackmem, thread};
use std::io::{self, Write};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::time::Duration;

/// What the program asked for before the start; the environment wins over it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wishes {
    pub(crate) max_procs: Option<usize>,
    pub(crate) max_threads: Option<usize>,
    pub(crate) thread_keep_alive: Option<Duration>,
    pub(crate) stack_size: Option<usize>,
    pub(crate) abort_on_panic: Option<bool>,
    pub(crate) mode: Option<Mode>,
    pub(crate) watchdog: Option<WatchdogPolicy>,
    pub(crate) watchdog_after: Option<Duration>,
    pub(crate) fs: Option<Fs>,
    /// Goroutines that move between threads, or none.
    pub(crate) require_migrating: bool,
}

static CONFIG: OnceLock<Config> = OnceLock::new();
const MOST_THREADS: usize = 10_000;
const MANY_THREAD_LOCAL_BYTES: usize = 4096;
static MAKING: Lock<()> = Lock::new(());
/// Room for name resolution, TLS and regular expressions; only what is touched costs memory.
const DEFAULT_STACK_BYTES: usize = 256 << 10;
/// The monitor of before has nothing left to do but end.
const LAST_NS: u64 = 1_000_000_000;

/// Starts the runtime with these wishes; false if it runs already. Of several callers one is heard.
///
/// # Errors
/// It is being shut down, and not by the calling goroutine.
pub(crate) fn start_with(wishes: Wishes) -> Result<bool, ShuttingDown> {
    // First: the lock may be somebody's whom the fork has left behind.
    fork::refuse_child();
    let mut state = STATE.lock();
    match stop::phase() {
        Phase::Running => return Ok(false),
        Phase::New | Phase::Stopped => {
            if let Some(before) = state.monitor.take() {
                before.join_until(clock::now_ns() + LAST_NS);
            }
            set_up(wishes);
            state.monitor = Some(start_threads());
        }
        // Threads are there, and the monitor makes more if they are wanted.
        Phase::Draining if state.revive() => set_up(wishes),
        Phase::Draining | Phase::Leaving => return Err(ShuttingDown),
    }
    Ok(true)
}

/// Starts the runtime if there is none. One that is being shut down will do for what calls this.
#[inline]
pub(crate) fn ensure() {
    if !stop::is_running() && stop::phase().is_down() {
        // An error says that another thread has started it, and a third one shuts it down.
        let _ = start_with(Wishes::default());
    }
    fork::refuse_child();
}

/// Starts the runtime if there is none, for somebody who is about to start a goroutine.
///
/// # Errors
/// It is being shut down.
#[inline]
pub(crate) fn admit() -> Result<(), ShuttingDown> {
    if !stop::is_running() {
        start_with(Wishes::default())?;
    }
    fork::refuse_child();
    Ok(())
}

/// Makes what there is once, then settings and Ps, and lets goroutines in.
#[cold]
fn set_up(wishes: Wishes) {
    let config = CONFIG.get_or_init(|| Config::from_env().unwrap_or_else(|error| refuse(&error.to_string())));
    if !SCHED.fixed.is_set() {
        first(config, &wishes);
    } else if let Some(why) = super::fixed().bound_because
        && wishes.require_migrating
    {
        refuse(&mode::required_too_late(why));
    }
    let stack_bytes = config.stack_size.or(wishes.stack_size).unwrap_or(DEFAULT_STACK_BYTES);
    let stack_class = slab::class_for(stack_bytes)
        .unwrap_or_else(|| refuse(&format!("a default stack of {stack_bytes} bytes is too large, the most is 1 GiB")));
    let max_threads = config.max_threads.or(wishes.max_threads).unwrap_or_else(default_max_threads).clamp(4, MAX_MS);
    let aborts = config.panic.map_or(wishes.abort_on_panic == Some(true), |policy| policy == PanicPolicy::Abort);
    // Relaxed, all of them: the phase publishes them.
    SCHED.stack_class.store(stack_class, Relaxed);
    SCHED.max_threads.store(max_threads, Relaxed);
    let keep = config.thread_keep_alive.or(wishes.thread_keep_alive).unwrap_or(spare::KEEP);
    SCHED.thread_keep_ns.store(spare::keep_ns(keep), Relaxed);
    SCHED.abort_on_panic.store(aborts, Relaxed);
    SCHED.watchdog.set(
        config.watchdog.or(wishes.watchdog).unwrap_or_default(),
        config.watchdog_after.or(wishes.watchdog_after).unwrap_or(watch::AFTER),
    );
    disk::choose(config.fs.or(wishes.fs).unwrap_or_default()).unwrap_or_else(|why| refuse(&why));
    SCHED.hogged.store(false, Relaxed);
    SCHED.ms_wanted.store(0, Relaxed);
    resize::begin_with(config.max_procs.or(wishes.max_procs));
    stop::set_phase(Phase::Running);
}

/// The monitor, and an M for each P that has none.
fn start_threads() -> thread::Thread {
    // Opened here, so that the number of descriptors is the same from the start to the end.
    let states = thread::States::new();
    let monitor = thread::start("gort-sysmon", move || sysmon::run(states))
        .unwrap_or_else(|error| refuse(&format!("cannot start the monitor thread: {error}")));
    // Ms that were left with goroutines of theirs have a P already (`bound`), and run what there is.
    let idle_ps = SCHED.central.lock().idle_p_count;
    let procs = SCHED.procs.load(Relaxed);
    for index in 0..idle_ps {
        if let Err(error) = new_m(None) {
            // Threads that an earlier stop has left in calls come back, and find work.
            if index == 0 && idle_ps == procs && SCHED.ms_live.load(Relaxed) == 0 {
                refuse(&format!("cannot start the first thread: {error}"));
            }
            break;
        }
    }
    make_a_stack();
    monitor
}

/// One stack, for whoever runs first. Goroutines for which there is none wait until another ends, and of the first one there is no other. After the
/// threads, since stacks take what they can get of an address space that is limited.
fn make_a_stack() {
    match slab::take(super::stack_class(), super::fixed().identity.as_ref()) {
        Ok(stack) => slab::give_back(&[stack]),
        Err(error) => refuse(&format!("cannot start: {error} (smaller ones: GORT_STACK_SIZE)")),
    }
}

/// What there is once for the process.
fn first(config: &Config, wishes: &Wishes) {
    let choice = mode::choose(config.mode, wishes);
    let falls_back = matches!(choice, Choice::Fallback(_));
    // For the life of the process.
    let bound_because: Option<&'static str> = choice.reason().map(|reason| &*Box::leak(reason.into()));
    let identity = match choice {
        Choice::Migrating(identity) => Some(*identity),
        Choice::Asked(_) | Choice::Fallback(_) => None,
        Choice::Refused(why) => refuse(&why),
    };
    if let Some(why) = bound_because
        && config.perturb.moves
    {
        refuse(&format!(
            "GORT_PERTURB: \"move\" has no meaning here: goroutines stay on the thread on which they begin (bound mode), because {why}"
        ));
    }
    let netpoll = Netpoll::new().unwrap_or_else(|error| {
        refuse(&format!("cannot create the network poller: {error} (raise the descriptor limit: ulimit -n)"))
    });
    slab::prepare(identity.as_ref());
    if identity.is_none() {
        words::look_for_exceptions();
    }
    let seed = config.seed.unwrap_or_else(crate::prim::rng::entropy);
    let kinds = perturb_kinds(config);
    if kinds != 0 {
        say(&format!("perturbing ({}), replay with GORT_SEED={seed}", perturb::names(kinds)));
        perturb::set(kinds);
    }
    let fixed = Fixed {
        netpoll,
        malloc_words: identity.as_ref().and_then(identity::Identity::malloc_words),
        identity,
        bound_because,
        barrier: if config.membarrier { Barrier::probe() } else { Barrier::None },
        retake: config.retake,
        hog_nice: config.hog_nice.unwrap_or(hogs::NICER_BY),
        deadlock: config.deadlock,
        start_ns: clock::now_ns(),
        seed,
        test_timeout: config.test_timeout,
    };
    if let Some(identity) = &fixed.identity {
        warn(identity);
    }
    if let Some(why) = fixed.bound_because.filter(|_| falls_back) {
        say(&format!(
            "goroutines stay on the thread on which they begin (bound mode), because {why}; what that changes stands in the documentation of \
             gort::runtime::Mode, and GORT_MODE=migrating ends the program instead, or pays with memory if the allocator is the reason"
        ));
    }
    // SAFETY: under the lock of `STATE`, and not set before.
    unsafe { SCHED.fixed.set(fixed) };
    overflow::set_describe(crate::dump::write_name);
    overflow::set_origin(crate::dump::write_origin);
    overflow::set_host(super::snapshot::overflowed_in_host);
    if let Err(error) = overflow::install() {
        say(&format!("stack overflows will not be reported: {error}"));
    }
    if config.sigquit
        && let Err(error) = signal::on_quit(&SCHED.sysmon_word)
    {
        say(&format!("SIGQUIT will not print a dump: {error}"));
    }
    crate::spawn::report::install_hook();
    #[cfg(all(target_os = "linux", target_env = "gnu", not(target_feature = "crt-static")))]
    crate::spawn::pi_mutex::keep();
    super::signal_stack::keep();
    forked::watch();
}

/// As many as Go allows, or what an eighth of the memory maps that are left can hold: beyond them malloc itself begins to fail.
fn default_max_threads() -> usize {
    limits::free_memory_maps().map_or(MOST_THREADS, |maps| MOST_THREADS.min(maps / 8))
}

/// Says once what makes goroutines dearer than they need be in this program.
fn warn(identity: &identity::Identity) {
    if !identity.has_malloc_words() {
        say(&format!(
            "each goroutine gets its own caches of the C allocator (some 14 KiB once it has used it), because {}; Rust code is spared that \
             by gort::alloc::Global, which #[gort::main] installs",
            identity.malloc_reason()
        ));
    }
    let bytes = identity.thread_local_bytes();
    if bytes > MANY_THREAD_LOCAL_BYTES {
        say(&format!("this program has {bytes} bytes of thread-locals, and each goroutine carries as many"));
    }
}

fn perturb_kinds(config: &Config) -> u8 {
    let wanted = &config.perturb;
    [
        (wanted.yields, perturb::YIELD),
        (wanted.steals, perturb::STEAL),
        (wanted.moves, perturb::MOVE),
        (wanted.wakes, perturb::WAKE),
    ]
    .into_iter()
    .filter(|(on, _)| *on)
    .fold(0, |kinds, (_, kind)| kinds | kind)
}

/// The runtime cannot be had: says why and ends the process.
fn refuse(why: &str) -> ! {
    say(why);
    std::process::exit(2)
}

/// Prints a line, or does without: a standard error that is closed or full is no reason to panic, as `eprintln!` would.
pub(super) fn say(line: &str) {
    let _ = io::stderr().write_all(format!("gort: {line}\n").as_bytes());
}

/// One more thread, because somebody asked and none is idle. Called by sysmon.
pub(super) fn add_m() {
    if SCHED.central.lock().has_idle_m() {
        return threadless::over();
    }
    match new_m(None) {
        Ok(()) => {
            threadless::over();
            crowd::look();
        }
        Err(error) => threadless::make_do(&error),
    }
}

/// What counts towards the limit on threads: those that run goroutines, and those that may be needed for files at any moment.
pub(super) fn threads_in_use() -> usize {
    // Relaxed: a picture, but for who makes threads.
    SCHED.ms_live.load(Relaxed) + crate::uring::reserved_threads()
}

/// There are more threads than allowed: somebody had to be rescued, or files need some.
pub(super) fn is_beyond_limit() -> bool {
    // Relaxed: a setting.
    threads_in_use() > SCHED.max_threads.load(Relaxed)
}

/// No more threads for everybody may be made.
pub(super) fn is_at_limit() -> bool {
    // Relaxed: a setting.
    threads_in_use() >= SCHED.max_threads.load(Relaxed)
}

/// One more for `g` alone, up to `beyond` more than the limit allows. Called by sysmon.
///
/// # Errors
/// There are so many, or the system refuses.
pub(super) fn add_rescuer(p: &'static P, g: &'static G, beyond: usize) -> io::Result<()> {
    new_m(Some((g, p, beyond)))
}

/// Starts an M, for all goroutines or to rescue one.
///
/// # Errors
/// The limit on threads, ours or the system's.
fn new_m(rescue: Option<(&'static G, &'static P, usize)>) -> io::Result<()> {
    // The starting thread and sysmon may both be at it.
    let _one = MAKING.lock();
    // Relaxed, both: grows only here; a setting.
    let max_threads = SCHED.max_threads.load(Relaxed);
    let most = rescue.map_or(max_threads, |(.., beyond)| (max_threads + beyond).min(MAX_MS));
    if threads_in_use() >= most {
        return Err(io::Error::other(format!(
            "the limit of {max_threads} threads is reached (GORT_MAX_THREADS, or runtime::Builder::max_threads)"
        )));
    }
    room_for_a_thread()?;
    let vacant = SCHED.central.lock().take_vacant_m();
    let m = vacant.unwrap_or_else(make_m);
    m.rescues.set(rescue.map(|(g, p, _)| (g, p)));
    SCHED.ms_starting.fetch_add(1, SeqCst);
    match thread::start(&format!("gort-m{}", m.id), move || m_main(m)) {
        Ok(_says_itself_when_it_leaves) => {
            // Relaxed: a statistic.
            SCHED.threads_peak.fetch_max(SCHED.ms_live.load(Relaxed), Relaxed);
            Ok(())
        }
        Err(error) => {
            SCHED.ms_starting.fetch_sub(1, SeqCst);
            m.rescues.set(None);
            SCHED.central.lock().push_vacant_m(m);
            Err(error)
        }
    }
}

/// An M for whom there was none yet. There are no more than threads at one time.
fn make_m() -> &'static M {
    let id = SCHED.ms_made.load(Acquire);
    let m: &'static M = Box::leak(Box::new(M::new(id as u32)));
    // Release, both: publish the M.
    SCHED.ms[id].store(ptr::from_ref(m).cast_mut(), Release);
    SCHED.ms_made.store(id + 1, Release);
    // Relaxed: see `Central::take_vacant_m`.
    SCHED.ms_live.fetch_add(1, Relaxed);
    m
}

/// Whether the address space has room for a thread with all that belongs to it. std aborts the process when a new thread finds no memory for
/// its signal stack, so this is asked first; and what it takes must not be the last that `malloc` could have had.
pub(super) fn room_for_a_thread() -> io::Result<()> {
    const BYTES: usize = 4 << 20;
    match stackmem::reserve_and_leave(BYTES, stackmem::PAGE, stackmem::HEADROOM) {
        Ok(base) => {
            stackmem::release(base, BYTES);
            Ok(())
        }
        Err(_) => Err(io::Error::new(
            io::ErrorKind::OutOfMemory,
            format!("no memory for another thread: {}", stackmem::why_refused(BYTES)),
        )),
    }
}

fn m_main(m: &'static M) {
    // Relaxed: for dumps.
    m.tid.store(thread::gettid(), Relaxed);
    // Relaxed: read by this thread.
    m.stack_low.store(thread::own_stack().map_or(0, |(low, _)| low), Relaxed);
    if let Some(identity) = &super::fixed().identity {
        identity.warm_malloc();
        m.rseq.occupy();
    }
    control::take_usual();
    // Sysmon may have started this thread.
    priority::be_prompt();
    hogs::begin();
    // Without it an overflow on this thread ends in a plain SIGSEGV.
    let _alt_stack = fault::thread_alt_stack();
    run::run(m);
    leave::leave(m);
}

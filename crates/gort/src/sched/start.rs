//! Bringing the runtime up: once for the process, on first use, from whatever thread comes first.

use super::mode::{self, Choice};
use super::resize;
use super::{Fixed, M, MAX_MS, SCHED, forked, perturb, run, sysmon, threadless};
use crate::config::{Config, Mode, PanicPolicy};
use crate::netpoll::Netpoll;
use crate::prim::lock::Lock;
use crate::stack::{overflow, slab};
use crate::sys::fence::Barrier;
use crate::sys::{clock, cpu, fault, identity, limits, signal, stackmem, thread};
use std::io::{self, Write};
use std::ptr;
use std::sync::Once;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};

/// What the program asked for before the start; the environment wins over it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wishes {
    pub(crate) max_procs: Option<usize>,
    pub(crate) max_threads: Option<usize>,
    pub(crate) stack_size: Option<usize>,
    pub(crate) abort_on_panic: Option<bool>,
    /// Goroutines that move between threads, or none.
    pub(crate) require_migrating: bool,
}

static START: Once = Once::new();
const MOST_THREADS: usize = 10_000;
const MANY_THREAD_LOCAL_BYTES: usize = 4096;
static MAKING: Lock<()> = Lock::new(());
/// Room for name resolution, TLS and regular expressions; only what is touched costs memory.
const DEFAULT_STACK_BYTES: usize = 256 << 10;

/// Starts the runtime with these wishes; false if it has been started already. Of several callers one is heard.
pub(crate) fn start_with(wishes: Wishes) -> bool {
    let mut is_first = false;
    START.call_once(|| {
        start(wishes);
        is_first = true;
    });
    is_first
}

/// Starts the runtime if it has not been started.
#[inline]
pub(crate) fn ensure() {
    if !SCHED.fixed.is_set() {
        start_with(Wishes::default());
    }
    forked::refuse_child();
}

#[cold]
fn start(wishes: Wishes) {
    let config = Config::from_env().unwrap_or_else(|error| refuse(&error.to_string()));
    let choice = mode::choose(config.mode, wishes.require_migrating);
    // For the life of the process, as the runtime.
    let bound_because: &'static str = choice.reason().map_or("", |reason| Box::leak(reason.into()));
    let identity = match choice {
        Choice::Migrating(identity) => Some(*identity),
        Choice::Asked | Choice::Fallback(_) => None,
        Choice::Refused(why) => refuse(&why),
    };
    if identity.is_none() && config.perturb.moves {
        refuse(&format!(
            "GORT_PERTURB: \"move\" has no meaning here: goroutines stay on the thread on which they begin (bound mode), because {bound_because}"
        ));
    }
    let netpoll = Netpoll::new().unwrap_or_else(|error| {
        refuse(&format!("cannot create the network poller: {error} (raise the descriptor limit: ulimit -n)"))
    });
    slab::prepare(identity.as_ref());
    let stack_bytes = config.stack_size.or(wishes.stack_size).unwrap_or(DEFAULT_STACK_BYTES);
    let seed = config.seed.unwrap_or_else(crate::prim::rng::entropy);
    let kinds = perturb_kinds(&config);
    if kinds != 0 {
        say(&format!("perturbing ({}), replay with GORT_SEED={seed}", perturb::names(kinds)));
        perturb::set(kinds);
    }
    let fixed = Fixed {
        netpoll,
        identity,
        bound_because,
        barrier: if config.membarrier { Barrier::probe() } else { Barrier::None },
        retake: config.retake,
        abort_on_panic: config.panic.map_or(wishes.abort_on_panic == Some(true), |policy| policy == PanicPolicy::Abort),
        deadlock: config.deadlock,
        max_threads: config.max_threads.or(wishes.max_threads).unwrap_or_else(default_max_threads).clamp(4, MAX_MS),
        stack_class: slab::class_for(stack_bytes).unwrap_or_else(|| {
            refuse(&format!("a default stack of {stack_bytes} bytes is too large, the most is 1 GiB"))
        }),
        start_ns: clock::now_ns(),
        seed,
        test_timeout: config.test_timeout,
    };
    match &fixed.identity {
        Some(identity) => warn(identity),
        None if config.mode == Mode::Bound => {}
        None => say(&format!(
            "goroutines stay on the thread on which they begin (bound mode), because {bound_because}; what that changes stands in the \
             documentation of gort::runtime::Mode, and GORT_MODE=migrating refuses to run so"
        )),
    }
    // SAFETY: `START` calls this once.
    unsafe { SCHED.fixed.set(fixed) };
    overflow::set_describe(crate::dump::write_name);
    overflow::set_origin(crate::dump::write_origin);
    if let Err(error) = overflow::install() {
        say(&format!("stack overflows will not be reported: {error}"));
    }
    if config.sigquit
        && let Err(error) = signal::on_quit(&SCHED.sysmon_word)
    {
        say(&format!("SIGQUIT will not print a dump: {error}"));
    }
    crate::spawn::report::install_hook();
    forked::watch();
    let procs = config.max_procs.or(wishes.max_procs).unwrap_or_else(cpu::default_procs);
    resize::set_procs(procs);
    if let Err(error) = thread::spawn("gort-sysmon", sysmon::run) {
        refuse(&format!("cannot start the monitor thread: {error}"));
    }
    for index in 0..procs {
        if let Err(error) = new_m() {
            if index == 0 {
                refuse(&format!("cannot start the first thread: {error}"));
            }
            break;
        }
    }
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
fn say(line: &str) {
    let _ = io::stderr().write_all(format!("gort: {line}\n").as_bytes());
}

/// One more thread, because somebody asked and none is idle. Called by sysmon.
pub(super) fn add_m() {
    if SCHED.central.lock().has_idle_m() {
        return threadless::over();
    }
    match new_m() {
        Ok(()) => threadless::over(),
        Err(error) => threadless::make_do(&error),
    }
}

/// Starts an M.
///
/// # Errors
/// The limit on threads, ours or the system's.
fn new_m() -> io::Result<()> {
    // The starting thread and sysmon may both be at it.
    let _one = MAKING.lock();
    let id = SCHED.ms_made.load(Acquire);
    if id >= super::fixed().max_threads {
        return Err(io::Error::other(format!(
            "the limit of {} threads is reached (GORT_MAX_THREADS, or runtime::Builder::max_threads)",
            super::fixed().max_threads
        )));
    }
    room_for_a_thread()?;
    let m: &'static M = Box::leak(Box::new(M::new(id as u32)));
    // Release: publishes the M.
    SCHED.ms[id].store(ptr::from_ref(m).cast_mut(), Release);
    SCHED.ms_starting.fetch_add(1, SeqCst);
    let started = thread::spawn(&format!("gort-m{id}"), move || m_main(m));
    match started {
        Ok(()) => {
            SCHED.ms_made.store(id + 1, Release);
            // Relaxed: a statistic.
            SCHED.threads_peak.fetch_max(id + 1, Relaxed);
            Ok(())
        }
        Err(error) => {
            SCHED.ms_starting.fetch_sub(1, SeqCst);
            SCHED.ms[id].store(ptr::null_mut(), Release);
            // SAFETY: leaked above. Nobody else has it: the thread does not exist, and an id is used by others only once it is counted, or
            // owns a P.
            drop(unsafe { Box::from_raw(ptr::from_ref(m).cast_mut()) });
            Err(error)
        }
    }
}

/// Whether the address space has room for a thread with all that belongs to it. std aborts the process when a new thread finds no memory for
/// its signal stack, so this is asked first.
pub(super) fn room_for_a_thread() -> io::Result<()> {
    const BYTES: usize = 4 << 20;
    match stackmem::reserve(BYTES, stackmem::PAGE) {
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
    if let Some(identity) = &super::fixed().identity {
        identity.warm_malloc();
    }
    // Without it an overflow on this thread ends in a plain SIGSEGV.
    let _alt_stack = fault::thread_alt_stack();
    // SeqCst: before the first look at the queues, which `run` begins with; see `idle::want_m`.
    SCHED.ms_starting.fetch_sub(1, SeqCst);
    run::run(m)
}

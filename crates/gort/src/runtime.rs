//! The runtime as a whole: how many processors, which mode, what it has done.
//!
//! There is one for each process. It starts on first use, from any thread; [`Builder`] configures it before that, `GORT_*` environment
//! variables (read once) at any rate. [`shutdown`] stops it; the next use, or a builder, starts it anew.
//!
//! | variable | meaning | default |
//! |---|---|---|
//! | `GORT_MAXPROCS` | processors (Ps) | the CPU quota of the cgroup rounded up, at least 2, at most the CPUs in the affinity mask; followed while the program runs, within 30 s, unless a number is given here, by a [`Builder`] or by [`set_max_procs`] |
//! | `GORT_MAX_THREADS` | most threads that run goroutines, those stuck in calls included, 4 to 16384; see [`Builder::max_threads`] for the one exception | 10000, or an eighth of the memory maps that are free at the start (`vm.max_map_count`, 65530 on most systems: about 8000) if that is less |
//! | `GORT_THREAD_KEEP_ALIVE` | how long a thread without work is kept (`10s`, `500ms`, `5m`); a few more than processors are kept for ever | `10s` |
//! | `GORT_STACK_SIZE` | address space of a goroutine's stack (`256K`, `1M`, bytes) | `256K` |
//! | `GORT_PANIC` | `report` or `abort` | `report` |
//! | `GORT_DEADLOCK` | what happens when all goroutines are asleep for good: `exit`: a report with a dump, and the end with status 2; `report`: only that; `off`: nothing | `exit` |
//! | `GORT_WATCHDOG` | `log`: a goroutine that goes without a processor for long is reported, see [`Watchdog`]; `abort`: and the process ends; `off`: nothing | `log` |
//! | `GORT_WATCHDOG_AFTER` | what is long (`30s`, `500ms`) | `5s` |
//! | `GORT_SIGQUIT` | `on`: SIGQUIT prints every goroutine; `off`: leaves the signal alone | `on` |
//! | `GORT_PERTURB` | rare interleavings on demand: `yield`, `steal`, `move`, `wake` | none |
//! | `GORT_SEED` | replays the random decisions of a perturbed run | random, printed |
//! | `GORT_HOG_NICE` | by how much goroutines are made nice that compute without a processor, beyond as many as there are processors: 0 (not at all) to 19. What such a goroutine starts before it calls gort, a thread or a process, inherits that | 10 |
//! | `GORT_RETAKE` | `off`: no processor is taken from a thread that is stuck (to see what that is good for) | `on` |
//! | `GORT_FS` | what waits for disks, see [`Files`]: `uring`, or the program ends; `threads`; `auto`: io_uring where it can be had | `auto` |
//! | `GORT_MEMBARRIER` | `off`: as if the kernel had no `membarrier` | `on` |
//! | `GORT_MODE` | `migrating` or `bound`, see [`Mode`]; `auto`: migrating where it can be had | `auto` |
//! | `GORT_IDENTITY` | `a`: how a goroutine gets a thread's identity in the mode `migrating`. There is no other way; a program that asks for one is told so | `a` |
//! | `GORT_TEST_TIMEOUT` | time limit of every run of a `#[gort::test]` (`30`, `30s`, `500ms`, `5m`), over what the test says | what the test says, or 30 s |
//! | `GORT_TEST_SCALE` | factor on the work of gort's own tests | 1 |
//!
//! A wrong value is refused by name, with what is expected, and status 2. An unknown `GORT_*` variable is reported on stderr and ignored.

mod files;
mod stack_use;
mod watchdog;

mod builder;

use crate::g::{Status, registry};
use crate::sched::retakes::{self, Cause};
use crate::sched::{self, SCHED, snapshot, start};
use crate::sys::clock;
use crate::sys::identity::Identity;
use std::fmt;
use std::panic::Location;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

pub use crate::sched::left::{Left, LeftGoroutine};
pub use crate::sched::retakes::RetakeSite;
pub use crate::sched::stop::ShuttingDown;
pub use crate::sched::watch::deadlocks::{Deadlock, Sleeper};
pub use builder::Builder;
pub use files::{FileBackend, Files};
pub use stack_use::{StackUse, stack_use};
pub use watchdog::{Watchdog, deadlocks, retake_sites};

/// How goroutines are tied to threads. Decided when the runtime starts, for the life of the process.
///
/// `GORT_MODE=migrating` and `bound` choose one; `auto`, the default, takes migrating where it can be had. Where it cannot (no FSGSBASE in
/// processor and kernel, a C library that is not as expected, valgrind, a sanitizer), the program says so in one line on stderr and goes on bound;
/// with `GORT_MODE=migrating`, [`Builder::require_migrating`] or `#[gort::main(require = migrating)]` it ends instead. [`bound_because`] has the reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// A goroutine may continue on another thread after each wait; its thread-locals follow it.
    #[default]
    Migrating,
    /// A goroutine runs where there is room until it begins, and then stays on the thread on which it has begun. Everything in gort means the same,
    /// but:
    ///
    /// - Thread-locals are the thread's: goroutines on one thread share them, and their destructors run when the thread ends (never, as threads of
    ///   the runtime do not).
    /// - A goroutine that blocks its thread without telling gort, in a system call, a std lock or a loop, makes those wait that have begun on the same
    ///   thread; others go on elsewhere. [`blocking`](crate::blocking) does not change that.
    /// - A std lock held across a wait of gort's can stop a thread for good: the next goroutine there that wants the lock blocks the only thread that
    ///   could run its holder. `gort::sync` has locks that park.
    /// - [`std::thread::panicking`] is true for a goroutine while another one on its thread waits in a destructor during unwinding.
    /// - [`lock_os_thread`](crate::lock_os_thread) keeps others from beginning on the thread; those that have begun there stay.
    ///
    /// `docs/SOUNDNESS.md` has all of it.
    Bound,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Migrating => "migrating",
            Self::Bound => "bound",
        })
    }
}

/// The mode of this process. Starts the runtime if it has never run.
///
/// # Examples
/// ```
/// use gort::runtime::{Mode, mode};
/// match mode() {
///     Mode::Migrating => println!("goroutines move between threads"),
///     other => println!("{other}: {}", gort::runtime::bound_because().unwrap_or("")),
/// }
/// ```
#[must_use]
pub fn mode() -> Mode {
    if bound_because().is_some() { Mode::Bound } else { Mode::Migrating }
}

/// Why goroutines are bound to their threads; `None` if they are not. Starts the runtime if it has never run.
///
/// # Examples
/// ```
/// use gort::runtime::{Mode, bound_because, mode};
/// assert_eq!(bound_because().is_some(), mode() == Mode::Bound);
/// ```
#[must_use]
pub fn bound_because() -> Option<&'static str> {
    ensure_decided();
    sched::fixed().bound_because
}

/// Sees to it that the runtime has run.
fn ensure_decided() {
    if !SCHED.fixed.is_set() {
        start::ensure();
    }
}

/// The number of processors.
#[must_use]
pub fn max_procs() -> usize {
    start::ensure();
    // Relaxed: a picture.
    SCHED.procs.load(Relaxed)
}

/// Sets the number of processors and returns the number before. Parks the caller until processors beyond the new number are out of use, which
/// takes up to the slice of a goroutine that does not give way (10 ms). From then on the number does not follow the CPU quota any more.
///
/// # Panics
/// If `procs` is 0 or more than 1024.
///
/// # Examples
/// ```
/// let before = gort::runtime::set_max_procs(1);
/// assert_eq!(gort::runtime::max_procs(), 1);
/// gort::runtime::set_max_procs(before);
/// ```
#[track_caller]
pub fn set_max_procs(procs: usize) -> usize {
    let most = sched::MAX_PROCS;
    assert!((1..=most).contains(&procs), "gort::runtime::set_max_procs: {procs} is not between 1 and {most}");
    let before = loop {
        start::ensure();
        if let Some(before) = sched::resize::change_procs(procs) {
            break before;
        }
        // Its threads are just leaving.
        crate::sleep(Duration::from_micros(50));
    };
    while !sched::resize::is_settled() {
        crate::sleep(Duration::from_micros(50));
    }
    before
}

/// The most threads that may run goroutines.
#[must_use]
pub fn max_threads() -> usize {
    start::ensure();
    SCHED.max_threads.load(Relaxed)
}

/// What the runtime does and has done. Each number is true for the moment at which it was read; they are not read at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// Goroutines alive.
    pub goroutines: u64,
    /// The most that were alive at once, as far as seen: sampled every 10 ms at least while anything runs, and by each call of [`metrics`].
    pub goroutines_peak: u64,
    /// Of those: on a processor.
    pub running: u64,
    /// Of those: in a queue.
    pub runnable: u64,
    /// Of those: parked.
    pub waiting: u64,
    /// Of those: in a section marked as blocking.
    pub blocking: u64,
    /// Of those running: that compute without a processor, since it was taken from them. Beyond as many as there are processors they are made nice
    /// (`GORT_HOG_NICE`).
    pub hogs: u64,
    /// Goroutines ever started.
    pub created: u64,
    /// Threads that run goroutines, idle ones included, and those for files (`file_threads`).
    pub threads: u64,
    /// The most that ran goroutines.
    pub threads_peak: u64,
    /// What waits for disks.
    pub file_backend: FileBackend,
    /// Why that is not io_uring, if it is not and has been looked for.
    pub file_backend_because: Option<&'static str>,
    /// With io_uring: the thread that hands operations to the kernel, and those that the kernel has made for it at the moment. They are counted in
    /// `/proc`, which makes this call slower by some 10 µs for each thread of the process.
    pub file_threads: u64,
    /// Processors.
    pub procs: u64,
    /// Processors without a thread.
    pub procs_idle: u64,
    /// Successful steals.
    pub steals: u64,
    /// Processors given from a stuck thread to another one.
    pub handoffs: u64,
    /// Processors taken by the monitor from a goroutine that had not come to gort for too long; [`retake_sites`] tells where.
    pub retakes: u64,
    /// Of those: from one in a section marked by [`blocking`](crate::blocking).
    pub retakes_marked: u64,
    /// Of those: from one that waited in the kernel, without a mark.
    pub retakes_in_kernel: u64,
    /// Of those: from one that computed.
    pub retakes_on_cpu: u64,
    /// Goroutines that the [`Watchdog`] has found without a processor for longer than its time, the reported and the others.
    pub stuck: u64,
    /// Locks of [`sync`](crate::sync) that the watchdog has found held across a long wait while others wanted them, by place.
    pub coarse_locks: u64,
    /// Circles of goroutines that wait for one another which the watchdog has found; [`deadlocks`] looks at once.
    pub deadlocks: u64,
    /// Polls of the network.
    pub polls: u64,
    /// Goroutines that polls made ready.
    pub poll_events: u64,
    /// Parks.
    pub parks: u64,
    /// Yields that had somebody to give way to, or not.
    pub yields: u64,
    /// System calls made for reading and writing sockets.
    pub io_calls: u64,
    /// Goroutines that continued on another thread because `GORT_PERTURB=move` forced them.
    pub forced_moves: u64,
    /// Whether goroutines share their thread's caches of the C allocator.
    pub malloc_shared: bool,
    /// Bytes of thread-local storage that each goroutine carries; 0 in bound mode.
    pub thread_local_bytes: u64,
    /// How goroutines are tied to threads.
    pub mode: Mode,
    /// Why they are bound, if they are.
    pub bound_because: Option<&'static str>,
    /// The places whose goroutines have used most of their stacks, the deepest first, of those that have ended. All of them, and those that still
    /// run: [`stack_use`].
    pub deepest_stacks: [Option<StackUse>; 4],
}

/// Reads the [`Metrics`]. Walks all goroutines: about 10 ns each. Starts the runtime if it has never run.
///
/// # Examples
/// ```
/// let before = gort::runtime::metrics().created;
/// gort::go(|| ()).join().unwrap();
/// assert!(gort::runtime::metrics().created > before);
/// ```
#[must_use]
pub fn metrics() -> Metrics {
    ensure_decided();
    crate::sys::fork::refuse_child();
    let identity = sched::fixed().identity.as_ref();
    let file_threads = crate::uring::threads() as u64;
    let mut metrics = Metrics {
        goroutines: snapshot::goroutines(),
        threads: snapshot::ms().count() as u64 + file_threads,
        file_threads,
        file_backend: files::backend(),
        file_backend_because: files::because(),
        threads_peak: SCHED.threads_peak.load(Relaxed) as u64,
        procs: SCHED.procs.load(Relaxed) as u64,
        procs_idle: u64::from(SCHED.spinning.idle()),
        handoffs: SCHED.handoffs.load(Relaxed),
        retakes: retakes::total(),
        retakes_marked: retakes::counted(Cause::Marked),
        retakes_in_kernel: retakes::counted(Cause::InKernel),
        retakes_on_cpu: retakes::counted(Cause::OnCpu),
        hogs: sched::hogs::count() as u64,
        stuck: SCHED.found.stuck.load(Relaxed),
        coarse_locks: SCHED.found.coarse_locks.load(Relaxed),
        deadlocks: SCHED.found.deadlocks.load(Relaxed),
        polls: SCHED.sysmon_polls.load(Relaxed),
        created: SCHED.created_outside.load(Relaxed),
        malloc_shared: identity.is_none_or(Identity::has_malloc_words),
        mode: mode(),
        bound_because: bound_because(),
        deepest_stacks: stack_use::deepest(),
        thread_local_bytes: identity.map_or(0, Identity::thread_local_bytes) as u64,
        ..Metrics::default()
    };
    metrics.goroutines_peak = SCHED.goroutines_peak.fetch_max(metrics.goroutines, Relaxed).max(metrics.goroutines);
    for p in snapshot::ps() {
        let counters = &p.counters;
        metrics.created += counters.spawned.get();
        metrics.steals += counters.steals.get();
        metrics.polls += counters.polls.get();
        metrics.poll_events += counters.events.get();
        metrics.parks += counters.parks.get();
        metrics.yields += counters.yields.get();
        metrics.forced_moves += counters.moves.get();
    }
    metrics.io_calls = snapshot::every_m().map(|m| m.io_calls.get()).sum();
    registry::for_each(|g| {
        if g.is_thread() {
            return;
        }
        match g.status() {
            Status::Running | Status::Ending => metrics.running += 1,
            Status::Runnable => metrics.runnable += 1,
            Status::Waiting => metrics.waiting += 1,
            Status::Blocking => metrics.blocking += 1,
            Status::Free | Status::Dormant | Status::Done => {}
        }
    });
    metrics
}

/// Every [`BlockingClass`](crate::BlockingClass) that has been used, and what it does, in the order in which they were used first.
///
/// # Examples
/// ```
/// gort::blocking_class("postgres", 32).run(|| ());
/// let classes = gort::runtime::blocking_classes();
/// assert!(classes.iter().any(|class| class.name == "postgres" && class.entered == 1));
/// ```
#[must_use]
pub fn blocking_classes() -> Vec<crate::BlockingClassMetrics> {
    crate::blocking::all_classes()
}

/// Shuts the runtime down: no new goroutines, no more waits, and at the end no threads. Returns what is left.
///
/// - Nothing new is started: [`Builder::spawn`](crate::Builder::spawn) returns an error with [`ShuttingDown`] inside, [`go`](crate::go) and what is
///   built on it panic.
/// - The root of all contexts ends, [`background`](crate::context::background), and with it all that descend from it, with [`ShuttingDown`] as their
///   cause. So the waits that are in a context, or take one, end with an error; and those of gort's calls that return an
///   [`io::Result`](std::io::Result) in no context of their own as well: reads, writes and connects that would have to wait, and every accept. What
///   has come can still be read and answered. What must be done in spite of all, such as saying good-bye, is done in
///   [`without_cancel`](crate::context::Context::without_cancel) with a limit of its own.
/// - It waits until all goroutines have ended, or until `deadline`: for what no context reaches (a sleep, a channel, a lock, a join, a loop, a call
///   into the system). An accepted connection's goroutine that ends at the first error needs nothing else.
/// - The threads end. Those whose goroutine is in a call or a loop are counted and left; so are those that a goroutine has
///   [locked](crate::lock_os_thread).
///
/// **What is left stays as it is**, whether it was parked, runnable or had never run: nothing is unwound or dropped, since others may have
/// borrowed from it. The next start lets it go on. Timers rest as well meanwhile.
///
/// The runtime is started again by whatever needs it: the next `go`, a [`Builder`] (with other settings, if one likes), a socket, a timer that calls a
/// function. Channels, locks, sleeps and joins of plain threads need none. Sockets and listeners stay good over a restart.
///
/// # Where it is called
/// On a plain thread it returns when the threads are gone. On a goroutine it returns when all others have ended; since the caller needs a thread
/// itself, the threads end, and what is left stops, when that goroutine has ended. It may start the runtime again before. Of several calls at once
/// the earliest deadline counts for all. In [bound mode](Mode::Bound) it returns late if a goroutine blocks the thread on which both have begun, so call it
/// on a plain thread there, or where nothing blocks. Without a running runtime it returns at once, with what was left before.
///
/// Parks the goroutine, blocks a plain thread. At the deadline it takes as long as it takes threads to end, usually well below a millisecond.
///
/// # Examples
/// ```
/// use std::io::{Read, Write};
/// use std::time::{Duration, Instant};
///
/// let listener = gort::net::TcpListener::bind("127.0.0.1:0")?;
/// let address = listener.local_addr()?;
/// gort::go(move || {
///     // Ends with the accept that fails.
///     for stream in listener.incoming() {
///         let mut stream = stream?;
///         gort::go(move || stream.write_all(b"hello"));
///     }
///     Ok::<(), std::io::Error>(())
/// });
/// let mut text = String::new();
/// gort::net::TcpStream::connect(address)?.read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
///
/// let left = gort::runtime::shutdown(Instant::now() + Duration::from_secs(5));
/// assert!(left.is_empty(), "{left}");
/// assert_eq!(gort::runtime::metrics().threads, 0);
///
/// // And again.
/// assert_eq!(gort::go(|| 6 * 7).join().unwrap(), 42);
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn shutdown(deadline: Instant) -> Left {
    sched::stop::shutdown(clock::deadline_ns(deadline), Location::caller())
}

/// Every goroutine as text: id, name, state, what it waits for and since when, where it waits and where it was started. What SIGQUIT prints.
///
/// # Examples
/// ```
/// let parked = gort::Builder::new().name("waiter".into()).spawn(gort::park)?;
/// while !gort::runtime::dump().contains("\"waiter\" [park") {
///     gort::yield_now();
/// }
/// parked.goroutine().unpark();
/// # parked.join().unwrap();
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub fn dump() -> String {
    crate::sys::fork::refuse_child();
    crate::dump::text()
}

//! What `#[gort::main]` and `#[gort::test]` expand to.

use crate::sched::{self, snapshot, start};
use crate::stack::layout::slot_bytes;
use crate::sys::limits;
use std::io::Write;
use std::process::{ExitCode, Termination};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The options of `#[gort::main]`.
#[doc(hidden)]
#[derive(Debug)]
pub struct Options {
    /// `procs = …`
    pub procs: Option<usize>,
    /// `max_threads = …`
    pub max_threads: Option<usize>,
    /// `stack_size = …`
    pub stack_size: Option<usize>,
    /// `require = migrating`
    pub require_migrating: bool,
    /// False for `allocator = none`.
    pub allocator: bool,
}

/// Runs a program's `main` as the first goroutine. When it returns the process ends, whatever other goroutines do.
#[doc(hidden)]
#[track_caller]
pub fn main<T: Termination + 'static>(options: Options, body: fn() -> T) -> ExitCode {
    let mut builder = crate::runtime::Builder::new();
    if let Some(procs) = options.procs {
        builder = builder.max_procs(procs);
    }
    if let Some(threads) = options.max_threads {
        builder = builder.max_threads(threads);
    }
    if let Some(bytes) = options.stack_size {
        builder = builder.stack_size(bytes);
    }
    if options.require_migrating {
        builder = builder.require_migrating();
    }
    if let Err(error) = builder.start() {
        eprintln!("gort: #[gort::main]: {error}");
        return ExitCode::from(2);
    }
    let stack_size = MAIN_STACK_BYTES.max(slot_bytes(sched::stack_class()));
    let main = crate::Builder::new().name("main".into()).stack_size(stack_size).spawn(move || body().report());
    match main {
        Ok(main) => {
            crate::dump::note_main(main.goroutine().id());
            // As std: a panic in main ends with 101.
            main.join().unwrap_or_else(|_| ExitCode::from(101))
        }
        Err(error) => {
            eprintln!("gort: the main goroutine cannot be started: {error}");
            ExitCode::from(2)
        }
    }
}

/// Timers that are to come up: those of the user's, and the limits of waits.
#[doc(hidden)]
#[must_use]
pub fn pending_timers() -> usize {
    snapshot::pending_timers()
}

/// What a program's main thread usually has. More, if every goroutine is to have more.
const MAIN_STACK_BYTES: usize = 8 << 20;

/// The options of `#[gort::test]`.
#[doc(hidden)]
#[derive(Debug)]
pub struct TestOptions {
    /// Path of the test function.
    pub name: &'static str,
    /// Numbers of Ps to run it with; empty for the runtime's own.
    pub procs: &'static [usize],
    /// Time limit.
    pub timeout_s: Option<u64>,
}

/// Tests of a process run one at a time.
static ONE: Mutex<()> = Mutex::new(());
const TIMEOUT: Duration = Duration::from_secs(30);

/// Runs a test on a goroutine, once for each number of Ps until one fails, and checks that everything it started is gone afterwards.
#[doc(hidden)]
#[track_caller]
pub fn test<T: Termination + 'static>(options: TestOptions, body: fn() -> T) -> ExitCode {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    start::ensure();
    let default = [crate::runtime::max_procs()];
    let counts = if options.procs.is_empty() { &default[..] } else { options.procs };
    for &procs in counts {
        let before = crate::runtime::set_max_procs(procs);
        let outcome = run_once(&options, procs, body);
        crate::runtime::set_max_procs(before);
        if outcome != ExitCode::SUCCESS {
            eprintln!("{} failed with procs = {procs}", options.name);
            return outcome;
        }
    }
    ExitCode::SUCCESS
}

#[track_caller]
fn run_once<T: Termination + 'static>(options: &TestOptions, procs: usize, body: fn() -> T) -> ExitCode {
    let limit = time_limit(options);
    let before = Census::take();
    let watchdog = Watchdog::start(format!("{} (procs = {procs})", options.name), limit);
    let test = crate::Builder::new()
        .name(options.name.to_owned())
        .stack_size(TEST_STACK_BYTES)
        // Reported where it was made: a result need not be `Send`.
        .spawn(move || body().report())
        .unwrap_or_else(|error| panic!("{}: {error}", options.name));
    let outcome = test.join();
    match outcome {
        Ok(code) => {
            before.check(options.name, procs);
            drop(watchdog);
            code
        }
        Err(payload) => {
            drop(watchdog);
            eprintln!("{} failed with procs = {procs}", options.name);
            std::panic::resume_unwind(payload)
        }
    }
}

/// As std's test threads.
const TEST_STACK_BYTES: usize = 2 << 20;

fn time_limit(options: &TestOptions) -> Duration {
    crate::sched::fixed().test_timeout.or(options.timeout_s.map(Duration::from_secs)).unwrap_or(TIMEOUT)
}

/// What there is before a test, and must be again after it.
struct Census {
    goroutines: u64,
    descriptors: Option<usize>,
}

impl Census {
    fn take() -> Self {
        // Those of the runtime's own thread for files may come in between, and stay.
        let others = |open: usize| open.saturating_sub(crate::uring::descriptors());
        Self {
            goroutines: crate::sched::snapshot::goroutines(),
            descriptors: limits::open_descriptors().ok().map(others),
        }
    }

    /// Ends settle a moment after the test: waits for them, and fails if they do not.
    fn check(&self, name: &str, procs: usize) {
        let patience = Instant::now() + Duration::from_secs(5);
        loop {
            let now = Self::take();
            let threads = unknown_threads();
            if now.goroutines == self.goroutines && now.descriptors <= self.descriptors && threads.is_empty() {
                return;
            }
            assert!(
                Instant::now() < patience,
                "{name} (procs = {procs}) left something behind: goroutines {} -> {}, descriptors {:?} -> {:?}, unknown threads {threads:?}\n{}",
                self.goroutines,
                now.goroutines,
                self.descriptors,
                now.descriptors,
                crate::runtime::dump(),
            );
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Threads that carry a name of ours, by inheritance, and are none of ours: a test's own that still run.
fn unknown_threads() -> Vec<String> {
    use std::sync::atomic::Ordering::Relaxed;
    let known: Vec<u32> = crate::sched::snapshot::ms().map(|m| m.tid.load(Relaxed)).collect();
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return Vec::new() };
    tasks
        .flatten()
        .filter_map(|task| {
            let tid = task.file_name().to_str()?.parse::<u32>().ok()?;
            let name = std::fs::read_to_string(task.path().join("comm")).ok()?;
            let is_ours = name.starts_with("gort-sysmon") || known.contains(&tid) || known.contains(&0);
            (name.starts_with("gort-m") && !is_ours).then(|| format!("{tid} {}", name.trim()))
        })
        .collect()
}

/// Prints every goroutine and ends the process if a test takes too long.
struct Watchdog {
    over: std::sync::Arc<(Mutex<bool>, Condvar)>,
}

impl Watchdog {
    fn start(name: String, limit: Duration) -> Self {
        let over = std::sync::Arc::new((Mutex::new(false), Condvar::new()));
        let theirs = over.clone();
        let run = move || {
            let (is_over, changed) = &*theirs;
            let guard = is_over.lock().unwrap_or_else(PoisonError::into_inner);
            let (guard, timeout) =
                changed.wait_timeout_while(guard, limit, |is_over| !*is_over).unwrap_or_else(PoisonError::into_inner);
            if timeout.timed_out() && !*guard {
                // Past the test harness's capture, which the abort would take with it.
                let dump = crate::runtime::dump();
                let metrics = crate::runtime::metrics();
                let _ = writeln!(
                    std::io::stderr(),
                    "\n{name} did not end within {limit:?}; every goroutine:\n\n{dump}\n{metrics:#?}"
                );
                std::process::abort();
            }
        };
        thread::Builder::new().name("test-watchdog".into()).spawn(run).expect("a thread for the watchdog");
        Self { over }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        *self.over.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.over.1.notify_all();
    }
}

/// A directory instead of `/`, and so many processors, stand for the machine that the runtime looks at for its default number of processors. Once,
/// and before the runtime starts.
pub fn pretend_machine(root: &std::path::Path, cpus: usize) {
    crate::sys::cpu::pretend(root.to_owned(), cpus);
}

/// Enters and leaves the runtime `count` times, as each of its calls does: for who measures that.
#[doc(hidden)]
pub fn visits(count: u64) {
    let me = crate::spawn::wait_record();
    for _ in 0..count {
        sched::enter(std::hint::black_box(me)).leave();
    }
}

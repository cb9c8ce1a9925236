//! A process to try things on: this test binary once more, told by a variable which case of a test to play.
//!
//! ```text
//! let this = child::of(|case| match case { … });   // in the child: plays the case and ends the process
//! this.run("case").exited(0).says("…");            // in the parent: starts the child and judges it
//! ```
//!
//! Every child has a time limit. One that passes it is asked for a dump of its goroutines (SIGQUIT), killed, and what it said is printed.

use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{self, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::scaled;

/// Not `GORT_…`: the runtime would call it unknown.
const CASE: &str = "PROCESS_TEST_CASE";
const LIMIT: Duration = Duration::from_secs(20);

/// The calling test's child. In the parent this only notes which test it is; in the child it plays the case and ends the process by exit(0).
///
/// `play` must be a closure of the test function itself, whose name it carries.
pub(crate) fn of<F: FnOnce(&str)>(play: F) -> Test {
    if let Ok(case) = std::env::var(CASE) {
        no_core_files();
        // The harness has begun a line.
        println!();
        play(&case);
        exit(0);
    }
    let name = std::any::type_name::<F>();
    let name = name.split_once("::").and_then(|(_crate, path)| path.strip_suffix("::{{closure}}"));
    Test { name: name.expect("a closure of the test function") }
}

/// Not std's: that unmaps the main thread's stack for signals, also when it is called on another thread, and a signal may be just arriving there.
fn exit(code: i32) -> ! {
    std::io::stdout().flush().expect("what was said can be written");
    // SAFETY: ends the process.
    unsafe { libc::exit(code) }
}

fn no_core_files() {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel reads a live `rlimit`.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &none) };
}

/// Ends the child as a `main` of this type of result would.
pub(crate) fn end<T: process::Termination>(result: T) -> ! {
    let code = result.report();
    let code = (0..=255).find(|&number| process::ExitCode::from(number) == code);
    exit(i32::from(code.expect("an exit code is a byte")))
}

/// Runs `body` as `#[gort::main]` runs `main`, and ends the process as that does.
pub(crate) fn gort_main<T: process::Termination + 'static>(body: fn() -> T) -> ! {
    let options = gort::__private::Options {
        procs: None,
        max_threads: None,
        stack_size: None,
        require_migrating: false,
        allocator: false,
    };
    end(gort::__private::main(options, body))
}

/// A test that has children.
#[derive(Clone, Copy)]
pub(crate) struct Test {
    name: &'static str,
}

impl Test {
    /// Runs a case to its end.
    #[track_caller]
    pub(crate) fn run(self, case: &str) -> Ended {
        self.case(case).run()
    }

    /// A case with settings of its own.
    pub(crate) fn case(self, case: &str) -> Case {
        self.with(Command::new(Self::binary()), case)
    }

    /// The same, run by this tool.
    pub(crate) fn case_under(self, tool: &str, options: &[&str], case: &str) -> Case {
        let mut command = Command::new(tool);
        command.args(options).arg(Self::binary());
        self.with(command, case)
    }

    fn binary() -> std::path::PathBuf {
        std::env::current_exe().expect("the path of this binary")
    }

    fn with(self, mut command: Command, case: &str) -> Case {
        command
            .args([self.name, "--exact", "--nocapture", "--test-threads=1"])
            .env(CASE, case)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // The background jobs of a script ignore these, and so would their children.
        // SAFETY: `signal` may be called between fork and exec, and the default is everybody's.
        unsafe {
            command.pre_exec(|| {
                libc::signal(libc::SIGQUIT, libc::SIG_DFL);
                libc::signal(libc::SIGINT, libc::SIG_DFL);
                Ok(())
            });
        }
        Case { command, limit: scaled(LIMIT), title: format!("{} ({case})", self.name) }
    }
}

/// A child that has not started.
pub(crate) struct Case {
    command: Command,
    limit: Duration,
    title: String,
}

impl Case {
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self.title += &format!(" {name}={value}");
        self
    }

    /// Whatever the tests themselves run with.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// The child starts without this descriptor.
    pub(crate) fn without_descriptor(mut self, fd: i32) -> Self {
        // SAFETY: close is async-signal-safe.
        unsafe {
            self.command.pre_exec(move || {
                libc::close(fd);
                Ok(())
            })
        };
        self
    }

    /// The child does this between fork and exec.
    ///
    /// # Safety
    /// Only what is async-signal-safe.
    pub(crate) unsafe fn before_exec(
        mut self,
        prepare: impl FnMut() -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        // SAFETY: as the caller says.
        unsafe { self.command.pre_exec(prepare) };
        self
    }

    pub(crate) fn stderr(mut self, to: Stdio) -> Self {
        self.command.stderr(to);
        self
    }

    #[track_caller]
    pub(crate) fn run(self) -> Ended {
        self.start().end()
    }

    /// Starts the child with these streams.
    pub(crate) fn start_with(mut self, stdin: Stdio, stdout: Stdio) -> Running {
        self.command.stdin(stdin).stdout(stdout);
        self.spawn()
    }

    /// Starts the child with a pipe to its standard input.
    pub(crate) fn start(mut self) -> Running {
        self.command.stdin(Stdio::piped());
        self.spawn()
    }

    fn spawn(mut self) -> Running {
        let mut child = self.command.spawn().expect("this binary runs once more");
        let (out, err) = (Text::of(child.stdout.take()), Text::of(child.stderr.take()));
        Running { stdin: child.stdin.take(), child, out, err, until: Instant::now() + self.limit, title: self.title }
    }
}

/// What comes out of a pipe, as far as it has come.
#[derive(Clone, Default)]
struct Text {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Arc<Mutex<Option<thread::JoinHandle<()>>>>,
}

impl Text {
    fn of(pipe: Option<impl Read + Send + 'static>) -> Self {
        let text = Self::default();
        if let Some(mut pipe) = pipe {
            let bytes = text.bytes.clone();
            let read = move || {
                let mut some = [0; 4096];
                while let Ok(count @ 1..) = pipe.read(&mut some) {
                    bytes.lock().unwrap().extend_from_slice(&some[..count]);
                }
            };
            *text.reader.lock().unwrap() = Some(thread::spawn(read));
        }
        text
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }

    /// All of it: the child has ended, so the pipe has.
    fn whole(&self) -> String {
        if let Some(reader) = self.reader.lock().unwrap().take() {
            reader.join().expect("the reader does not panic");
        }
        self.so_far()
    }
}

/// A child at work. Dropped before its end, it is killed.
pub(crate) struct Running {
    child: process::Child,
    stdin: Option<ChildStdin>,
    out: Text,
    err: Text,
    until: Instant,
    title: String,
}

impl Running {
    pub(crate) fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    pub(crate) fn signal(&self, signal: i32) {
        // SAFETY: the child has not been waited for, so the id is its own.
        assert_eq!(unsafe { libc::kill(self.pid(), signal) }, 0);
    }

    /// Sends a line to the child's standard input.
    pub(crate) fn tell(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("standard input is open");
        writeln!(stdin, "{line}").expect("the child reads");
    }

    /// What the child has written to standard error.
    pub(crate) fn errors_so_far(&self) -> String {
        self.err.so_far()
    }

    pub(crate) fn output_so_far(&self) -> String {
        self.out.so_far()
    }

    /// Waits until the child has written `text` to standard output.
    pub(crate) fn wait_for(&mut self, text: &str) -> &mut Self {
        self.wait_until(&format!("{text:?} on standard output"), |running| running.out.so_far().contains(text))
    }

    /// Waits until the child has written `text` to standard error.
    pub(crate) fn wait_for_error(&mut self, text: &str) -> &mut Self {
        self.wait_until(&format!("{text:?} on standard error"), |running| running.err.so_far().contains(text))
    }

    pub(crate) fn wait_until(&mut self, what: &str, mut is_so: impl FnMut(&Self) -> bool) -> &mut Self {
        while !is_so(self) {
            let ended = self.child.try_wait().expect("the child can be waited for");
            if let Some(status) = ended {
                let ended = self.collect(status);
                // Its last words may have been what we wait for.
                assert!(is_so(self), "the child ended before {what} came: {ended}");
                return self;
            }
            self.mind_the_limit(what);
            thread::sleep(Duration::from_millis(1));
        }
        self
    }

    /// Closes the child's standard input and waits for its end.
    #[track_caller]
    pub(crate) fn end(mut self) -> Ended {
        drop(self.stdin.take());
        self.wait()
    }

    /// Waits for an end that comes by itself.
    #[track_caller]
    pub(crate) fn wait(mut self) -> Ended {
        loop {
            if let Some(status) = self.child.try_wait().expect("the child can be waited for") {
                return self.collect(status);
            }
            self.mind_the_limit("its end");
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn collect(&self, status: ExitStatus) -> Ended {
        Ended { status, out: self.out.whole(), err: self.err.whole(), title: self.title.clone() }
    }

    fn mind_the_limit(&mut self, what: &str) {
        if Instant::now() < self.until {
            return;
        }
        self.signal(libc::SIGQUIT);
        thread::sleep(Duration::from_millis(500));
        let _ = self.child.kill();
        let status = self.child.wait().expect("the child can be waited for");
        panic!("waited too long for {what}, killed: {}", self.collect(status));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Does nothing to a child that has been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a child ended and what it said.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) out: String,
    pub(crate) err: String,
    title: String,
}

impl Ended {
    #[track_caller]
    pub(crate) fn exited(&self, code: i32) -> &Self {
        assert_eq!(self.status.code(), Some(code), "{self}");
        self
    }

    #[track_caller]
    pub(crate) fn killed_by(&self, signal: i32) -> &Self {
        assert_eq!(self.status.signal(), Some(signal), "{self}");
        self
    }

    /// Standard error contains `text`.
    #[track_caller]
    pub(crate) fn says(&self, text: &str) -> &Self {
        assert!(self.err.contains(text), "{text:?} should be in {self}");
        self
    }

    /// Standard error contains `text` exactly once.
    #[track_caller]
    pub(crate) fn says_once(&self, text: &str) -> &Self {
        assert_eq!(self.err.matches(text).count(), 1, "{text:?} should be once in {self}");
        self
    }

    /// Apart from the line that a perturbed run begins with, and what bound mode says of locked threads: these tests run so, too.
    #[track_caller]
    pub(crate) fn never_says(&self, text: &str) -> &Self {
        let expected = ["gort: perturbing (", "gort: lock_os_thread: goroutine "];
        let mut lines = self.err.lines().filter(|line| !expected.iter().any(|start| line.starts_with(start)));
        assert!(!lines.any(|line| line.contains(text)), "{text:?} should not be in {self}");
        self
    }

    /// Standard output contains `text`.
    #[track_caller]
    pub(crate) fn prints(&self, text: &str) -> &Self {
        assert!(self.out.contains(text), "{text:?} should be in {self}");
        self
    }

    /// What stands on standard output behind `name` and a space, to the end of that line.
    #[track_caller]
    pub(crate) fn value(&self, name: &str) -> &str {
        let line = self.out.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name:?} in {self}"))
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { status, out, err, title } = self;
        write!(f, "{title}\n--- {status}\n--- standard output\n{out}\n--- standard error\n{err}\n---")
    }
}

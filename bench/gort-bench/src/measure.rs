//! One measurement: a process of its own, with a time limit and an eye on the machine's memory.
//!
//! The worker leads a process group, so that whatever it starts ends with it. It is waited for through a descriptor of the process and not by
//! asking again and again: the harness sleeps while others are measured, but for a look at the memory five times a second.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::os::fd::AsFd as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gort_bench_wire::Outcome;
use gort_bench_wire::memory::field;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

/// What to run.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The executable.
    pub exe: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Processors, also told through the variables by which gort and Go are told.
    pub procs: usize,
    /// For gort: how goroutines are tied to threads (`GORT_MODE`).
    pub mode: &'static str,
    /// After this it counts as hung.
    pub limit: Duration,
    /// Memory it needs.
    pub memory_bytes: u64,
}

/// How it ended.
#[derive(Debug)]
pub enum Ended {
    /// With figures.
    Measured(Outcome),
    /// Without, and why.
    Failed(Failure),
    /// The user did not want to wait.
    Stopped,
}

/// Why there are no figures.
#[derive(Debug)]
pub struct Failure {
    /// In words.
    pub why: String,
    /// Whether the time limit ended it.
    pub hung: bool,
    /// What it wrote to stderr.
    pub stderr: String,
}

const LOOK: Duration = Duration::from_millis(200);
/// Of a hung worker's group: time to say where it hangs.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// What is kept of an output.
const MOST_OUTPUT: u64 = 1 << 20;
/// With less memory than this left the worker is ended, before the kernel looks for somebody to end.
const RESERVE: u64 = 300 << 20;

/// Runs it. `stop` is asked, and may draw, at every look.
pub fn measure(attempt: &Attempt, mut stop: impl FnMut() -> bool) -> Ended {
    match available_memory() {
        Ok(left) if left < attempt.memory_bytes + RESERVE => {
            let needed = mib(attempt.memory_bytes + RESERVE);
            return failed(format!("needs {needed} MiB of memory, the machine has {} left", mib(left)));
        }
        Ok(_) => {}
        Err(e) => return failed(format!("/proc/meminfo: {e}")),
    }
    let began = Instant::now();
    let worker = match Worker::start(attempt) {
        Ok(worker) => worker,
        Err(e) => return failed(format!("cannot start {}: {e}", attempt.exe.display())),
    };
    loop {
        match worker.wait(LOOK) {
            Ok(true) => return worker.judge(),
            Ok(false) => {}
            Err(e) => return worker.end(format!("cannot be waited for: {e}"), false),
        }
        if stop() {
            worker.end(String::new(), false);
            return Ended::Stopped;
        }
        if began.elapsed() > attempt.limit {
            worker.signal(Signal::QUIT);
            // An error or a timeout here changes nothing: it is ended anyway.
            let _ = worker.wait(LAST_WORDS);
            return worker.end(format!("hung: no result within {} s", attempt.limit.as_secs()), true);
        }
        if let Ok(left) = available_memory()
            && left < RESERVE
        {
            return worker.end(format!("ended because the machine had {} MiB of memory left", mib(left)), false);
        }
    }
}

struct Worker {
    child: Child,
    group: Pid,
    exit: rustix::fd::OwnedFd,
    stdout: JoinHandle<String>,
    stderr: JoinHandle<String>,
}

impl Worker {
    fn start(attempt: &Attempt) -> io::Result<Worker> {
        let mut child = Command::new(&attempt.exe)
            .args(attempt.args.iter().map(OsStr::new))
            .env("GORT_MAXPROCS", attempt.procs.to_string())
            .env("GORT_MODE", attempt.mode)
            .env("GOMAXPROCS", attempt.procs.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let group = Pid::from_child(&child);
        // If memory runs out all the same, the worker is the one to go. Where this is not allowed the kernel will choose well by itself.
        let _ = fs::write(format!("/proc/{}/oom_score_adj", child.id()), "1000");
        let stdout = collect(child.stdout.take());
        let stderr = collect(child.stderr.take());
        Ok(Worker { exit: pidfd_open(group, PidfdFlags::empty())?, child, group, stdout, stderr })
    }

    /// Whether it has ended.
    fn wait(&self, at_most: Duration) -> io::Result<bool> {
        let mut fds = [PollFd::from_borrowed_fd(self.exit.as_fd(), PollFlags::IN)];
        let at_most = Timespec { tv_sec: at_most.as_secs() as i64, tv_nsec: at_most.subsec_nanos().into() };
        match poll(&mut fds, Some(&at_most)) {
            Ok(ready) => Ok(ready > 0),
            // Ctrl-C.
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    fn signal(&self, signal: Signal) {
        // The leader has not been waited for, so the number is still its group's. An error means that nobody is left.
        let _ = kill_process_group(self.group, signal);
    }

    /// Ends what is left of the group, and takes the output.
    fn finish(mut self) -> (io::Result<ExitStatus>, String, String) {
        self.signal(Signal::KILL);
        let status = self.child.wait();
        let text = |output: JoinHandle<String>| output.join().unwrap_or_default();
        (status, text(self.stdout), text(self.stderr))
    }

    fn end(self, why: String, hung: bool) -> Ended {
        let (_, _, stderr) = self.finish();
        Ended::Failed(Failure { why, hung, stderr })
    }

    fn judge(self) -> Ended {
        let (status, stdout, stderr) = self.finish();
        let why = match status {
            Err(e) => format!("cannot be waited for: {e}"),
            Ok(status) if !status.success() => {
                let how = match status.signal() {
                    Some(signal) => format!("ended by signal {signal}"),
                    None => format!("ended with {status}"),
                };
                match stderr.lines().rfind(|line| !line.trim().is_empty()) {
                    Some(last) => format!("{how}: {last}"),
                    None => how,
                }
            }
            Ok(_) => match serde_json::from_str(&stdout) {
                Ok(outcome) => return Ended::Measured(outcome),
                Err(e) => format!("did not print a result: {e}"),
            },
        };
        Ended::Failed(Failure { why, hung: false, stderr })
    }
}

fn failed(why: String) -> Ended {
    Ended::Failed(Failure { why, hung: false, stderr: String::new() })
}

/// Reads an output to its end, keeps the beginning.
fn collect(output: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let Some(mut output) = output else { return String::new() };
        let mut text = Vec::new();
        // Errors: whatever came before is all there is.
        let _ = output.by_ref().take(MOST_OUTPUT).read_to_end(&mut text);
        let _ = io::copy(&mut output, &mut io::sink());
        String::from_utf8_lossy(&text).into_owned()
    })
}

fn available_memory() -> io::Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let kib = field(&text, "MemAvailable").ok_or_else(|| io::Error::other("has no MemAvailable"))?;
    Ok(kib * 1024)
}

fn mib(bytes: u64) -> u64 {
    bytes >> 20
}

#[cfg(test)]
mod tests;

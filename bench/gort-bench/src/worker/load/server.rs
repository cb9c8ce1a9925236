//! The server under load, seen from outside.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use gort_bench_wire::control::{COUNT, Count, Listening};
use gort_bench_wire::memory::Memory;
use rustix::process::{Pid, Signal, kill_process};

/// A server that ends with this value.
pub struct Server {
    child: Child,
    addr: SocketAddr,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    memory: Memory,
}

impl Server {
    /// Starts it, and waits until it listens.
    pub fn start(exe: &str, peer: &str, procs: usize) -> Result<Server> {
        let mut child = Command::new(exe)
            .args(["worker", peer, "echo_server", &format!("procs={procs}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start the server {exe}"))?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("the server has no stdin or stdout");
        };
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        let Listening { listening: addr } =
            serde_json::from_str(&line).context("the server did not say where it listens")?;
        Ok(Server { child, addr, stdin, stdout, memory: Memory { resident: 0, page_tables: 0 } })
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// System calls by its own count, if it counts them.
    pub fn own_count(&mut self) -> Result<Option<u64>> {
        writeln!(self.stdin, "{COUNT}").context("the server is not there any more")?;
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        let count: Count = serde_json::from_str(&line).context("the server did not answer")?;
        Ok(count.syscalls)
    }

    /// Of all its threads, ended ones included, to the nanosecond.
    pub fn cpu_time(&self) -> Result<Duration> {
        cpu_time(self.child.id() as libc::pid_t)
            .context("cannot read the CPU time of the server: it is not there any more")
    }

    /// Remembers what it holds now.
    pub fn note_memory(&mut self) -> Result<()> {
        self.memory = Memory::of(&self.child.id().to_string())?;
        Ok(())
    }

    /// What was remembered.
    pub fn memory_at_peak(&self) -> Memory {
        self.memory
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// gort and Go answer SIGQUIT with what every goroutine does, on stderr.
    pub fn ask_where_it_is(&self) {
        // An error means that it is gone.
        let _ = kill_process(Pid::from_child(&self.child), Signal::QUIT);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It would end with its stdin; it need not be waited for. An error means that it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// CPU time of this process.
pub fn own_cpu_time() -> Result<Duration> {
    cpu_time(0).context("cannot read the CPU time of this process")
}

/// CPU time of a process, 0 being this one.
fn cpu_time(pid: libc::pid_t) -> std::io::Result<Duration> {
    let mut clock = 0;
    // SAFETY: `clock` is a place for the result.
    let error = unsafe { libc::clock_getcpuclockid(pid, &mut clock) };
    if error != 0 {
        return Err(std::io::Error::from_raw_os_error(error));
    }
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a place for the result.
    if unsafe { libc::clock_gettime(clock, &mut time) } != 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

//! System calls per request of a server under load, by whatever can count them here.
//!
//! 1. `perf stat` on the kernel's tracepoint: all system calls, and the server hardly notices (2 % of its time).
//! 2. `strace -c -f`: all system calls, but each costs some ten microseconds more, so that more events gather between polls.
//! 3. The server's own count: those for connections and polling, without the waking of threads.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::server::Server;

/// Calls per request, and who counted. `replies` counts requests, `pass` lets the time pass in which both are counted.
pub fn per_request(
    server: &mut Server,
    replies: impl Fn() -> u64,
    mut pass: impl FnMut() -> Result<()>,
) -> Result<(f64, String)> {
    let mut refused = Vec::new();
    type Counting = fn(&mut Server, &dyn Fn() -> u64, &mut dyn FnMut() -> Result<()>) -> Result<(u64, u64)>;
    let ways: [(&str, Counting); 3] = [("perf stat", by_perf), ("strace", by_strace), ("its own count", by_itself)];
    for (name, count) in ways {
        match count(server, &replies, &mut pass) {
            Ok((calls, requests)) if requests > 0 => return Ok((calls as f64 / requests as f64, name.to_owned())),
            Ok(_) => refused.push(format!("{name}: no requests meanwhile")),
            Err(e) => refused.push(format!("{name}: {e:#}")),
        }
    }
    bail!("{}", refused.join("; "))
}

/// Ends the program when dropped, if it has not ended by itself.
struct Tool(Child);

impl Drop for Tool {
    fn drop(&mut self) {
        // Errors: it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn by_perf(server: &mut Server, replies: &dyn Fn() -> u64, pass: &mut dyn FnMut() -> Result<()>) -> Result<(u64, u64)> {
    let mut perf = Tool(
        Command::new("perf")
            // Begins disabled; commands come through its stdin, each is acknowledged on its stdout.
            .args(["stat", "-e", "raw_syscalls:sys_enter", "-x", ",", "--delay=-1", "--control=fd:0,1", "-p"])
            .arg(server.pid().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot be run")?,
    );
    let (Some(mut control), Some(acks)) = (perf.0.stdin.take(), perf.0.stdout.take()) else { bail!("has no stdin") };
    let mut acks = BufReader::new(acks);
    let mut tell = |control: &mut ChildStdin, command: &str| -> Result<()> {
        writeln!(control, "{command}").with_context(|| format!("does not take {command}"))?;
        let mut ack = String::new();
        acks.read_line(&mut ack)?;
        // The acknowledgement ends with a zero byte in some versions.
        ensure!(ack.trim_matches(['\0', '\n']) == "ack", "did not acknowledge {command}");
        Ok(())
    };
    tell(&mut control, "enable")?;
    let before = replies();
    pass()?;
    let requests = replies() - before;
    tell(&mut control, "disable")?;
    interrupt(&perf.0);
    let mut text = String::new();
    if let Some(stderr) = perf.0.stderr.as_mut() {
        stderr.read_to_string(&mut text)?;
    }
    Ok((perf_count(&text).with_context(|| format!("said {:?}", text.trim()))?, requests))
}

fn by_strace(
    server: &mut Server,
    replies: &dyn Fn() -> u64,
    pass: &mut dyn FnMut() -> Result<()>,
) -> Result<(u64, u64)> {
    let mut strace = Tool(
        Command::new("strace")
            .args(["-c", "-f", "-p", &server.pid().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot be run")?,
    );
    let Some(stderr) = strace.0.stderr.take() else { bail!("has no stderr") };
    let mut said = BufReader::new(stderr);
    let mut line = String::new();
    said.read_line(&mut line)?;
    ensure!(line.contains("attached"), "said {:?}", line.trim());
    let before = replies();
    pass()?;
    let requests = replies() - before;
    interrupt(&strace.0);
    let mut text = String::new();
    said.read_to_string(&mut text)?;
    Ok((strace_count(&text).context("printed no total")?, requests))
}

fn by_itself(
    server: &mut Server,
    replies: &dyn Fn() -> u64,
    pass: &mut dyn FnMut() -> Result<()>,
) -> Result<(u64, u64)> {
    let before = (server.own_count()?.context("there is none")?, replies());
    pass()?;
    let after = (server.own_count()?.context("there is none")?, replies());
    Ok((after.0 - before.0, after.1 - before.1))
}

fn interrupt(tool: &Child) {
    // An error means that it has ended.
    let _ = kill_process(Pid::from_child(tool), Signal::INT);
}

/// `1234,,raw_syscalls:sys_enter,…`
fn perf_count(text: &str) -> Option<u64> {
    text.lines().find(|line| line.contains("sys_enter"))?.split(',').next()?.parse().ok()
}

/// `100.00    0.001234           1      1234        12 total`
fn strace_count(text: &str) -> Option<u64> {
    text.lines().find(|line| line.trim_end().ends_with(" total"))?.split_whitespace().nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_of_perf_is_found() {
        let text = "Events disabled\nEvents enabled\n4711,,raw_syscalls:sys_enter,1234567,100.00,,\n";
        assert_eq!(perf_count(text), Some(4711));
        assert_eq!(perf_count("<not supported>,,raw_syscalls:sys_enter,0,100.00,,\n"), None);
        assert_eq!(perf_count("event syntax error"), None);
    }

    #[test]
    fn the_total_of_strace_is_found() {
        let text = "% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 98.00    0.001000           1       600           sendto
  2.00    0.000020           0        50         3 epoll_wait
------ ----------- ----------- --------- --------- ----------------
100.00    0.001020           1       650         3 total
";
        assert_eq!(strace_count(text), Some(650));
        assert_eq!(strace_count("strace: attach: Operation not permitted"), None);
    }
}

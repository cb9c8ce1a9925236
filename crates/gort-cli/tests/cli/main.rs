//! The command, run as users run it: as a process, with its output, its errors and its exit status.

mod arguments;
mod bad_days;
mod demo;
mod runs;
mod servers;
mod shortage;
mod strangers;

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A run that takes longer than this hangs.
const LIMIT: Duration = Duration::from_secs(40);

/// The binary with `args`, all of its streams held by the test.
fn gort(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gort"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The binary started by a shell after `setup`, such as a limit.
fn gort_after(setup: &str, args: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{setup}; exec \"$0\" \"$@\"")).arg(env!("CARGO_BIN_EXE_gort")).args(args);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs to the end; a hang ends in a failure that shows what was said until then, goroutines included.
fn finish(mut command: Command) -> Output {
    wait(command.spawn().expect("start gort"))
}

fn wait(mut child: Child) -> Output {
    // Read on the side: a process that fills a pipe nobody reads would only look like one that hangs.
    let (stdout, stderr) = (drain(child.stdout.take()), drain(child.stderr.take()));
    let until = Instant::now() + LIMIT;
    let status = loop {
        if let Some(status) = child.try_wait().expect("wait for gort") {
            break status;
        }
        if Instant::now() > until {
            signal(child.id(), "QUIT");
            std::thread::sleep(Duration::from_secs(1));
            let _ = child.kill();
            let _ = child.wait();
            let said = (stdout.join().unwrap(), stderr.join().unwrap());
            panic!("gort hangs; stdout:\n{}\nstderr:\n{}", text(&said.0), text(&said.1));
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    Output { status, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
}

fn drain(stream: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut all = Vec::new();
        stream.map(|mut stream| stream.read_to_end(&mut all));
        all
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// stdout of a run that must succeed.
fn success(command: Command) -> String {
    let output = finish(command);
    assert!(output.status.success(), "{}: {}{}", output.status, text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// stderr of a run that must fail, with nothing on stdout.
fn failure(command: Command) -> String {
    let output = finish(command);
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(!output.status.success(), "it succeeded: {stdout}{stderr}");
    assert_eq!(stdout, "", "and stderr: {stderr}");
    stderr
}

fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).stderr(Stdio::null()).status();
    assert!(sent.is_ok_and(|status| status.success()), "kill -{name} {pid}");
}

/// Children of a process, by the kernel's list.
fn children(pid: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task"))
        .map(|dir| dir.flatten().collect())
        .unwrap_or_else(|_| Vec::new());
    let lists = tasks.iter().filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>()).collect()
}

/// Waits until `holds`, which must come true.
fn eventually<T>(what: &str, mut holds: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + LIMIT;
    loop {
        if let Some(value) = holds() {
            return value;
        }
        assert!(Instant::now() < until, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn alive(pid: u32) -> bool {
    // A zombie has ended; only its parent has not looked.
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or("").starts_with(" Z"))
}

/// A running `gort serve-echo`; killed when dropped.
struct EchoServer {
    child: Child,
    stdout: BufReader<ChildStdout>,
    addr: SocketAddr,
}

impl EchoServer {
    fn start(mut command: Command) -> EchoServer {
        let mut child = command.spawn().expect("start gort");
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("read the first line");
        let addr = line.trim().strip_prefix("listening on ").and_then(|addr| addr.parse().ok());
        let addr = addr.unwrap_or_else(|| panic!("the first line is {line:?}"));
        EchoServer { child, stdout, addr }
    }

    fn of_style(style: &str) -> EchoServer {
        EchoServer::start(gort(&["serve-echo", "--addr", "127.0.0.1:0", "--style", style]))
    }

    /// Ends it by SIGTERM; its last words.
    fn end(mut self) -> String {
        signal(self.child.id(), "TERM");
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).expect("read the rest");
        let status = eventually("the server ends", || self.child.try_wait().expect("wait for the server"));
        assert!(status.success(), "{status}: {rest}");
        rest
    }
}

impl Drop for EchoServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends `bytes` on a fresh connection and reads as many back.
fn echo_once(addr: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = std::net::TcpStream::connect(addr).expect("connect");
    stream.set_read_timeout(Some(LIMIT)).expect("set a timeout");
    stream.write_all(bytes).expect("send");
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back).expect("receive");
    back
}

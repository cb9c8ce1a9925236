//! The server process, as its parent sees it. See `control` for what is said.

use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::net::SocketAddr;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Error, Result, anyhow, bail};

use crate::args::Style;
use crate::control::{self, Answer, Order, Ready, Report};
use crate::limits::no_thread;
use crate::progress::Progress;

/// How long an answer may take. The child's main thread does nothing else, but it may have to wait for a processor.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running server process. Dropping it ends it.
#[derive(Debug)]
pub struct ServerProcess {
    style: Style,
    ready: Ready,
    child: Child,
    orders: Option<ChildStdin>,
    answers: Receiver<Answer>,
    stderr: Option<JoinHandle<()>>,
    /// Whether it has said anything on stderr.
    spoke: Arc<AtomicBool>,
}

impl ServerProcess {
    /// Starts this very binary as a server on `addrs` and waits until it listens.
    pub fn start(style: Style, addrs: &[SocketAddr], procs: Option<u32>, progress: &Progress) -> Result<ServerProcess> {
        let program =
            std::env::current_exe().context("cannot find this program's own file to start the server from")?;
        let mut command = Command::new(&program);
        command.arg("serve-echo").arg("--control").arg("--style").arg(style.name());
        for addr in addrs {
            command.arg("--addr").arg(addr.to_string());
        }
        if let Some(procs) = procs {
            command.arg("--procs").arg(procs.to_string());
        }
        // A group of its own: Ctrl-C goes to the parent alone, which asks for the last figures before it ends the child.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let no_process = |e| no_thread(&format!("the server process {}", program.display()), &e);
        let mut child = command.spawn().map_err(no_process)?;
        let orders = child.stdin.take();
        let (spoke, said) = (Arc::new(AtomicBool::new(false)), progress.clone());
        let (heard, stdout, stderr) = (spoke.clone(), child.stdout.take(), child.stderr.take());
        let readers = listen(stdout).and_then(|answers| {
            let repeat = move || {
                each_line(stderr, |line| {
                    // Relaxed: read after this thread has ended.
                    heard.store(true, Relaxed);
                    said.say(&format!("server: {line}"));
                });
            };
            Ok((answers, thread::Builder::new().spawn(repeat)?))
        });
        let (answers, stderr) = readers.map_err(|e| {
            let _ = child.kill();
            let _ = child.wait();
            no_thread("a thread that listens to the server process", &e)
        })?;
        let nobody = Ready {
            addrs: Vec::new(),
            nature: crate::server::Nature { mode: None, procs: 0 },
            usage: crate::measure::usage(),
        };
        let mut server = ServerProcess { style, ready: nobody, child, orders, answers, stderr: Some(stderr), spoke };
        match server.answer()? {
            Answer::Ready(ready) => server.ready = ready,
            Answer::Report(_) => bail!("the server process (style {style}) spoke out of turn"),
        }
        Ok(server)
    }

    /// What it said when it began to listen.
    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Fails if the process has ended.
    pub fn check(&mut self) -> Result<()> {
        match self.answers.try_recv() {
            Err(TryRecvError::Disconnected) => Err(self.died()),
            _ => Ok(()),
        }
    }

    /// Asks for its figures.
    pub fn report(&mut self) -> Result<Report> {
        self.order(Order::Report)?;
        match self.answer()? {
            Answer::Report(report) => Ok(report),
            Answer::Ready(_) => bail!("the server process (style {}) spoke out of turn", self.style),
        }
    }

    /// Ends it in order.
    pub fn end(mut self) -> Result<()> {
        self.order(Order::End)?;
        let status = self.wait(PATIENCE)?;
        match status {
            Some(status) if status.success() => Ok(()),
            Some(status) => bail!("the server process (style {}) failed at its end: {status}", self.style),
            None => bail!("the server process (style {}) did not end within {PATIENCE:?} and was killed", self.style),
        }
    }

    fn order(&mut self, order: Order) -> Result<()> {
        let line = control::line(&order)?;
        let written = self.orders.as_mut().map_or(Ok(()), |orders| orders.write_all(line.as_bytes()));
        written.map_err(|_| self.died())
    }

    fn answer(&mut self) -> Result<Answer> {
        match self.answers.recv_timeout(PATIENCE) {
            Ok(answer) => Ok(answer),
            Err(RecvTimeoutError::Disconnected) => Err(self.died()),
            Err(RecvTimeoutError::Timeout) => Err(anyhow!(
                "the server process (style {}, pid {}) did not answer within {PATIENCE:?}",
                self.style,
                self.child.id()
            )),
        }
    }

    /// The error to report when its end of the conversation is closed.
    fn died(&mut self) -> Error {
        let status = match self.wait(Duration::from_secs(2)) {
            Ok(Some(status)) => explain(status),
            _ => "closed its output and had to be killed".into(),
        };
        // All of its stderr is out once the reader has come to its end; a descendant that holds it open is not waited for.
        let until = Instant::now() + Duration::from_secs(1);
        while self.stderr.as_ref().is_some_and(|reader| !reader.is_finished()) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(2));
        }
        // Relaxed: the reader has ended, or what it says later comes too late anyway.
        let words = if self.spoke.load(Relaxed) { "its words are above" } else { "it left no message" };
        anyhow!("the server process (style {}) ended too early: {status}; {words}", self.style)
    }

    /// Waits for its end; after `patience` kills it and says `None`.
    fn wait(&mut self, patience: Duration) -> Result<Option<ExitStatus>> {
        self.orders = None;
        let until = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait().context("cannot wait for the server process")? {
                return Ok(Some(status));
            }
            if Instant::now() >= until {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.wait(Duration::from_secs(3));
    }
}

/// Answers as they come; the channel ends when the process's stdout does.
fn listen(stdout: Option<impl Read + Send + 'static>) -> io::Result<Receiver<Answer>> {
    let (tell, answers) = channel();
    if let Some(stdout) = stdout {
        thread::Builder::new().spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let Ok(answer) = serde_json::from_str(&line) else { return };
                if tell.send(answer).is_err() {
                    return;
                }
            }
        })?;
    }
    Ok(answers)
}

/// What comes out of a process, line by line, until its end.
pub fn each_line(stream: Option<impl Read>, mut heard: impl FnMut(&str)) {
    let Some(stream) = stream else { return };
    let mut lines = BufReader::new(stream);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
        heard(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
}

/// How a process ended, with what that may come from.
pub fn explain(status: ExitStatus) -> String {
    match status.signal() {
        Some(9) => format!("{status} (by hand, or by the kernel for want of memory: see dmesg)"),
        _ => status.to_string(),
    }
}

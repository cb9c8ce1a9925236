//! A child process and its end.

use super::life::{Life, Watch, uncancelled};
use super::pipes::{ChildStderr, ChildStdin, ChildStdout};
use crate::context::{AfterFunc, Context, Ended, ambient};
use crate::signal::Signal;
use crate::{Builder, scope};
use std::fmt;
use std::io::{self, Read};
use std::panic::Location;
use std::process::{ExitStatus, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A child process, as [`std::process::Child`].
///
/// Its pipes park whoever reads and writes them, and so does a wait. As with std's, dropping it neither ends the child nor waits for it: one that ends
/// afterwards remains as a zombie until this process ends. A child that was waited for leaves none, and neither does one that was killed by
/// [`kill_on_cancel`](super::Command::kill_on_cancel).
pub struct Child {
    /// The child's standard input, if it was [piped](super::Stdio::piped).
    pub stdin: Option<ChildStdin>,
    /// The child's standard output, if it was piped.
    pub stdout: Option<ChildStdout>,
    /// The child's standard error, if it was piped.
    pub stderr: Option<ChildStderr>,
    life: Arc<Life>,
    watch: Watch,
    tie: Option<Tie>,
}

/// What ends a child by itself.
struct Tie {
    context: Context,
    kill: AfterFunc,
}

impl Child {
    fn new(mut child: std::process::Child) -> Self {
        Self {
            stdin: child.stdin.take().map(Into::into),
            stdout: child.stdout.take().map(Into::into),
            stderr: child.stderr.take().map(Into::into),
            life: Arc::new(Life::new(child)),
            watch: None,
            tie: None,
        }
    }

    /// From now on the end of `context` ends the child.
    pub(super) fn tie(&mut self, context: Context, signal: Signal, grace: Duration) {
        let life = self.life.clone();
        let kill = context.after_func(move || life.end(signal, grace));
        self.tie = Some(Tie { context, kill });
    }

    /// The child's process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.life.id
    }

    /// Ends the child with SIGKILL. It is still to be waited for. Nothing happens to one that was waited for, or has ended.
    ///
    /// # Errors
    /// `PermissionDenied` if the child has become somebody whom this process may not signal.
    ///
    /// # Examples
    /// ```
    /// let mut child = gort::process::Command::new("sleep").arg("1000").spawn()?;
    /// child.kill()?;
    /// assert!(!child.wait()?.success());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn kill(&self) -> io::Result<()> {
        self.send_signal(Signal::KILL)
    }

    /// Sends a signal to the child. Nothing happens to one that was waited for, or has ended: a signal never reaches another process that has got the same
    /// number.
    ///
    /// # Errors
    /// `PermissionDenied` if the child has become somebody whom this process may not signal; `InvalidInput` for a number that is no signal.
    ///
    /// # Examples
    /// ```
    /// use gort::signal::Signal;
    /// use std::os::unix::process::ExitStatusExt;
    ///
    /// let mut child = gort::process::Command::new("sleep").arg("1000").spawn()?;
    /// child.send_signal(Signal::TERM)?;
    /// assert_eq!(child.wait()?.signal(), Some(Signal::TERM.as_raw()));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn send_signal(&self, signal: Signal) -> io::Result<()> {
        self.life.send(signal)
    }

    /// The exit status, if the child has ended. Does not wait, and leaves standard input open.
    ///
    /// # Errors
    /// The system's: somebody else has waited for the child, for example.
    ///
    /// # Examples
    /// ```
    /// let mut child = gort::process::Command::new("true").spawn()?;
    /// if child.try_wait()?.is_none() {
    ///     child.wait()?;
    /// }
    /// assert!(child.try_wait()?.is_some_and(|status| status.success()));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        let status = self.life.try_wait()?;
        if status.is_some() {
            self.untie();
        }
        Ok(status)
    }

    /// Closes the child's standard input and waits until it has ended. Parks; once it has ended, every call returns the same.
    ///
    /// The end of the ambient [context](crate::context) ends the wait, and the child goes on. One that this very end kills
    /// ([`kill_on_cancel`](super::Command::kill_on_cancel)) is waited for: its status says how it ended.
    ///
    /// # Errors
    /// The ambient context has ended first; or the system's: somebody else has waited for the child, for example.
    ///
    /// # Examples
    /// ```
    /// let mut child = gort::process::Command::new("sh").args(["-c", "exit 3"]).spawn()?;
    /// assert_eq!(child.wait()?.code(), Some(3));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        self.wait_for(None, Location::caller())
    }

    /// As [`wait`](Self::wait), for so long at most.
    ///
    /// # Errors
    /// `TimedOut` if the child has not ended by then; and those of [`wait`](Self::wait).
    ///
    /// # Examples
    /// ```
    /// use std::io::ErrorKind;
    /// use std::time::Duration;
    ///
    /// let mut child = gort::process::Command::new("sleep").arg("1000").spawn()?;
    /// assert_eq!(child.wait_timeout(Duration::from_millis(5)).unwrap_err().kind(), ErrorKind::TimedOut);
    /// child.kill()?;
    /// assert!(child.wait_timeout(Duration::MAX).is_ok());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn wait_timeout(&mut self, timeout: Duration) -> io::Result<ExitStatus> {
        self.wait_for(Instant::now().checked_add(timeout), Location::caller())
    }

    /// As [`wait`](Self::wait), until `deadline` at most.
    ///
    /// # Errors
    /// `TimedOut` if the child has not ended by then; and those of [`wait`](Self::wait).
    ///
    /// # Examples
    /// ```
    /// use std::time::Instant;
    ///
    /// let mut child = gort::process::Command::new("sleep").arg("1000").spawn()?;
    /// assert!(child.wait_deadline(Instant::now()).is_err());
    /// child.kill()?;
    /// child.wait()?;
    /// assert!(child.wait_deadline(Instant::now()).is_ok()); // it has ended
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn wait_deadline(&mut self, deadline: Instant) -> io::Result<ExitStatus> {
        self.wait_for(Some(deadline), Location::caller())
    }

    fn wait_for(&mut self, deadline: Option<Instant>, site: &'static Location<'static>) -> io::Result<ExitStatus> {
        drop(self.stdin.take());
        let (life, watch) = (&self.life, &mut self.watch);
        let is_being_killed = |tie: &Tie| tie.context.err().is_some();
        let status = match life.wait(watch, deadline, site) {
            Err(error) if Ended::find(&error).is_some() && self.tie.as_ref().is_some_and(is_being_killed) => {
                uncancelled().run(|| life.wait(watch, deadline, site))?
            }
            outcome => outcome?,
        };
        self.untie();
        Ok(status)
    }

    /// The context need not end it any more.
    fn untie(&mut self) {
        self.watch = None;
        if let Some(tie) = &self.tie
            && tie.kill.stop()
        {
            self.tie = None;
        }
    }

    /// Reads standard output and error to their ends, if they are piped, both at once, and waits for the child.
    ///
    /// # Errors
    /// Those of a read, and of [`wait`](Self::wait). After an error the child goes on and nobody can wait for it any more, unless the end of the
    /// context kills it.
    ///
    /// # Examples
    /// ```
    /// use gort::process::{Command, Stdio};
    /// use std::io::Write;
    ///
    /// let mut child = Command::new("tr").args(["a-z", "A-Z"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    /// child.stdin.take().unwrap().write_all(b"loud")?;
    /// assert_eq!(child.wait_with_output()?.stdout, b"LOUD");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn wait_with_output(mut self) -> io::Result<Output> {
        self.read_and_wait(Location::caller())
    }

    fn read_and_wait(&mut self, site: &'static Location<'static>) -> io::Result<Output> {
        drop(self.stdin.take());
        let read = match (self.stdout.take(), self.stderr.take()) {
            (None, None) => Ok((Vec::new(), Vec::new())),
            (Some(stdout), None) => read_all(&stdout).map(|stdout| (stdout, Vec::new())),
            (None, Some(stderr)) => read_all(&stderr).map(|stderr| (Vec::new(), stderr)),
            (Some(stdout), Some(stderr)) => read_both(&stdout, &stderr),
        };
        if read.is_err() && self.was_ended().is_some() {
            // It is being killed.
            self.wait_for(None, site)?;
        }
        let (stdout, stderr) = read?;
        Ok(Output { status: self.wait_for(None, site)?, stdout, stderr })
    }

    /// Why the child is being killed, or was.
    fn was_ended(&self) -> Option<Ended> {
        self.tie.as_ref()?.context.err()
    }

    /// Waits for a child that nobody else knows: an error if it was killed.
    pub(super) fn status(mut self, site: &'static Location<'static>) -> io::Result<ExitStatus> {
        let status = self.wait_for(None, site)?;
        // Still tied after its end: the context was faster.
        self.was_ended().map_or(Ok(status), |why| Err(why.into()))
    }

    /// The same with what it writes.
    pub(super) fn output(mut self, site: &'static Location<'static>) -> io::Result<Output> {
        let output = self.read_and_wait(site)?;
        self.was_ended().map_or(Ok(output), |why| Err(why.into()))
    }

    /// Hands over to std, without the pipes that were closed; the child is no longer ended by a context.
    ///
    /// # Errors
    /// The child is being killed since its context has ended.
    ///
    /// # Examples
    /// ```
    /// let child = gort::process::Command::new("true").spawn()?;
    /// let mut theirs: std::process::Child = child.into_std()?;
    /// assert!(gort::blocking(|| theirs.wait())?.success());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn into_std(mut self) -> io::Result<std::process::Child> {
        self.untie();
        let being_killed = || io::Error::other("the child is being killed: its context has ended");
        let mut child = Arc::into_inner(self.life).ok_or_else(being_killed)?.into_std();
        // An error means that it was closed.
        child.stdin = self.stdin.and_then(|stdin| stdin.into_std().ok());
        child.stdout = self.stdout.and_then(|stdout| stdout.into_std().ok());
        child.stderr = self.stderr.and_then(|stderr| stderr.into_std().ok());
        Ok(child)
    }
}

fn read_all(mut from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads both to their ends: a child that is held up at one of them does not reach the end of the other.
fn read_both(stdout: &ChildStdout, stderr: &ChildStderr) -> io::Result<(Vec<u8>, Vec<u8>)> {
    ambient::check()?;
    scope(|s| {
        let reading = Builder::new().spawn_scoped(s, || read_all(stderr))?;
        let read = read_all(stdout);
        if read.is_err() {
            // It need not wait for the end. An error means that it has been closed.
            let _ = stderr.close();
        }
        let stderr = reading.join().unwrap_or_else(|payload| std::panic::resume_unwind(payload));
        Ok((read?, stderr?))
    })
}

impl From<std::process::Child> for Child {
    /// Takes over a child of std's. If a pipe cannot be registered with the poller, its first use says so.
    fn from(child: std::process::Child) -> Self {
        Self::new(child)
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child")
            .field("id", &self.id())
            .field("stdin", &self.stdin)
            .field("stdout", &self.stdout)
            .field("stderr", &self.stderr)
            .finish_non_exhaustive()
    }
}

//! What to start, and how.

use super::child::Child;
use crate::blocking;
use crate::context::{self, ambient};
use crate::signal::Signal;
use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::unix::process::CommandExt;
use std::panic::Location;
use std::path::Path;
use std::process::{CommandArgs, CommandEnvs, ExitStatus, Output, Stdio};
use std::time::Duration;

/// What to start and how, as [`std::process::Command`]. Starting is a [marked section](crate::blocking).
///
/// # Examples
/// ```
/// let output = gort::process::Command::new("echo").arg("hello").output()?;
/// assert!(output.status.success());
/// assert_eq!(output.stdout, b"hello\n");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Command {
    std: std::process::Command,
    /// Which of input, output and error the user has chosen.
    chosen: [bool; 3],
    on_cancel: OnCancel,
}

/// What the end of the context does.
#[derive(Clone, Copy)]
struct OnCancel {
    kills: bool,
    signal: Signal,
    grace: Duration,
}

impl Command {
    /// Starts `program` later: a path, or a name that is looked for in `PATH`. As [`std::process::Command::new`].
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        std::process::Command::new(program).into()
    }

    /// Adds an argument.
    pub fn arg(&mut self, arg: impl AsRef<OsStr>) -> &mut Self {
        self.std.arg(arg);
        self
    }

    /// Adds arguments.
    pub fn args(&mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> &mut Self {
        self.std.args(args);
        self
    }

    /// Sets a variable of the child's environment.
    pub fn env(&mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Self {
        self.std.env(key, value);
        self
    }

    /// Sets variables of the child's environment.
    pub fn envs(&mut self, variables: impl IntoIterator<Item = (impl AsRef<OsStr>, impl AsRef<OsStr>)>) -> &mut Self {
        self.std.envs(variables);
        self
    }

    /// Keeps a variable from the child.
    pub fn env_remove(&mut self, key: impl AsRef<OsStr>) -> &mut Self {
        self.std.env_remove(key);
        self
    }

    /// Keeps all variables from the child, but those that are set from here on.
    pub fn env_clear(&mut self) -> &mut Self {
        self.std.env_clear();
        self
    }

    /// Sets the directory that the child begins in.
    pub fn current_dir(&mut self, dir: impl AsRef<Path>) -> &mut Self {
        self.std.current_dir(dir);
        self
    }

    /// Sets the child's standard input. By default it has this process's, and none with [`output`](Self::output).
    pub fn stdin(&mut self, stdin: impl Into<Stdio>) -> &mut Self {
        self.std.stdin(stdin);
        self.chosen[0] = true;
        self
    }

    /// Sets the child's standard output. By default it has this process's, and a pipe with [`output`](Self::output).
    pub fn stdout(&mut self, stdout: impl Into<Stdio>) -> &mut Self {
        self.std.stdout(stdout);
        self.chosen[1] = true;
        self
    }

    /// Sets the child's standard error. By default it has this process's, and a pipe with [`output`](Self::output).
    pub fn stderr(&mut self, stderr: impl Into<Stdio>) -> &mut Self {
        self.std.stderr(stderr);
        self.chosen[2] = true;
        self
    }

    /// Sets the user that the child runs as. As std's [`CommandExt::uid`].
    pub fn uid(&mut self, id: u32) -> &mut Self {
        self.std.uid(id);
        self
    }

    /// Sets the group that the child runs as. As std's [`CommandExt::gid`].
    pub fn gid(&mut self, id: u32) -> &mut Self {
        self.std.gid(id);
        self
    }

    /// Sets what the child is told to be called.
    pub fn arg0(&mut self, arg: impl AsRef<OsStr>) -> &mut Self {
        self.std.arg0(arg);
        self
    }

    /// Puts the child into a process group, a new one if `pgroup` is 0: then a Ctrl-C on the terminal does not reach it.
    ///
    /// # Examples
    /// ```
    /// let mut child = gort::process::Command::new("sleep").arg("1000").process_group(0).spawn()?;
    /// child.kill()?;
    /// child.wait()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn process_group(&mut self, pgroup: i32) -> &mut Self {
        self.std.process_group(pgroup);
        self
    }

    /// Runs `f` in the child between fork and exec. As std's [`CommandExt::pre_exec`].
    ///
    /// "The parent" is the thread there: with `PR_SET_PDEATHSIG` the child is told when the thread ends that has started it, and threads come and go.
    ///
    /// # Safety
    /// As std's: `f` may do what is allowed after a fork in a program with threads, so neither allocate nor lock. And it must not use gort, which
    /// ends such a child with a message.
    ///
    /// # Examples
    /// ```
    /// use gort::process::Command;
    /// let mut command = Command::new("sh");
    /// command.args(["-c", "umask"]);
    /// // SAFETY: umask is one system call.
    /// unsafe { command.pre_exec(|| Ok(drop(libc::umask(0o27)))) };
    /// assert_eq!(command.output()?.stdout.trim_ascii(), b"0027");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub unsafe fn pre_exec(&mut self, f: impl FnMut() -> io::Result<()> + Send + Sync + 'static) -> &mut Self {
        // SAFETY: as the caller says.
        unsafe { self.std.pre_exec(f) };
        self
    }

    /// Replaces this process by the program; returns only if that fails. As std's [`CommandExt::exec`]: no destructor runs, and goroutines and threads end
    /// where they are.
    pub fn exec(&mut self) -> io::Error {
        self.std.exec()
    }

    /// With `true`, the end of the ambient [context](crate::context) in which a child is started kills it, if it has not ended by then; also if the
    /// [`Child`] was dropped. In the root that is a [shutdown](crate::runtime::shutdown). Go's `exec.CommandContext`.
    ///
    /// It is killed by SIGKILL, unless [`cancel_signal`](Self::cancel_signal) says otherwise. Its own children are not; a signal to a whole
    /// [process group](Self::process_group) is the program's to send.
    ///
    /// # Examples
    /// ```
    /// use gort::process::Command;
    /// use std::os::unix::process::ExitStatusExt;
    ///
    /// let (ctx, cancel) = gort::context::background().with_cancel();
    /// let mut child = ctx.run(|| Command::new("sleep").arg("1000").kill_on_cancel(true).spawn())?;
    /// cancel.cancel();
    /// assert_eq!(child.wait()?.signal(), Some(9));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn kill_on_cancel(&mut self, kills: bool) -> &mut Self {
        self.on_cancel.kills = kills;
        self
    }

    /// What the end of a context ends a child with: `signal` first, and SIGKILL if the child lives for longer than `grace` after that. Go's
    /// `Cmd.Cancel` and `Cmd.WaitDelay`. For [`kill_on_cancel`](Self::kill_on_cancel), [`status`](Self::status) and [`output`](Self::output).
    ///
    /// # Examples
    /// ```
    /// use gort::{process::Command, signal::Signal};
    /// use std::os::unix::process::ExitStatusExt;
    /// use std::time::Duration;
    ///
    /// let (ctx, cancel) = gort::context::background().with_cancel();
    /// let mut command = Command::new("sleep");
    /// command.arg("1000").kill_on_cancel(true).cancel_signal(Signal::TERM, Duration::from_secs(60));
    /// let mut child = ctx.run(|| command.spawn())?;
    /// cancel.cancel();
    /// assert_eq!(child.wait()?.signal(), Some(Signal::TERM.as_raw()));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn cancel_signal(&mut self, signal: Signal, grace: Duration) -> &mut Self {
        self.on_cancel = OnCancel { signal, grace, ..self.on_cancel };
        self
    }

    /// Starts a child.
    ///
    /// # Errors
    /// As [`std::process::Command::spawn`]; and if the ambient [context](crate::context) has ended.
    ///
    /// # Examples
    /// ```
    /// let mut child = gort::process::Command::new("true").spawn()?;
    /// assert!(child.wait()?.success());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn spawn(&mut self) -> io::Result<Child> {
        self.start(self.on_cancel.kills)
    }

    #[track_caller]
    fn start(&mut self, is_tied: bool) -> io::Result<Child> {
        ambient::check()?;
        let mut child = Child::from(blocking(|| self.std.spawn())?);
        if is_tied {
            child.tie(context::current(), self.on_cancel.signal, self.on_cancel.grace);
        }
        Ok(child)
    }

    /// Starts a child and waits for its end. The end of the ambient [context](crate::context) kills it.
    ///
    /// # Errors
    /// As [`spawn`](Self::spawn); and if the context has ended before the child has.
    ///
    /// # Examples
    /// ```
    /// assert!(gort::process::Command::new("true").status()?.success());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn status(&mut self) -> io::Result<ExitStatus> {
        self.start(true)?.status(Location::caller())
    }

    /// Starts a child with pipes for output and error, which are read to their ends, and waits for its end. What the user has chosen stays; the input is
    /// empty by default. The end of the ambient [context](crate::context) kills the child.
    ///
    /// # Errors
    /// As [`spawn`](Self::spawn); and if the context has ended before the child has.
    ///
    /// # Examples
    /// ```
    /// let (ctx, _) = gort::context::background().with_timeout(std::time::Duration::from_millis(5));
    /// let error = ctx.run(|| gort::process::Command::new("sleep").arg("1000").output()).unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    /// ```
    #[track_caller]
    pub fn output(&mut self) -> io::Result<Output> {
        self.with_defaults([Stdio::null, Stdio::piped, Stdio::piped]);
        let child = self.start(true);
        self.with_defaults([Stdio::inherit; 3]);
        child?.output(Location::caller())
    }

    /// Sets what the user has not chosen.
    fn with_defaults(&mut self, [stdin, stdout, stderr]: [fn() -> Stdio; 3]) {
        if !self.chosen[0] {
            self.std.stdin(stdin());
        }
        if !self.chosen[1] {
            self.std.stdout(stdout());
        }
        if !self.chosen[2] {
            self.std.stderr(stderr());
        }
    }

    /// The program.
    #[must_use]
    pub fn get_program(&self) -> &OsStr {
        self.std.get_program()
    }

    /// The arguments.
    pub fn get_args(&self) -> CommandArgs<'_> {
        self.std.get_args()
    }

    /// The variables that are set for the child, or kept from it.
    pub fn get_envs(&self) -> CommandEnvs<'_> {
        self.std.get_envs()
    }

    /// The directory that the child begins in, if it is not this process's.
    #[must_use]
    pub fn get_current_dir(&self) -> Option<&Path> {
        self.std.get_current_dir()
    }

    /// Std's command inside, for its extension traits.
    pub fn as_std_mut(&mut self) -> &mut std::process::Command {
        &mut self.std
    }
}

impl From<std::process::Command> for Command {
    /// Which streams std's command has been given is not to be seen from outside: [`output`](Command::output) replaces them unless they are set here.
    fn from(std: std::process::Command) -> Self {
        Self {
            std,
            chosen: [false; 3],
            on_cancel: OnCancel { kills: false, signal: Signal::KILL, grace: Duration::ZERO },
        }
    }
}

impl From<Command> for std::process::Command {
    fn from(command: Command) -> Self {
        command.std
    }
}

/// As std's.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.std.fmt(f)
    }
}

//! Child processes.

use super::child;
use super::support::{assert_error, ms, past, wait_parked, wait_until};
use gort::context::{Ended, background};
use gort::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use gort::signal::Signal;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

/// One that lives until it is told to end, or its input does.
fn cat() -> Command {
    let mut command = Command::new("cat");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

fn sh(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// What the kernel says of a process: `None` if there is none, `Z` for one that nobody has waited for.
fn state_of(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')').next()?.trim_start().chars().next()
}

/// Ends the child, if it has not ended, whatever becomes of the test.
struct Reaped(Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[gort::test(procs = [1, 2, 4])]
fn the_whole_surface_of_a_command() {
    let mut command = sh("echo $0 $A $B $C; pwd; cat; exit 3");
    command.arg("name").env("A", "a").envs([("B", "b"), ("C", "c")]).env_remove("C").current_dir("/");
    assert_eq!(command.get_program(), "sh");
    assert_eq!(command.get_args().count(), 3);
    assert_eq!(command.get_envs().count(), 3);
    assert_eq!(command.get_current_dir(), Some("/".as_ref()));
    assert!(format!("{command:?}").contains("\"sh\" \"-c\""), "{command:?}");
    for _ in 0..2 {
        let output = command.output().unwrap();
        assert_eq!(output.stdout, b"name a b\n/\n", "{output:?}");
        assert_eq!((output.status.code(), output.stderr), (Some(3), Vec::new()));
    }
    // After `output` the streams are as they were.
    let mut child = Reaped(cat().stdout(Stdio::null()).spawn().unwrap());
    assert!(child.0.stdin.is_some() && child.0.stdout.is_none() && child.0.stderr.is_none());
    assert!(child.0.wait().unwrap().success());
    let mut quiet = Command::new("true");
    quiet.output().unwrap();
    assert!(quiet.spawn().is_ok_and(|mut child| child.stdout.is_none() && child.wait().unwrap().success()));
    let output = sh("echo $A").env_clear().env("PATH", "/bin:/usr/bin").arg0("other").output().unwrap();
    assert_eq!(output.stdout, b"\n");
    // SAFETY: one system call.
    let uid = unsafe { libc::getuid() };
    assert!(Command::from(std::process::Command::new("true")).uid(uid).status().unwrap().success());
    assert_error(Command::new("/no/such/program").spawn(), ErrorKind::NotFound);
    assert_error(Command::new("with\0nul").status(), ErrorKind::InvalidInput);
    assert_error(Command::new("true").current_dir("/no/such/folder").output(), ErrorKind::NotFound);
}

/// Ten thousand wait, so to speak: none of those who wait for a child, or for what it writes, needs a thread.
#[gort::test(procs = [1, 2, 4])]
fn a_wait_and_a_read_park() {
    let mut children: Vec<_> = (0..8).map(|_| cat().spawn().unwrap()).collect();
    gort::scope(|s| {
        let (mut stdins, mut waiting) = (Vec::new(), Vec::new());
        for child in &mut children {
            stdins.push(child.stdin.take().unwrap());
            let mut stdout = child.stdout.take().unwrap();
            waiting.push(s.spawn(move || stdout.read(&mut [0; 8]).unwrap()));
            waiting.push(s.spawn(move || child.wait().unwrap().code().unwrap() as usize));
        }
        for one in &waiting {
            wait_parked(one.goroutine().id(), "IO wait, read");
        }
        for mut stdin in stdins {
            stdin.write_all(b"abc").unwrap();
        }
        let sum: usize = waiting.into_iter().map(|one| one.join().unwrap()).sum();
        assert_eq!(sum, 8 * 3);
    });
    for child in &mut children {
        assert_eq!(state_of(child.id()), None);
        assert!(child.try_wait().unwrap().unwrap().success() && child.wait().unwrap().success());
        // The number may be another process's by now.
        child.kill().unwrap();
        child.send_signal(Signal::TERM).unwrap();
    }
}

/// A child that fills both pipes: whoever read one to its end first would wait for ever.
#[gort::test(procs = [1, 2, 4])]
fn output_and_error_are_read_at_once() {
    let script = "dd if=/dev/zero bs=65536 count=8 2>/dev/null; dd if=/dev/zero bs=65536 count=8 >&2 2>/dev/null; \
                  dd if=/dev/zero bs=65536 count=8 2>/dev/null; echo end >&2";
    let output = sh(script).output().unwrap();
    assert!(output.status.success());
    assert_eq!((output.stdout.len(), output.stderr.len()), (16 << 16, (8 << 16) + 4));
    let child = cat().stderr(Stdio::piped()).spawn().unwrap();
    assert_eq!(child.wait_with_output().unwrap().stdout, b"");
}

/// Limits of a wait: not early, and the child goes on.
#[gort::test(procs = [1, 2, 4])]
fn a_wait_has_limits() {
    let mut child = Reaped(Command::new("sleep").arg("1000").spawn().unwrap());
    let start = Instant::now();
    assert_error(child.0.wait_timeout(ms(10)), ErrorKind::TimedOut);
    assert!(start.elapsed() >= ms(10));
    assert_error(child.0.wait_deadline(past()), ErrorKind::TimedOut);
    let (ctx, _) = background().with_timeout(ms(5));
    let error = ctx.run(|| child.0.wait()).unwrap_err();
    assert!(matches!(Ended::find(&error), Some(Ended::DeadlineExceeded(_))));
    assert!(child.0.try_wait().unwrap().is_none());
    child.0.kill().unwrap();
    assert_eq!(child.0.wait_timeout(Duration::MAX).unwrap().signal(), Some(9));
    // What is there wins over a limit that has passed.
    assert_eq!(child.0.wait_deadline(past()).unwrap().signal(), Some(9));
    assert!(ctx.run(|| child.0.wait()).is_ok());
}

/// FS-04 for a child's pipes: deadlines, timeouts, a context; and `BrokenPipe` once it is gone, as FS-02.
#[gort::test(procs = [1, 2, 4])]
fn a_childs_pipes_have_limits() {
    let mut child = Reaped(cat().spawn().unwrap());
    let mut stdin = child.0.stdin.take().unwrap();
    let mut stdout = child.0.stdout.take().unwrap();
    let deadline = Instant::now() + ms(10);
    stdout.set_read_deadline(Some(deadline)).unwrap();
    assert_error(stdout.read(&mut [0; 8]), ErrorKind::TimedOut);
    assert!(Instant::now() >= deadline);
    stdout.set_read_deadline(None).unwrap();
    stdin.write_all(b"x").unwrap();
    stdout.read_exact(&mut [0]).unwrap();
    stdin.set_write_timeout(Some(ms(10))).unwrap();
    // Nobody reads what it writes.
    assert_error(stdin.write_all(&vec![0; 1 << 22]), ErrorKind::TimedOut);
    child.0.kill().unwrap();
    wait_until(|| child.0.try_wait().unwrap().is_some());
    for _ in 0..20 {
        assert_error(stdin.write(b"x"), ErrorKind::BrokenPipe);
    }
    stdout.read_to_end(&mut Vec::new()).unwrap();
}

/// The end of the context in which it was started kills a child, whoever waits for it, also nobody; and one that has ended by itself stays untouched.
#[gort::test(procs = [1, 2, 4])]
fn the_end_of_a_context_kills() {
    let (ctx, cancel) = background().with_cancel();
    let sleeper = || Command::new("sleep").arg("1000").kill_on_cancel(true).spawn().unwrap();
    let mut quick = ctx.run(|| Command::new("true").kill_on_cancel(true).spawn().unwrap());
    assert!(quick.wait().unwrap().success());
    let mut waited = ctx.run(sleeper);
    let dropped = ctx.run(sleeper).id();
    let mut free = Reaped(ctx.run(|| Command::new("sleep").arg("1000").spawn().unwrap()));
    gort::scope(|s| {
        // In the very context whose end kills the child, and outside of it.
        let waiting = s.spawn(|| ctx.run(|| waited.wait()));
        wait_parked(waiting.goroutine().id(), "IO wait, read");
        cancel.cancel();
        assert_eq!(waiting.join().unwrap().unwrap().signal(), Some(9));
    });
    wait_until(|| state_of(dropped).is_none());
    assert!(free.0.try_wait().unwrap().is_none());
    assert!(ctx.run(sleeper_that_is_refused).is_cancelled());
    assert!(quick.wait().unwrap().success());

    let (ctx, _) = background().with_timeout(ms(20));
    let start = Instant::now();
    let error = ctx.run(|| sh("echo early; exec sleep 1000").output()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(start.elapsed() >= ms(20));
    let (ctx, _) = background().with_timeout(ms(20));
    assert_error(ctx.run(|| Command::new("sleep").arg("1000").status()), ErrorKind::TimedOut);
}

fn sleeper_that_is_refused() -> Ended {
    let error = Command::new("sleep").arg("1000").spawn().unwrap_err();
    Ended::find(&error).unwrap().clone()
}

/// Gently first. One that ends by itself then keeps its status; one that does not is killed after its time of grace.
#[gort::test(procs = [1, 2, 4])]
fn a_child_is_asked_to_end_before_it_is_killed() {
    let start = |script: &str, grace: Duration| {
        let (ctx, cancel) = background().with_cancel();
        let mut command = sh(script);
        command.stdout(Stdio::piped()).kill_on_cancel(true).cancel_signal(Signal::TERM, grace);
        let mut child = ctx.run(|| command.spawn().unwrap());
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut String::new()).unwrap();
        cancel.cancel();
        (child, stdout)
    };
    let (mut child, _out) = start("trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done", Duration::MAX);
    assert_eq!(child.wait().unwrap().code(), Some(7));
    let (mut child, _out) = start("trap '' TERM; echo ready; while :; do sleep 0.01; done", ms(20));
    let begin = Instant::now();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    assert!(begin.elapsed() >= ms(10), "it was killed without grace");
}

/// From and to std, and from one child to the next.
#[gort::test(procs = [1, 2, 4])]
fn children_and_their_pipes_go_to_std_and_back() {
    let mut command = std::process::Command::from(Command::new("cat"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = Child::from(command.spawn().unwrap());
    let next = Command::new("cat").stdin(child.stdout.take().unwrap()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"through both").unwrap();
    assert_eq!(next.wait_with_output().unwrap().stdout, b"through both");
    let mut theirs = child.into_std().unwrap();
    assert!(gort::blocking_send(|| theirs.wait()).unwrap().success());

    let mut child = cat().stderr(Stdio::piped()).spawn().unwrap();
    let (id, stderr) = (child.id(), child.stderr.take().unwrap());
    assert!(
        format!("{child:?}").starts_with(&format!("Child {{ id: {id}, stdin: Some(ChildStdin {{ fd: ")),
        "{child:?}"
    );
    let mut theirs = child.into_std().unwrap();
    drop(ChildStderr::from(OwnedFd::from(std::process::ChildStderr::from(stderr))));
    theirs.stdin.take().unwrap().write_all(b"by std").unwrap();
    let mut text = String::new();
    gort::blocking_send(|| theirs.stdout.take().unwrap().read_to_string(&mut text)).unwrap();
    assert_eq!(text, "by std");
    assert!(Child::from(theirs).wait().unwrap().success());
}

/// Somebody else has waited for the child, as happens in programs that ignore SIGCHLD: an error, and no wait for ever.
#[gort::test(procs = [1, 2, 4])]
fn a_child_that_somebody_else_has_waited_for() {
    let mut child = Command::new("true").spawn().unwrap();
    let id = child.id() as i32;
    // SAFETY: the call writes nothing.
    assert_eq!(gort::blocking(|| unsafe { libc::waitpid(id, std::ptr::null_mut(), 0) }), id);
    let error = child.wait().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ECHILD));
    assert_eq!(child.kill().unwrap_err().raw_os_error(), Some(libc::ECHILD));
}

/// Without a descriptor to be had a wait still ends, in time.
#[gort::test(procs = [1, 2, 4])]
fn out_of_descriptors_a_thread_waits() {
    if !child::is_child() {
        child::run("children::out_of_descriptors_a_thread_waits");
        return;
    }
    let (mut slow, mut quick) = (Reaped(Command::new("sleep").arg("1000").spawn().unwrap()), cat().spawn().unwrap());
    let (stdin, _stdout) = (quick.stdin.take(), quick.stdout.take());
    let files: Vec<_> = {
        child::set_descriptor_limit(64);
        std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect()
    };
    assert_error(slow.0.wait_timeout(ms(10)), ErrorKind::TimedOut);
    let (ctx, cancel) = background().with_cancel();
    gort::scope(|s| {
        let waiting = s.spawn(|| ctx.run(|| slow.0.wait()));
        let waits = s.spawn(|| quick.wait());
        cancel.cancel();
        assert!(Ended::find(&waiting.join().unwrap().unwrap_err()).is_some());
        drop(stdin);
        assert!(waits.join().unwrap().unwrap().success());
    });
    drop(files);
    child::raise_descriptor_limit();
}

/// On plain threads the same calls block the thread.
#[gort::test(procs = [1, 2, 4])]
fn plain_threads_start_children() {
    fn on_a_thread() -> io::Result<()> {
        let output = sh("cat; echo error >&2").output()?;
        assert_eq!((&output.stdout[..], &output.stderr[..]), (&b""[..], &b"error\n"[..]));
        let mut child = cat().spawn()?;
        assert_error(child.wait_with_a_limit(), ErrorKind::TimedOut);
        let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        stdin.write_all(b"hello")?;
        drop(stdin);
        let mut text = String::new();
        stdout.read_to_string(&mut text)?;
        assert_eq!(text, "hello");
        assert!(child.wait()?.success());
        Ok(())
    }
    gort::blocking_send(|| std::thread::spawn(on_a_thread).join().unwrap()).unwrap();
}

/// A wait closes the child's input, so one that is to be waited for in vain keeps it.
trait WaitWithALimit {
    fn wait_with_a_limit(&mut self) -> io::Result<()>;
}

impl WaitWithALimit for Child {
    fn wait_with_a_limit(&mut self) -> io::Result<()> {
        let stdin = self.stdin.take();
        let waited = self.wait_timeout(ms(5)).map(drop);
        self.stdin = stdin;
        waited
    }
}

/// Many at once, on all sides: each status is its child's.
#[gort::test(procs = [1, 2, 4])]
fn many_children_at_once() {
    gort::scope(|s| {
        let waiting: Vec<_> =
            (0..40).map(|n| s.spawn(move || sh(&format!("exit {n}")).status().unwrap().code().unwrap())).collect();
        for (n, one) in waiting.into_iter().enumerate() {
            assert_eq!(one.join().unwrap(), n as i32);
        }
    });
}

#[gort::test]
fn the_types_have_the_traits_of_std() {
    fn check<T: Send + Sync + Unpin + std::fmt::Debug + 'static>() {}
    check::<Command>();
    check::<Child>();
    check::<ChildStdin>();
    check::<ChildStdout>();
    check::<ChildStderr>();
}

//! Processes made from goroutines.

use crate::child;
use crate::support::{pipe, write_byte};
use std::ffi::CString;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

/// Forks; the child process ends with the code that `then` gives. Returns how it ended.
fn fork_and_wait(then: impl FnOnce() -> i32) -> i32 {
    // SAFETY: the child does only what glibc allows after fork: it restores its allocator's locks.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "{}", std::io::Error::last_os_error());
    if pid == 0 {
        let code = then();
        // SAFETY: ends the process.
        unsafe { libc::_exit(code) }
    }
    let mut status = 0;
    loop {
        // SAFETY: the kernel writes a live int.
        let waited = gort::blocking(|| unsafe { libc::waitpid(pid, &raw mut status, 0) });
        if waited == pid {
            return status;
        }
        assert_eq!(std::io::Error::last_os_error().raw_os_error(), Some(libc::EINTR));
    }
}

/// Goroutines that allocate, park and move all the time, until told to stop.
fn noise(stop: &Arc<AtomicUsize>) -> Vec<gort::JoinHandle<()>> {
    let run = |stop: Arc<AtomicUsize>| {
        move || {
            let mut kept = Vec::new();
            while stop.load(SeqCst) == 0 {
                kept.push(vec![1_u8; 100 + kept.len() * 37 % 5000]);
                gort::yield_now();
                if kept.len() > 50 {
                    kept.clear();
                }
            }
        }
    };
    (0..4).map(|_| gort::go(run(stop.clone()))).collect()
}

/// fork and exec, 50 times, from several goroutines, while others go on. The child process allocates, uses thread-locals and errno first.
#[test]
fn goroutines_fork_and_exec_while_others_go_on() {
    let this = child::of(|_| {
        let stop = Arc::new(AtomicUsize::new(0));
        let noise = noise(&stop);
        let forking: Vec<_> = (0..5)
            .map(|_| {
                gort::go(|| {
                    thread_local!(static LOCAL: std::cell::Cell<u32> = const { std::cell::Cell::new(0) });
                    for round in 0..10 {
                        LOCAL.set(round);
                        let program = CString::new("/bin/true").unwrap();
                        let status = fork_and_wait(|| {
                            let text = format!("{} {:?}", vec![round; 2000].len(), std::thread::current().id());
                            if LOCAL.get() != round || !text.starts_with("2000 ") {
                                return 90;
                            }
                            let arguments = [program.as_ptr(), std::ptr::null()];
                            // SAFETY: a program and its arguments, ended by null.
                            unsafe { libc::execv(program.as_ptr(), arguments.as_ptr()) };
                            91
                        });
                        assert!(libc::WIFEXITED(status), "{status:#x}");
                        assert_eq!(libc::WEXITSTATUS(status), 0);
                        gort::yield_now();
                    }
                })
            })
            .collect();
        forking.into_iter().for_each(|handle| handle.join().unwrap());
        stop.store(1, SeqCst);
        noise.into_iter().for_each(|handle| handle.join().unwrap());
    });
    this.run("").exited(0).never_says("gort: ");
}

/// fork without exec: the child process has one thread, runs a little and exits, as after any fork of a program with threads.
#[test]
fn a_forked_child_may_run_a_little_and_exit() {
    let this = child::of(|_| {
        let stop = Arc::new(AtomicUsize::new(0));
        let noise = noise(&stop);
        let (reader, writer) = pipe();
        for round in 0..10 {
            let status = gort::go(move || {
                fork_and_wait(|| {
                    write_byte(writer);
                    let caught = std::panic::catch_unwind(|| std::panic::resume_unwind(Box::new(3)));
                    if caught.is_err() { round } else { 90 }
                })
            });
            let status = status.join().unwrap();
            assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == round, "{status:#x}");
            crate::support::read_byte(reader);
        }
        stop.store(1, SeqCst);
        noise.into_iter().for_each(|handle| handle.join().unwrap());
    });
    this.run("").exited(0);
}

/// std's `Command`: by posix_spawn, and by fork and exec with code in between; a signal mask and ignored signals are not passed on.
#[test]
fn commands_run_with_and_without_code_before_the_exec() {
    let this = child::of(|_| {
        let stop = Arc::new(AtomicUsize::new(0));
        let noise = noise(&stop);
        let running: Vec<_> = (0..4)
            .map(|n| {
                gort::go(move || {
                    for k in 0..10 {
                        let mut command = Command::new("/bin/sh");
                        command.args(["-c", "cat; echo \"$0\"; exit 7", &k.to_string()]);
                        if (n + k) % 2 == 0 {
                            // SAFETY: allocating in the child is what is being tried; glibc allows it after fork.
                            unsafe {
                                command.pre_exec(move || {
                                    let block = std::hint::black_box(vec![k; 100_000]);
                                    if block[5] == k { Ok(()) } else { Err(std::io::Error::other("memory")) }
                                })
                            };
                        }
                        let output = command.output().unwrap();
                        assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{k}\n"));
                        assert_eq!(output.status.code(), Some(7));
                    }
                    let error = Command::new("/no/such/program").spawn().unwrap_err();
                    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
                })
            })
            .collect();
        running.into_iter().for_each(|handle| handle.join().unwrap());
        // What an exec'd program inherits: nothing blocked, and of ours no signal ignored (SIGPIPE is std's own business).
        let masks = Command::new("/bin/cat").arg("/proc/self/status").output().unwrap();
        let masks = String::from_utf8(masks.stdout).unwrap();
        assert!(masks.contains("SigBlk:\t0000000000000000"), "{masks}");
        stop.store(1, SeqCst);
        noise.into_iter().for_each(|handle| handle.join().unwrap());
    });
    this.run("").exited(0).never_says("gort: ");
}

/// Whatever enters the runtime in a child without exec ends it with one message: no hang, and no goroutine of the parent's runs twice.
#[test]
fn in_a_forked_child_each_call_of_gort_is_an_error_that_says_why() {
    /// What a goroutine of the parent's waits for.
    #[derive(Clone)]
    struct Awaited {
        sender: gort::chan::Sender<()>,
        notify: Arc<gort::sync::Notify>,
    }
    fn call(name: &str, parked: &gort::JoinHandle<()>, awaited: &Awaited, address: std::net::SocketAddr) {
        match name {
            "close" => drop(awaited.sender.close()),
            "send" => drop(awaited.sender.try_send(())),
            "notify" => awaited.notify.notify_one(),
            "yield" => gort::yield_now(),
            "sleep" => gort::sleep(std::time::Duration::from_millis(1)),
            "park" => gort::park(),
            "go" => drop(gort::go(|| println!("it ran"))),
            "join" => drop(gort::go(|| println!("it ran")).join()),
            "scope" => gort::scope(|s| drop(s.spawn(|| println!("it ran")))),
            "unpark" => parked.goroutine().unpark(),
            "blocking" => gort::blocking(|| ()),
            "host" => gort::host(|| ()),
            "lock" => drop(gort::lock_os_thread()),
            "connect" => drop(gort::net::TcpStream::connect(address)),
            "listen" => drop(gort::net::TcpListener::bind("127.0.0.1:0")),
            "metrics" => drop(gort::runtime::metrics()),
            "dump" => drop(gort::runtime::dump()),
            // The goroutine's end.
            _ => {}
        }
    }
    let this = child::of(|case| {
        let (from, name) = case.split_once(' ').unwrap();
        let stop = Arc::new(AtomicUsize::new(0));
        let noise = noise(&stop);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let parked = gort::go(gort::park);
        crate::support::wait_for_state(parked.goroutine().id(), "park");
        let (sender, receiver) = gort::chan::bounded(0);
        let awaited = Awaited { sender, notify: Arc::default() };
        let notify = awaited.notify.clone();
        let waiting = [gort::go(move || assert!(receiver.recv().is_err())), gort::go(move || notify.wait())];
        crate::support::wait_for_state(waiting[0].goroutine().id(), "chan receive");
        crate::support::wait_for_state(waiting[1].goroutine().id(), "notify");
        let name = name.to_owned();
        let in_host = from == "host";
        let forks = move || {
            // SAFETY: the child does what is being tried.
            let fork = || unsafe { libc::fork() };
            // Back from the thread beneath, which in the child is none.
            let pid = if in_host { gort::host(fork) } else { fork() };
            assert!(pid >= 0);
            if pid == 0 {
                call(&name, &parked, &awaited, address);
                if name != "end" {
                    println!("it went on");
                    // SAFETY: ends the process.
                    unsafe { libc::_exit(91) }
                }
                return None;
            }
            let mut status = 0;
            // SAFETY: the kernel writes a live int.
            assert_eq!(gort::blocking(|| unsafe { libc::waitpid(pid, &raw mut status, 0) }), pid);
            parked.goroutine().unpark();
            parked.join().unwrap();
            let _ = awaited.sender.close();
            awaited.notify.notify_one();
            waiting.into_iter().for_each(|handle| handle.join().unwrap());
            Some(status)
        };
        let status = match from {
            "goroutine" | "host" => gort::go(forks).join().unwrap(),
            "locked" => gort::go(|| {
                let _locked = gort::lock_os_thread();
                forks()
            })
            .join()
            .unwrap(),
            // A thread that has waited in gort before, and one that has not.
            "waited" => {
                drop(gort::current());
                forks()
            }
            _ => std::thread::spawn(forks).join().unwrap(),
        };
        let status = status.expect("the child has ended");
        assert!(libc::WIFEXITED(status), "{status:#x}");
        println!("status {}", libc::WEXITSTATUS(status));
        stop.store(1, SeqCst);
        noise.into_iter().for_each(|handle| handle.join().unwrap());
    });
    let refused = |case: &str| {
        let ended = this.run(case);
        ended.exited(0).says_once("gort: this process was made by fork without exec").says("std::process::Command");
        assert!(!ended.out.contains("it ran") && !ended.out.contains("it went on"), "{ended}");
        assert_eq!(ended.value("status"), "2", "{ended}");
    };
    for name in ["yield", "sleep", "park", "go", "join", "scope", "unpark", "blocking", "host", "lock"] {
        refused(&format!("goroutine {name}"));
    }
    for name in ["connect", "listen", "metrics", "dump", "close", "send", "notify", "end"] {
        refused(&format!("goroutine {name}"));
    }
    refused("host yield");
    refused("host end");
    refused("locked yield");
    refused("locked end");
    for from in ["waited", "thread"] {
        for name in ["park", "go", "join", "scope", "connect", "listen", "metrics", "dump", "close", "send", "notify"] {
            refused(&format!("{from} {name}"));
        }
    }
}

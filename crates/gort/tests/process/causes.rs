//! Nobody needs to know which of their dependencies block: nine ways to keep a thread, none of them marked, each by as many goroutines as there are
//! processors. Everybody else goes on, and so does the goroutine when its thread comes back.

use crate::child::{self, Test};
use crate::meanwhile::{Echo, Meanwhile};
use crate::namespaces::{Mounts, Namespaces};
use crate::support::{is_perturbed, ms, needs_migration, pipe, read_byte, scaled, write_byte};
use std::ffi::{CString, c_int};
use std::io::Write;
use std::net::{ToSocketAddrs, UdpSocket};
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

/// How much of everybody else's work has to be done while all processors' first holders are stuck.
const ROUNDS: u64 = 30;

/// As many goroutines as processors run into `block`; `release` lets them go. (What comes back by itself needs no release, but lasts.)
pub(crate) fn take_all_procs(block: impl Fn() + Clone + Send + 'static, release: Option<impl FnOnce()>) {
    let procs = gort::runtime::max_procs();
    let meanwhile = Meanwhile::start();
    meanwhile.wait_for(1);
    let before = gort::runtime::metrics().retakes;
    let begun = Arc::new(AtomicUsize::new(0));
    let stuck: Vec<_> = (0..procs)
        .map(|_| {
            let (begun, block) = (begun.clone(), block.clone());
            gort::go(move || {
                begun.fetch_add(1, SeqCst);
                block();
                // Among the others again: it waits for a processor like everybody.
                gort::sleep(ms(1));
                gort::yield_now();
            })
        })
        .collect();
    while begun.load(SeqCst) < procs {
        std::thread::sleep(ms(1));
    }
    meanwhile.wait_for(ROUNDS);
    let is_stuck = stuck.iter().all(|handle| !handle.is_finished());
    let retakes = gort::runtime::metrics().retakes - before;
    println!("retakes {retakes}");
    assert!(retakes >= 1, "nobody took a processor from a goroutine that is stuck");
    if let Some(release) = release {
        assert!(is_stuck, "they were to be stuck until they are let go");
        release();
    }
    stuck.into_iter().for_each(|handle| handle.join().unwrap());
    meanwhile.wait_for(ROUNDS);
}

pub(crate) const BY_ITSELF: Option<fn()> = None;

/// Runs the child with 1, 2 and 4 processors.
fn with_procs(this: Test) {
    if needs_migration("goroutines that have begun on a blocked thread wait for it") {
        return;
    }
    for procs in ["1", "2", "4"] {
        this.case("").env("GORT_MAXPROCS", procs).run().exited(0);
    }
}

#[test]
fn sleep() {
    // SAFETY: sleeps.
    let nap = || assert_eq!(unsafe { libc::sleep(1) }, 0);
    with_procs(child::of(|_| take_all_procs(nap, BY_ITSELF)));
}

#[test]
fn read_of_an_empty_pipe() {
    with_procs(child::of(|_| {
        let (reader, writer) = pipe();
        let release = || (0..gort::runtime::max_procs()).for_each(|_| write_byte(writer));
        take_all_procs(move || read_byte(reader), Some(release));
    }));
}

#[test]
fn flock() {
    /// Opens the file anew: locks belong to the opening.
    fn locked(path: &CString) -> c_int {
        // SAFETY: a text that ends; locking blocks until the kernel grants it.
        unsafe {
            let fd = libc::open(path.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
            assert!(fd >= 0);
            assert_eq!(libc::flock(fd, libc::LOCK_EX), 0);
            fd
        }
    }
    // SAFETY: the descriptor is nobody else's.
    let unlock = |fd| assert_eq!(unsafe { libc::close(fd) }, 0);
    with_procs(child::of(|_| {
        let path = std::env::temp_dir().join(format!("gort-flock-{}", std::process::id()));
        std::fs::write(&path, "").unwrap();
        let name = CString::new(path.to_str().unwrap()).unwrap();
        let held = locked(&name);
        take_all_procs(move || unlock(locked(&name)), Some(|| unlock(held)));
        std::fs::remove_file(path).unwrap();
    }));
}

#[test]
fn a_std_mutex() {
    with_procs(child::of(|_| {
        let mutex = Arc::new(Mutex::new(0));
        let theirs = mutex.clone();
        let guard = mutex.lock().unwrap();
        take_all_procs(move || *theirs.lock().unwrap() += 1, Some(|| drop(guard)));
        assert_eq!(*mutex.lock().unwrap(), gort::runtime::max_procs());
    }));
}

#[test]
fn a_std_channel() {
    with_procs(child::of(|_| {
        let (sender, receiver) = mpsc::channel::<()>();
        // One of them receives; the others wait for its lock.
        let receiver = Arc::new(Mutex::new(receiver));
        take_all_procs(move || assert!(receiver.lock().unwrap().recv().is_err()), Some(|| drop(sender)));
    }));
}

#[test]
fn a_childs_end() {
    with_procs(child::of(|_| {
        let waiting = Arc::new(Mutex::new(Vec::new()));
        let theirs = waiting.clone();
        let wait = move || {
            // It ends when its standard input does.
            let mut cat = std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
            theirs.lock().unwrap().push(cat.stdin.take());
            assert!(cat.wait().unwrap().success());
        };
        take_all_procs(wait, Some(|| waiting.lock().unwrap().clear()));
    }));
}

/// What `for (;;) if (*over) break;` is in C: no call, no stack, nothing that anybody could hook into.
#[unsafe(naked)]
extern "C" fn c_loop(over: *const u8) {
    std::arch::naked_asm!("2:", "cmp byte ptr [rdi], 0", "je 2b", "ret")
}

#[test]
fn an_endless_loop_in_c() {
    static OVER: AtomicU8 = AtomicU8::new(0);
    with_procs(child::of(|_| take_all_procs(|| c_loop(OVER.as_ptr()), Some(|| OVER.store(1, SeqCst)))));
}

#[test]
fn an_endless_loop_in_rust() {
    static OVER: AtomicBool = AtomicBool::new(false);
    let turn = || {
        loop {
            if OVER.load(Relaxed) {
                break;
            }
        }
    };
    with_procs(child::of(|_| take_all_procs(turn, Some(|| OVER.store(true, SeqCst)))));
}

/// In namespaces of its own, where the only name server there is does not answer.
#[test]
fn a_name_that_nobody_resolves() {
    let this = child::of(|_| {
        let mute = UdpSocket::bind("127.0.0.1:53").unwrap();
        let started = Instant::now();
        let resolve = || {
            let error = ("no.such.name.example", 80).to_socket_addrs().unwrap_err();
            println!("resolved {error}");
        };
        take_all_procs(resolve, BY_ITSELF);
        assert!(started.elapsed() >= ms(900), "the resolver has not waited for its server");
        mute.set_nonblocking(true).unwrap();
        assert!(mute.recv(&mut [0; 512]).is_ok(), "nobody asked the server");
    });
    if needs_migration("goroutines that have begun on a blocked thread wait for it") {
        return;
    }
    let path = std::env::temp_dir().join(format!("gort-resolv-{}", std::process::id()));
    std::fs::write(&path, "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n").unwrap();
    let namespaces = Namespaces::with(Mounts::ResolvConf(CString::new(path.to_str().unwrap()).unwrap()));
    match namespaces.around(this.case("").env("GORT_MAXPROCS", "2")) {
        Err(error) => println!("skipped: no namespaces of its own for the resolver's configuration: {error}"),
        Ok(case) => drop(case.run().exited(0).prints("resolved")),
    }
    std::fs::remove_file(&path).unwrap();
}

/// A goroutine holds a `std::sync::Mutex` while it waits for the network, again and again, and fifty others want it, on two processors: the threads
/// that could run the holder are never all blocked.
#[test]
fn a_std_mutex_held_across_a_read_and_wanted_by_fifty_never_deadlocks() {
    const TURNS: usize = 40;
    let this = child::of(|_| {
        let (mut echo, mutex) = (Echo::start(), Arc::new(Mutex::new(0)));
        let over = Arc::new(AtomicBool::new(false));
        let waiting: Vec<_> = (0..50)
            .map(|_| {
                let (mutex, over) = (mutex.clone(), over.clone());
                gort::go(move || {
                    let mut turns = 0_u64;
                    while !over.load(SeqCst) {
                        *mutex.lock().unwrap() += 1;
                        turns += 1;
                        gort::yield_now();
                    }
                    turns
                })
            })
            .collect();
        let holder = gort::go(move || {
            for _ in 0..TURNS {
                let guard = mutex.lock().unwrap();
                echo.once();
                gort::sleep(ms(1));
                drop(guard);
                gort::sleep(ms(1));
            }
        });
        holder.join().unwrap();
        over.store(true, SeqCst);
        let turns: u64 = waiting.into_iter().map(|handle| handle.join().unwrap()).sum();
        println!("turns {turns} retakes {}", gort::runtime::metrics().retakes);
        assert!(gort::runtime::metrics().retakes >= 1);
    });
    if needs_migration("a std lock held across a wait can stop a thread there for good") {
        return;
    }
    this.case("").env("GORT_MAXPROCS", "2").run().exited(0);
}

/// One goroutine for each processor is in `std::thread::sleep`: an echo is back within 5 ms, 99 times of 100. (The sleep is shorter than three
/// seconds; what it costs is at its beginning.)
#[test]
fn sockets_answer_while_a_goroutine_of_each_proc_sleeps_in_the_kernel() {
    let this = child::of(|_| {
        let mut echo = Echo::start();
        let time = ms(1500);
        let sleeping: Vec<_> =
            (0..gort::runtime::max_procs()).map(|_| gort::go(move || std::thread::sleep(time))).collect();
        let asking = gort::go(move || {
            let (start, mut times) = (Instant::now(), Vec::new());
            while start.elapsed() < time - ms(100) {
                times.push(echo.once());
                gort::sleep(Duration::from_micros(500));
            }
            times
        });
        let mut times = asking.join().unwrap();
        times.sort_unstable();
        let p99 = times[times.len() * 99 / 100];
        println!("{} echoes, p50 {:?}, p99 {p99:?}, longest {:?}", times.len(), times[times.len() / 2], times.last());
        assert!(is_perturbed() || p99 < scaled(ms(5)), "p99 {p99:?}");
        sleeping.into_iter().for_each(|handle| handle.join().unwrap());
    });
    if needs_migration("goroutines that have begun on a blocked thread wait for it") {
        return;
    }
    for procs in ["1", "2"] {
        let ended = this.case("").env("GORT_MAXPROCS", procs).run();
        std::io::stdout().write_all(ended.exited(0).out.as_bytes()).unwrap();
    }
}

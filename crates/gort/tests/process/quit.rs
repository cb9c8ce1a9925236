//! SIGQUIT: "say what everybody is doing", and the process goes on.

use crate::child::{self, Running};
use crate::support::{entry_of, ms, needs_migration, pipe, read_byte, threads, wait_for_parent, wait_for_state};
use std::time::{Duration, Instant};

/// Goroutines in all the states that stay; prints `ID STATE WAIT-LINE SPAWN-LINE` for each (0 for no line).
fn start_states() {
    let (stuck, _) = pipe();
    let listener = gort::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let fd = std::os::fd::AsRawFd::as_raw_fd(&listener);
    let expect = |handle: &gort::JoinHandle<()>, state: &str, waits: u32, spawned: u32| {
        wait_for_state(handle.goroutine().id(), state);
        println!("state {} {waits} {spawned} {state}", handle.goroutine().id());
    };
    let parked = gort::Builder::new().name("the \"parked\" one".into()).spawn(gort::park).unwrap();
    // `gort::park` itself was called by no line of ours, so no line is asked for.
    expect(&parked, "park, ", 0, line!() - 2);
    let parked_id = parked.goroutine().id();
    let timed = gort::go(|| gort::park_timeout(Duration::from_secs(1000)));
    expect(&timed, "park, ", line!() - 1, line!() - 1);
    let sleeps = gort::go(|| gort::sleep(Duration::from_secs(1000)));
    expect(&sleeps, "sleep, ", line!() - 1, line!() - 1);
    let joins = gort::go(|| parked.join().unwrap());
    expect(&joins, &format!("join, goroutine {parked_id}, "), line!() - 1, line!() - 1);
    let accepts = gort::go(move || drop(listener.accept()));
    expect(&accepts, &format!("IO wait, read, fd {fd}, "), line!() - 1, line!() - 1);
    let scope = gort::go(|| gort::scope(|s| drop(s.spawn(gort::park))));
    expect(&scope, "scope wait, 1 goroutines, ", line!() - 1, line!() - 1);
    let marked = gort::go(move || gort::blocking(|| read_byte(stuck)));
    expect(&marked, "syscall]", 0, line!() - 1);
    let unmarked = gort::go(move || read_byte(stuck));
    expect(&unmarked, "in the kernel: read]", 0, line!() - 1);
    let locked = gort::go(|| {
        let _thread = gort::lock_os_thread();
        gort::sleep(Duration::from_secs(1000));
    });
    // The milliseconds stand between the two.
    expect(&locked, "sleep, ", line!() - 3, line!() - 5);
}

/// Judges the first dump behind `start` bytes of standard error.
fn check_dump(running: &mut Running, start: usize) -> String {
    running.wait_until("a whole dump", |running| is_whole(&running.errors_so_far()[start..]));
    running.errors_so_far()[start..].to_owned()
}

/// The header says how many entries to expect.
fn is_whole(dump: &str) -> bool {
    let Some((_, rest)) = dump.split_once("gort: ") else { return false };
    let count = rest.split_once(' ').and_then(|(count, _)| count.parse::<usize>().ok());
    count.is_some_and(|count| dump.matches("\tcreated at ").count() >= count) && dump.ends_with("\n\n")
}

/// DX-11, without stacks. Every goroutine: id, name, state in Go's words, on what, since when, where it waits, where it was started; again
/// and again, and the process goes on.
#[test]
fn sigquit_prints_every_goroutine_and_the_process_goes_on() {
    let this = child::of(|_| {
        start_states();
        println!("ready");
        assert_eq!(wait_for_parent(), "still here?");
        assert_eq!(gort::go(|| 5).join().unwrap(), 5);
        println!("still here");
    });
    let mut running = this.case("").start();
    running.wait_for("ready\n");
    for round in 1..=3 {
        let start = running.errors_so_far().len();
        running.signal(libc::SIGQUIT);
        let dump = check_dump(&mut running, start);
        let mut states = 0;
        let out = running.output_so_far();
        for line in out.lines().filter_map(|line| line.strip_prefix("state ")) {
            let [id, waits, spawned, state] = line.splitn(4, ' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
            let entry = entry_of(&dump, id).unwrap_or_else(|| panic!("no goroutine {id} in dump {round}: {dump}"));
            assert!(entry.contains(&format!("[{state}")), "{state:?}: {entry}");
            assert!(waits == "0" || entry.contains(&format!("\twaits at {}:{waits}:", file!())), "{waits}: {entry}");
            assert!(entry.contains(&format!("\tcreated at {}:{spawned}:", file!())), "{spawned}: {entry}");
            let since = entry.split_once(" ms").and_then(|(before, _)| before.rsplit_once(' ')?.1.parse::<u64>().ok());
            assert_eq!(since.is_some(), state.ends_with(", "), "{entry}");
            assert!(since.is_none_or(|since| since < 60_000), "{entry}");
            states += 1;
        }
        assert_eq!(states, 9, "{out}");
        assert!(dump.contains(" \"the \\\"parked\\\" one\" [park, "), "{dump}");
        assert_eq!(dump.matches(" ms, locked to thread]:").count(), 1, "{dump}");
    }
    running.tell("still here?");
    running.end().exited(0).prints("still here");
}

/// While idle, sysmon asleep: the signal wakes it, and it goes to sleep again.
#[test]
fn sigquit_is_answered_by_an_idle_process() {
    let this = child::of(|_| {
        let _parked = gort::go(gort::park);
        let monitor = || threads().into_values().find(|thread| thread.name == "gort-sysmon");
        // A thread has its name only once it runs.
        while monitor().is_none() {
            std::thread::yield_now();
        }
        let switches = || monitor().unwrap().switches.0;
        for round in 0..2 {
            let (mut before, mut since) = (switches(), Instant::now());
            // It looks every 10 ms at least, unless it sleeps for good.
            while since.elapsed() < ms(200) {
                std::thread::sleep(ms(5));
                let now = switches();
                if now != before {
                    (before, since) = (now, Instant::now());
                }
            }
            println!("settled {round}");
            wait_for_parent();
        }
    });
    let mut running = this.case("").start();
    for round in 0..2 {
        running.wait_for(&format!("settled {round}\n"));
        let start = running.errors_so_far().len();
        running.signal(libc::SIGQUIT);
        let dump = check_dump(&mut running, start);
        assert!(dump.contains("[park, "), "{dump}");
        running.tell("");
    }
    running.end().exited(0);
}

/// Under load, again and again: a dump each time (signals that come together may share one), nothing crashes, the work goes on.
#[test]
fn sigquit_is_answered_under_load() {
    let this = child::of(|_| {
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let busy: Vec<_> = (0..20)
            .map(|n| {
                let stop = stop.clone();
                let busy = move || {
                    let mut rounds = 0_u64;
                    // Relaxed: only a sign.
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        match n % 3 {
                            0 => gort::Builder::new()
                                .name(format!("short {rounds}"))
                                .spawn(gort::yield_now)
                                .unwrap()
                                .join()
                                .unwrap(),
                            1 => gort::sleep(Duration::from_micros(50)),
                            _ => gort::yield_now(),
                        }
                        rounds += 1;
                    }
                    rounds
                };
                gort::go(busy)
            })
            .collect();
        println!("ready");
        wait_for_parent();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        for one in busy {
            assert!(one.join().unwrap() > 0);
        }
    });
    let mut running = this.case("").start();
    running.wait_for("ready\n");
    for _ in 0..20 {
        let seen = running.errors_so_far().matches("gort: ").count();
        running.signal(libc::SIGQUIT);
        running.wait_until("a dump", |running| running.errors_so_far().matches("gort: ").count() > seen);
    }
    for _ in 0..50 {
        running.signal(libc::SIGQUIT);
    }
    running.end().exited(0).never_says("panicked");
}

/// A goroutine that keeps standard error locked over a park, the very program one wants a dump of, does not keep the dump from coming; nor
/// does a reader that does not read.
#[test]
fn a_dump_waits_for_no_lock_of_the_program() {
    let this = child::of(|_| {
        let holds = gort::Builder::new().name("holder".into()).spawn(|| {
            let _stderr = std::io::stderr().lock();
            gort::park();
        });
        wait_for_state(holds.unwrap().goroutine().id(), "park");
        println!("ready");
        wait_for_parent();
    });
    let mut running = this.case("").start();
    running.wait_for("ready\n").signal(libc::SIGQUIT);
    running.wait_for_error("\"holder\" [park");
    running.end().exited(0);
}

/// While a dump cannot be written, because nobody reads it, the program goes on: the monitor has other duties.
#[test]
fn a_dump_that_nobody_reads_stops_nothing() {
    let this = child::of(|_| {
        let (reader, writer) = pipe();
        // SAFETY: both are descriptors of ours; standard error is a pipe from now on, with nobody at the other end.
        unsafe {
            assert!(libc::dup2(writer, 2) == 2 && libc::fcntl(reader, libc::F_SETPIPE_SZ, 4096) >= 4096);
        }
        let _parked: Vec<_> = (0..1000).map(|_| gort::go(gort::park)).collect();
        for _ in 0..3 {
            // SAFETY: the handler is installed.
            unsafe { libc::kill(libc::getpid(), libc::SIGQUIT) };
            gort::sleep(ms(20));
        }
        // Retakes are the monitor's business.
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let hogs: Vec<_> = (0..gort::runtime::max_procs())
            .map(|_| {
                let stop = stop.clone();
                // Relaxed: only a sign.
                gort::go(move || {
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        std::hint::spin_loop()
                    }
                })
            })
            .collect();
        for _ in 0..5 {
            gort::go(|| gort::sleep(ms(1))).join().unwrap();
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        hogs.into_iter().for_each(|hog| hog.join().unwrap());
        println!("went on");
    });
    if needs_migration("goroutines that have begun on a blocked thread wait for it") {
        return;
    }
    this.run("").exited(0).prints("went on");
}

/// `GORT_SIGQUIT=off` leaves the signal alone, and so does a program that has a handler or ignores it.
#[test]
fn sigquit_is_left_alone_where_that_is_wanted() {
    let this = child::of(|case| {
        if case == "ignored" {
            // SAFETY: ignores a signal.
            unsafe { libc::signal(libc::SIGQUIT, libc::SIG_IGN) };
        }
        gort::go(|| ()).join().unwrap();
        println!("ready");
        wait_for_parent();
    });
    let mut running = this.case("default").env("GORT_SIGQUIT", "off").start();
    running.wait_for("ready\n").signal(libc::SIGQUIT);
    running.wait().killed_by(libc::SIGQUIT).never_says("goroutine");
    let mut running = this.case("ignored").start();
    running.wait_for("ready\n").signal(libc::SIGQUIT);
    running.end().exited(0).never_says("goroutine");
}

/// Who has lost the processor is told by what the thread does, in the kernel or on a CPU.
#[test]
fn a_dump_says_where_those_are_who_have_lost_the_processor() {
    let this = child::of(|_| {
        let (stuck, _) = pipe();
        let reads = gort::go(move || read_byte(stuck));
        wait_for_state(reads.goroutine().id(), "in the kernel: read]");
        let computes = gort::go(|| {
            loop {
                std::hint::spin_loop();
            }
        });
        // Somebody wants the processor.
        gort::go(|| {
            loop {
                gort::sleep(ms(1));
            }
        });
        wait_for_state(computes.goroutine().id(), "running, without a P]");
        std::process::exit(0);
    });
    if needs_migration("who computes keeps what has begun on its thread") {
        return;
    }
    this.case("").env("GORT_MAXPROCS", "1").run().exited(0);
}

//! The watchdog: a goroutine that keeps a thread is named, with what it does there.

use crate::child::{self, Case, Ended};
use crate::support::{is_bound, ms, pipe, read_byte, wait_for_parent, wait_until};
use gort::runtime::{Builder, Watchdog, metrics};
use std::os::fd::AsRawFd;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// Starts a goroutine that wants the processor every millisecond.
fn want_the_processor() {
    gort::go(|| {
        loop {
            gort::sleep(ms(1));
        }
    });
}

fn flock(file: &std::fs::File) {
    // SAFETY: no memory is involved.
    assert_eq!(unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX) }, 0);
}

/// Blocks its thread for ever, in one way or another.
fn block(how: &str) {
    match how {
        "flock" => {
            let path = std::env::temp_dir().join(format!("gort-flock-{}", std::process::id()));
            let (ours, theirs) = (std::fs::File::create(&path).unwrap(), std::fs::File::open(&path).unwrap());
            std::fs::remove_file(&path).unwrap();
            flock(&ours);
            flock(&theirs);
        }
        "mutex" => {
            let mutex = std::sync::Mutex::new(());
            let _held = mutex.lock().unwrap();
            let _again = mutex.lock();
        }
        "sleep" => std::thread::sleep(Duration::from_secs(1000)),
        "read" => read_byte(pipe().0),
        "loop" => loop {
            std::hint::spin_loop();
        },
        other => panic!("{other}"),
    }
}

/// A child's report, after which it ends by itself.
fn reported(case: Case, words: &str) -> Ended {
    let mut running = case.env("GORT_WATCHDOG_AFTER", "100ms").start();
    running.wait_for_error(words).wait_for_error("makes it patient");
    running.end()
}

/// Who, where it waited last, where it was started, what it does, what can be done; and that in each of the ways to keep a thread.
#[test]
fn a_goroutine_that_keeps_its_thread_is_named_with_what_it_does() {
    let this = child::of(|case| {
        let how = case.to_owned();
        want_the_processor();
        let body = move || {
            gort::sleep(ms(1));
            block(&how);
        };
        gort::Builder::new().name("culprit".into()).spawn(body).unwrap();
        wait_for_parent();
        assert_eq!(metrics().stuck, 1);
    });
    for (case, does, advice) in [
        ("flock", "in the kernel: flock\n", "gort::blocking marks such a call"),
        ("read", "in the kernel: read\n", "gort::blocking marks such a call"),
        ("mutex", "waiting for a lock of std's or C's (futex)\n", "gort::sync and gort::chan park instead"),
        ("sleep", "in the kernel: clock_nanosleep\n", "gort::sleep parks instead"),
        ("loop", "on the CPU\n", "gort::yield_now() now and then"),
    ] {
        let ended = reported(this.case(case).env("GORT_MAXPROCS", "1"), does);
        ended.exited(0).says_once("gort: watchdog: ").says(" \"culprit\" has kept a thread for ");
        // In bound mode the one who wants the processor may have begun on that very thread; then it is said how both get one.
        let shares = is_bound() && ended.err.contains("begun on its thread");
        ended.says(match case {
            "mutex" if shares => "this never ends",
            _ if shares => "gort::blocking_send gives such a call a thread of its own",
            _ => advice,
        });
        let line = |what: &str| ended.err.lines().find(|line| line.contains(what)).unwrap_or_else(|| panic!("{ended}"));
        assert!(line("last waited in gort at").contains("process/watchdog.rs:"), "{ended}");
        assert!(line("created at").contains("process/watchdog.rs:"), "{ended}");
    }
}

/// Once for each call site, and all of them counted.
#[test]
fn each_site_is_reported_once() {
    let this = child::of(|_| {
        for _ in 0..3 {
            gort::go(|| block("read"));
        }
        let all_are_found = |count| {
            wait_until(|| {
                // Somebody who needs a processor, wherever the others have begun.
                gort::go(|| ());
                metrics().stuck == count
            });
        };
        all_are_found(3);
        gort::go(|| block("mutex"));
        all_are_found(4);
        wait_for_parent();
    });
    let ended = reported(this.case("").env("GORT_MAXPROCS", "1"), "std's or C's (futex)");
    ended.exited(0).says_once("in the kernel: read").says_once("(each place is reported once");
}

/// `off`: nothing, though the processor is taken; `abort`: the report is the last thing the process says; the builder's settings hold where the
/// environment says nothing.
#[test]
fn what_it_does_is_a_setting() {
    let this = child::of(|case| {
        if case == "builder" {
            Builder::new().watchdog(Watchdog::Abort).watchdog_after(ms(100)).start().unwrap();
        }
        want_the_processor();
        gort::go(|| block("sleep"));
        wait_until(|| metrics().retakes > 0);
        std::thread::sleep(ms(500));
        assert_eq!(metrics().stuck, 0);
    });
    let case = |name| this.case(name).env("GORT_MAXPROCS", "1");
    case("").env("GORT_WATCHDOG", "off").env("GORT_WATCHDOG_AFTER", "50ms").run().exited(0).never_says("gort: ");
    case("")
        .env("GORT_WATCHDOG", "abort")
        .env("GORT_WATCHDOG_AFTER", "50ms")
        .run()
        .killed_by(libc::SIGABRT)
        .says_once("gort: watchdog: ");
    case("builder").run().killed_by(libc::SIGABRT).says_once("clock_nanosleep");
    case("builder").env("GORT_WATCHDOG", "off").run().exited(0).never_says("gort: ");
}

/// Nobody wants its processor, so nobody takes it away; yet it may hang for good.
#[test]
fn a_goroutine_that_hangs_alone_is_named_too() {
    let this = child::of(|case| {
        let case = case.to_owned();
        gort::go(move || block(&case));
        wait_until(|| metrics().stuck > 0);
        std::thread::sleep(ms(300));
        // Once for one visit.
        assert_eq!(metrics().stuck, 1);
    });
    for (case, place) in [("sleep", "clock_nanosleep"), ("mutex", "waiting for a lock of std's or C's (futex)")] {
        let ended = this.case(case).env("GORT_WATCHDOG_AFTER", "100ms").run();
        ended.exited(0).says_once("gort: watchdog: goroutine ").says_once(place).says("Others run on");
    }
    // Where it may not be taken away at all, nobody is said to run on.
    let ended = this.case("sleep").env("GORT_WATCHDOG_AFTER", "100ms").env("GORT_RETAKE", "off").run();
    ended.exited(0).says_once("GORT_RETAKE=off forbids").never_says("Others run on");
}

/// Who has said that it may block is where it is supposed to be.
#[test]
fn a_marked_section_is_not_reported() {
    let this = child::of(|_| {
        want_the_processor();
        gort::go(|| gort::blocking(|| block("sleep")));
        wait_until(|| metrics().handoffs > 0);
        std::thread::sleep(ms(500));
        assert_eq!(metrics().stuck, 0);
    });
    this.case("").env("GORT_MAXPROCS", "1").env("GORT_WATCHDOG_AFTER", "50ms").run().exited(0).never_says("gort: ");
}

/// Nor is one that begins when the processor is gone already.
#[test]
fn a_marked_section_after_a_retake_is_not_reported() {
    let this = child::of(|_| {
        want_the_processor();
        gort::go(|| {
            let start = Instant::now();
            while start.elapsed() < ms(100) {
                std::hint::spin_loop();
            }
            gort::blocking(|| block("sleep"));
        });
        std::thread::sleep(ms(900));
        assert_eq!(metrics().stuck, 0);
    });
    this.case("").env("GORT_MAXPROCS", "1").env("GORT_WATCHDOG_AFTER", "200ms").run().exited(0).never_says("gort: ");
}

/// A process that was stopped for a while has no hogs: neither a retake nor a report for each goroutine that ran when it was stopped.
#[test]
fn a_stopped_process_has_no_hogs() {
    static TURNS: AtomicU64 = AtomicU64::new(0);
    let this = child::of(|_| {
        // Two that take turns, a millisecond each: one of them runs at any time, and the other one waits.
        for _ in 0..2 {
            gort::go(|| {
                loop {
                    let start = Instant::now();
                    while start.elapsed() < ms(1) {
                        std::hint::spin_loop();
                    }
                    TURNS.fetch_add(1, Relaxed);
                    gort::yield_now();
                }
            });
        }
        let take_turns = |count| {
            let until = TURNS.load(Relaxed) + count;
            while TURNS.load(Relaxed) < until {
                std::thread::sleep(ms(1));
            }
        };
        take_turns(20);
        let before = metrics();
        println!("runs");
        for _ in 0..4 {
            wait_for_parent();
            take_turns(20);
            println!("goes on");
        }
        println!("retakes {}", metrics().retakes - before.retakes);
        assert_eq!(metrics().stuck, 0);
    });
    let mut running = this.case("").env("GORT_MAXPROCS", "1").env("GORT_WATCHDOG_AFTER", "100ms").start();
    running.wait_for("runs");
    for stop in 1..=4 {
        running.signal(libc::SIGSTOP);
        std::thread::sleep(ms(300));
        running.signal(libc::SIGCONT);
        running.tell("");
        running.wait_until("the next turns", |running| running.output_so_far().matches("goes on").count() == stop);
    }
    let ended = running.end();
    ended.exited(0).never_says("watchdog");
    // One may be due to a busy machine.
    assert!(ended.value("retakes").parse::<u64>().unwrap() <= 1, "{ended}");
}

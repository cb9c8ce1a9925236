//! Bad days for those who keep threads: what a system refuses, and what happens in the midst of a call. docs/ROBUSTNESS.md has the outcomes.

use crate::causes::{BY_ITSELF, take_all_procs};
use crate::child;
use crate::common::{rounds, scaled, words_of};
use crate::meanwhile::Meanwhile;
use crate::namespaces::{Mounts, Namespaces};
use crate::support::{
    count_of_ms, ms, needs_migration, pipe, read_byte, refuse_system_calls, wait_for_parent, wait_until, write_byte,
};
use std::process::exit;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::Instant;

const BOUND: &str = "goroutines that have begun on a blocked thread wait for it";

/// Endless loops, then reads of an empty pipe, one for each processor: everybody else goes on.
fn take_procs_in_both_ways() {
    static OVER: AtomicBool = AtomicBool::new(false);
    let turn = || {
        while !OVER.load(Relaxed) {
            std::hint::spin_loop();
        }
    };
    take_all_procs(turn, Some(|| OVER.store(true, SeqCst)));
    let (reader, writer) = pipe();
    let release = || (0..gort::runtime::max_procs()).for_each(|_| write_byte(writer));
    take_all_procs(move || read_byte(reader), Some(release));
}

/// A sandbox that knows no membarrier: Ps are taken all the same.
#[test]
fn processors_are_taken_without_membarrier() {
    let this = child::of(|_| {
        refuse_system_calls(&[libc::SYS_membarrier], libc::EPERM);
        take_procs_in_both_ways();
    });
    if needs_migration(BOUND) {
        return;
    }
    for procs in ["1", "2", "4"] {
        this.case("").env("GORT_MAXPROCS", procs).run().exited(0);
    }
}

/// One that begins while the program runs, when no M pays for a fence: it is said once, no P is taken, and all goes on when the thread comes back.
#[test]
fn a_sandbox_that_begins_later_may_refuse_membarrier() {
    let this = child::of(|_| {
        gort::go(|| ()).join().unwrap();
        refuse_system_calls(&[libc::SYS_membarrier], libc::EPERM);
        let before = gort::runtime::metrics().retakes;
        let (reader, writer) = pipe();
        let begun = Arc::new(AtomicUsize::new(0));
        let blocked: Vec<_> = (0..gort::runtime::max_procs())
            .map(|_| {
                let begun = begun.clone();
                gort::go(move || {
                    begun.fetch_add(1, SeqCst);
                    read_byte(reader);
                })
            })
            .collect();
        while begun.load(SeqCst) < blocked.len() {
            std::thread::sleep(ms(1));
        }
        let other = gort::go(|| ());
        // The parent waits for the message.
        wait_for_parent();
        assert!(!other.is_finished(), "nobody had a processor for it");
        blocked.iter().for_each(|_| write_byte(writer));
        blocked.into_iter().for_each(|handle| handle.join().unwrap());
        other.join().unwrap();
        assert_eq!(gort::runtime::metrics().retakes, before);
        assert!(gort::runtime::shutdown(Instant::now() + scaled(ms(5000))).is_empty());
    });
    for procs in ["1", "2"] {
        let mut running = this.case("").env("GORT_MAXPROCS", procs).start();
        running.wait_for_error("GORT_MEMBARRIER=off").tell("");
        running.end().exited(0).says_once("membarrier worked at the start").says_once(&words_of(libc::EPERM));
    }
}

/// Without /proc nobody can tell whether a thread is blocked; its CPU clock still can, later. What sleeps is not taken for one that computes, which would be
/// made nice.
#[test]
fn processors_are_taken_without_proc() {
    let this = child::of(|_| {
        assert!(std::fs::metadata("/proc/self").is_err(), "/proc is there");
        take_procs_in_both_ways();
        let computed = gort::runtime::metrics().retakes_on_cpu;
        take_all_procs(|| std::thread::sleep(ms(500)), BY_ITSELF);
        assert_eq!(gort::runtime::metrics().retakes_on_cpu, computed);
    });
    if needs_migration(BOUND) {
        return;
    }
    match Namespaces::with(Mounts::NoProc).around(this.case("").env("GORT_MAXPROCS", "2")) {
        Err(error) => println!("skipped: no mount namespace of its own: {error}"),
        Ok(case) => drop(case.run().exited(0)),
    }
}

/// Standard error is a pipe that is full, and nobody reads: the monitor, which has something to say, goes on with its work.
#[test]
fn a_full_standard_error_stops_nobody() {
    let this = child::of(|_| {
        // What the start has to say is out.
        gort::go(|| ()).join().unwrap();
        let (reader, writer) = pipe();
        // SAFETY: descriptors of this process, and a live buffer.
        unsafe {
            assert_eq!(libc::fcntl(writer, libc::F_SETFL, libc::O_NONBLOCK), 0);
            while libc::write(writer, [0_u8; 4096].as_ptr().cast(), 4096) > 0 {}
            assert_eq!(libc::fcntl(writer, libc::F_SETFL, 0), 0);
            assert_eq!(libc::dup2(writer, 2), 2);
        }
        // More than there are threads: the limit is worth a line.
        let (wait, free) = pipe();
        let blocked: Vec<_> = (0..8).map(|_| gort::go(move || read_byte(wait))).collect();
        std::thread::sleep(ms(100));
        (0..8).for_each(|_| write_byte(free));
        blocked.into_iter().for_each(|one| one.join().unwrap());
        take_procs_in_both_ways();
        // SAFETY: as above.
        unsafe { libc::close(reader) };
    });
    if needs_migration(BOUND) {
        return;
    }
    this.case("").env("GORT_MAXPROCS", "2").env("GORT_MAX_THREADS", "6").run().exited(0);
}

/// A crowd in `std::thread::sleep`, with threads for few of them: they take turns, and all come through.
#[test]
fn a_hundred_thousand_in_thread_sleep_come_through_with_few_threads() {
    let this = child::of(|_| {
        let crowd: Vec<_> = (0..rounds(100_000)).map(|_| gort::go(|| std::thread::sleep(ms(1)))).collect();
        crowd.into_iter().for_each(|sleeper| sleeper.join().unwrap());
        assert!(count_of_ms() <= 128);
        // And threads are free again.
        let more: Vec<_> = (0..1000_usize).map(|n| gort::go(move || n)).collect();
        assert_eq!(more.into_iter().map(|handle| handle.join().unwrap()).sum::<usize>(), 499_500);
    });
    if needs_migration(BOUND) {
        return;
    }
    this.case("").env("GORT_MAX_THREADS", "128").env("GORT_MAXPROCS", "2").run().exited(0);
}

/// Goroutines that compute for long, or block, while they hold a gort mutex and a permit: those who want them are parked, everybody else goes on, and
/// the lock passes on afterwards.
#[test]
fn hogs_that_hold_gort_locks_hold_up_only_those_who_want_them() {
    let this = child::of(|_| {
        let meanwhile = Meanwhile::start();
        meanwhile.wait_for(1);
        let mutex = Arc::new(gort::sync::Mutex::new(0_usize));
        let permits = Arc::new(gort::sync::Semaphore::new(1));
        let holding = Arc::new(AtomicUsize::new(0));
        let over = Arc::new(AtomicBool::new(false));
        let computing = gort::go({
            let (mutex, over, holding) = (mutex.clone(), over.clone(), holding.clone());
            move || {
                let mut count = mutex.lock().unwrap();
                holding.fetch_add(1, SeqCst);
                while !over.load(Relaxed) {
                    std::hint::spin_loop();
                }
                *count += 1;
            }
        });
        let (reader, writer) = pipe();
        let blocked = gort::go({
            let (permits, holding) = (permits.clone(), holding.clone());
            move || {
                let _permit = permits.acquire(1);
                holding.fetch_add(1, SeqCst);
                read_byte(reader);
            }
        });
        while holding.load(SeqCst) < 2 {
            std::thread::sleep(ms(1));
        }
        let waiting: Vec<_> = (0..100)
            .map(|_| {
                let (mutex, permits) = (mutex.clone(), permits.clone());
                gort::go(move || {
                    *mutex.lock().unwrap() += 1;
                    drop(permits.acquire(1));
                })
            })
            .collect();
        meanwhile.wait_for(50);
        assert!(waiting.iter().all(|handle| !handle.is_finished()));
        assert!(count_of_ms() < 20, "those who wait keep no thread: {}", gort::runtime::dump());
        over.store(true, SeqCst);
        computing.join().unwrap();
        meanwhile.wait_for(10);
        assert!(waiting.iter().all(|handle| !handle.is_finished()), "the permit is still out");
        write_byte(writer);
        blocked.join().unwrap();
        waiting.into_iter().for_each(|handle| handle.join().unwrap());
        assert_eq!(*mutex.lock().unwrap(), 101);
    });
    if needs_migration(BOUND) {
        return;
    }
    for procs in ["1", "2", "4"] {
        this.case("").env("GORT_MAXPROCS", procs).run().exited(0);
    }
}

/// A panic ends a marked section, one that has just begun, one that has lost its P, and one within another one: nobody is counted as blocking
/// afterwards, a class has its permit back, and all Ps work.
#[test]
fn a_panic_within_a_section_ends_it() {
    let this = child::of(|_| {
        let class = Arc::new(gort::blocking_class("panics", 2));
        let panicking: Vec<_> = (0..60)
            .map(|n| {
                let class = class.clone();
                let fail = move || {
                    if n % 2 == 0 {
                        std::thread::sleep(ms(1));
                    }
                    panic!("out of the section");
                };
                gort::go(move || match n % 3 {
                    0 => gort::blocking(fail),
                    1 => gort::blocking(|| gort::blocking(fail)),
                    _ => class.run(fail),
                })
            })
            .collect();
        for handle in panicking {
            let payload = handle.join().unwrap_err();
            assert_eq!(*payload.downcast::<&str>().unwrap(), "out of the section");
        }
        wait_until(|| gort::runtime::metrics().blocking == 0);
        assert_eq!(class.run(|| 7), 7);
        take_procs_in_both_ways();
    });
    if needs_migration(BOUND) {
        return;
    }
    for procs in ["1", "2", "4"] {
        this.case("").env("GORT_MAXPROCS", procs).run().exited(0).says("out of the section");
    }
}

/// The program ends while goroutines are in the kernel, marked and not, and in loops: at once, with its own status.
#[test]
fn an_end_waits_for_no_section() {
    let this = child::of(|case| {
        let (reader, _writer) = pipe();
        let begun = Arc::new(AtomicUsize::new(0));
        for kind in 0..9 {
            let begun = begun.clone();
            gort::go(move || {
                begun.fetch_add(1, SeqCst);
                match kind % 3 {
                    0 => gort::blocking(|| read_byte(reader)),
                    1 => read_byte(reader),
                    _ => loop {
                        std::hint::spin_loop();
                    },
                }
            });
        }
        let start = Instant::now();
        while begun.load(SeqCst) < 9 {
            std::thread::sleep(ms(1));
        }
        println!("begun after {:?}", start.elapsed());
        match case {
            "thread" => exit(7),
            "goroutine" => gort::go(|| exit(7)).join().unwrap(),
            _ => gort::go(|| gort::blocking(|| exit(7))).join().unwrap(),
        }
    });
    if needs_migration(BOUND) {
        return;
    }
    for case in ["thread", "goroutine", "section"] {
        this.case(case).env("GORT_MAXPROCS", "2").run().exited(7);
    }
}

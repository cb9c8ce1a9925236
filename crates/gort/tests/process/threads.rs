//! No more threads: goroutines wait for one that comes free, one message says why, and nothing is lost.

use crate::child;
use crate::support::{
    count_of_ms, is_perturbed, ms, needs_migration, pipe, read_byte, refuse_system_calls, scaled, set_limit, threads,
    wait_for_parent, wait_until, words_of, write_byte,
};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::{Duration, Instant};

/// Time on a processor that this process has used.
fn cpu() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes a live `timespec`.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) }, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// With `most` threads all blocked in the kernel: one message, others wait without using the processor, and go on when a thread returns.
fn block_all_threads(most: usize, marked: bool) {
    let (reader, writer) = pipe();
    let blocked_now = Arc::new(AtomicUsize::new(0));
    let blocked: Vec<_> = (0..most + 3)
        .map(|_| {
            let blocked_now = blocked_now.clone();
            gort::go(move || {
                blocked_now.fetch_add(1, SeqCst);
                if marked {
                    gort::blocking(|| read_byte(reader))
                } else {
                    read_byte(reader)
                }
                blocked_now.fetch_sub(1, SeqCst);
            })
        })
        .collect();
    let until = Instant::now() + scaled(ms(5000));
    while blocked_now.load(SeqCst) < most {
        assert!(Instant::now() < until, "{}", gort::runtime::dump());
        std::thread::sleep(ms(1));
    }
    assert!(count_of_ms() <= most);
    let ran = Arc::new(AtomicUsize::new(0));
    let others: Vec<_> = (0..100)
        .map(|_| {
            let ran = ran.clone();
            gort::go(move || {
                gort::sleep(ms(1));
                ran.fetch_add(1, SeqCst);
            })
        })
        .collect();
    // Nobody can run them, and waiting for a thread is no work.
    let (before, start) = (cpu(), Instant::now());
    std::thread::sleep(ms(500));
    let (used, passed) = (cpu() - before, start.elapsed());
    println!("idle {}", used.as_millis());
    assert!(used < passed / 5, "{used:?} of {passed:?} were used for waiting");
    assert_eq!((ran.load(SeqCst), blocked_now.load(SeqCst)), (0, most), "{}", gort::runtime::dump());

    // One thread returns: everybody who needs one only now and then gets it. (Its goroutine ends; the three left over take its place.)
    for _ in 0..4 {
        write_byte(writer);
    }
    let until = Instant::now() + scaled(ms(5000));
    while ran.load(SeqCst) < 100 {
        assert!(Instant::now() < until, "{}", gort::runtime::dump());
        std::thread::sleep(ms(1));
    }
    for _ in 0..most - 1 {
        write_byte(writer);
    }
    blocked.into_iter().chain(others).for_each(|handle| handle.join().unwrap());
    assert!(count_of_ms() <= most);
    // All threads are back: all Ps work.
    let handles: Vec<_> = (0..1000_usize).map(|n| gort::go(move || n)).collect();
    assert_eq!(handles.into_iter().map(|handle| handle.join().unwrap()).sum::<usize>(), 499_500);
}

/// The limit of our own, `GORT_MAX_THREADS`.
#[test]
fn at_the_limit_of_threads_goroutines_wait_for_one_that_comes_free() {
    let this = child::of(|case| block_all_threads(4, case == "marked"));
    if needs_migration("goroutines that have begun on a blocked thread wait for it") {
        return;
    }
    for case in ["marked", "unmarked"] {
        for procs in ["1", "2", "4"] {
            let ended = this.case(case).env("GORT_MAX_THREADS", "4").env("GORT_MAXPROCS", procs).run();
            ended.exited(0).says_once("gort: the limit of 4 threads is reached (GORT_MAX_THREADS, ");
            ended.says_once("goroutines wait until a thread comes free");
        }
    }
}

/// A std mutex locked across a wait, wanted by more goroutines than there may be threads. The last thread blocks while its holder waits to go on: a thread
/// beyond the limit is started for it.
#[test]
fn a_lock_whose_holder_finds_no_thread_is_let_go() {
    let this = child::of(|_| {
        static SHARED: std::sync::Mutex<u32> = std::sync::Mutex::new(0);
        let contend = || {
            for _ in 0..3 {
                let mut shared = SHARED.lock().unwrap();
                gort::sleep(ms(1));
                *shared += 1;
            }
        };
        let all: Vec<_> = (0..200).map(|_| gort::go(contend)).collect();
        all.into_iter().for_each(|one| one.join().unwrap());
        assert_eq!(*SHARED.lock().unwrap(), 600);
        assert!(count_of_ms() <= 8 + 16);
    });
    // A move needs one thread more for each goroutine that is to go on.
    if needs_migration("who has begun on a blocked thread waits for it") || is_perturbed() {
        return;
    }
    for procs in ["1", "2", "4"] {
        let ended = this.case("").env("GORT_MAX_THREADS", "8").env("GORT_MAXPROCS", procs).run();
        ended.exited(0).says_once("gort: all 8 threads are blocked, and goroutines that have begun wait for one");
    }
}

/// A start after a stop that has left as many threads in calls as there may be: they come back, and run what there is.
#[test]
fn a_start_beside_as_many_threads_in_calls_as_may_be_waits_for_one() {
    let this = child::of(|_| {
        let (reader, writer) = pipe();
        let blocked_now = Arc::new(AtomicUsize::new(0));
        let blocked: Vec<_> = (0..4)
            .map(|_| {
                let blocked_now = blocked_now.clone();
                gort::go(move || {
                    blocked_now.fetch_add(1, SeqCst);
                    read_byte(reader);
                })
            })
            .collect();
        wait_until(|| blocked_now.load(SeqCst) == blocked.len());
        assert!(!gort::runtime::shutdown(Instant::now()).is_empty());
        let other = gort::go(|| 7);
        blocked.iter().for_each(|_| write_byte(writer));
        assert_eq!(other.join().unwrap(), 7);
        blocked.into_iter().for_each(|one| one.join().unwrap());
    });
    if needs_migration("what has begun on a blocked thread keeps it") {
        return;
    }
    this.case("").env("GORT_MAX_THREADS", "4").env("GORT_MAXPROCS", "2").run().exited(0);
}

/// More Ps than threads: as many run at once as there are threads, and nobody burns a processor for the rest.
#[test]
fn more_procs_than_threads_is_no_harm() {
    let this = child::of(|_| {
        let handles: Vec<_> = (0..10_000_usize)
            .map(|n| {
                gort::go(move || {
                    gort::yield_now();
                    n
                })
            })
            .collect();
        assert_eq!(handles.into_iter().map(|handle| handle.join().unwrap()).sum::<usize>(), 49_995_000);
        let stop = Arc::new(AtomicBool::new(false));
        let hogs: Vec<_> = (0..12)
            .map(|_| {
                let stop = stop.clone();
                gort::go(move || {
                    while !stop.load(SeqCst) {
                        std::thread::sleep(ms(1))
                    }
                })
            })
            .collect();
        std::thread::sleep(ms(50));
        let before = cpu();
        std::thread::sleep(ms(300));
        let used = cpu() - before;
        assert!(used < ms(100), "{used:?} of 300 ms were used for waiting");
        stop.store(true, SeqCst);
        hogs.into_iter().for_each(|hog| hog.join().unwrap());
        assert!(count_of_ms() <= 4);
        let parked: Vec<_> = (0..100).map(|_| gort::go(gort::park)).collect();
        parked.into_iter().for_each(|handle| {
            handle.goroutine().unpark();
            handle.join().unwrap();
        });
    });
    this.case("").env("GORT_MAX_THREADS", "4").env("GORT_MAXPROCS", "8").run().exited(0);
}

/// Goroutines that hold their threads for good, locked: the same.
#[test]
fn locked_goroutines_use_threads_up_and_give_them_back() {
    let this = child::of(|_| {
        let locked: Vec<_> = (0..6)
            .map(|_| {
                gort::go(|| {
                    let _thread = gort::lock_os_thread();
                    gort::park();
                })
            })
            .collect();
        let stuck = gort::go(|| ());
        // The parent waits for the message.
        wait_for_parent();
        for handle in &locked {
            handle.goroutine().unpark();
        }
        locked.into_iter().for_each(|handle| handle.join().unwrap());
        stuck.join().unwrap();
        assert!(count_of_ms() <= 4);
    });
    let mut running = this.case("").env("GORT_MAX_THREADS", "4").start();
    running.wait_for_error("the limit of 4 threads is reached").tell("");
    running.end().exited(0).says_once("the limit of 4 threads is reached");
}

/// The kernel refuses threads in the middle of the run (seccomp stands for its limits): one message with the limits there are, and the program
/// goes on with the threads it has.
#[test]
fn refused_threads_are_said_once_and_the_program_goes_on() {
    let this = child::of(|_| {
        gort::go(|| ()).join().unwrap();
        refuse_system_calls(&[libc::SYS_clone, libc::SYS_clone3], libc::EAGAIN);
        // A thread on its way has its name once it runs.
        wait_until(|| count_of_ms() as u64 == gort::runtime::metrics().threads);
        block_all_threads(count_of_ms(), true);
    });
    if needs_migration("goroutines that have begun on a blocked thread wait for it") {
        return;
    }
    for procs in ["1", "2", "4"] {
        let ended = this.case("").env("GORT_MAXPROCS", procs).run();
        ended.exited(0).says_once("gort: cannot start the thread \"gort-m").says_once(&words_of(libc::EAGAIN));
        ended.says_once("ulimit -u").says_once("goroutines wait until a thread comes free");
    }
}

/// The same by the limit itself, which binds nobody but ordinary users: the child becomes one.
#[test]
fn the_limit_on_processes_is_said_once_and_the_program_goes_on() {
    let this = child::of(|case| {
        // SAFETY: changes who this process is; `61` and some, so that nobody else counts under that number.
        unsafe {
            if libc::geteuid() != 0 || libc::setuid(61_000 + libc::getpid() as u32 % 1000) != 0 {
                println!("skipped: only root can become somebody else, and the limit counts all processes of a user");
                return;
            }
        }
        // The monitor and two that run goroutines, besides those that are there; the self-check at the start needs no more at a time.
        let limit = threads().len() + 3;
        set_limit(libc::RLIMIT_NPROC, limit as u64);
        if case == "start" {
            // More Ps than threads, from the beginning.
            let handles: Vec<_> = (0..1000_usize).map(|n| gort::go(move || n)).collect();
            assert_eq!(handles.into_iter().map(|handle| handle.join().unwrap()).sum::<usize>(), 499_500);
            assert!(threads().len() <= limit);
        }
        block_all_threads(2, false);
    });
    if needs_migration("goroutines that have begun on a blocked thread wait for it") {
        return;
    }
    for (case, procs) in [("start", "6"), ("", "2"), ("", "1")] {
        let ended = this.case(case).env("GORT_MAXPROCS", procs).run();
        ended.exited(0);
        if !ended.out.contains("skipped") {
            ended.says_once("gort: cannot start the thread \"gort-m").says_once("ulimit -u");
        }
    }
}

/// Mutexes that processes share compare thread ids: goroutines of two processes must not have the same.
#[test]
fn processes_give_goroutines_different_thread_ids() {
    if needs_migration("a goroutine has its thread's id") {
        return;
    }
    let this = child::of(|_| {
        let id = gort::go(|| {
            let mut mutex = libc::PTHREAD_MUTEX_INITIALIZER;
            // SAFETY: a mutex of this frame's. Its third word is the id of its owner.
            unsafe {
                libc::pthread_mutex_lock(&mut mutex);
                let id = (&raw const mutex).cast::<u32>().add(2).read_volatile();
                libc::pthread_mutex_unlock(&mut mutex);
                id
            }
        });
        println!("id {}", id.join().unwrap());
    });
    let id = || this.run("").exited(0).value("id").parse::<u32>().unwrap();
    let ids = [id(), id()];
    assert!(ids[0].abs_diff(ids[1]) > 4, "{ids:?}");
    assert!(ids.iter().all(|id| (1 << 22..1 << 30).contains(id)), "above the kernel's: {ids:?}");
}

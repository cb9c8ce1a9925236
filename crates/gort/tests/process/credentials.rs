//! setuid and its family, which glibc carries to all threads by a signal, while goroutines run on them.

use crate::child;
use crate::support::{ms, needs_migration, thread_ids};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};

/// Goroutines that compute, allocate, park and move until told to stop, and check that nothing of theirs changes.
fn noise(stop: &Arc<AtomicBool>) -> Vec<gort::JoinHandle<()>> {
    thread_local!(static OWN: std::cell::Cell<usize> = const { std::cell::Cell::new(0) });
    (0..8)
        .map(|n| {
            let stop = stop.clone();
            gort::go(move || {
                while !stop.load(SeqCst) {
                    OWN.set(n);
                    // SAFETY: this goroutine's errno.
                    unsafe { *libc::__errno_location() = n as i32 };
                    for round in 0..2000_usize {
                        std::hint::black_box(round.wrapping_mul(31));
                    }
                    drop(std::hint::black_box(vec![n; 50]));
                    // SAFETY: as above.
                    assert_eq!((OWN.get(), unsafe { *libc::__errno_location() }), (n, n as i32));
                    gort::yield_now();
                }
            })
        })
        .collect()
}

/// Sets every credential to what it is; the same calls in the same way as for another value.
fn set_all() {
    // SAFETY: these change credentials to what they are; the group list is a live array of that length.
    unsafe {
        assert_eq!(libc::setgid(libc::getgid()), 0);
        assert_eq!(libc::setresgid(u32::MAX, libc::getegid(), u32::MAX), 0);
        assert_eq!(libc::setuid(libc::getuid()), 0);
        assert_eq!(libc::seteuid(libc::geteuid()), 0);
        if libc::geteuid() == 0 {
            let groups = [libc::getgid()];
            assert_eq!(libc::setgroups(groups.len(), groups.as_ptr()), 0);
        }
    }
}

#[test]
fn credentials_can_be_set_from_goroutines_and_threads_while_goroutines_run() {
    let this = child::of(|case| {
        if case == "blind" {
            crate::support::refuse_system_calls(&[libc::SYS_get_robust_list], libc::EPERM);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let noise = noise(&stop);
        let setters: Vec<_> = (0..4)
            .map(|n| {
                gort::go(move || {
                    for _ in 0..50 {
                        if n == 0 {
                            gort::host(set_all)
                        } else {
                            set_all()
                        }
                        gort::yield_now();
                    }
                })
            })
            .collect();
        let plain = std::thread::spawn(|| (0..50).for_each(|_| set_all()));
        setters.into_iter().for_each(|handle| handle.join().unwrap());
        plain.join().unwrap();
        stop.store(true, SeqCst);
        noise.into_iter().for_each(|handle| handle.join().unwrap());
    });
    for procs in ["1", "2", "4"] {
        this.case("").env("GORT_MAXPROCS", procs).run().exited(0).never_says("gort: ");
    }
    if needs_migration("in bound mode the kernel need not say whose record is whose") {
        return;
    }
    // A kernel that does not say whose record is whose: no hang.
    this.run("blind").killed_by(libc::SIGABRT).says("gort: the kernel does not say").says("setuid");
}

/// Threads that sleep in the scheduler, that block in a system call and that are locked are reached as well.
#[test]
fn a_change_of_credentials_from_a_goroutine_reaches_every_thread() {
    const OTHER: u32 = 4711;
    let this = child::of(|case| {
        // SAFETY: asks.
        if unsafe { libc::geteuid() } != 0 {
            println!("skipped: changing the user takes root");
            return;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let noise = noise(&stop);
        let (reader, writer) = crate::support::pipe();
        let blocked = gort::go(move || crate::support::read_byte(reader));
        let locked = gort::go(|| {
            let _locked = gort::lock_os_thread();
            gort::park();
        });
        crate::support::wait_for_state(locked.goroutine().id(), "park");
        let change = || {
            // SAFETY: this process is a test's own.
            unsafe {
                assert_eq!(libc::setgroups(0, std::ptr::null()), 0);
                assert_eq!(libc::setresgid(OTHER, OTHER, OTHER), 0);
                assert_eq!(libc::setuid(OTHER), 0);
                assert_eq!(libc::setuid(0), -1, "there is no way back");
            }
        };
        match case {
            "goroutine" => gort::go(change).join().unwrap(),
            "host" => gort::go(move || gort::host(change)).join().unwrap(),
            _ => change(),
        }
        for thread in thread_ids() {
            let Ok(status) = std::fs::read_to_string(format!("/proc/self/task/{thread}/status")) else { continue };
            for field in ["Uid:", "Gid:"] {
                let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
                assert!(line.split_whitespace().all(|id| id == OTHER.to_string()), "{field} {line} of {thread}");
            }
            assert!(status.lines().any(|line| line.trim_end() == "Groups:"), "{status}");
        }
        crate::support::write_byte(writer);
        locked.goroutine().unpark();
        stop.store(true, SeqCst);
        noise.into_iter().chain([blocked, locked]).for_each(|handle| handle.join().unwrap());
    });
    for case in ["goroutine", "host", "thread"] {
        this.run(case).exited(0).never_says("gort: ");
    }
}

/// Goroutines that start and end, and threads that come and go, meanwhile.
#[test]
fn credentials_can_be_set_while_goroutines_and_threads_come_and_go() {
    let this = child::of(|_| {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let stop = Arc::new(AtomicBool::new(false));
        let churn: Vec<_> = (0..4)
            .map(|_| {
                let stop = stop.clone();
                gort::go(move || {
                    while !stop.load(SeqCst) {
                        gort::go(|| STARTED.fetch_add(1, SeqCst)).join().unwrap();
                        std::thread::spawn(|| ()).join().unwrap();
                        gort::blocking(|| std::thread::sleep(ms(1)));
                    }
                })
            })
            .collect();
        gort::go(|| (0..100).for_each(|_| set_all())).join().unwrap();
        stop.store(true, SeqCst);
        churn.into_iter().for_each(|handle| handle.join().unwrap());
        assert!(STARTED.load(SeqCst) > 0);
    });
    this.run("").exited(0).never_says("gort: ");
}

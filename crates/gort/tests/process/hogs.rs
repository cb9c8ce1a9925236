//! Goroutines that compute without a processor: they are counted, and get what others leave.

use crate::child;
use crate::support::{ms, needs_migration, wait_until};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

/// Nice values of the threads that run goroutines.
fn nice_values() -> Vec<i32> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    // A thread may be gone when it is asked.
    let stats = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok());
    let ours = stats.filter(|stat| stat.contains("(gort-m"));
    ours.map(|stat| stat.rsplit_once(')').unwrap().1.split_whitespace().nth(16).unwrap().parse().unwrap()).collect()
}

fn nice_now() -> i32 {
    // SAFETY: no memory is involved.
    unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
}

/// Goroutines that compute until they are told to end.
struct Hogs {
    stop: Arc<AtomicBool>,
    handles: Vec<gort::JoinHandle<()>>,
}

impl Hogs {
    fn start(count: usize, are_locked: bool) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let hog = || {
            let stop = stop.clone();
            move || {
                let _thread = are_locked.then(gort::lock_os_thread);
                while !stop.load(Relaxed) {
                    std::hint::spin_loop();
                }
            }
        };
        let handles = (0..count).map(|_| gort::go(hog())).collect();
        Self { stop, handles }
    }

    fn stop(self) {
        self.stop.store(true, Relaxed);
        self.handles.into_iter().for_each(|handle| handle.join().unwrap());
    }
}

/// Of eight on two processors two stay as they are and six are made nice, unless the environment says otherwise or they are locked to their threads.
/// When they have ended no thread that runs goroutines is nice, whether the process may take that back or not.
#[test]
fn hogs_beyond_the_processors_are_nice_as_long_as_they_compute() {
    let this = child::of(|case| {
        if case == "unprivileged" {
            // SAFETY: changes who this process is.
            let is_done = unsafe { libc::geteuid() != 0 || libc::setuid(61_000 + libc::getpid() as u32 % 1000) == 0 };
            assert!(is_done, "root may become anybody");
        }
        let usual = nice_now();
        let nice = || nice_values().into_iter().filter(|&nice| nice == usual + 10).count();
        let over = Arc::new(AtomicBool::new(false));
        let theirs = over.clone();
        // Somebody wants the processors.
        let ticker = gort::go(move || {
            while !theirs.load(Relaxed) {
                gort::sleep(ms(1));
            }
        });
        for _ in 0..2 {
            let hogs = Hogs::start(8, case == "locked");
            wait_until(|| gort::runtime::metrics().hogs == 8);
            if case == "off" || case == "locked" {
                // As long as it takes in the other cases, and more.
                gort::sleep(ms(100));
                assert_eq!(nice(), 0);
            } else {
                wait_until(|| nice() == 6);
                gort::sleep(ms(30));
                assert_eq!((nice(), gort::runtime::metrics().hogs), (6, 8));
            }
            hogs.stop();
            wait_until(|| nice_values().iter().all(|&nice| nice == usual));
            assert_eq!(gort::runtime::metrics().hogs, 0);
        }
        let values: Vec<_> = (0..100).map(|_| gort::go(nice_now)).collect();
        assert!(values.into_iter().all(|value| value.join().unwrap() == usual));
        over.store(true, Relaxed);
        ticker.join().unwrap();
    });
    if needs_migration("a thread is more than one goroutine's, and none is made nice") {
        return;
    }
    for (case, nice) in [("as it is", "10"), ("unprivileged", "10"), ("locked", "10"), ("off", "0")] {
        this.case(case).env("GORT_MAXPROCS", "2").env("GORT_HOG_NICE", nice).run().exited(0);
    }
}

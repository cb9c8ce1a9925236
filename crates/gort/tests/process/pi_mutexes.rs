//! POSIX mutexes with priority inheritance: what works, what is refused, and what is lost where nobody could refuse.
#![cfg(target_env = "gnu")]

use crate::child;
use crate::support::{ms, needs_migration};
use std::cell::UnsafeCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

struct PiMutex(UnsafeCell<libc::pthread_mutex_t>);

// SAFETY: a mutex, for everybody.
unsafe impl Send for PiMutex {}
// SAFETY: as above.
unsafe impl Sync for PiMutex {}

impl PiMutex {
    fn make() -> Result<Arc<Self>, i32> {
        // SAFETY: zeros are what initialisation overwrites; the mutex stays where it is.
        unsafe {
            let mutex = Arc::new(Self(UnsafeCell::new(std::mem::zeroed())));
            let mut attributes = std::mem::zeroed();
            assert_eq!(libc::pthread_mutexattr_init(&mut attributes), 0);
            assert_eq!(libc::pthread_mutexattr_setprotocol(&mut attributes, libc::PTHREAD_PRIO_INHERIT), 0);
            match libc::pthread_mutex_init(mutex.0.get(), &attributes) {
                0 => Ok(mutex),
                error => Err(error),
            }
        }
    }

    fn lock(&self) {
        // SAFETY: made.
        assert_eq!(unsafe { libc::pthread_mutex_lock(self.0.get()) }, 0);
    }

    /// Gives up after some time.
    fn try_for(&self, time: Duration) -> i32 {
        // SAFETY: a live clock value, and a made mutex.
        unsafe {
            let mut end: libc::timespec = std::mem::zeroed();
            assert_eq!(libc::clock_gettime(libc::CLOCK_REALTIME, &mut end), 0);
            let nanoseconds = end.tv_nsec as u64 + time.as_nanos() as u64;
            end.tv_sec += (nanoseconds / 1_000_000_000) as i64;
            end.tv_nsec = (nanoseconds % 1_000_000_000) as i64;
            libc::pthread_mutex_timedlock(self.0.get(), &end)
        }
    }

    fn unlock(&self) {
        // SAFETY: made, and the caller's.
        assert_eq!(unsafe { libc::pthread_mutex_unlock(self.0.get()) }, 0);
    }
}

/// Inside `host` goroutines are threads of the kernel's: they and plain ones wait for each other.
#[test]
fn in_host_goroutines_and_threads_contend_for_a_mutex_with_priority_inheritance() {
    const EACH: usize = 500;
    let this = child::of(|_| {
        let Ok(mutex) = gort::go(|| gort::host(PiMutex::make)).join().unwrap() else {
            return println!("skipped: the kernel has no priority inheritance");
        };
        let count = Arc::new(AtomicUsize::new(0));
        let add = |mutex: &PiMutex, count: &AtomicUsize| {
            mutex.lock();
            let seen = count.load(SeqCst);
            // Long enough for others to come.
            (0..200).for_each(|_| std::hint::spin_loop());
            count.store(seen + 1, SeqCst);
            mutex.unlock();
        };
        let goroutines: Vec<_> = (0..8)
            .map(|_| {
                let (mutex, count) = (mutex.clone(), count.clone());
                gort::go(move || {
                    for _ in 0..EACH {
                        gort::host(|| add(&mutex, &count));
                        gort::yield_now();
                    }
                })
            })
            .collect();
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (mutex, count) = (mutex.clone(), count.clone());
                std::thread::spawn(move || (0..EACH).for_each(|_| add(&mutex, &count)))
            })
            .collect();
        goroutines.into_iter().for_each(|one| one.join().unwrap());
        threads.into_iter().for_each(|one| one.join().unwrap());
        assert_eq!(count.load(SeqCst), 10 * EACH);
    });
    for procs in ["1", "2", "4"] {
        this.case("").env("GORT_MAXPROCS", procs).run().exited(0).never_says("gort: ");
    }
}

#[test]
fn a_goroutine_that_makes_a_mutex_with_priority_inheritance_is_told_that_there_are_none() {
    let this = child::of(|_| {
        // SAFETY: a mutex that stays where it is.
        let without = || unsafe {
            let mutex = PiMutex(UnsafeCell::new(std::mem::zeroed()));
            assert_eq!(libc::pthread_mutex_init(mutex.0.get(), std::ptr::null()), 0);
            mutex.lock();
            mutex.unlock();
        };
        // No runtime yet.
        without();
        if PiMutex::make().is_err() {
            return println!("skipped: the kernel has no priority inheritance");
        }
        println!("line {}", line!() + 1);
        let refused = gort::Builder::new().name("maker".into()).spawn(move || {
            println!("id {}", gort::current().id());
            without();
            let refused = (0..3).all(|_| PiMutex::make().is_err_and(|error| error == libc::ENOTSUP));
            refused && gort::host(|| PiMutex::make().is_ok())
        });
        assert!(refused.unwrap().join().unwrap());
        assert!(PiMutex::make().is_ok(), "a plain thread has them");
    });
    if needs_migration("goroutines are threads of the kernel's then") {
        return;
    }
    let ended = this.run("");
    if ended.out.contains("skipped: ") {
        return;
    }
    let (id, line) = (ended.value("id"), ended.value("line"));
    ended
        .exited(0)
        .says_once(&format!("gort: goroutine {id} \"maker\" (started at {}:{line}", file!()))
        .says_once("PTHREAD_PRIO_INHERIT")
        .says_once("inside gort::host");
}

/// What docs/SOUNDNESS.md says of those that were made elsewhere: right as long as nobody waits, and lost as soon as somebody has.
#[test]
fn a_mutex_with_priority_inheritance_that_a_goroutine_holds_is_lost_once_somebody_waits() {
    let this = child::of(|_| {
        let Ok(mutex) = PiMutex::make() else { return println!("skipped: the kernel has no priority inheritance") };
        let alone = mutex.clone();
        let round = move || {
            alone.lock();
            (0..100).for_each(|_| gort::yield_now());
            alone.unlock();
        };
        gort::go(round).join().unwrap();

        let (held, go_on) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let owner = {
            let (mutex, held, go_on) = (mutex.clone(), held.clone(), go_on.clone());
            gort::go(move || {
                mutex.lock();
                held.store(true, SeqCst);
                while !go_on.load(SeqCst) {
                    gort::sleep(ms(1));
                }
                mutex.unlock();
            })
        };
        while !held.load(SeqCst) {
            std::thread::yield_now();
        }
        assert_eq!(mutex.try_for(ms(20)), libc::ETIMEDOUT);
        go_on.store(true, SeqCst);
        owner.join().unwrap();
        assert_eq!(mutex.try_for(ms(20)), libc::ETIMEDOUT, "it works: docs/SOUNDNESS.md says that it does not");
        let waiter = gort::go(move || mutex.try_for(ms(20)));
        assert_eq!(waiter.join().unwrap(), libc::ETIMEDOUT);
    });
    if needs_migration("goroutines are threads of the kernel's then") {
        return;
    }
    this.run("").exited(0);
}

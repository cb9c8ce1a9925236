//! Scheduling: progress, parallelism, fairness, bookkeeping.

use crate::support::{needs_migration, rounds, scaled, wait_until};
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize};
use std::sync::mpsc;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// SC-01. By park and unpark: a goroutine that only yields lets the others go on, also when it is locked to its thread.
#[gort::test(procs = [1, 2, 4])]
fn a_goroutine_that_only_yields_starves_nobody() {
    for locked in [false, true] {
        let (sent, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let main = gort::current();
        let looping = gort::go({
            let (sent, acknowledged) = (sent.clone(), acknowledged.clone());
            move || {
                let _thread = locked.then(gort::lock_os_thread);
                while !sent.load(Acquire) {
                    gort::yield_now();
                }
                acknowledged.store(true, Release);
                main.unpark();
            }
        });
        gort::sleep(Duration::from_millis(10));
        sent.store(true, Release);
        while !acknowledged.load(Acquire) {
            gort::park();
        }
        looping.join().unwrap();
    }
}

/// A goroutine that calls gort all the time, but never parks, gives way when its slice is over: the spawning loop is in and out of the runtime
/// too quickly for its P to be taken away.
#[gort::test(procs = [1, 2, 4])]
fn a_goroutine_that_spawns_without_end_starves_nobody() {
    let ended = AtomicBool::new(false);
    gort::scope(|s| {
        s.spawn(|| ended.store(true, Release));
        while !ended.load(Acquire) {
            s.spawn(|| ());
        }
    });
}

/// One that is in and out of the runtime all the time gives way to what a plain thread has made ready, and to a timer of its own P.
#[gort::test(procs = [1, 2, 4])]
fn a_goroutine_that_never_parks_hides_neither_the_global_queue_nor_timers() {
    let (done, ticks) = (AtomicBool::new(false), AtomicUsize::new(0));
    gort::scope(|s| {
        let parked = s.spawn(gort::park);
        let parked = parked.goroutine();
        s.spawn(|| {
            while ticks.load(Acquire) < 5 {
                gort::sleep(Duration::from_millis(2));
                ticks.fetch_add(1, Release);
            }
            // From a plain thread it comes by the global queue.
            std::thread::spawn(move || parked.unpark()).join().unwrap();
            done.store(true, Release);
        });
        while !done.load(Acquire) {
            drop(gort::lock_os_thread());
        }
    });
}

/// Two that hand over to each other in the run-next slot leave room for a third: within a few dozen turns, not after a thousand.
#[gort::test(procs = 1)]
fn a_pair_in_the_run_next_slot_does_not_hide_the_global_queue() {
    let (ran, turns, first) = (AtomicBool::new(false), AtomicUsize::new(0), gort::current());
    gort::scope(|s| {
        let third = s.spawn(|| {
            gort::park();
            ran.store(true, Release);
        });
        let third = third.goroutine();
        let second = s.spawn(|| {
            while !ran.load(Acquire) {
                gort::park();
                first.unpark();
            }
        });
        let second = second.goroutine();
        let (counted, unparked_at) = (&turns, AtomicUsize::new(0));
        std::thread::scope(|threads| {
            threads.spawn(|| {
                // Once the two are at it.
                while counted.load(Acquire) < 100 {
                    std::thread::yield_now();
                }
                third.unpark();
                unparked_at.store(counted.load(Acquire), Release);
            });
            while !ran.load(Acquire) {
                counted.fetch_add(1, Release);
                second.unpark();
                gort::park();
                // Long enough that the other thread's moment can be told.
                (0..2000).for_each(|_| std::hint::spin_loop());
            }
        });
        second.unpark();
        let waited = turns.load(Acquire).saturating_sub(unparked_at.into_inner());
        assert!(waited < 200, "{waited} turns");
    });
}

/// Two that only yield, on one of two Ps, are soon on both: they meet, which they cannot by taking turns.
#[gort::test(procs = 2)]
fn two_that_yield_on_one_p_are_spread_over_two() {
    if needs_migration("goroutines that have begun on one thread stay there") {
        return;
    }
    let inside = AtomicUsize::new(0);
    let met = AtomicBool::new(false);
    let visit = || {
        while !met.load(Acquire) {
            inside.fetch_add(1, AcqRel);
            for _ in 0..2000 {
                if inside.load(Acquire) == 2 {
                    met.store(true, Release);
                }
                std::hint::spin_loop();
            }
            inside.fetch_sub(1, AcqRel);
            gort::yield_now();
        }
    };
    gort::scope(|s| {
        let parked = s.spawn(|| {
            gort::park();
            visit();
        });
        gort::sleep(Duration::from_millis(1));
        parked.goroutine().unpark();
        visit();
    });
}

/// SC-02. Four goroutines that spin without any gort call run at the same time on four Ps.
#[gort::test(procs = 4)]
fn four_goroutines_run_at_once_on_four_procs() {
    if needs_migration("who has begun on the thread of a spinning goroutine waits for it, the spawner included") {
        return;
    }
    for _ in 0..10 {
        let x = Arc::new(AtomicU32::new(0));
        let handles: Vec<_> = (0..4)
            .map(|p| {
                let x = x.clone();
                gort::go(move || {
                    for i in 0..3 {
                        while x.load(Acquire) != 4 * i + p {
                            std::hint::spin_loop();
                        }
                        x.store(4 * i + p + 1, Release);
                    }
                })
            })
            .collect();
        handles.into_iter().for_each(|handle| handle.join().unwrap());
        assert_eq!(x.load(Relaxed), 12);
    }
}

/// SC-03. Resizing and dumps go on while goroutines respawn for ever.
#[gort::test(procs = [1, 2, 4], timeout = 120)]
fn resizing_and_dumping_work_against_constant_spawning() {
    fn respawn(stop: Arc<AtomicBool>, ended: Arc<AtomicBool>) {
        if stop.load(Acquire) {
            return ended.store(true, Release);
        }
        gort::go(move || respawn(stop, ended));
    }
    let (stop, ended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    gort::go({
        let (stop, ended) = (stop.clone(), ended.clone());
        move || respawn(stop, ended)
    });
    let count = rounds(1000);
    let resizing = gort::go(move || {
        for round in 0..count {
            gort::runtime::set_max_procs(if round % 2 == 0 { 3 } else { 2 });
        }
    });
    let dumping = gort::go(move || {
        for _ in 0..count {
            assert!(gort::runtime::dump().contains("goroutine"));
        }
    });
    resizing.join().unwrap();
    dumping.join().unwrap();
    stop.store(true, Release);
    wait_until(|| ended.load(Acquire));
}

/// SC-09, second half. The count and the number of entries in a dump agree.
#[gort::test(procs = [1, 2, 4])]
fn the_count_of_goroutines_agrees_with_the_dump() {
    let parked: Vec<_> = (0..25).map(|_| gort::go(gort::park)).collect();
    let agrees = || {
        let dump = gort::runtime::dump();
        let entries = dump.lines().filter(|line| line.starts_with("goroutine ")).count() as u64;
        entries == gort::runtime::metrics().goroutines && entries >= 26
    };
    assert!((0..10).any(|_| agrees()), "{}", gort::runtime::dump());
    for handle in parked {
        handle.goroutine().unpark();
        handle.join().unwrap();
    }
}

/// SC-11. A plain thread's goroutines start soon, whether the runtime is idle or busy.
#[gort::test(procs = [1, 2, 4])]
fn goroutines_of_a_plain_thread_start_soon_idle_or_loaded() {
    let start_all = |limit: Duration| {
        std::thread::spawn(move || {
            let worst = (0..100).map(|_| {
                let asked = Instant::now();
                gort::go(move || asked.elapsed()).join().unwrap()
            });
            let worst = worst.max().unwrap();
            assert!(worst < scaled(limit), "{worst:?}");
        })
    };
    let idle = start_all(Duration::from_millis(100));
    gort::blocking_send(|| idle.join().unwrap());

    let stop = Arc::new(AtomicBool::new(false));
    let busy: Vec<_> = (0..gort::runtime::max_procs() * 2).map(|_| ping_pong(stop.clone())).collect();
    let loaded = start_all(Duration::from_secs(1));
    gort::blocking_send(|| loaded.join().unwrap());
    stop.store(true, Release);
    for (one, other) in busy {
        one.join().unwrap();
        other.goroutine().unpark();
        other.join().unwrap();
    }
}

/// Two goroutines that unpark each other until told to stop; the first ends by itself.
fn ping_pong(stop: Arc<AtomicBool>) -> (gort::JoinHandle<()>, gort::JoinHandle<()>) {
    let partner = Arc::new(OnceLock::<gort::Goroutine>::new());
    let other = gort::go({
        let (stop, partner) = (stop.clone(), partner.clone());
        move || {
            while !stop.load(Acquire) {
                gort::park();
                if let Some(partner) = partner.get() {
                    partner.unpark();
                }
            }
        }
    });
    let first = other.goroutine();
    let one = gort::go(move || {
        partner.set(gort::current()).unwrap();
        while !stop.load(Acquire) {
            first.unpark();
            gort::park_timeout(Duration::from_millis(50));
        }
    });
    (one, other)
}

/// SC-12. The network is polled although the run queues are never empty.
#[gort::test(procs = [1, 2, 4])]
fn a_connection_is_made_while_every_proc_is_kept_busy_by_yields() {
    let stop = Arc::new(AtomicBool::new(false));
    let busy: Vec<_> = (0..gort::runtime::max_procs() * 4)
        .map(|_| {
            let stop = stop.clone();
            gort::go(move || {
                while !stop.load(Relaxed) {
                    gort::yield_now();
                }
            })
        })
        .collect();
    let started = Instant::now();
    let listener = gort::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let accepting = gort::go(move || listener.accept().unwrap());
    let connected = gort::net::TcpStream::connect(address).unwrap();
    let (accepted, peer) = accepting.join().unwrap();
    assert_eq!(peer, connected.local_addr().unwrap());
    assert!(started.elapsed() < scaled(Duration::from_secs(1)), "{:?}", started.elapsed());
    drop((accepted, connected));
    stop.store(true, Relaxed);
    busy.into_iter().for_each(|handle| handle.join().unwrap());
}

/// SC-13. By park and unpark: newcomers are not starved by pairs that ready each other.
#[gort::test(procs = [1, 2, 4], timeout = 60)]
fn a_newcomer_gets_its_turn_among_a_hundred_ping_pong_pairs() {
    let stop = Arc::new(AtomicBool::new(false));
    let pairs: Vec<_> = (0..100).map(|_| ping_pong(stop.clone())).collect();
    let started = Instant::now();
    gort::go(|| (0..5).for_each(|_| gort::yield_now())).join().unwrap();
    assert!(started.elapsed() < scaled(Duration::from_secs(1)), "{:?}", started.elapsed());
    stop.store(true, Release);
    for (one, other) in pairs {
        one.join().unwrap();
        other.goroutine().unpark();
        other.join().unwrap();
    }
}

/// A burst far beyond the ring's capacity: every goroutine runs once.
#[gort::test(procs = [1, 2, 4])]
fn a_hundred_thousand_goroutines_each_run_once() {
    static RAN: AtomicUsize = AtomicUsize::new(0);
    RAN.store(0, SeqCst);
    let count = rounds(100_000);
    let handles: Vec<_> = (0..count).map(|_| gort::go(|| RAN.fetch_add(1, Relaxed))).collect();
    let mut tickets: Vec<_> = handles.into_iter().map(|handle| handle.join().unwrap()).collect();
    tickets.sort_unstable();
    assert!(tickets.into_iter().eq(0..count));
}

/// A goroutine that neither parks nor yields loses its P, and the others go on.
#[gort::test(procs = [1, 2, 4])]
fn hogs_on_every_proc_do_not_stop_the_others() {
    if needs_migration("goroutines that have begun on a blocked thread wait for it") {
        return;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let hogs: Vec<_> = (0..gort::runtime::max_procs())
        .map(|_| {
            let stop = stop.clone();
            gort::go(move || {
                while !stop.load(Relaxed) {
                    std::hint::spin_loop();
                }
            })
        })
        .collect();
    for _ in 0..20 {
        gort::go(|| gort::sleep(Duration::from_millis(1))).join().unwrap();
    }
    stop.store(true, Relaxed);
    hogs.into_iter().for_each(|hog| hog.join().unwrap());
    assert!(gort::runtime::metrics().retakes > 0);
}

/// Goroutines in blocking calls, marked or not, do not hold the others up.
#[gort::test(procs = [1, 2, 4])]
fn blocked_threads_do_not_stop_the_others() {
    if needs_migration("goroutines that have begun on a blocked thread wait for it") {
        return;
    }
    for marked in [true, false] {
        let (release, wait) = mpsc::channel::<()>();
        let wait = Arc::new(std::sync::Mutex::new(wait));
        let blocked: Vec<_> = (0..gort::runtime::max_procs() + 1)
            .map(|_| {
                let wait = wait.clone();
                let receive = move || assert!(wait.lock().unwrap().recv().is_err());
                gort::go(move || if marked { gort::blocking(receive) } else { receive() })
            })
            .collect();
        for _ in 0..20 {
            gort::go(|| gort::sleep(Duration::from_millis(1))).join().unwrap();
        }
        drop(release);
        blocked.into_iter().for_each(|handle| handle.join().unwrap());
    }
}

/// A blocking section nests, may park inside, and ends in a panic.
#[gort::test(procs = [1, 2, 4])]
fn blocking_sections_nest_park_and_unwind() {
    for _ in 0..rounds(1000) {
        let value = gort::blocking(|| {
            gort::yield_now();
            gort::blocking(|| gort::go(|| 5).join().unwrap())
        });
        assert_eq!(value, 5);
    }
    let caught = std::panic::catch_unwind(|| gort::blocking(|| std::panic::resume_unwind(Box::new(7))));
    assert_eq!(*caught.unwrap_err().downcast::<i32>().unwrap(), 7);
    gort::yield_now();
}

/// LF-07. The lock keeps the goroutine on its thread and others off it, whatever it waits for; two locks want two unlocks.
#[gort::test(procs = [1, 2, 4])]
fn a_locked_goroutine_stays_on_its_thread_alone() {
    use crate::support::os_thread;
    let stop = Arc::new(AtomicBool::new(false));
    let locked_on = Arc::new(std::sync::atomic::AtomicI64::new(0));
    // In bound mode those that have begun on the thread before stay there.
    let early = if gort::runtime::mode() == gort::runtime::Mode::Bound { 0 } else { 4 };
    let mut others = crate::support::keep_off(early, &stop, &locked_on);
    let locked = gort::go({
        let (locked_on, stop) = (locked_on.clone(), stop.clone());
        move || {
            let outer = gort::lock_os_thread();
            let here = os_thread();
            locked_on.store(here, Release);
            let late = crate::support::keep_off(4, &stop, &locked_on);
            drop(gort::lock_os_thread());
            let (to_other, from_here) = gort::chan::bounded(0);
            let (to_here, from_other) = gort::chan::bounded(0);
            let other = gort::go(move || from_here.iter().for_each(|value: u8| to_here.send(value + 1).unwrap()));
            for value in 0..10 {
                to_other.send(value).unwrap();
                assert_eq!(os_thread(), here);
                assert_eq!(from_other.recv(), Ok(value + 1));
                assert_eq!(os_thread(), here);
            }
            drop(to_other);
            other.join().unwrap();
            for round in 0..rounds(1000) {
                if round % 50 == 0 {
                    gort::sleep(Duration::from_micros(100));
                }
                gort::yield_now();
                assert_eq!(os_thread(), here);
            }
            locked_on.store(0, Release);
            drop(outer);
            late
        }
    });
    others.extend(locked.join().unwrap());
    stop.store(true, Relaxed);
    others.into_iter().for_each(|handle| handle.join().unwrap());
}

/// A locked goroutine whose P was taken while it was blocked gets one again, although its own thread looks for nothing.
#[gort::test(procs = [1, 2, 4])]
fn a_locked_goroutine_comes_back_from_a_blocking_call() {
    for _ in 0..rounds(100) {
        let locked = gort::go(|| {
            let _thread = gort::lock_os_thread();
            gort::blocking(|| std::thread::sleep(Duration::from_micros(300)));
            gort::yield_now();
        });
        locked.join().unwrap();
    }
}

/// Goroutines that end locked, even by a lock taken in a thread-local's destructor, leave no threads behind that only they could use.
#[gort::test(procs = [1, 2, 4])]
fn a_goroutine_that_ends_locked_leaves_no_thread_behind() {
    struct Locks;
    impl Drop for Locks {
        fn drop(&mut self) {
            std::mem::forget(gort::lock_os_thread());
        }
    }
    thread_local!(static LOCKS: std::cell::RefCell<Option<Locks>> = const { std::cell::RefCell::new(None) });
    let before = gort::runtime::metrics().threads;
    for _ in 0..30 {
        gort::go(|| LOCKS.set(Some(Locks))).join().unwrap();
        gort::go(|| std::mem::forget(gort::lock_os_thread())).join().unwrap();
    }
    let more = gort::runtime::metrics().threads.saturating_sub(before);
    assert!(more < 20, "{more} more threads");
}

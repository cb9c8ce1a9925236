//! Those who wait for one another, and those who let others wait: told by the watchdog, and as values.

use crate::child;
use crate::support::{ms, wait_for_parent, wait_for_state, wait_until};
use gort::runtime::{deadlocks, metrics};
use gort::sync::{Mutex, RwLock};
use gort::{Builder, JoinHandle};
use std::io::Read;
use std::sync::{Arc, Barrier};
use std::time::Duration;

/// Long enough for a lock to have changed hands.
const AGE: Duration = Duration::from_millis(20);

fn go(name: &str, body: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    Builder::new().name(name.into()).spawn(body).unwrap()
}

/// Two that lock two mutexes in different orders.
fn cross(first: Arc<Mutex<()>>, second: Arc<Mutex<()>>) {
    let both_hold = Arc::new(gort::sync::Barrier::new(2));
    for (name, own, other) in [("left", first.clone(), second.clone()), ("right", second, first)] {
        let both_hold = both_hold.clone();
        go(name, move || {
            let _own = own.lock();
            both_hold.wait();
            let _other = other.lock();
        });
    }
}

/// Makes a deadlock whose members have these names, in some order.
fn deadlock(case: &str) -> &'static [&'static str] {
    match case {
        "mutexes" => {
            cross(Arc::default(), Arc::default());
            &["left", "right"]
        }
        "mutex twice" => {
            go("twice", || {
                let mutex = Mutex::new(());
                let _held = mutex.lock();
                let _again = mutex.lock();
            });
            &["twice"]
        }
        "writer and reader" => {
            go("writes and reads", || {
                let lock = RwLock::new(());
                let _held = lock.write();
                let _again = lock.read();
            });
            &["writes and reads"]
        }
        "join on oneself" => {
            let (give, own) = gort::chan::bounded::<JoinHandle<()>>(1);
            let handle = go("joins itself", move || own.recv().unwrap().join().unwrap());
            give.send(handle).unwrap();
            &["joins itself"]
        }
        "joins" => {
            let (give, other) = gort::chan::bounded::<JoinHandle<()>>(1);
            let first = go("first", move || other.recv().unwrap().join().unwrap());
            give.send(go("second", move || first.join().unwrap())).unwrap();
            &["first", "second"]
        }
        "scope" => {
            go("parent", || {
                let mutex = Mutex::new(());
                let _held = mutex.lock();
                gort::scope(|s| {
                    let child = || drop(mutex.lock());
                    Builder::new().name("child".into()).spawn_scoped(s, child).unwrap();
                });
            });
            &["parent", "child"]
        }
        "three" => {
            let mutex = Arc::new(Mutex::new(()));
            let theirs = mutex.clone();
            let (say, locked) = gort::chan::bounded(1);
            let (give, last) = gort::chan::bounded::<JoinHandle<()>>(1);
            go("holds and joins", move || {
                let _held = theirs.lock();
                say.send(()).unwrap();
                last.recv().unwrap().join().unwrap();
            });
            locked.recv().unwrap();
            let locks = go("locks", move || drop(mutex.lock()));
            give.send(go("joins", move || locks.join().unwrap())).unwrap();
            &["holds and joins", "locks", "joins"]
        }
        other => panic!("{other}"),
    }
}

/// DX-09. Goroutines that wait for one another, or for themselves, by locks, joins and scopes are found while others go on, with what each waits for and
/// the places; by the program, and by the watchdog, once.
#[test]
fn who_wait_for_one_another_are_found() {
    let this = child::of(|case| {
        // Others go on.
        gort::go(|| {
            loop {
                gort::sleep(ms(1));
            }
        });
        let mut names = deadlock(case).to_vec();
        wait_until(|| !deadlocks(AGE).is_empty());
        let found = deadlocks(AGE);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].is_certain(), "{}", found[0]);
        let mut seen: Vec<_> = found[0].goroutines().iter().map(|sleeper| sleeper.name().unwrap()).collect();
        for (at, sleeper) in found[0].goroutines().iter().enumerate() {
            let next = &found[0].goroutines()[(at + 1) % found[0].goroutines().len()];
            assert!(sleeper.waits_for().contains(&format!("goroutine {}", next.id())), "{}", found[0]);
            assert!(sleeper.wait_site().is_some() && sleeper.spawn_site().is_some(), "{}", found[0]);
        }
        names.sort_unstable();
        seen.sort_unstable();
        assert_eq!(seen, names, "{}", found[0]);
        wait_for_parent();
        assert_eq!(metrics().deadlocks, 1);
    });
    std::thread::scope(|s| {
        for case in ["mutexes", "mutex twice", "writer and reader", "join on oneself", "joins", "scope", "three"] {
            s.spawn(move || {
                let mut running = this.case(case).env("GORT_WATCHDOG_AFTER", "100ms").start();
                running.wait_for_error("gort: watchdog: deadlock: ").wait_for_error("makes it patient");
                // Another look finds it again.
                std::thread::sleep(ms(250));
                let ended = running.end();
                ended.exited(0).says_once("deadlock: ").says("\twaits for ").says("\tcreated at ");
            });
        }
    });
}

/// DX-09, the other half. Who waits with a limit or a context, for somebody who sleeps, or waits for a socket or a thread, is in no deadlock.
#[test]
fn who_will_go_on_is_in_no_deadlock() {
    let this = child::of(|_| {
        let _listener = gort::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = _listener.local_addr().unwrap();
        // A circle that a limit, and another one that a context ends.
        for limited in [true, false] {
            let (first, second) = (Arc::new(Mutex::new(())), Arc::new(Mutex::new(())));
            let both_hold = Arc::new(gort::sync::Barrier::new(2));
            for (own, other, is_bounded) in [(first.clone(), second.clone(), true), (second, first, false)] {
                let both_hold = both_hold.clone();
                go("bounded", move || {
                    let _own = own.lock();
                    both_hold.wait();
                    let minute = ms(60_000);
                    match (is_bounded, limited) {
                        (false, _) => drop(other.lock()),
                        (true, true) => drop(other.lock_timeout(minute)),
                        (true, false) => {
                            let (ctx, cancel) = gort::context::background().with_cancel();
                            drop(other.lock_ctx(&ctx));
                            drop(cancel);
                        }
                    }
                });
            }
        }
        // A lock is held by one that sleeps, one that reads, one that waits for a channel, and a thread.
        let holds = |wait: Box<dyn FnOnce() + Send>| {
            let lock = Arc::new(Mutex::new(()));
            let theirs = lock.clone();
            let there = Arc::new(Barrier::new(2));
            let meets = there.clone();
            gort::go(move || {
                let _held = theirs.lock();
                gort::blocking(|| meets.wait());
                wait();
            });
            there.wait();
            gort::go(move || drop(lock.lock()));
        };
        holds(Box::new(|| gort::sleep(ms(60_000))));
        holds(Box::new(move || {
            let mut stream = gort::net::TcpStream::connect(address).unwrap();
            let _ = stream.read(&mut [0]);
        }));
        let (_send, receive) = gort::chan::bounded::<()>(0);
        holds(Box::new(move || receive.recv().unwrap_or_default()));
        let lock = Arc::new(Mutex::new(()));
        let _held = lock.lock();
        let theirs = lock.clone();
        let waits = gort::go(move || drop(theirs.lock()));
        gort::go(move || waits.join().unwrap());
        // A scope within a scope whose goroutine waits for the outer one's.
        gort::go(|| {
            gort::scope(|outer| {
                let sleeper = outer.spawn(|| gort::sleep(ms(60_000)));
                gort::scope(|inner| drop(inner.spawn(move || sleeper.join().unwrap())));
            });
        });
        std::thread::sleep(ms(400));
        let found = deadlocks(ms(0));
        assert!(found.is_empty(), "{}", found[0]);
        assert_eq!(metrics().deadlocks, 0);
    });
    this.case("").env("GORT_WATCHDOG_AFTER", "100ms").run().exited(0).never_says("deadlock");
}

/// A lock that is held across a wait while others want it: who, where, for how long; once for each place. One that nobody wants is nobody's business.
#[test]
fn a_lock_held_across_a_wait_is_reported_with_both_sites() {
    let this = child::of(|case| {
        let listener = gort::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let lock = Arc::new(RwLock::new(()));
        let theirs = lock.clone();
        let how = case.to_owned();
        let holder = go("holder", move || {
            let mut stream = gort::net::TcpStream::connect(address).unwrap();
            let mut buf = [0];
            let _ = match &*how {
                "reading" => {
                    let _held = theirs.read();
                    stream.read(&mut buf)
                }
                _ => {
                    let _held = theirs.write();
                    stream.read(&mut buf)
                }
            };
        });
        wait_for_state(holder.goroutine().id(), "IO wait, read");
        if case != "alone" {
            for _ in 0..3 {
                let theirs = lock.clone();
                let wants = go("wants it", move || drop(theirs.write()));
                wait_for_state(wants.goroutine().id(), "sync.RWMutex.Lock");
            }
            wait_for_parent();
        } else {
            std::thread::sleep(ms(400));
        }
        assert_eq!(metrics().coarse_locks, u64::from(case != "alone"));
        assert!(deadlocks(ms(0)).is_empty());
    });
    for (case, held) in [("writing", "held"), ("reading", "held for reading")] {
        let mut running = this.case(case).env("GORT_WATCHDOG_AFTER", "100ms").start();
        running.wait_for_error("makes it patient");
        std::thread::sleep(ms(250));
        let ended = running.end();
        ended.exited(0).says_once("gort: watchdog: ");
        ended.says(&format!(" \"holder\" waits with a lock {held}, and ")).says(" wait for that lock, the first for ");
        for line in ["locked at ", "waits at ", "the lock is wanted at ", "created at "] {
            ended.says(&format!("\t{line}crates/gort/tests/process/waits.rs:"));
        }
        ended.says("[IO wait, read, fd ");
    }
    this.case("alone").env("GORT_WATCHDOG_AFTER", "100ms").run().exited(0).never_says("gort: ");
}

/// Who has let go of a lock does not hold it, whoever else does: a guard that has left the stack it was made on, whose next user wants the lock; the last
/// reader, while an earlier one reads on; one that has unlocked, while the next in line has no thread to run on.
#[test]
fn who_has_let_go_is_not_named() {
    let this = child::of(|case| {
        match case {
            "guard" => guard_from_another_stack(),
            "reader" => last_reader_has_gone(),
            _ => heir_without_thread(),
        }
        assert_eq!((metrics().deadlocks, metrics().coarse_locks), (0, 0));
    });
    for case in ["guard", "reader", "heir"] {
        let settings = this.case(case);
        let settings = if case == "heir" { settings.env("GORT_MODE", "bound") } else { settings };
        settings
            .env("GORT_WATCHDOG_AFTER", "100ms")
            .run()
            .exited(0)
            .never_says("deadlock")
            .never_says("with a lock held");
    }
}

fn guard_from_another_stack() {
    const STACK: usize = 256 << 10;
    let holder = move || {
        let mutex = Arc::new(Mutex::new(()));
        let held = gort::with_stack(STACK, || mutex.lock());
        let locks = |_| {
            let mutex = mutex.clone();
            Builder::new().stack_size(STACK).spawn(move || drop(mutex.lock())).unwrap()
        };
        // More than a processor has stacks at hand.
        let all: Vec<_> = (0..200).map(locks).collect();
        gort::blocking(|| std::thread::sleep(ms(400)));
        assert!(deadlocks(AGE).is_empty(), "{}", deadlocks(AGE)[0]);
        drop(held);
        all.into_iter().for_each(|handle| handle.join().unwrap());
    };
    gort::go(holder).join().unwrap();
}

fn last_reader_has_gone() {
    let lock = Arc::new(RwLock::new(()));
    let _reads_on = lock.read();
    let theirs = lock.clone();
    let gone = gort::go(move || {
        drop(theirs.read());
        gort::sleep(ms(60_000));
    });
    wait_for_state(gone.goroutine().id(), "sleep");
    let theirs = lock.clone();
    gort::go(move || drop(theirs.write()));
    std::thread::sleep(ms(400));
}

/// `heir` and `keeper` share a thread.
fn heir_without_thread() {
    let (first, second) = (Arc::new(Mutex::new(())), Arc::new(Mutex::new(())));
    let (theirs, other) = (first.clone(), second.clone());
    let (let_go, told) = gort::chan::bounded::<()>(1);
    let lets_go = gort::go(move || {
        // Nobody else begins here.
        let _alone = gort::lock_os_thread();
        let held = theirs.lock();
        told.recv().unwrap();
        drop(held);
        drop(other.lock());
    });
    wait_for_state(lets_go.goroutine().id(), "chan receive");
    let theirs = first.clone();
    let (keep, begins) = gort::chan::bounded::<()>(1);
    let (say, has_begun) = gort::chan::bounded::<()>(1);
    let heir = gort::go(move || {
        // As a child it begins where its parent waits.
        let keeper = gort::go(move || {
            let _alone = gort::lock_os_thread();
            say.send(()).unwrap();
            begins.recv().unwrap();
            let_go.send(()).unwrap();
            std::thread::sleep(ms(1000));
        });
        drop(theirs.lock());
        keeper.join().unwrap();
    });
    wait_for_state(heir.goroutine().id(), "sync.Mutex.Lock");
    has_begun.recv().unwrap();
    let holds = gort::go(move || {
        let _second = second.lock();
        drop(first.lock());
    });
    wait_for_state(holds.goroutine().id(), "sync.Mutex.Lock");
    keep.send(()).unwrap();
    std::thread::sleep(ms(600));
    assert!(deadlocks(AGE).is_empty(), "{}", deadlocks(AGE)[0]);
    for handle in [lets_go, heir, holds] {
        handle.join().unwrap();
    }
}

/// Also in a process where nothing else happens, so that the monitor sleeps until then.
#[test]
fn a_deadlock_in_a_quiet_process_is_reported() {
    let this = child::of(|_| {
        deadlock("joins");
        wait_for_parent();
    });
    std::thread::scope(|s| {
        for _ in 0..6 {
            s.spawn(|| {
                let mut running = this.case("").env("GORT_WATCHDOG_AFTER", "1200ms").start();
                running.wait_for_error("gort: watchdog: ").wait_for_error("\"first\"");
                running.end().exited(0);
            });
        }
    });
}

//! Bound mode: a goroutine stays on the thread on which it has begun. The children ask for it; the rest of the suite runs in it by
//! `GORT_MODE=bound cargo test`.

use crate::child;
use crate::support::{is_only_bound, ms, own_thread_id, pipe, read_byte, wait_for_state, write_byte};
use gort::runtime::{Mode, shutdown};
use std::io::{Read, Write};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

/// Runs the case in bound mode with 1, 2 and 4 Ps.
#[track_caller]
fn at_procs(this: child::Test, case: &str) {
    for procs in ["1", "2", "4"] {
        let ended = this.case(case).env("GORT_MODE", "bound").env("GORT_MAXPROCS", procs).run();
        ended.exited(0).never_says("gort: ");
    }
}

/// Begins `count` goroutines on as many threads: each blocks its own until all are there.
fn on_threads<T: Send + 'static>(
    count: usize,
    f: impl Fn(usize) -> T + Send + Sync + 'static,
) -> Vec<gort::JoinHandle<T>> {
    let (f, there) = (Arc::new(f), Arc::new(Barrier::new(count)));
    (0..count)
        .map(|n| {
            let (f, there) = (f.clone(), there.clone());
            gort::go(move || {
                there.wait();
                f(n)
            })
        })
        .collect()
}

/// Whatever a goroutine waits for, it goes on where it was; more threads than processors take turns, and nobody is left behind.
#[test]
fn a_goroutine_stays_on_its_thread() {
    fn main() {
        assert_eq!(gort::runtime::mode(), Mode::Bound);
        assert_eq!(gort::runtime::bound_because(), Some("GORT_MODE=bound says so"));
        let listener = gort::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (s, r) = gort::chan::bounded::<usize>(0);
        let mutex = Arc::new(gort::sync::Mutex::new(0));
        let pairs = 4;
        let handles = on_threads(2 * pairs, move |n| {
            let home = own_thread_id();
            let stays = || assert_eq!(own_thread_id(), home);
            let mut stream =
                if n < pairs { gort::net::TcpStream::connect(address).unwrap() } else { listener.accept().unwrap().0 };
            stays();
            for round in 0..40 {
                let mut byte = [0];
                if n < pairs {
                    stream.write_all(&[7]).unwrap();
                    stream.read_exact(&mut byte).unwrap();
                    stays();
                    s.send(round).unwrap();
                } else {
                    stream.read_exact(&mut byte).unwrap();
                    stays();
                    stream.write_all(&byte).unwrap();
                    r.recv().unwrap();
                }
                stays();
                let mut held = mutex.lock().unwrap();
                gort::yield_now();
                *held += 1;
                drop(held);
                stays();
                gort::go(move || assert!(round < 40)).join().unwrap();
                stays();
                if round % 8 == 0 {
                    gort::sleep(Duration::from_micros(300));
                    stays();
                }
            }
            home
        });
        let mut homes: Vec<_> = handles.into_iter().map(|handle| handle.join().unwrap()).collect();
        homes.sort_unstable();
        homes.dedup();
        assert_eq!(homes.len(), 2 * pairs);
    }
    at_procs(child::of(|_| child::gort_main(main)), "");
}

/// A thread that is stuck keeps those that have begun on it, and nobody else; when it comes back they go on.
#[test]
fn a_stuck_thread_keeps_its_own_and_nobody_else() {
    fn main() {
        let (reader, writer) = pipe();
        let ran = Arc::new(AtomicUsize::new(0));
        let handles = on_threads(3, move |n| {
            if n == 0 {
                gort::blocking(|| read_byte(reader));
                return;
            }
            for _ in 0..100 {
                gort::yield_now();
                gort::sleep(Duration::from_micros(10));
            }
            // What has not begun goes on as well.
            let children: Vec<_> = (0..10).map(|_| gort::go(own_thread_id)).collect();
            children.into_iter().for_each(|child| assert!(child.join().unwrap() > 0));
            if ran.fetch_add(1, SeqCst) == 1 {
                write_byte(writer);
            }
        });
        handles.into_iter().for_each(|handle| handle.join().unwrap());
    }
    at_procs(child::of(|_| child::gort_main(main)), "");
}

/// A section on another thread: siblings go on meanwhile, what it borrows it may change, the context goes along, panics come back.
#[test]
fn a_section_on_another_thread_holds_up_nobody() {
    fn main() {
        let (reader, writer) = pipe();
        let home = own_thread_id();
        let sibling = gort::go(own_thread_id);
        let mut changed = 0;
        let (ctx, cancel) = gort::context::background().with_cancel();
        cancel.cancel();
        let elsewhere = ctx.run(|| {
            gort::scope(|scope| {
                // Begins on this thread if there is only one.
                scope.spawn(|| write_byte(writer));
                gort::blocking_send(|| {
                    read_byte(reader);
                    changed += 1;
                    assert!(gort::context::current().err().is_some());
                    own_thread_id()
                })
            })
        });
        assert!(elsewhere != home && own_thread_id() == home && changed == 1);
        sibling.join().unwrap();
        let caught = std::panic::catch_unwind(|| gort::blocking_send(|| std::panic::resume_unwind(Box::new(5))));
        assert_eq!(*caught.unwrap_err().downcast::<i32>().unwrap(), 5);
        // Not its own, where it is none.
        assert_eq!(
            std::thread::spawn(|| gort::blocking_send(own_thread_id) == own_thread_id()).join().ok(),
            Some(true)
        );
    }
    at_procs(child::of(|_| child::gort_main(main)), "");
}

/// A goroutine that locks its thread shares it with those only that have begun there; and says so if there are any.
#[test]
fn nothing_begins_on_a_locked_thread() {
    fn main() {
        let locked = on_threads(2, |_| {
            let guard = gort::lock_os_thread();
            let home = own_thread_id();
            for _ in 0..20 {
                let children: Vec<_> = (0..10).map(|_| gort::go(own_thread_id)).collect();
                gort::yield_now();
                for child in children {
                    assert_ne!(child.join().unwrap(), home);
                }
                assert_eq!(own_thread_id(), home);
            }
            drop(guard);
        });
        locked.into_iter().for_each(|handle| handle.join().unwrap());
    }
    let this = child::of(|_| child::gort_main(main));
    for procs in ["1", "2", "4"] {
        this.case("").env("GORT_MODE", "bound").env("GORT_MAXPROCS", procs).run().exited(0);
    }
}

/// A shutdown leaves a goroutine that is parked with its thread; after the next start it goes on there.
#[test]
fn what_a_shutdown_leaves_goes_on_on_its_thread() {
    let this = child::of(|_| {
        let go_on = Arc::new(AtomicBool::new(false));
        let count = 6;
        let parked = gort::go({
            let go_on = go_on.clone();
            move || {
                let all = on_threads(count, move |_| {
                    let home = own_thread_id();
                    while !go_on.load(SeqCst) {
                        gort::park();
                    }
                    assert_eq!(own_thread_id(), home);
                    home
                });
                all.iter().for_each(|one| wait_for_state(one.goroutine().id(), "park"));
                all
            }
        });
        let parked = parked.join().unwrap();
        for round in 0..20 {
            let left = shutdown(Instant::now() + ms(1));
            assert_eq!((left.goroutines().len(), left.threads()), (count, count), "{left}");
            if round % 2 == 0 {
                // Made ready while nothing runs: first in line at the next start.
                parked[0].goroutine().unpark();
            }
            let handles: Vec<_> = (0..50_usize).map(|n| gort::go(move || n)).collect();
            assert_eq!(handles.into_iter().map(|handle| handle.join().unwrap()).sum::<usize>(), 1225);
        }
        let _ = shutdown(Instant::now());
        go_on.store(true, SeqCst);
        parked.iter().for_each(|one| one.goroutine().unpark());
        gort::go(|| ()).join().unwrap();
        let mut homes: Vec<_> = parked.into_iter().map(|one| one.join().unwrap()).collect();
        homes.sort_unstable();
        homes.dedup();
        assert_eq!(homes.len(), count);
        // They have ended, and their threads may.
        let left = shutdown(Instant::now() + crate::support::scaled(Duration::from_secs(15)));
        assert!(left.is_empty(), "{left}");
    });
    at_procs(this, "");
}

/// The program may ask for it, the environment wins, and what it requires wins over both.
#[test]
fn the_builder_chooses_the_mode_and_the_environment_wins() {
    let this = child::of(|case| {
        let builder = gort::runtime::Builder::new();
        let started = match case {
            "bound" => builder.mode(Mode::Bound).start(),
            "migrating" => builder.mode(Mode::Migrating).start(),
            _ => builder.mode(Mode::Bound).require_migrating().start(),
        };
        started.unwrap();
        println!("mode {}", gort::runtime::mode());
        println!("because {:?}", gort::runtime::bound_because());
        // For the life of the process.
        assert!(shutdown(Instant::now()).is_empty());
        if gort::runtime::mode() == Mode::Bound {
            let later = gort::runtime::Builder::new().require_migrating().start();
            println!("unreachable: {later:?}");
        }
    });
    let ended = this.case("bound").env("GORT_MODE", "auto").run();
    ended.exited(2).prints("mode bound").prints("because Some(\"runtime::Builder::mode(Bound) says so\")");
    ended
        .says_once("gort: ")
        .says("goroutines stay on their threads in this process, because runtime::Builder::mode(Bound) says so");
    this.case("migrating")
        .env("GORT_MODE", "bound")
        .run()
        .exited(2)
        .prints("because Some(\"GORT_MODE=bound says so\")");
    if !is_only_bound() {
        this.case("bound")
            .env("GORT_MODE", "migrating")
            .run()
            .exited(0)
            .prints("mode migrating")
            .prints("because None");
    }
    let ended = this.case("both").env("GORT_MODE", "auto").run();
    ended
        .exited(2)
        .says_once("gort: runtime::Builder::mode(Bound) is not possible: the program requires goroutines that move");
}

/// Valgrind knows no instruction for the thread pointer, so none is tried; it is told of the stacks, and finds nothing to say.
#[test]
fn under_valgrind_goroutines_are_bound() {
    let this = child::of(|_| {
        let handles: Vec<_> = (0..20_usize)
            .map(|n| {
                gort::go(move || {
                    let text = format!("goroutine {n}");
                    gort::yield_now();
                    gort::sleep(ms(1));
                    text.len()
                })
            })
            .collect();
        let sum = handles.into_iter().map(|handle| handle.join().unwrap()).sum::<usize>();
        println!("sum {sum}, {}", gort::runtime::mode());
    });
    if std::process::Command::new("valgrind").arg("--version").output().is_err() {
        println!("skipped: there is no valgrind");
        return;
    }
    let case = this.case_under("valgrind", &["--quiet", "--error-exitcode=9"], "");
    let ended = case.env("GORT_MODE", "auto").env("GORT_MAXPROCS", "2").run();
    ended.exited(0).prints("sum 230, bound").says_once("gort: ");
    ended.says(
        "gort: goroutines stay on the thread on which they begin (bound mode), because the program runs under valgrind",
    );
}

/// A shutdown that a goroutine calls returns by its deadline whatever others do that had not begun: none of them begins on its thread.
#[test]
fn a_shutdown_from_a_goroutine_waits_for_nobody_who_blocks_another_thread() {
    fn main() {
        let sleepers: Vec<_> = (0..6).map(|_| gort::go(|| std::thread::sleep(Duration::from_secs(60)))).collect();
        let begun = Instant::now();
        let left = shutdown(begun + ms(200));
        assert!(begun.elapsed() < crate::support::scaled(ms(5000)), "{:?}", begun.elapsed());
        assert_eq!(left.goroutines().len(), sleepers.len(), "{left}");
    }
    at_procs(child::of(|_| child::gort_main(main)), "");
}

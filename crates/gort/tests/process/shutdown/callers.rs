//! From where a shutdown may be called.

use super::{LONG, at_procs, named, names, own_threads, shut_down_clean, wait_for_kept_threads, wait_for_no_threads};
use crate::child;
use crate::support::{ms, needs_migration, scaled, wait_for_state, wait_until};
use gort::context::background;
use gort::runtime::{Left, shutdown};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::Instant;

fn shut_down() -> Left {
    shutdown(Instant::now() + scaled(LONG))
}

/// Starts goroutines that take a while to end, and returns how many have.
fn start_some() -> Arc<AtomicUsize> {
    let ended = Arc::new(AtomicUsize::new(0));
    for n in 0..50 {
        let ended = ended.clone();
        gort::go(move || {
            gort::sleep(ms(n % 7));
            ended.fetch_add(1, SeqCst);
        });
    }
    ended
}

/// A goroutine that calls waits for all but itself, and the threads end when it has ended: plainly, marked as blocking, as the thread's guest, in a
/// context's function, while it unwinds.
#[test]
fn a_goroutine_may_call() {
    struct AtTheEnd;
    impl Drop for AtTheEnd {
        fn drop(&mut self) {
            let left = shut_down();
            assert!(left.is_empty(), "{left}");
            DONE.store(true, SeqCst);
        }
    }
    static DONE: AtomicBool = AtomicBool::new(false);
    let this = child::of(|case| {
        let ended = start_some();
        let check = move || {
            let left = shut_down();
            assert!(left.is_empty(), "{left}");
            assert_eq!(ended.load(SeqCst), 50);
            // It goes on as it is used to, and nothing is accepted.
            gort::yield_now();
            gort::sleep(ms(1));
            DONE.store(true, SeqCst);
        };
        match case {
            "plainly" => gort::go(check).join().unwrap(),
            "blocking" => gort::go(|| gort::blocking(check)).join().unwrap(),
            "host" => gort::go(|| gort::host(check)).join().unwrap(),
            "context" => {
                let (ctx, cancel) = background().with_cancel();
                ctx.after_func(check);
                cancel.cancel();
            }
            "panic" => {
                let unwinds = gort::go(|| {
                    let _at_the_end = AtTheEnd;
                    panic!("on purpose");
                });
                assert!(unwinds.join().is_err());
            }
            other => unreachable!("{other}"),
        }
        wait_until(|| DONE.load(SeqCst));
        wait_for_no_threads();
        assert_eq!(gort::go(|| 7).join().unwrap(), 7);
        shut_down_clean();
    });
    for case in ["plainly", "blocking", "host", "context", "panic"] {
        if case == "host" && needs_migration("host blocks the thread, and who has begun on it waits") {
            continue;
        }
        at_procs(this, case);
    }
}

/// A main that is a goroutine drains, looks at what is left, and may go on with a runtime of other settings.
#[test]
fn a_goroutine_that_has_called_may_start_it_again() {
    fn main() {
        let parked = named("parked").spawn(gort::park).unwrap();
        wait_for_state(parked.goroutine().id(), "park");
        let left = shutdown(Instant::now() + ms(10));
        // Where a goroutine is bound to its thread, that is left with it.
        let threads = usize::from(gort::runtime::mode() == gort::runtime::Mode::Bound);
        assert_eq!((names(&left), left.threads()), (vec!["parked"], threads));
        assert!(gort::context::background().err().is_some());

        gort::runtime::Builder::new().max_procs(3).stack_size(512 << 10).start().unwrap();
        assert_eq!(gort::runtime::max_procs(), 3);
        assert!(gort::context::background().err().is_none());
        parked.goroutine().unpark();
        parked.join().unwrap();
        let handles: Vec<_> = (0..100_usize).map(|n| gort::go(move || n)).collect();
        assert_eq!(handles.into_iter().map(|handle| handle.join().unwrap()).sum::<usize>(), 4950);
        // And by the next `go`.
        assert!(shut_down().is_empty());
        gort::go(|| ()).join().unwrap();
    }
    child::of(|_| child::gort_main(main)).run("").exited(0);
}

/// Those that are left go on as long as the goroutine that has called does, are refused what they want to start, and stop with it.
#[test]
fn what_is_left_lives_as_long_as_the_goroutine_that_has_called() {
    let this = child::of(|_| {
        let ticks = Arc::new(AtomicUsize::new(0));
        let refused = Arc::new(AtomicBool::new(false));
        let (ticks_too, refused_too) = (ticks.clone(), refused.clone());
        let ticker = named("ticker").spawn(move || {
            loop {
                gort::sleep(ms(1));
                ticks_too.fetch_add(1, SeqCst);
                refused_too.fetch_or(gort::Builder::new().spawn(|| ()).is_err(), SeqCst);
            }
        });
        let calls = gort::go(move || {
            let left = shutdown(Instant::now() + ms(5));
            assert_eq!(names(&left), ["ticker"]);
            let seen = ticks.load(SeqCst);
            wait_until(|| ticks.load(SeqCst) > seen + 5);
            assert!(refused.load(SeqCst));
            ticks
        });
        let ticks = calls.join().unwrap();
        // Where a goroutine is bound to its thread, that is left with it.
        let kept = usize::from(gort::runtime::mode() == gort::runtime::Mode::Bound);
        wait_until(|| own_threads().len() == kept);
        let seen = ticks.load(SeqCst);
        std::thread::sleep(ms(20));
        assert_eq!(ticks.load(SeqCst), seen);
        assert_eq!(names(&shut_down()), ["ticker"]);
        // The next start takes it along.
        gort::go(|| ()).join().unwrap();
        wait_until(|| ticks.load(SeqCst) > seen + 5);
        drop(ticker);
    });
    at_procs(this, "");
}

/// Several calls at once share one shutdown and all get its answer, whoever makes them.
#[test]
fn several_may_call_at_once() {
    let this = child::of(|case| {
        for round in 0..10 {
            let ended = start_some();
            let (threads, goroutines) = match case {
                "threads" => (4, 0),
                "goroutines" => (0, 4),
                _ => (2, 2),
            };
            // Nobody before all are there: who comes late would be refused, or wait for the next one.
            let gate = Arc::new(std::sync::Barrier::new(threads + goroutines));
            let call = || {
                let gate = gate.clone();
                move || {
                    gate.wait();
                    shut_down()
                }
            };
            let goroutines: Vec<_> = (0..goroutines).map(|_| gort::go(call())).collect();
            let threads: Vec<_> = (0..threads).map(|_| std::thread::spawn(call())).collect();
            for thread in threads {
                let left = thread.join().unwrap();
                assert!(left.is_empty(), "round {round}: {left}");
                wait_for_no_threads();
            }
            for goroutine in goroutines {
                let left = goroutine.join().unwrap();
                assert!(left.is_empty(), "round {round}: {left}");
            }
            assert_eq!(ended.load(SeqCst), 50);
            wait_for_no_threads();
        }
    });
    for case in ["threads", "goroutines", "both"] {
        at_procs(this, case);
    }
}

/// Of several deadlines the earliest counts, and a goroutine that has called and goes on does not keep a thread waiting beyond it.
#[test]
fn of_several_deadlines_the_earliest_counts() {
    let this = child::of(|_| {
        let parked = named("parked").spawn(gort::park).unwrap();
        wait_for_state(parked.goroutine().id(), "park");
        let patient = std::thread::spawn(shut_down);
        wait_until(|| background().err().is_some());
        let start = Instant::now();
        let left = shutdown(start + ms(20));
        assert!(start.elapsed() >= ms(20));
        assert_eq!(names(&left), ["parked"]);
        assert_eq!(names(&patient.join().unwrap()), ["parked"]);

        let goes_on = named("caller").spawn(|| (shut_down(), gort::park())).unwrap();
        parked.goroutine().unpark();
        parked.join().unwrap();
        wait_for_state(goes_on.goroutine().id(), "park");
        let left = shutdown(Instant::now() + ms(20));
        assert_eq!(names(&left), ["caller"]);
        wait_for_kept_threads(&left);
        goes_on.goroutine().unpark();
        gort::go(|| ()).join().unwrap();
        assert!(goes_on.join().unwrap().0.is_empty());
        shut_down_clean();
    });
    at_procs(this, "");
}

thread_local! {
    /// On a thread of the runtime's: holds up its end, and with it that of the shutdown.
    static HOLDS_UP: HoldsUp = const { HoldsUp };
}

struct HoldsUp;

static IS_LEAVING: AtomicBool = AtomicBool::new(false);
static HAS_ANSWER: AtomicBool = AtomicBool::new(false);

impl Drop for HoldsUp {
    fn drop(&mut self) {
        IS_LEAVING.store(true, SeqCst);
        poll(&HAS_ANSWER);
    }
}

/// Waits without gort.
fn poll(flag: &AtomicBool) {
    while !flag.load(SeqCst) {
        std::thread::sleep(ms(1));
    }
}

/// A goroutine that calls when the time is over and the threads are leaving gets what is left but itself; whoever called before sees it there.
#[test]
fn a_goroutine_may_call_while_the_threads_leave() {
    static IS_HELD_UP: AtomicBool = AtomicBool::new(false);
    static IS_AWAY: AtomicBool = AtomicBool::new(false);
    let this = child::of(|_| {
        // Keeps its thread until the others have begun: in bound mode that one outlives the shutdown.
        let parked = named("parked").spawn(|| {
            poll(&IS_HELD_UP);
            gort::park();
        });
        let parked = parked.unwrap();
        // Each on the thread of an M, at the same time, so not on the same one.
        let late = named("late").spawn(|| {
            gort::host(|| {
                IS_AWAY.store(true, SeqCst);
                poll(&IS_LEAVING);
                let left = shut_down();
                HAS_ANSWER.store(true, SeqCst);
                left
            })
        });
        let leaves = gort::go(|| {
            gort::host(|| {
                HOLDS_UP.with(|_| IS_HELD_UP.store(true, SeqCst));
                poll(&IS_AWAY);
            });
        });
        poll(&IS_HELD_UP);
        wait_for_state(parked.goroutine().id(), "park");
        leaves.join().unwrap();
        let left = shutdown(Instant::now() + ms(20));
        assert_eq!(names(&left), ["late", "parked"]);
        let left = late.unwrap().join().unwrap();
        assert_eq!(names(&left), ["parked"]);
        gort::go(|| ()).join().unwrap();
        parked.goroutine().unpark();
        parked.join().unwrap();
        shut_down_clean();
    });
    at_procs(this, "");
}

/// Without a runtime there is nothing to do, and no runtime is started for it.
#[test]
fn without_a_runtime_it_returns_at_once() {
    child::of(|_| {
        assert!(shut_down().is_empty());
        wait_for_no_threads();
        gort::go(|| ()).join().unwrap();
        shut_down_clean();
        shut_down_clean();
    })
    .run("")
    .exited(0);
}

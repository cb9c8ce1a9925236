//! Blocking classes: so many calls of a kind at a time, in order of arrival, whatever the calls do.

use crate::support::{Cancellers, Dice, needs_migration, rounds, scaled, wait_until};
use gort::context::{Ended, background};
use gort::{BlockingClass, blocking_class};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Starts `count` calls one after the other, every third of them on a plain thread, and waits for all. Each has its place in the queue (or in the
/// class) before the next is started. `body` gets the number of the call.
fn in_turn(class: &'static BlockingClass, count: usize, body: impl Fn(usize) + Send + Sync + 'static) {
    let body = Arc::new(body);
    // In the queue, and not only on the way to it as for the figure.
    let queued = || gort::runtime::dump().matches(&format!("[blocking class {:?}", class.metrics().name)).count();
    let arrived = || class.metrics().entered as usize + queued();
    let before = arrived();
    let (mut goroutines, mut threads) = (Vec::new(), Vec::new());
    for index in 0..count {
        let body = body.clone();
        let call = move || class.run(|| body(index));
        if index % 3 == 2 {
            threads.push(std::thread::spawn(call));
        } else {
            goroutines.push(gort::go(call));
        }
        // One that gets its permit is for a moment in neither number, and never in both.
        wait_until(|| arrived() > before + index);
    }
    goroutines.into_iter().for_each(|goroutine| goroutine.join().unwrap());
    gort::blocking_send(|| threads.into_iter().for_each(|thread| thread.join().unwrap()));
}

/// HF-05, its second half. With n slots, n + 20 sleeps of 50 ms all finish, at most n at a time, and who has come later is never served before who has
/// come earlier: when one begins, of those before it only those may not have begun that have a slot, too.
#[gort::test(procs = [1, 2, 4])]
fn as_many_sleeps_as_there_are_slots_run_at_a_time_in_order_of_arrival() {
    static SLEEPS: BlockingClass = BlockingClass::new("hf05", 10);
    if needs_migration("goroutines that have begun on a blocked thread wait for it") {
        return;
    }
    let begun = Arc::new(Mutex::new(Vec::new()));
    let running = Arc::new(AtomicUsize::new(0));
    let (theirs, start) = (begun.clone(), Instant::now());
    let before = SLEEPS.metrics();
    in_turn(&SLEEPS, 30, move |index| {
        assert!(running.fetch_add(1, SeqCst) < 10, "more than there are slots");
        theirs.lock().unwrap().push(index);
        std::thread::sleep(ms(50));
        running.fetch_sub(1, SeqCst);
    });
    assert!(start.elapsed() >= ms(150), "three rounds");
    let begun = begun.lock().unwrap();
    for (place, &index) in begun.iter().enumerate() {
        let missing = (0..index).filter(|earlier| !begun[..place].contains(earlier)).count();
        assert!(missing < 10, "{index} has begun before {missing} earlier ones: {begun:?}");
    }
    let metrics = SLEEPS.metrics();
    assert_eq!((metrics.running, metrics.waiting, metrics.entered - before.entered), (0, 0, 30));
    assert!(metrics.longest_wait >= ms(50) && metrics.waited >= metrics.longest_wait + ms(50), "{metrics:?}");
}

/// HF-05, its second half, with one slot, where the order is exact.
#[gort::test(procs = [1, 2, 4])]
fn with_one_slot_each_call_waits_for_the_one_before() {
    static ONE: BlockingClass = BlockingClass::new("hf05, one", 1);
    let begun = Arc::new(Mutex::new(Vec::new()));
    let theirs = begun.clone();
    in_turn(&ONE, 21, move |index| {
        theirs.lock().unwrap().push(index);
        std::thread::sleep(ms(1));
    });
    assert!(begun.lock().unwrap().iter().copied().eq(0..21), "{begun:?}");
}

/// A call takes a permit before it blocks, so a crowd holds as many threads as there are permits.
#[gort::test(procs = [2])]
fn a_crowd_holds_no_more_threads_than_there_are_permits() {
    static FEW: BlockingClass = BlockingClass::new("few threads", 3);
    let threads = || gort::runtime::metrics().threads;
    let before = threads();
    let calls: Vec<_> = (0..200).map(|_| gort::go(|| FEW.run(|| std::thread::sleep(ms(1))))).collect();
    calls.into_iter().for_each(|call| call.join().unwrap());
    // Two processors, three in a call, and as many again on their way from one to the other.
    assert!(threads() <= before.max(2) + 6, "{} threads, {before} before", threads());
}

/// A panic inside gives the permit back, and goes on.
#[gort::test(procs = [1, 2, 4])]
fn a_panic_inside_gives_the_permit_back() {
    let class = blocking_class("panics", 1);
    for _ in 0..3 {
        let caught = catch_unwind(AssertUnwindSafe(|| class.run(|| std::panic::resume_unwind(Box::new(7)))));
        assert_eq!(*caught.unwrap_err().downcast::<i32>().unwrap(), 7);
        let caught = catch_unwind(AssertUnwindSafe(|| {
            class.run_detached(&background(), || std::panic::resume_unwind(Box::new(8)))
        }));
        assert_eq!(*caught.unwrap_err().downcast::<i32>().unwrap(), 8);
        wait_until(|| class.metrics().running == 0);
    }
    assert_eq!(class.try_run(|| 1), Some(1));
}

/// The forms that do not wait for ever: what is free is had, what is not in time is refused, and counted.
#[gort::test(procs = [1, 2, 4])]
fn what_does_not_come_in_time_is_refused() {
    let class = blocking_class("in time", 1);
    let before = class.metrics().refused;
    assert_eq!(class.try_run(|| 1), Some(1));
    assert_eq!(class.run_timeout(Duration::ZERO, || 2), Some(2));
    assert_eq!(class.run_deadline(Instant::now(), || 3), Some(3));
    let unreachable = || unreachable!("it was refused");
    class.run(|| {
        let start = Instant::now();
        assert_eq!(class.try_run(unreachable), None);
        assert_eq!(class.run_timeout(ms(5), unreachable), None);
        assert!(start.elapsed() >= ms(5), "too early");
        assert_eq!(class.run_deadline(start + ms(10), unreachable), None);
        assert!(start.elapsed() >= ms(10), "too early");
        let (ctx, _) = background().with_deadline(start + ms(15));
        assert!(class.run_ctx(&ctx, unreachable).unwrap_err().is_deadline_exceeded());
        assert!(class.run_detached(&ctx, unreachable).unwrap_err().is_deadline_exceeded());
        assert!(start.elapsed() >= ms(15), "too early");
    });
    assert_eq!(class.metrics().refused - before, 5);
    assert!(class.metrics().longest_wait >= ms(5));
}

/// The ambient context bounds the wait of what does input or output, with the error that it always has; the call's own errors pass.
#[gort::test(procs = [1, 2, 4])]
fn the_ambient_context_ends_the_wait() {
    let class = blocking_class("ambient", 1);
    let refused = class.run_io(|| io::Result::<()>::Err(io::ErrorKind::AddrInUse.into())).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
    let (ctx, _) = background().with_timeout(ms(5));
    let error = ctx.run(|| class.run(|| class.run_io(|| Ok(())))).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(matches!(Ended::find(&error), Some(Ended::DeadlineExceeded(_))));
    // It has ended: nothing is begun, also if there is a permit.
    assert!(ctx.run(|| class.run_io(|| -> io::Result<()> { unreachable!("it has ended") })).is_err());
    assert_eq!(class.run_io(|| Ok(4)).unwrap(), 4);
}

/// One name, one class; and one limit, or the second one is told, with both places.
#[gort::test(procs = [2])]
fn a_name_is_one_class_with_one_limit() {
    static HERE: BlockingClass = BlockingClass::new("one name", 2);
    let there = blocking_class("one name", 2);
    HERE.run(|| there.run(|| assert_eq!((HERE.metrics().running, HERE.try_run(|| ())), (2, None))));
    assert_eq!(there.metrics(), HERE.metrics());
    assert_eq!((there.name(), there.limit()), ("one name", 2));
    let other = BlockingClass::new("one name", 3);
    let payload = catch_unwind(AssertUnwindSafe(|| other.run(|| ()))).unwrap_err();
    let text = payload.downcast::<String>().unwrap();
    let file = file!();
    assert!(text.starts_with("the blocking class \"one name\" has a limit of 2 ("), "{text}");
    assert!(text.contains("cannot have one of 3 as well (") && text.matches(file).count() == 2, "{text}");
    assert!(catch_unwind(|| blocking_class("none", 0)).is_err());
    let known = gort::runtime::blocking_classes();
    assert_eq!(known.iter().filter(|class| class.name == "one name").count(), 1);
}

/// A dump names the class that a goroutine runs in, and the one that it waits for; a section around another one is named again afterwards.
#[gort::test(procs = [2])]
fn a_dump_names_the_class() {
    if needs_migration("goroutines that have begun on a blocked thread wait for it") {
        return;
    }
    static OUTER: BlockingClass = BlockingClass::new("an outer one", 1);
    static INNER: BlockingClass = BlockingClass::new("an inner one", 1);
    let (step, steps) = mpsc::channel::<()>();
    let runs = gort::go(move || {
        OUTER.run(|| {
            steps.recv().unwrap();
            INNER.run(|| steps.recv().unwrap());
            steps.recv().unwrap();
        });
    });
    let says = |handle: &gort::JoinHandle<()>, words: &str| {
        let start = format!("goroutine {} [{words}", handle.goroutine().id());
        wait_until(|| gort::runtime::dump().contains(&start));
    };
    says(&runs, "syscall, class \"an outer one\"]:");
    let waits = gort::go(|| OUTER.run(|| ()));
    says(&waits, "blocking class \"an outer one\", ");
    step.send(()).unwrap();
    says(&runs, "syscall, class \"an inner one\"]:");
    step.send(()).unwrap();
    says(&runs, "syscall, class \"an outer one\"]:");
    step.send(()).unwrap();
    runs.join().unwrap();
    waits.join().unwrap();
}

/// Goroutines and threads, all forms, contexts that end at any time: never more than there are permits, and none is lost.
#[gort::test(procs = [1, 2, 4], timeout = 120)]
fn no_permit_is_lost() {
    static CLASS: BlockingClass = BlockingClass::new("stress", 3);
    static INSIDE: AtomicUsize = AtomicUsize::new(0);
    fn inside() {
        assert!(INSIDE.fetch_add(1, SeqCst) < 3);
        if INSIDE.load(Relaxed) == 2 {
            gort::yield_now();
        }
        INSIDE.fetch_sub(1, SeqCst);
    }
    let cancellers = Cancellers::start();
    let each = rounds(5000);
    let party = |index: usize| {
        let contexts = cancellers.contexts();
        move || {
            let mut dice = Dice::of(index);
            for _ in 0..each {
                match dice.roll(6) {
                    0 => drop(CLASS.try_run(inside)),
                    1 => drop(CLASS.run_timeout(dice.micros(), inside)),
                    2 => drop(CLASS.run_ctx(&contexts.brief(&mut dice), inside)),
                    3 => drop(CLASS.run_detached(&contexts.brief(&mut dice), inside)),
                    4 => drop(contexts.brief(&mut dice).run(|| CLASS.run_io(|| Ok([inside()])))),
                    _ => CLASS.run(inside),
                }
            }
        }
    };
    let goroutines: Vec<_> = (0..8).map(|index| gort::go(party(index))).collect();
    let threads: Vec<_> = (8..12).map(|index| std::thread::spawn(party(index))).collect();
    goroutines.into_iter().for_each(|goroutine| goroutine.join().unwrap());
    gort::blocking_send(|| threads.into_iter().for_each(|thread| thread.join().unwrap()));
    cancellers.stop();
    // Those that went on detached.
    wait_until(|| CLASS.metrics().running == 0);
    assert_eq!((CLASS.metrics().waiting, INSIDE.load(SeqCst)), (0, 0));
    assert_eq!(CLASS.try_run(|| CLASS.try_run(|| CLASS.try_run(|| CLASS.try_run(|| ())))), Some(Some(Some(None))));
}

/// CX-07, a call that has begun: the wait for it ends within 50 ms, it goes on with its permit, and the class is as good as before.
#[gort::test(procs = [1, 2, 4])]
fn a_detached_call_goes_on_with_its_permit() {
    static CLASS: BlockingClass = BlockingClass::new("detached", 1);
    let (ctx, cancel) = background().with_cancel();
    let (token, (end, may_end)) = (Arc::new(()), mpsc::channel::<()>());
    let (theirs, (begun, has_begun)) = (token.clone(), mpsc::channel::<()>());
    let call = gort::go(move || {
        let body = move || {
            begun.send(()).unwrap();
            let _ = may_end.recv();
            theirs
        };
        (CLASS.run_detached(&ctx, body).map(drop), Instant::now())
    });
    gort::blocking_send(move || has_begun.recv().unwrap());
    crate::support::wait_for_state(&call, "join");
    let cancelled_at = Instant::now();
    cancel.cancel();
    let (outcome, ended_at) = call.join().unwrap();
    assert!(outcome.unwrap_err().is_cancelled());
    let took = ended_at.saturating_duration_since(cancelled_at);
    assert!(took < scaled(ms(50)), "took {took:?}");
    assert_eq!((CLASS.metrics().running, Arc::strong_count(&token)), (1, 2), "it still runs");
    drop(end);
    assert_eq!(CLASS.run(|| 7), 7);
    wait_until(|| Arc::strong_count(&token) == 1);
}

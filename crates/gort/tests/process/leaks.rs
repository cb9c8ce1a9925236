//! Goroutines that sleep for ever because of channels.

use crate::child;
use crate::support::{ms, wait_for_parent, wait_until};
use gort::chan::{Receiver, Sender, bounded, unbounded};
use gort::runtime::{deadlocks, metrics};
use gort::sync::Mutex;
use gort::{Builder, JoinHandle};
use std::io::Read;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

const AGE: Duration = Duration::from_millis(20);
/// In an optimized build not all is found, for reasons unknown: see docs/STATUS.md.
const FINDS: bool = cfg!(debug_assertions);

fn go(name: &str, body: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    Builder::new().name(name.into()).spawn(body).unwrap()
}

/// Makes goroutines that wait for ever, with these names. On a goroutine that ends: what it has moved out is still in its frames.
fn leak(case: &str) -> &'static [&'static str] {
    match case {
        "crossed" => {
            let ((to_left, left), (to_right, right)) = (bounded::<()>(0), bounded::<()>(0));
            go("left", move || assert!(left.recv().is_err() || to_right.send(()).is_err()));
            go("right", move || assert!(right.recv().is_err() || to_left.send(()).is_err()));
            &["left", "right"]
        }
        "own sender" => {
            let (sender, receiver) = bounded::<()>(1);
            go("receives", move || {
                let _ = receiver.recv();
                drop(sender);
            });
            &["receives"]
        }
        "own receiver" => {
            let (sender, receiver) = bounded::<()>(0);
            go("sends", move || {
                let _ = sender.send(());
                drop(receiver);
            });
            &["sends"]
        }
        "channel and lock" => {
            let (sender, receiver) = unbounded::<()>();
            let (say, locked) = bounded(1);
            let mutex = Arc::new(Mutex::new(()));
            let theirs = mutex.clone();
            go("receives with a lock", move || {
                let _held = mutex.lock();
                say.send(()).unwrap();
                let _ = receiver.recv();
            });
            locked.recv().unwrap();
            go("locks before it sends", move || {
                let _held = theirs.lock();
                sender.send(()).unwrap();
            });
            &["locks before it sends", "receives with a lock"]
        }
        "crossed by select" => {
            let ((to_left, left), (to_right, right)) = (bounded::<()>(0), bounded::<()>(0));
            let (_never, nothing) = (gort::chan::never::<()>(), gort::chan::never::<()>());
            go("left", move || {
                gort::select! {
                    recv(left) -> _ => to_right.send(()).unwrap(),
                    recv(nothing) -> _ => (),
                }
            });
            go("right", move || {
                let (own, value) = bounded::<()>(0);
                gort::select! {
                    recv(right) -> _ => to_left.send(()).unwrap(),
                    send(own, ()) -> _ => drop(value),
                }
            });
            &["left", "right"]
        }
        "select without arms" => {
            let (sender, receiver) = bounded::<()>(1);
            go("receives", move || receiver.recv().unwrap_or_default());
            go("sleeps", move || {
                let _kept = sender;
                gort::select! {}
            });
            &["receives", "sleeps"]
        }
        "channel and join" => {
            let (sender, receiver) = unbounded::<()>();
            let receives = go("receives", move || receiver.recv().unwrap_or_default());
            go("joins before it sends", move || {
                receives.join().unwrap();
                sender.send(()).unwrap();
            });
            &["joins before it sends", "receives"]
        }
        other => panic!("{other}"),
    }
}

/// Runs `f` on a goroutine that is gone afterwards, with its stack: that is of a size that nobody else here has.
fn elsewhere<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> R {
    let f = || {
        use_up_what_was_freed();
        f()
    };
    Builder::new().stack_size(1 << 20).spawn(f).unwrap().join().unwrap()
}

/// A channel in memory that was somebody else's before may be found by that one's leftovers: on the stack of a thread that has ended, which the C library
/// keeps, lies where its closure was. Those of the threads that try out the start were met.
fn use_up_what_was_freed() {
    for bytes in (16..1024).step_by(16) {
        (0..32).for_each(|_| std::mem::forget(Vec::<u8>::with_capacity(bytes)));
    }
}

/// DX-09. Two goroutines that each hold the end the other waits for, and one that holds the only sender of its own receive; also with a lock or a join in
/// between. Found by the program and by the watchdog, as suspected, with what each waits for and the places.
#[test]
fn who_wait_for_ends_that_only_they_hold_are_found() {
    let this = child::of(|case| {
        let case = case.to_owned();
        let names = elsewhere(move || leak(&case));
        wait_until(|| !deadlocks(AGE).is_empty());
        let found = deadlocks(AGE);
        assert_eq!(found.len(), 1, "{found:?}");
        let mut seen: Vec<_> = found[0].goroutines().iter().map(|sleeper| sleeper.name().unwrap()).collect();
        seen.sort_unstable();
        assert_eq!(seen, names, "{}", found[0]);
        assert!(!found[0].is_certain());
        for sleeper in found[0].goroutines() {
            assert!(sleeper.wait_site().is_some() && sleeper.spawn_site().is_some(), "{}", found[0]);
        }
        wait_for_parent();
        assert_eq!(metrics().deadlocks, 1);
    });
    if !FINDS {
        println!("skipped in an optimized build: not every leak is found there");
        return;
    }
    std::thread::scope(|s| {
        let cases = [
            "crossed",
            "own sender",
            "own receiver",
            "channel and lock",
            "channel and join",
            "crossed by select",
            "select without arms",
        ];
        for case in cases {
            s.spawn(move || {
                let mut running = this.case(case).env("GORT_WATCHDOG_AFTER", "100ms").start();
                running.wait_for_error("gort: watchdog: suspected deadlock: ").wait_for_error("makes it patient");
                let ended = running.end();
                ended.exited(0).says_once("deadlock: ").says(" that only goroutine").says("\tcreated at ");
            });
        }
    });
}

static KEPT: OnceLock<Sender<()>> = OnceLock::new();

gort::goroutine_local! {
    static LOCAL: std::cell::RefCell<Option<Sender<()>>> = std::cell::RefCell::new(None);
}

/// Lets somebody have `sender` who may still use it.
fn keep(case: &str, sender: Sender<()>) {
    let long = ms(60_000);
    match case {
        "a sleeper" => {
            go("holder", move || {
                gort::sleep(long);
                drop(sender);
            });
        }
        "a sleeper's box" => {
            let sender = Box::new(sender);
            go("holder", move || {
                gort::sleep(long);
                drop(sender);
            });
        }
        "a socket's reader" => {
            go("holder", move || {
                let listener = gort::net::TcpListener::bind("127.0.0.1:0").unwrap();
                let mut stream = gort::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
                let _ = stream.read(&mut [0]);
                drop((sender, listener));
            });
        }
        "one in a limited receive" => {
            let (_keep, other) = bounded::<()>(0);
            go("holder", move || {
                let _ = other.recv_timeout(long);
                drop((sender, _keep));
            });
        }
        "one in a select" => {
            let (_keep, other) = bounded::<()>(0);
            go("holder", move || {
                gort::select! {
                    recv(other) -> _ => (),
                    default(long) => (),
                }
                drop((sender, _keep));
            });
        }
        "one that is parked" => {
            go("holder", move || {
                gort::park();
                drop(sender);
            });
        }
        "a blocked thread" => {
            gort::go(move || {
                std::thread::sleep(long);
                drop(sender);
            });
        }
        "a plain thread" => {
            std::thread::spawn(move || {
                std::thread::sleep(long);
                drop(sender);
            });
        }
        "a global" => drop(KEPT.set(sender)),
        "a timer" => std::mem::forget(gort::time::after_func(long, move || drop(sender))),
        "a message" => {
            let (to_holder, messages) = unbounded();
            to_holder.send(sender).unwrap();
            go("holder", move || {
                gort::sleep(long);
                drop((messages, to_holder));
            });
        }
        "a local" => {
            go("holder", move || {
                LOCAL.with(|local| *local.borrow_mut() = Some(sender));
                gort::sleep(long);
            });
        }
        "a deep one" => {
            go("holder", move || {
                gort::with_stack(1 << 21, || {
                    gort::sleep(long);
                    drop(sender);
                });
            });
        }
        "one on a stack of its own making" => {
            go("holder", move || {
                on_a_stack_of_our_own();
                drop(sender);
            });
        }
        other => panic!("{other}"),
    }
}

extern "C" fn sleeps() {
    gort::sleep(ms(60_000));
}

/// Sleeps on a stack that gort does not know, as libraries for coroutines or deep recursion have them.
fn on_a_stack_of_our_own() {
    let mut stack = vec![0_u8; 256 << 10];
    // SAFETY: zeros are valid contexts; the stack is large enough, and stays, as the contexts do, until `sleeps` has returned to here.
    unsafe {
        let (mut here, mut there): (libc::ucontext_t, libc::ucontext_t) = (std::mem::zeroed(), std::mem::zeroed());
        libc::getcontext(&raw mut there);
        there.uc_stack.ss_sp = stack.as_mut_ptr().cast();
        there.uc_stack.ss_size = stack.len();
        there.uc_link = &raw mut here;
        libc::makecontext(&raw mut there, sleeps, 0);
        libc::swapcontext(&raw mut here, &raw const there);
    }
}

fn wait_for_it(receiver: Receiver<()>) {
    go("waits", move || receiver.recv().unwrap_or_default());
}

/// DX-09, the other half. Whose sender somebody has who may still send is not asleep for ever, wherever that one keeps it. One that is stands beside it, so
/// that there is something to be found.
#[test]
fn who_waits_for_somebody_who_may_send_is_not_reported() {
    let this = child::of(|case| {
        let own = case.to_owned();
        elsewhere(|| leak("own sender"));
        elsewhere(move || {
            let (sender, receiver) = bounded::<()>(1);
            wait_for_it(receiver);
            keep(&own, sender);
        });
        let is_searched = !["a deep one", "one on a stack of its own making"].contains(&case);
        nobody_but_that_one_is_found(FINDS && is_searched);
    });
    std::thread::scope(|s| {
        let cases = [
            "a sleeper",
            "a sleeper's box",
            "a socket's reader",
            "one in a limited receive",
            "one in a select",
            "one that is parked",
            "a blocked thread",
            "a plain thread",
            "a global",
            "a timer",
            "a message",
            "a local",
            "a deep one",
            "one on a stack of its own making",
        ];
        for case in cases {
            s.spawn(move || {
                let ended = this.case(case).env("GORT_WATCHDOG_AFTER", "50ms").run();
                ended.exited(0).never_says("\"waits\"");
            });
        }
    });
}

/// A goroutine that waits in a `select!` for a channel whose only sender it has, and for what somebody may do who sleeps.
fn wait_for_either(case: &str) {
    let (own, none) = bounded::<()>(1);
    let long = ms(60_000);
    match case {
        "a sender" => {
            let (sender, receiver) = bounded::<()>(1);
            go("waits", move || {
                gort::select! {
                    recv(none) -> _ => drop(own),
                    recv(receiver) -> _ => (),
                }
            });
            keep("a sleeper", sender);
        }
        "a receiver" => {
            let (sender, receiver) = bounded::<()>(0);
            go("waits", move || {
                gort::select! {
                    recv(none) -> _ => drop(own),
                    send(sender, ()) -> _ => (),
                }
            });
            go("holder", move || {
                gort::sleep(long);
                drop(receiver);
            });
        }
        "a context" => {
            let (ctx, cancel) = gort::context::background().with_cancel();
            go("waits", move || {
                gort::select! {
                    recv(none) -> _ => drop(own),
                    recv(ctx.done()) -> _ => (),
                }
            });
            go("holder", move || {
                gort::sleep(long);
                cancel.cancel();
            });
        }
        "a timer" => {
            let timer = Arc::new(gort::time::Timer::new(long));
            assert!(timer.stop());
            let theirs = timer.clone();
            go("waits", move || {
                gort::select! {
                    recv(none) -> _ => drop(own),
                    recv(theirs.c()) -> _ => (),
                }
            });
            go("holder", move || {
                gort::sleep(long);
                timer.reset(ms(1));
            });
        }
        "an end" => {
            let mut other = go("holder", move || gort::sleep(long));
            go("waits", move || {
                gort::select! {
                    recv(none) -> _ => drop(own),
                    join(other) -> _ => (),
                }
            });
        }
        other => panic!("{other}"),
    }
}

/// DX-09. In a `select!` one arm that somebody may serve is enough.
#[test]
fn who_waits_in_a_select_for_somebody_who_may_come_is_not_reported() {
    let this = child::of(|case| {
        let own = case.to_owned();
        elsewhere(|| leak("own sender"));
        elsewhere(move || wait_for_either(&own));
        nobody_but_that_one_is_found(FINDS);
    });
    std::thread::scope(|s| {
        for case in ["a sender", "a receiver", "a context", "a timer", "an end"] {
            s.spawn(move || {
                let ended = this.case(case).env("GORT_WATCHDOG_AFTER", "50ms").run();
                ended.exited(0).never_says("\"waits\"");
            });
        }
    });
}

/// The one that was made beside, so that there is something to be found, if `is_known` that it will be.
fn nobody_but_that_one_is_found(is_known: bool) {
    if is_known {
        wait_until(|| !deadlocks(AGE).is_empty());
    }
    for _ in 0..20 {
        let found = deadlocks(ms(0));
        assert!(found.len() <= 1, "{found:?}");
        for found in &found {
            assert!(found.goroutines().iter().all(|sleeper| sleeper.name() == Some("receives")), "{found}");
        }
        std::thread::sleep(ms(10));
    }
}

/// DX-09. A sender that a running goroutine has, perhaps in a register only.
#[test]
fn who_waits_for_a_running_goroutine_is_not_reported() {
    static IS_OVER: AtomicBool = AtomicBool::new(false);
    let this = child::of(|_| {
        let waits = elsewhere(|| {
            let (sender, receiver) = bounded::<()>(1);
            gort::go(move || {
                while !IS_OVER.load(SeqCst) {
                    std::hint::spin_loop();
                }
                sender.send(()).unwrap();
            });
            go("waits", move || receiver.recv().unwrap())
        });
        for _ in 0..20 {
            assert!(deadlocks(ms(0)).is_empty());
            std::thread::sleep(ms(10));
        }
        IS_OVER.store(true, SeqCst);
        waits.join().unwrap();
    });
    this.case("").env("GORT_WATCHDOG_AFTER", "50ms").run().exited(0).never_says("gort: ");
}

type Ends = [Option<Sender<()>>];

const LARGE: usize = 8 << 20;

/// Memory for ends, with such flags besides.
fn memory(bytes: usize, flags: i32) -> &'static mut Ends {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | flags;
    // SAFETY: a new mapping, never unmapped; zeros are `None`s.
    unsafe {
        let at = libc::mmap(std::ptr::null_mut(), bytes, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
        assert_ne!(at, libc::MAP_FAILED);
        std::slice::from_raw_parts_mut(at.cast(), bytes / size_of::<Sender<()>>())
    }
}

/// Puts an end for which somebody waits into the memory, from a thread that is gone afterwards.
fn put(to: &'static mut Ends, at: usize) -> &'static mut Ends {
    let put = move || {
        let (sender, receiver) = bounded(1);
        to[at] = Some(sender);
        go("waits", move || receiver.recv().unwrap_or_default());
        std::hint::black_box(&mut [0_u8; 64 << 10]);
        to
    };
    std::thread::spawn(put).join().unwrap()
}

/// Moves an end to and fro, far enough for a search to be at one place and then at the other.
fn move_it(ends: &mut Ends) {
    loop {
        ends.swap(100, 999_000);
        std::hint::black_box(&mut [0_u8; 64 << 10]);
        std::thread::sleep(Duration::from_micros(300));
    }
}

/// Wherever it is: beside a page that cannot be read; in memory that goes on where the stack of the searching thread ends; moved by a
/// goroutine whose thread is in the kernel most of the time.
#[test]
fn who_waits_for_an_end_that_is_hard_to_see_is_not_reported() {
    let this = child::of(|case| {
        match case {
            "guard" => {
                const MADV_GUARD_INSTALL: i32 = 102;
                // On the second page of 64 KiB.
                let ends = memory(LARGE, 0);
                let from = (ends.as_ptr() as usize).next_multiple_of(64 << 10) - ends.as_ptr() as usize;
                let ends = put(&mut ends[from / size_of::<Sender<()>>()..], 600);
                // Where there is no such thing nothing changes.
                // SAFETY: the first page, in which there is nothing.
                unsafe { libc::madvise(ends.as_mut_ptr().cast(), 4096, MADV_GUARD_INSTALL) };
            }
            "stack" => {
                gort::go(|| ()).join().unwrap();
                (0..8).for_each(|_| _ = put(memory(1 << 20, libc::MAP_STACK), 0));
            }
            _ => {
                let ends = put(memory(LARGE, 0), 100);
                gort::go(|| move_it(ends));
            }
        }
        std::thread::sleep(ms(100));
        for _ in 0..50 {
            let found = deadlocks(AGE);
            assert!(found.is_empty(), "{}", found[0]);
            std::thread::sleep(ms(3));
        }
    });
    for case in ["guard", "stack", "moves"] {
        this.case(case).env("GORT_WATCHDOG", "off").run().exited(0);
    }
}

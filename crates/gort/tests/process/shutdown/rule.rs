//! What is refused, what ends, and what stays as it is.

use super::{LONG, at_procs, named, names, own_threads, shut_down_clean, wait_for_kept_threads, wait_for_no_threads};
use crate::child;
use crate::support::{ms, needs_migration, scaled, wait_for_state, wait_until};
use gort::context::background;
use gort::runtime::{LeftGoroutine, ShuttingDown, shutdown};
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::Instant;

/// SC-10. Five times: start, 1000 goroutines that count up, the last one says so; stop, and all threads are gone.
#[test]
fn start_drain_and_stop_five_times() {
    let this = child::of(|_| {
        assert_eq!(own_threads(), [] as [String; 0]);
        for round in 0..5_usize {
            if round % 2 == 1 {
                gort::runtime::Builder::new().max_procs(round).start().unwrap();
            }
            let count = Arc::new(AtomicUsize::new(0));
            let (said, says) = std::sync::mpsc::channel();
            for _ in 0..1000 {
                let (count, said) = (count.clone(), said.clone());
                gort::go(move || {
                    if count.fetch_add(1, SeqCst) == 999 {
                        said.send(()).unwrap();
                    }
                });
            }
            says.recv().unwrap();
            wait_until(|| !own_threads().is_empty());
            shut_down_clean();
            assert_eq!(count.load(SeqCst), 1000);
        }
    });
    at_procs(this, "");
}

static DROPPED: AtomicUsize = AtomicUsize::new(0);
static OVER: AtomicBool = AtomicBool::new(false);

/// Counts destructors.
struct Value;

impl Drop for Value {
    fn drop(&mut self) {
        DROPPED.fetch_add(1, SeqCst);
    }
}

/// Starts a goroutine that is parked, one that has run and may run on, one that never gets to run, and the one that keeps it from that. They end
/// with `OVER`, the parked one with its token. Each holds a value.
fn start_all_that_stay() -> Vec<gort::JoinHandle<()>> {
    fn start(name: &str, says: &Arc<AtomicBool>, pause: fn()) -> gort::JoinHandle<()> {
        let (held, says) = (Value, says.clone());
        let stay = move || {
            says.store(true, SeqCst);
            while !OVER.load(SeqCst) {
                pause();
            }
            drop(held);
        };
        named(name).spawn(stay).unwrap()
    }
    let begun = |has_begun: &Arc<AtomicBool>| {
        while !has_begun.load(SeqCst) {
            std::thread::yield_now();
        }
    };
    let [one, two, three, four] = [(); 4].map(|()| Arc::new(AtomicBool::new(false)));
    let parked = start("parked", &one, gort::park);
    wait_for_state(parked.goroutine().id(), "park");
    let runnable = start("runnable", &two, gort::yield_now);
    begun(&two);
    let hog = start("hog", &three, std::hint::spin_loop);
    begun(&three);
    let never_ran = start("never ran", &four, gort::yield_now);
    std::thread::sleep(ms(5));
    assert!(!four.load(SeqCst), "nobody takes the P from the hog");
    vec![parked, runnable, hog, never_ran]
}

/// LF-03. The rule for goroutines that are there when the runtime is stopped: they stay as they are, whether parked, runnable, running or never
/// started. Nothing of theirs is dropped; the next start lets them go on, with whatever settings, and everything is dropped once.
#[test]
fn what_is_left_at_a_stop_stays_as_it_is_and_goes_on_with_the_next_start() {
    let this = child::of(|_| {
        let handles = start_all_that_stay();
        let start = Instant::now();
        let left = shutdown(start + ms(20));
        assert!(start.elapsed() >= ms(20));
        assert_eq!(names(&left), ["hog", "never ran", "parked", "runnable"]);
        for goroutine in left.goroutines() {
            let state = match goroutine.name().unwrap() {
                "parked" => "park, ",
                "hog" => "running",
                _ => "runnable",
            };
            assert!(goroutine.state().starts_with(state), "{goroutine}");
            assert!(goroutine.spawn_site().unwrap().file().ends_with("rule.rs"));
            assert!(handles.iter().any(|handle| handle.goroutine().id() == goroutine.id()));
        }
        // Where a goroutine is bound to its thread, that is left with it.
        let is_bound = gort::runtime::mode() == gort::runtime::Mode::Bound;
        assert!(left.threads() == 1 || is_bound, "the hog's, not {}", left.threads());
        let text = left.to_string();
        assert!(text.starts_with("left: 4 goroutines, 1 thread\n") || is_bound, "{text}");
        assert!(text.contains(" \"parked\" [park, ") && text.contains("\n\twaits at "), "{text}");
        wait_for_kept_threads(&left);
        assert!(own_threads()[0].starts_with("gort-m"));

        // Nothing goes on by itself, also when it could.
        OVER.store(true, SeqCst);
        handles[0].goroutine().unpark();
        wait_until(|| DROPPED.load(SeqCst) == 1);
        if !is_bound {
            wait_for_no_threads();
        }
        std::thread::sleep(ms(20));
        assert_eq!(DROPPED.load(SeqCst), 1, "the hog has ended, as it would have anyhow");
        assert_eq!(names(&shutdown(Instant::now())), ["never ran", "parked", "runnable"], "asked once more");

        gort::runtime::Builder::new().max_procs(1).stack_size(1 << 20).start().unwrap();
        handles.into_iter().for_each(|handle| handle.join().unwrap());
        assert_eq!(DROPPED.load(SeqCst), 4);
        shut_down_clean();
    });
    this.case("").env("GORT_RETAKE", "off").env("GORT_MAXPROCS", "1").run().exited(0);
}

/// LF-03. The same rule when the main function returns: nothing is dropped.
#[test]
fn what_is_left_when_main_returns_stays_as_it_is() {
    extern "C" fn at_exit() {
        println!("dropped {}", DROPPED.load(SeqCst));
    }
    let this = child::of(|_| {
        // SAFETY: a function that may run at exit.
        assert_eq!(unsafe { libc::atexit(at_exit) }, 0);
        std::mem::forget(start_all_that_stay());
    });
    let ended = this.case("").env("GORT_RETAKE", "off").env("GORT_MAXPROCS", "1").run();
    ended.exited(0).prints("dropped 0");
}

/// While it is shut down nothing is started, each way of starting says so, and what descends from the background has ended.
#[test]
fn new_work_is_refused_and_contexts_end_with_the_reason() {
    let this = child::of(|_| {
        let old = background();
        let (child, _cancel) = background().with_cancel();
        let (called, calls) = std::sync::mpsc::channel();
        background().after_func(move || called.send(()).unwrap());
        let (go_on, waits) = std::sync::mpsc::channel::<()>();
        let holds = gort::go(move || waits.recv().unwrap());
        let shuts_down = std::thread::spawn(|| shutdown(Instant::now() + scaled(LONG)));
        wait_until(|| background().err().is_some());

        let refused = gort::Builder::new().spawn(|| ()).unwrap_err();
        assert!(refused.get_ref().unwrap().is::<ShuttingDown>(), "{refused:?}");
        assert_eq!(refused.to_string(), "the gort runtime is shutting down (runtime::shutdown)");
        assert!(gort::Builder::new().stack_size(1 << 20).spawn(|| ()).is_err());
        let panics = std::panic::catch_unwind(|| gort::go(|| ())).unwrap_err();
        let text = panics.downcast_ref::<String>().unwrap();
        assert_eq!(text, "gort::go: the gort runtime is shutting down (runtime::shutdown)");
        assert!(std::panic::catch_unwind(|| gort::scope(|s| drop(s.spawn(|| ())))).is_err());
        let error = gort::runtime::Builder::new().start().unwrap_err();
        assert!(error.get_ref().unwrap().is::<ShuttingDown>(), "{error:?}");

        for ctx in [&old, &child, &background(), &background().with_cancel().0] {
            let cause = ctx.cause().unwrap();
            assert!(ctx.err().unwrap().is_cancelled() && cause.is::<ShuttingDown>(), "{cause}");
        }
        assert!(child.without_cancel().err().is_none());
        assert!(child.without_cancel().with_cancel().0.err().is_none());
        calls.recv_timeout(scaled(LONG)).expect("functions of the background are called");

        go_on.send(()).unwrap();
        assert!(shuts_down.join().unwrap().is_empty());
        holds.join().unwrap();
        wait_for_no_threads();
        assert!(old.err().is_some(), "what has ended has ended");
        assert!(background().err().is_none() && background().with_cancel().0.err().is_none());
        assert_eq!(own_threads(), [] as [String; 0], "none of this has started it");
        gort::go(|| ()).join().unwrap();
        shut_down_clean();
    });
    at_procs(this, "");
}

static KEY: gort::context::Key<u8> = gort::context::Key::new("key");

/// The root's end ends waits. What need not wait for a peer is done: files, and what has come already; in the root with a value as in the root.
/// A name is looked up by a goroutine, which is refused by an error, in a context without the root as well.
#[test]
fn what_does_not_wait_for_a_peer_is_done_while_the_runtime_is_shut_down() {
    fn saves_itself() {
        let dir = std::env::temp_dir().join(format!("gort-shutdown-{}", std::process::id()));
        let (mut one, mut other) = gort::net::UnixStream::pair().unwrap();
        one.write_all(b"there").unwrap();
        wait_until(|| background().err().is_some());
        gort::fs::write(&dir, b"state").unwrap();
        assert_eq!(gort::fs::read(&dir).unwrap(), b"state");
        gort::fs::remove_file(&dir).unwrap();
        let mut read = [0; 5];
        other.read_exact(&mut read).unwrap();
        let error = other.read(&mut read).unwrap_err();
        assert!(gort::context::Ended::find(&error).is_some_and(|ended| ended.is_cancelled()), "{error:?}");

        let stays = background().without_cancel();
        let error = stays.run(|| gort::net::lookup_host("localhost:80").map(drop)).unwrap_err();
        assert!(gort::context::Ended::find(&error).is_some_and(|ended| ended.is_cancelled()), "{error:?}");
        assert!(gort::blocking_ctx(&stays, || ()).unwrap_err().is_cancelled());
    }
    let this = child::of(|case| {
        let context = match case {
            "value" => background().with_value(&KEY, 1),
            _ => background(),
        };
        let saves = gort::go(move || context.run(saves_itself));
        let left = shutdown(Instant::now() + scaled(LONG));
        assert!(left.is_empty(), "{left}");
        saves.join().unwrap();
    });
    at_procs(this, "plain");
    at_procs(this, "value");
}

/// Each start may have settings of its own; what was left keeps its stack, whatever the size of the others is now.
#[test]
fn each_start_has_its_own_settings() {
    fn touch(bytes: usize) -> usize {
        let frame = std::hint::black_box([1_u8; 4096]);
        if bytes > frame.len() { touch(bytes - frame.len()) + usize::from(frame[17]) } else { 1 }
    }
    let this = child::of(|_| {
        let mut left_over: Vec<gort::JoinHandle<usize>> = Vec::new();
        for round in 0..24_usize {
            let procs = round % 4 + 1;
            let stack = [64 << 10, 1 << 20, 256 << 10][round % 3];
            let settings = gort::runtime::Builder::new().max_procs(procs).max_threads(10 + round).stack_size(stack);
            settings.start().unwrap();
            assert_eq!(settings.start().unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
            assert_eq!((gort::runtime::max_procs(), gort::runtime::max_threads()), (procs, 10 + round));
            // Many at once, so that stacks are new and used ones.
            let many = |_| gort::go(move || (gort::yield_now(), touch(stack / 8)).1);
            let many: Vec<_> = (0..200).map(many).collect();
            for handle in left_over.drain(..) {
                handle.goroutine().unpark();
                assert!(handle.join().unwrap() > 0);
            }
            many.into_iter().for_each(|handle| assert!(handle.join().unwrap() > 0));
            for _ in 0..5 {
                let stays = gort::go(move || (gort::park(), touch(stack / 8)).1);
                wait_for_state(stays.goroutine().id(), "park");
                left_over.push(stays);
            }
            let left = shutdown(Instant::now());
            assert_eq!(left.goroutines().len(), 5, "{left}");
            assert!(left.threads() == 0 || gort::runtime::mode() == gort::runtime::Mode::Bound, "{left}");
            wait_for_kept_threads(&left);
        }
    });
    this.run("").exited(0);
}

/// LF-04. A stop with a limit of 100 ms, while one goroutine is in a call of 10 s and others talk over TCP and UDP: it returns in about 100 ms, ten times
/// in a row.
#[test]
fn a_stop_is_bounded_whatever_blocks() {
    use std::io::{Read, Write};

    fn echo(listener: gort::net::TcpListener) -> std::io::Result<()> {
        for stream in listener.incoming() {
            let mut stream = stream?;
            gort::go(move || -> std::io::Result<()> {
                let mut buf = [0; 64];
                loop {
                    match stream.read(&mut buf)? {
                        0 => return Ok(()),
                        count => stream.write_all(&buf[..count])?,
                    }
                }
            });
        }
        Ok(())
    }
    fn talk(address: std::net::SocketAddr, count: &AtomicUsize) -> std::io::Result<()> {
        let mut stream = gort::net::TcpStream::connect(address)?;
        let mut buf = [7; 64];
        loop {
            stream.write_all(&buf)?;
            stream.read_exact(&mut buf)?;
            count.fetch_add(1, SeqCst);
        }
    }
    fn send(count: &AtomicUsize) -> std::io::Result<()> {
        let (near, far) = (gort::net::UdpSocket::bind("127.0.0.1:0")?, gort::net::UdpSocket::bind("127.0.0.1:0")?);
        near.connect(far.local_addr()?)?;
        gort::go(move || -> std::io::Result<()> {
            let mut buf = [0; 64];
            loop {
                let (length, from) = far.recv_from(&mut buf)?;
                far.send_to(&buf[..length], from)?;
            }
        });
        let mut buf = [7; 64];
        loop {
            near.send(&buf)?;
            near.recv(&mut buf)?;
            count.fetch_add(1, SeqCst);
        }
    }
    let this = child::of(|_| {
        for _ in 0..10 {
            let listener = gort::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            gort::go(move || echo(listener));
            let talks = Arc::new(AtomicUsize::new(0));
            for _ in 0..20 {
                let talks = talks.clone();
                gort::go(move || talk(address, &talks));
            }
            let sent = Arc::new(AtomicUsize::new(0));
            for _ in 0..5 {
                let sent = sent.clone();
                gort::go(move || send(&sent));
            }
            let stuck = named("stuck").spawn(|| gort::blocking(|| std::thread::sleep(ms(10_000)))).unwrap();
            wait_for_state(stuck.goroutine().id(), "syscall");
            wait_until(|| talks.load(SeqCst) > 1000 && sent.load(SeqCst) > 100);

            let start = Instant::now();
            let left = shutdown(start + ms(100));
            let took = start.elapsed();
            assert!(took >= ms(100) && took < scaled(ms(200)), "{took:?}");
            // Whoever talked has been told; on a slow machine not all of them have had their turn.
            let goes_on = |one: &LeftGoroutine| {
                ["runnable", "running", "in the kernel"].iter().any(|state| one.state().starts_with(state))
            };
            let has_been_told = |one: &LeftGoroutine| one.name() == Some("stuck") || goes_on(one);
            assert!(left.threads() > 0 && left.goroutines().iter().all(has_been_told), "{left}");
            assert!(left.goroutines().iter().any(|goroutine| goroutine.id() == stuck.goroutine().id()));
            let talked = talks.load(SeqCst);
            std::thread::sleep(ms(1));
            assert_eq!(talks.load(SeqCst), talked);
        }
    });
    if needs_migration("who has begun on a blocked thread waits for it") {
        return;
    }
    at_procs(this, "");
}

//! Signals that the program receives.

use crate::child;
use crate::support::{ms, wait_until};
use gort::context::background;
use gort::signal::{self, Received, Signal};
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::time::{Duration, Instant};

fn send(signal: Signal) {
    // SAFETY: no memory is involved.
    assert_eq!(unsafe { libc::kill(std::process::id() as i32, signal.as_raw()) }, 0);
}

const PROCS: [&str; 3] = ["1", "2", "4"];

/// DX-12. SIGUSR1 is sent in a loop for 3 s to a receiver that is sometimes slow: the last one is not lost, nothing crashes, and nobody's `errno` changes.
#[test]
fn the_last_signal_of_a_storm_is_received() {
    let this = child::of(|_| {
        static SENT: AtomicU64 = AtomicU64::new(0);
        static SEEN: AtomicU64 = AtomicU64::new(0);
        static OVER: AtomicBool = AtomicBool::new(false);
        let time = Duration::from_millis(if cfg!(debug_assertions) { 300 } else { 3000 });
        let signals = signal::notify(&[Signal::USR1]).unwrap();
        let receiver = gort::go(move || {
            for signal in signals.iter() {
                assert_eq!(signal, Signal::USR1);
                let sent = SENT.load(SeqCst);
                if sent.is_multiple_of(5) {
                    gort::sleep(Duration::from_micros(200));
                }
                SEEN.store(sent, SeqCst);
                if OVER.load(SeqCst) && sent == SENT.load(SeqCst) {
                    break;
                }
            }
            // Still there: the last one may be counted and not sent, and without a receiver it would end the program.
            signals
        });
        let bystander = gort::go(|| {
            while !OVER.load(SeqCst) {
                // SAFETY: this goroutine's errno.
                unsafe { *libc::__errno_location() = 4711 };
                let mut sum = 0_usize;
                for round in 0..20_000_usize {
                    sum = std::hint::black_box(sum.wrapping_mul(31) ^ round);
                }
                // SAFETY: as above.
                assert_eq!(unsafe { *libc::__errno_location() }, 4711);
                gort::sleep(Duration::from_micros(50));
            }
        });
        let start = Instant::now();
        while start.elapsed() < time {
            SENT.fetch_add(1, SeqCst);
            send(Signal::USR1);
            gort::sleep(Duration::from_micros(20));
        }
        OVER.store(true, SeqCst);
        SENT.fetch_add(1, SeqCst);
        send(Signal::USR1);
        let signals = receiver.join().unwrap();
        bystander.join().unwrap();
        assert_eq!(SEEN.load(SeqCst), SENT.load(SeqCst));
        drop(signals);
    });
    for procs in PROCS {
        this.case("").env("GORT_MAXPROCS", procs).run().exited(0).never_says("gort: ");
    }
}

/// DX-12. Ten SIGINT at once cancel a signal context once; it says why; afterwards they do what they did.
#[test]
fn ten_signals_cancel_a_context_once() {
    let this = child::of(|_| {
        static CALLS: AtomicUsize = AtomicUsize::new(0);
        let (ctx, stop) = signal::notify_context(&[Signal::INT, Signal::TERM]).unwrap();
        ctx.after_func(|| _ = CALLS.fetch_add(1, SeqCst));
        let sleeper = gort::go({
            let ctx = ctx.clone();
            move || ctx.sleep(Duration::MAX)
        });
        for _ in 0..10 {
            send(Signal::INT);
        }
        assert!(sleeper.join().unwrap().unwrap_err().is_cancelled());
        let cause = ctx.cause().unwrap();
        assert_eq!(cause.to_string(), "received SIGINT");
        send(Signal::TERM);
        wait_until(|| CALLS.load(SeqCst) == 1);
        gort::sleep(ms(5));
        assert_eq!((CALLS.load(SeqCst), ctx.cause().unwrap().to_string()), (1, cause.to_string()));

        // One whose guard is dropped first, and one whose parent ends, tell nobody of signals.
        let (early, guard) = signal::notify_context(&[Signal::INT]).unwrap();
        drop(guard);
        assert!(early.err().unwrap().is_cancelled());
        assert!(!early.cause().unwrap().to_string().contains("SIGINT"));
        let (parent, cancel) = background().with_cancel();
        let (below, _guard) = parent.run(|| signal::notify_context(&[Signal::INT])).unwrap();
        cancel.cancel();
        assert!(below.err().unwrap().is_cancelled());
        // Those that come later than their receiver leaves would end the process.
        wait_until(|| !are_pending());
        drop((stop, _guard));
        send(Signal::INT);
        gort::sleep(Duration::MAX);
    });
    for procs in PROCS {
        this.case("").env("GORT_MAXPROCS", procs).run().killed_by(libc::SIGINT).never_says("gort: ");
    }
}

/// Signals that the kernel has not delivered yet.
fn are_pending() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let pending = status.lines().find_map(|line| line.strip_prefix("ShdPnd:")).unwrap();
    pending.trim().bytes().any(|digit| digit != b'0')
}

/// Nobody receives for a while: of each kind one is there afterwards, and of none more than the three that a channel, its sender and the counts can hold, and
/// those whose handlers still run on some thread.
#[test]
fn of_each_kind_one_stays() {
    let this = child::of(|_| {
        let kinds = [Signal::USR1, Signal::USR2, Signal::WINCH, Signal::HUP, Signal::from_raw(40)];
        let (signals, others) = (signal::notify(&kinds).unwrap(), signal::notify(&kinds[..1]).unwrap());
        for _ in 0..50 {
            kinds.into_iter().for_each(send);
        }
        wait_until(|| !are_pending());
        let mut times = std::collections::BTreeMap::new();
        while times.len() < kinds.len() {
            *times.entry(signals.recv().unwrap()).or_insert(0) += 1;
        }
        assert!(times.values().all(|&times| times <= 12), "{times:?}");
        assert_eq!(others.recv(), Ok(Signal::USR1));
        // On a plain thread, and in a `select!`.
        std::thread::scope(|s| {
            let waiting = s.spawn(|| {
                loop {
                    gort::select! {
                        // Of the others some may be left.
                        recv(signals) -> signal => if signal == Ok(Signal::WINCH) { return },
                        recv(gort::chan::tick(ms(50))) -> _ => {}
                    }
                }
            });
            send(Signal::WINCH);
            waiting.join().unwrap();
        });
        assert_eq!(Signal::from_raw(40).to_string(), "signal 40");
    });
    for procs in PROCS {
        this.case("").env("GORT_MAXPROCS", procs).run().exited(0).never_says("gort: ");
    }
}

/// One that comes faster than it is received does not hide another, whose number is higher.
#[test]
fn a_storm_of_one_signal_hides_no_other() {
    let this = child::of(|_| {
        static OVER: AtomicBool = AtomicBool::new(false);
        let signals = signal::notify(&[Signal::USR1, Signal::TERM]).unwrap();
        let storm = gort::go(|| {
            while !OVER.load(SeqCst) {
                send(Signal::USR1);
                gort::yield_now();
            }
        });
        for _ in 0..20 {
            send(Signal::TERM);
            let mut received = 0;
            while {
                // As many as it takes for more to come meanwhile.
                send(Signal::USR1);
                signals.recv().unwrap() != Signal::TERM
            } {
                received += 1;
                assert!(received < 100, "SIGTERM does not come");
            }
        }
        OVER.store(true, SeqCst);
        storm.join().unwrap();
    });
    for procs in PROCS {
        this.case("").env("GORT_MAXPROCS", procs).run().exited(0).never_says("gort: ");
    }
}

/// What was sent while there was a receiver is not answered by what comes after it, though no thread may have taken it yet.
#[test]
fn what_was_sent_before_the_receiver_went_does_not_end_the_program() {
    let this = child::of(|_| {
        for _ in 0..500 {
            let signals = signal::notify(&[Signal::USR1]).unwrap();
            // The kernel gives it to the main thread, which sleeps.
            send(Signal::USR1);
            drop(signals);
        }
    });
    for procs in PROCS {
        this.case("").env("GORT_MAXPROCS", procs).run().exited(0).never_says("gort: ");
    }
}

static FOREIGN: AtomicUsize = AtomicUsize::new(0);

extern "C" fn foreign(_: libc::c_int) {
    FOREIGN.fetch_add(1, SeqCst);
}

fn handle(signal: Signal, handler: libc::sighandler_t) -> libc::sighandler_t {
    // SAFETY: the handler only adds to an atomic.
    unsafe { libc::signal(signal.as_raw(), handler) }
}

/// What a signal did before comes back with its last receiver, whatever that was, unless somebody else has taken it over.
#[test]
fn what_a_signal_did_comes_back_with_its_last_receiver() {
    let this = child::of(|case| {
        let ours = foreign as extern "C" fn(libc::c_int) as libc::sighandler_t;
        handle(Signal::USR1, ours);
        let (one, two) =
            (signal::notify(&[Signal::USR1]).unwrap(), signal::notify(&[Signal::USR1, Signal::USR2]).unwrap());
        send(Signal::USR1);
        assert_eq!((one.recv(), two.recv()), (Ok(Signal::USR1), Ok(Signal::USR1)));
        drop(one);
        send(Signal::USR1);
        assert_eq!((two.recv(), FOREIGN.load(SeqCst)), (Ok(Signal::USR1), 0));
        drop(two);
        send(Signal::USR1);
        wait_until(|| FOREIGN.load(SeqCst) == 1);

        signal::ignore(&[Signal::USR1, Signal::WINCH]).unwrap();
        assert!(signal::is_ignored(Signal::USR1) && !signal::is_ignored(Signal::USR2));
        send(Signal::USR1);
        signal::reset(&[Signal::USR1]).unwrap();
        assert_eq!((handle(Signal::USR1, ours), FOREIGN.load(SeqCst)), (ours, 1));

        // Somebody else takes it over while it is received: that stays.
        let third = signal::notify(&[Signal::USR1]).unwrap();
        handle(Signal::USR1, ours);
        drop(third);
        assert_eq!(handle(Signal::USR1, ours), ours);

        let last = signal::notify(&[Signal::USR2, Signal::TERM]).unwrap();
        if case == "reset" {
            signal::reset(&[Signal::USR2]).unwrap();
            send(Signal::TERM);
            assert_eq!(last.recv(), Ok(Signal::TERM));
        } else {
            drop(last);
        }
        send(Signal::USR2);
        gort::sleep(Duration::MAX);
    });
    for procs in PROCS {
        this.case("").env("GORT_MAXPROCS", procs).run().killed_by(libc::SIGUSR2).never_says("gort: ");
    }
    this.run("reset").killed_by(libc::SIGUSR2);
}

/// What is asked for after a receiver was dropped is not undone when its relay ends, which is later, nor when a receiver that a shutdown has ended is dropped.
#[test]
fn a_receiver_that_is_gone_undoes_nothing() {
    let this = child::of(|_| {
        for _ in 0..20 {
            let relays = || gort::runtime::dump().contains("signals");
            drop(signal::notify(&[Signal::HUP]).unwrap());
            signal::ignore(&[Signal::HUP]).unwrap();
            wait_until(|| !relays());
            assert!(signal::is_ignored(Signal::HUP));
            signal::reset(&[Signal::HUP]).unwrap();
        }
        let late = signal::notify(&[Signal::HUP]).unwrap();
        assert!(gort::runtime::shutdown(Instant::now() + Duration::from_secs(20)).is_empty());
        signal::ignore(&[Signal::HUP]).unwrap();
        drop(late);
        assert!(signal::is_ignored(Signal::HUP));
        send(Signal::HUP);
    });
    for procs in PROCS {
        this.case("").env("GORT_MAXPROCS", procs).run().exited(0).never_says("gort: ");
    }
}

/// Who receives SIGQUIT gets it instead of a dump. Afterwards there are dumps again.
#[test]
fn sigquit_is_received_instead_of_a_dump() {
    let this = child::of(|_| {
        let signals = signal::notify(&[Signal::QUIT]).unwrap();
        send(Signal::QUIT);
        assert_eq!(signals.recv(), Ok(Signal::QUIT));
        drop(signals);
        println!("ready");
        gort::sleep(Duration::MAX);
    });
    let mut running = this.case("").start();
    running.wait_for("ready\n");
    assert!(!running.errors_so_far().contains("goroutine"));
    running.signal(libc::SIGQUIT);
    running.wait_for_error("goroutine").signal(libc::SIGKILL);
    running.wait().killed_by(libc::SIGKILL);
}

/// A shutdown closes the channels, and what signals did before comes back: the next one ends a program that hangs. After it all begins anew.
#[test]
fn a_shutdown_ends_receivers() {
    let this = child::of(|_| {
        let signals = signal::notify(&[Signal::TERM]).unwrap();
        let (ctx, _stop) = signal::notify_context(&[Signal::INT]).unwrap();
        let left = gort::runtime::shutdown(Instant::now() + Duration::from_secs(20));
        assert!(left.is_empty(), "{left:?}");
        assert!(signals.recv().is_err());
        assert!(ctx.err().is_some());
        let again = signal::notify(&[Signal::TERM]).unwrap();
        send(Signal::TERM);
        assert_eq!(again.recv(), Ok(Signal::TERM));
        assert!(gort::runtime::shutdown(Instant::now() + Duration::from_secs(20)).is_empty());
        send(Signal::INT);
        std::thread::sleep(Duration::MAX);
    });
    for procs in PROCS {
        this.case("").env("GORT_MAXPROCS", procs).run().killed_by(libc::SIGINT);
    }
}

/// What cannot be received is refused, by name, and nothing of it is done.
#[test]
fn what_cannot_be_received_is_refused_by_name() {
    let this = child::of(|_| {
        for (refused, says) in [
            (Signal::KILL, "SIGKILL cannot be received"),
            (Signal::STOP, "SIGSTOP cannot be received"),
            (Signal::ABRT, "SIGABRT tells of a fault"),
            (Signal::from_raw(libc::SIGSEGV), "fault"),
            (Signal::from_raw(33), "signal 33 cannot be received"),
            (Signal::from_raw(0), "0 is no signal"),
            (Signal::from_raw(65), "65 is no signal"),
        ] {
            for error in [
                signal::notify(&[Signal::TERM, refused]).map(drop).unwrap_err(),
                signal::notify_context(&[refused]).map(drop).unwrap_err(),
                signal::ignore(&[refused]).unwrap_err(),
                signal::reset(&[refused]).unwrap_err(),
            ] {
                assert_eq!(error.kind(), ErrorKind::InvalidInput);
                assert!(error.to_string().contains(says), "{error}");
            }
        }
        assert!(signal::notify(&[]).unwrap_err().to_string().contains("no signals"));
        assert_eq!(Received(Signal::TERM).to_string(), "received SIGTERM");
        send(Signal::TERM);
        gort::sleep(Duration::MAX);
    });
    this.run("").killed_by(libc::SIGTERM);
}

/// A child that is started while signals are received gets them as if nobody did: from its own handlers' defaults.
#[test]
fn children_do_not_inherit_receivers() {
    let this = child::of(|_| {
        let _signals = signal::notify(&[Signal::TERM, Signal::INT]).unwrap();
        let mut child = gort::process::Command::new("sleep").arg("1000").spawn().unwrap();
        child.send_signal(Signal::TERM).unwrap();
        let status = child.wait().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(Signal::TERM.as_raw()));
        // The same after an exec of this process.
        let error = std::process::Command::new("sh").args(["-c", "kill -INT $$; sleep 1000"]).exec();
        panic!("{error}");
    });
    this.run("").killed_by(libc::SIGINT);
}

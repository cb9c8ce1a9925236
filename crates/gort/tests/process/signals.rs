//! Signals all the time.

use crate::child;
use crate::support::{ms, needs_migration, pipe, wait_until, write_byte};
use std::io::Read;
use std::os::fd::FromRawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::time::{Duration, Instant};

static CAUGHT: AtomicU64 = AtomicU64::new(0);

extern "C" fn count(_: libc::c_int) {
    CAUGHT.fetch_add(1, SeqCst);
}

/// A handler without SA_RESTART, so that calls are interrupted.
fn handle(signal: i32) {
    // SAFETY: all zero is a valid `sigaction`; the handler only adds to an atomic.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = count as extern "C" fn(libc::c_int) as usize;
        assert_eq!(libc::sigaction(signal, &raw const action, std::ptr::null_mut()), 0);
    }
}

/// HF-06 without the network, which `tests/net` has. SIGURG and SIGCHLD to the process every millisecond, and to each of its threads in turn,
/// for two seconds: no sleep is early, no park ends without its token, no call of gort's is interrupted, nothing is lost.
#[test]
fn a_storm_of_signals_ends_no_sleep_early_and_interrupts_nothing() {
    let this = child::of(|_| {
        static OVER: AtomicBool = AtomicBool::new(false);
        static WORKED: [AtomicUsize; 6] = [const { AtomicUsize::new(0) }; 6];
        for signal in [libc::SIGURG, libc::SIGCHLD] {
            handle(signal);
        }
        let repeat = |kind: usize, step: Box<dyn Fn() + Send + Sync>| {
            gort::go(move || {
                while !OVER.load(SeqCst) {
                    step();
                    WORKED[kind].fetch_add(1, SeqCst);
                }
            })
        };
        let mut busy = Vec::new();
        for n in 0..4_u64 {
            busy.push(repeat(
                0,
                Box::new(move || {
                    let (pause, start) = (Duration::from_micros(300 + n * 777), Instant::now());
                    gort::sleep(pause);
                    assert!(start.elapsed() >= pause, "a sleep was early");
                }),
            ));
            busy.push(repeat(
                1,
                Box::new(move || {
                    let (pause, start) = (Duration::from_micros(500 + n * 555), Instant::now());
                    gort::park_timeout(pause);
                    assert!(start.elapsed() >= pause, "a park ended without a token");
                }),
            ));
            busy.push(repeat(2, Box::new(|| assert_eq!(gort::go(|| 5).join().unwrap(), 5))));
            busy.push(repeat(
                3,
                Box::new(|| {
                    let token = Arc::new(AtomicBool::new(false));
                    let parked = gort::go({
                        let token = token.clone();
                        move || {
                            gort::park();
                            assert!(token.load(SeqCst), "a park ended without a token");
                        }
                    });
                    gort::yield_now();
                    token.store(true, SeqCst);
                    parked.goroutine().unpark();
                    parked.join().unwrap();
                }),
            ));
        }
        busy.push(repeat(
            4,
            Box::new(|| {
                let (reader, writer) = pipe();
                // SAFETY: both are ours from here on.
                let (mut reader, _writer) =
                    unsafe { (std::fs::File::from_raw_fd(reader), std::fs::File::from_raw_fd(writer)) };
                let writing = gort::go(move || {
                    gort::sleep(ms(1));
                    write_byte(writer);
                });
                gort::blocking(|| reader.read_exact(&mut [0])).unwrap();
                writing.join().unwrap();
            }),
        ));
        // Plain threads wait in gort, too.
        let thread = std::thread::spawn(|| {
            while !OVER.load(SeqCst) {
                let start = Instant::now();
                gort::park_timeout(ms(2));
                assert!(start.elapsed() >= ms(2), "a thread's park ended without a token");
                gort::sleep(ms(1));
                assert!(start.elapsed() >= ms(3), "a thread's sleep was early");
                gort::go(|| gort::sleep(ms(1))).join().unwrap();
                WORKED[5].fetch_add(1, SeqCst);
            }
        });
        let start = Instant::now();
        let mut round = 0;
        while start.elapsed() < ms(2000) {
            let threads = crate::support::thread_ids();
            let one = threads[round % threads.len()];
            for signal in [libc::SIGURG, libc::SIGCHLD] {
                // SAFETY: signals to this process, which handles them.
                unsafe {
                    libc::kill(libc::getpid(), signal);
                    libc::syscall(libc::SYS_tgkill, libc::getpid(), one, signal);
                }
            }
            round += 1;
            std::thread::sleep(ms(1));
        }
        OVER.store(true, SeqCst);
        busy.into_iter().for_each(|handle| handle.join().unwrap());
        thread.join().unwrap();
        assert!(CAUGHT.load(SeqCst) > 500, "{CAUGHT:?}");
        assert!(WORKED.iter().all(|kind| kind.load(SeqCst) > 10), "{WORKED:?}");
    });
    for procs in ["1", "2", "4"] {
        this.case("").env("GORT_MAXPROCS", procs).run().exited(0).never_says("gort: ");
    }
}

/// A handler runs on whatever thread has a goroutine on it, deep in its stack or not: it has a stack of its own there if it asks for it.
#[test]
fn handlers_find_a_stack_on_every_thread() {
    static DEEPEST: AtomicUsize = AtomicUsize::new(0);
    extern "C" fn greedy(_: libc::c_int) {
        let block = std::hint::black_box([1_u8; 20 << 10]);
        DEEPEST.fetch_max(block.iter().map(|&byte| usize::from(byte)).sum(), SeqCst);
        CAUGHT.fetch_add(1, SeqCst);
    }
    let this = child::of(|_| {
        // SAFETY: as in `handle`; the handler uses its stack and atomics only.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = greedy as extern "C" fn(libc::c_int) as usize;
            action.sa_flags = libc::SA_ONSTACK | libc::SA_RESTART;
            assert_eq!(libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()), 0);
        }
        let small = || gort::Builder::new().stack_size(64 << 10);
        let raised: Vec<_> = (0..8)
            .map(|_| {
                let raise = || {
                    // 10 KiB (20 in a debug build) are used already, and 20 (40) more would be too many for what is left of 64.
                    let frame = std::hint::black_box([7_u8; 10 << 10]);
                    for _ in 0..100 {
                        // SAFETY: the handler is installed.
                        assert_eq!(unsafe { libc::raise(libc::SIGUSR1) }, 0);
                        gort::yield_now();
                    }
                    assert!(frame.iter().all(|&byte| byte == 7));
                };
                small().spawn(raise).unwrap()
            })
            .collect();
        raised.into_iter().for_each(|handle| handle.join().unwrap());
        wait_until(|| CAUGHT.load(SeqCst) == 800);
        assert_eq!(DEEPEST.load(SeqCst), 20 << 10);
    });
    this.run("").exited(0);
}

/// A profiler's signal arrives on whatever runs, with its thread-locals and errno; what they are does not depend on when it came.
#[test]
fn a_profilers_signal_finds_the_goroutine_it_interrupts() {
    thread_local!(static OWNER: std::cell::Cell<usize> = const { std::cell::Cell::new(0) });
    thread_local!(static SEEN: std::cell::Cell<usize> = const { std::cell::Cell::new(0) });
    static WRONG: AtomicUsize = AtomicUsize::new(0);
    static ON_GOROUTINES: AtomicUsize = AtomicUsize::new(0);
    /// `OWNER` is the address of a local of the goroutine: it tells on whose stack the signal came.
    extern "C" fn profile(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
        CAUGHT.fetch_add(1, SeqCst);
        // SAFETY: the kernel's record of what was interrupted.
        let rsp = unsafe { (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs[libc::REG_RSP as usize] } as usize;
        let owner = OWNER.get();
        if owner != 0 {
            // A goroutine's block, so a goroutine's stack, or the scheduler's between two of them.
            ON_GOROUTINES.fetch_add(usize::from(rsp.abs_diff(owner) < 1 << 20), SeqCst);
            SEEN.set(SEEN.get() + 1);
        }
        // SAFETY: errno of what was interrupted, put back at once.
        unsafe {
            let place = libc::__errno_location();
            let before = *place;
            WRONG.fetch_add(usize::from(libc::close(-1) != -1 || *place != libc::EBADF), SeqCst);
            *place = before;
        }
    }
    let this = child::of(|_| {
        // SAFETY: the handler touches thread-locals without destructors, errno, and atomics.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction =
                profile as extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
            assert_eq!(libc::sigaction(libc::SIGPROF, &raw const action, std::ptr::null_mut()), 0);
            let every = libc::timeval { tv_sec: 0, tv_usec: 1000 };
            let timer = libc::itimerval { it_interval: every, it_value: every };
            assert_eq!(libc::syscall(libc::SYS_setitimer, libc::ITIMER_PROF, &raw const timer, 0), 0);
        }
        let busy: Vec<_> = (1..=4)
            .map(|n| {
                gort::go(move || {
                    let local = std::hint::black_box(n);
                    OWNER.set(&raw const local as usize);
                    let (mut seen, mut sum) = (0, 0_usize);
                    while ON_GOROUTINES.load(SeqCst) < 50 {
                        // SAFETY: this goroutine's errno.
                        unsafe { *libc::__errno_location() = n };
                        for round in 0..50_000_usize {
                            sum = std::hint::black_box(sum.wrapping_mul(31) ^ round);
                        }
                        // SAFETY: as above.
                        assert_eq!(unsafe { *libc::__errno_location() }, n);
                        assert_eq!(OWNER.get(), &raw const local as usize);
                        assert!(SEEN.get() >= seen, "counted in this goroutine's thread-local");
                        seen = SEEN.get();
                        gort::yield_now();
                    }
                    OWNER.set(0);
                })
            })
            .collect();
        busy.into_iter().for_each(|handle| handle.join().unwrap());
        assert_eq!(WRONG.load(SeqCst), 0);
        assert!(CAUGHT.load(SeqCst) >= 50);
    });
    if needs_migration("errno and thread-locals are the thread's") {
        return;
    }
    for procs in ["1", "2"] {
        this.case("").env("GORT_MAXPROCS", procs).run().exited(0).never_says("gort: ");
    }
}

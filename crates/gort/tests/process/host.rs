//! Ends of a process inside `gort::host`, where the thread beneath the goroutine runs.

use crate::child;
use crate::support::needs_migration;

/// A panic is reported once, in the goroutine's name, and arrives at its handle.
#[test]
fn a_panic_in_host_is_reported_once_and_in_the_name_of_the_goroutine() {
    let this = child::of(|_| {
        println!("line {}", line!() + 1);
        let handle = gort::Builder::new().name("guest".into()).spawn(|| gort::host(|| panic!("in host"))).unwrap();
        println!("id {}", handle.goroutine().id());
        let payload: Box<dyn std::any::Any + Send> = handle.join().unwrap_err();
        assert_eq!(*payload.downcast::<&str>().unwrap(), "in host");
    });
    let ended = this.run("");
    let (id, line) = (ended.value("id"), ended.value("line"));
    let report = format!("gort: goroutine {id} \"guest\" (started at {}:{line}", file!());
    ended.exited(0).says_once(&report).says_once("in host").says_once("panicked at");
    ended.says_once("gort: goroutine").never_says("without a message of its own");
}

/// The thread's own stack has its own guard. The report is the goroutine's all the same, with a way out that does not overflow.
#[test]
fn an_overflow_in_host_is_reported_in_the_name_of_the_goroutine() {
    #[inline(never)]
    #[allow(unconditional_recursion)]
    fn deep() {
        let frame = std::hint::black_box([1_u64; 8]);
        deep();
        std::hint::black_box(&frame);
    }
    /// More than 1 MiB, less than 4.
    #[inline(never)]
    fn deep_enough(left: u32) -> u64 {
        let frame = std::hint::black_box([1_u64; 128]);
        if left == 0 { 0 } else { deep_enough(left - 1) + std::hint::black_box(&frame)[0] }
    }
    let this = child::of(|case| {
        let has_room = case == "way out";
        let run = move || match has_room {
            true => assert_eq!(gort::host(|| gort::with_stack(1 << 22, || deep_enough(1200))), 1200),
            false => gort::host(deep),
        };
        gort::Builder::new().name("guest".into()).spawn(run).unwrap().join().unwrap();
    });
    let ended = this.run("");
    ended.killed_by(libc::SIGABRT).says("\"guest\" overflowed the stack of the thread beneath it, in a gort::host");
    ended
        .says(&format!("(started at {}:", file!()))
        .says("gort::with_stack(1 << 22, ..)")
        .says_once("gort: goroutine ");
    this.run("way out").exited(0);
}

/// Signals arrive while the thread is on either side, and on the way.
#[test]
fn signals_arrive_on_both_sides_of_host_and_in_between() {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
    static CAUGHT: AtomicUsize = AtomicUsize::new(0);
    static OVER: AtomicBool = AtomicBool::new(false);
    thread_local!(static DEPTH: std::cell::Cell<usize> = const { std::cell::Cell::new(0) });
    extern "C" fn handle(_: libc::c_int) {
        // A thread-local, errno, and some stack, of whoever runs.
        DEPTH.set(DEPTH.get() + 1);
        // SAFETY: the errno of the interrupted code, put back at once.
        unsafe {
            let errno = *libc::__errno_location();
            assert_eq!(libc::close(-1), -1);
            *libc::__errno_location() = errno;
        }
        DEPTH.set(DEPTH.get() - 1);
        CAUGHT.fetch_add(1, SeqCst);
    }
    let this = child::of(|_| {
        // SAFETY: the handler is as simple as handlers have to be. Without SA_ONSTACK it runs on whatever stack is in use.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handle as extern "C" fn(libc::c_int) as usize;
            action.sa_flags = libc::SA_RESTART;
            assert_eq!(libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()), 0);
        }
        let guests: Vec<_> = (0..4)
            .map(|n| {
                gort::go(move || {
                    while !OVER.load(SeqCst) {
                        for _ in 0..100 {
                            // SAFETY: this goroutine's errno.
                            unsafe { *libc::__errno_location() = n };
                            assert_eq!(gort::host(move || n + 1), n + 1);
                            // SAFETY: as above.
                            assert_eq!(unsafe { *libc::__errno_location() }, n);
                            assert_eq!(DEPTH.get(), 0);
                        }
                        gort::yield_now();
                    }
                })
            })
            .collect();
        while CAUGHT.load(SeqCst) < 3000 {
            for thread in crate::support::thread_ids() {
                // SAFETY: a signal to this process, which handles it.
                unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, libc::SIGUSR1) };
            }
        }
        OVER.store(true, SeqCst);
        guests.into_iter().for_each(|guest| guest.join().unwrap());
    });
    if needs_migration("errno and thread-locals are the thread's") {
        return;
    }
    this.run("").exited(0).never_says("gort: ");
}

//! A goroutine is a thread to everything in user space, wherever it runs. With `GORT_PERTURB=move` each park is a move to another thread; the
//! certified number, a million moves, is run by `.ci/stress` in a release build. Here the moves are counted and must have happened.

use crate::support::{needs_migration, os_thread, rounds};
use std::cell::{Cell, RefCell};
use std::io::Write;
use std::rc::Rc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex, mpsc};

/// Runs `body` in `count` goroutines at once and waits for all; fails if forced moves were asked for and did not happen.
fn all(count: usize, body: impl Fn(usize) + Send + Sync + 'static) {
    let moves = gort::runtime::metrics().forced_moves;
    let body = Arc::new(body);
    let handles: Vec<_> = (0..count)
        .map(|n| {
            let body = body.clone();
            gort::go(move || body(n))
        })
        .collect();
    handles.into_iter().for_each(|handle| handle.join().unwrap());
    let forced = std::env::var("GORT_PERTURB").is_ok_and(|kinds| kinds.contains("move"));
    assert!(!forced || gort::runtime::metrics().forced_moves > moves, "no goroutine was moved");
}

fn errno() -> *mut i32 {
    // SAFETY: no preconditions.
    unsafe { libc::__errno_location() }
}

/// Thread-locals with and without destructors, an `Rc` from one kept over parks, errno, the thread's id: each follows its goroutine.
#[gort::test(procs = [1, 2, 4], timeout = 120)]
fn thread_locals_errno_and_ids_follow_the_goroutine() {
    if needs_migration("thread-locals are shared by the goroutines of a thread") {
        return;
    }
    static DROPS: AtomicUsize = AtomicUsize::new(0);
    static INITS: AtomicUsize = AtomicUsize::new(0);
    struct Owned(usize, Rc<Cell<usize>>);
    impl Drop for Owned {
        fn drop(&mut self) {
            assert_eq!(self.0, self.1.get());
            DROPS.fetch_add(1, SeqCst);
        }
    }
    thread_local! {
        static PLAIN: Cell<usize> = const { Cell::new(7) };
        static OWNED: RefCell<Option<Owned>> = const { RefCell::new(None) };
        static LAZY: Rc<Cell<usize>> = { INITS.fetch_add(1, SeqCst); Rc::new(Cell::new(0)) };
        static GROWS: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
    }
    DROPS.store(0, SeqCst);
    INITS.store(0, SeqCst);
    let iterations = rounds(2000);
    // Three rounds: the second and third run on recycled blocks.
    for round in 1..=3 {
        all(50, move |n| {
            assert_eq!((PLAIN.get(), GROWS.with_borrow(Vec::len)), (7, 0), "a recycled block is a fresh one");
            PLAIN.set(n);
            let kept = LAZY.with(Rc::clone);
            kept.set(n);
            OWNED.set(Some(Owned(n, kept.clone())));
            let id = std::thread::current().id();
            let address = PLAIN.with(|plain| std::ptr::from_ref(plain) as usize);
            let place = errno();
            for k in 0..iterations {
                // SAFETY: this thread's errno.
                unsafe { *place = (n + k) as i32 & 127 };
                gort::yield_now();
                // SAFETY: as above.
                unsafe { assert_eq!((errno(), *errno()), (place, (n + k) as i32 & 127)) };
                assert_eq!(PLAIN.get(), n);
                assert_eq!(PLAIN.with(|plain| std::ptr::from_ref(plain) as usize), address);
                assert!(Rc::ptr_eq(&kept, &LAZY.with(Rc::clone)) && kept.get() == n);
                GROWS.with_borrow_mut(|grows| grows.push(k));
                assert_eq!(std::thread::current().id(), id);
            }
            assert_eq!(GROWS.with_borrow(Vec::len), iterations);
        });
        assert_eq!((DROPS.load(SeqCst), INITS.load(SeqCst)), (50 * round, 50 * round));
    }
}

/// A reference into a thread-local that is alive over parks stays the only one; so does what `scoped-tls` does: a pointer to the frame of
/// the innermost call, the outer one put back at its end.
#[gort::test(procs = [1, 2, 4], timeout = 120)]
fn a_reference_into_a_thread_local_may_be_held_over_parks() {
    if needs_migration("thread-locals are shared by the goroutines of a thread") {
        return;
    }
    thread_local! {
        static BORROWED: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
        static SCOPED: Cell<*const usize> = const { Cell::new(std::ptr::null()) };
    }
    struct Outer(*const usize);
    impl Drop for Outer {
        fn drop(&mut self) {
            SCOPED.set(self.0);
        }
    }
    fn innermost() -> usize {
        // SAFETY: set by a frame below, which takes it back before it ends.
        unsafe { *SCOPED.get() }
    }
    fn scoped(value: usize, levels: usize) {
        let here = value;
        let _outer = Outer(SCOPED.replace(&raw const here));
        gort::yield_now();
        assert_eq!(innermost(), value);
        if levels > 0 {
            scoped(value + 1, levels - 1);
            assert_eq!(innermost(), value);
        }
        gort::yield_now();
        assert_eq!(innermost(), value);
    }
    let iterations = rounds(400);
    all(50, move |n| {
        BORROWED.with_borrow_mut(|mine| {
            for k in 0..iterations {
                mine.push(n);
                scoped(n * 100, k % 4);
                assert!(mine.len() == k + 1 && mine[k / 2] == n, "another's");
                assert!(BORROWED.with(|again| again.try_borrow().is_err()), "one borrows it");
            }
        });
        assert!(SCOPED.get().is_null());
    });
}

/// A destructor that parks while unwinding leaves every thread's panic count right.
#[gort::test(procs = [1, 2, 4], timeout = 120)]
fn panic_counts_follow_a_destructor_that_parks_while_unwinding() {
    if needs_migration("std counts panics by thread") {
        return;
    }
    struct ParksOnDrop(Arc<AtomicUsize>);
    impl Drop for ParksOnDrop {
        fn drop(&mut self) {
            let before = std::thread::panicking();
            for _ in 0..7 {
                gort::yield_now();
            }
            if before && std::thread::panicking() {
                self.0.fetch_add(1, SeqCst);
            }
        }
    }
    let right = Arc::new(AtomicUsize::new(0));
    let counter = right.clone();
    let iterations = rounds(1000);
    all(16, move |_| {
        for _ in 0..iterations {
            assert!(!std::thread::panicking());
            let parks = ParksOnDrop(counter.clone());
            let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let _parks = parks;
                gort::yield_now();
                std::panic::resume_unwind(Box::new(5));
            }));
            assert!(caught.is_err());
            gort::yield_now();
            assert!(!std::thread::panicking());
        }
    });
    assert_eq!(right.load(SeqCst), 16 * iterations);
    let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(std::thread::panicking)).collect();
    assert!(gort::blocking_send(|| threads.into_iter().all(|thread| !thread.join().unwrap())));
}

/// A stdout lock held over parks keeps others out, and its owner in.
#[gort::test(procs = [1, 2, 4], timeout = 120)]
fn a_stdout_lock_is_held_over_parks() {
    if needs_migration("a lock that knows its owner takes the goroutines of a thread for one") {
        return;
    }
    let inside = Arc::new(AtomicUsize::new(0));
    let iterations = rounds(2000);
    all(4, move |_| {
        for _ in 0..iterations {
            let outer = std::io::stdout().lock();
            assert_eq!(inside.fetch_add(1, SeqCst), 0, "two inside");
            gort::yield_now();
            // Re-entrant for its owner, on whatever thread.
            let mut inner = std::io::stdout().lock();
            write!(inner, "").unwrap();
            drop(inner);
            gort::yield_now();
            inside.fetch_sub(1, SeqCst);
            drop(outer);
        }
    });
}

/// A std mutex held over a park while others want it: no deadlock, on one P as on four.
#[gort::test(procs = [1, 2, 4], timeout = 120)]
fn a_std_mutex_may_be_held_over_a_park() {
    if needs_migration("a std lock held over a park stops the thread that would run its holder") {
        return;
    }
    let shared = Arc::new(Mutex::new(0));
    let iterations = rounds(100);
    let counter = shared.clone();
    all(8, move |_| {
        for _ in 0..iterations {
            let mut value = counter.lock().unwrap();
            let before = *value;
            gort::yield_now();
            *value = before + 1;
        }
    });
    assert_eq!(*shared.lock().unwrap(), 8 * iterations);
}

/// `std::thread::spawn` and `join`, `thread::scope`, `mpsc`, park tokens of std: all from goroutines that move.
#[gort::test(procs = [1, 2, 4], timeout = 120)]
fn std_threads_scopes_and_channels_work_from_goroutines() {
    let iterations = rounds(100);
    all(8, move |n| {
        for k in 0..iterations {
            let thread = std::thread::spawn(move || n + k);
            gort::yield_now();
            assert_eq!(thread.join().unwrap(), n + k);

            let mut local = [0; 2];
            std::thread::scope(|s| {
                let (left, right) = local.split_at_mut(1);
                let first = s.spawn(|| left[0] = n);
                s.spawn(|| right[0] = k);
                gort::yield_now();
                first.join().unwrap();
            });
            assert_eq!(local, [n, k]);

            let (send, receive) = mpsc::channel();
            std::thread::spawn(move || send.send(n).unwrap());
            gort::yield_now();
            assert_eq!(receive.recv().unwrap(), n);
            // Apart from the channel, which parks by the same token.
            let me = std::thread::current();
            let waker = std::thread::spawn(move || me.unpark());
            std::thread::park();
            waker.join().unwrap();
        }
    });
}

/// Child processes, by posix_spawn and by fork and exec.
#[gort::test(procs = [1, 2, 4], timeout = 120)]
fn commands_run_from_goroutines() {
    use std::os::unix::process::CommandExt;
    let iterations = rounds(20);
    all(4, move |n| {
        for k in 0..iterations {
            gort::yield_now();
            let mut command = std::process::Command::new("/bin/echo");
            command.arg("hi");
            if (n + k) % 2 == 0 {
                // SAFETY: allocating in the child is what is being tested; glibc allows it after fork.
                unsafe {
                    command.pre_exec(|| {
                        std::hint::black_box(vec![1_u8; 100_000]);
                        Ok(())
                    })
                };
            }
            let output = command.output().unwrap();
            assert_eq!(output.stdout, b"hi\n");
        }
    });
}

/// Name resolution by libc.
#[gort::test(procs = [1, 2, 4], timeout = 120)]
fn names_resolve_in_goroutines() {
    use std::net::ToSocketAddrs;
    let iterations = rounds(100);
    all(8, move |_| {
        for _ in 0..iterations {
            let found = ("localhost", 80).to_socket_addrs().unwrap().count();
            assert!(found > 0);
            gort::yield_now();
        }
    });
}

/// Regular expressions, whose caches are kept by thread, over parks in the middle of a search.
#[gort::test(procs = [1, 2, 4], timeout = 120)]
fn regular_expressions_work_over_parks() {
    let pattern = Arc::new(regex::Regex::new(r"(\w+)@(\w+)\.com|\d{3}-(\d+)").unwrap());
    let iterations = rounds(1000);
    all(16, move |_| {
        for _ in 0..iterations {
            let found = pattern.captures("hello bob@example.com 123-456").unwrap();
            assert_eq!(&found[1], "bob");
            gort::yield_now();
            let lengths: Vec<_> = pattern
                .find_iter("a@b.com 111-22")
                .map(|found| {
                    gort::yield_now();
                    found.as_str().len()
                })
                .collect();
            assert_eq!(lengths, [7, 6]);
        }
    });
}

/// The rounding mode, of both units, follows the goroutine that set it, and no other notices: not while it waits, nor after its end.
#[gort::test(procs = [1, 2, 4], timeout = 120)]
fn a_rounding_mode_follows_its_goroutine_and_stays_with_it() {
    #[link(name = "m")]
    unsafe extern "C" {
        fn fegetround() -> libc::c_int;
        fn fesetround(mode: libc::c_int) -> libc::c_int;
    }
    /// The x87 unit's mode, and that of the other, which libm keeps the same.
    fn modes() -> (i32, i32) {
        let mut mxcsr = 0_u32;
        // SAFETY: reads; the instruction writes one word.
        unsafe {
            std::arch::asm!("stmxcsr [{}]", in(reg) &raw mut mxcsr, options(nostack, preserves_flags));
            (fegetround(), (mxcsr >> 3 & 0xc00) as i32)
        }
    }
    let iterations = rounds(2000);
    for _ in 0..3 {
        all(16, move |n| {
            assert_eq!(modes(), (0, 0), "a new goroutine rounds to nearest");
            // To nearest, down, up, towards zero: in the bits of the x87 unit's control word.
            let mode = ((n % 4) << 10) as i32;
            // SAFETY: a valid mode; no floating-point arithmetic is done before it is put back, or the goroutine ends.
            unsafe { assert_eq!(fesetround(mode), 0) };
            for _ in 0..iterations {
                gort::yield_now();
                assert_eq!(modes(), (mode, mode));
            }
            assert_eq!(gort::go(modes).join().unwrap(), (0, 0));
            assert_eq!(modes(), (mode, mode));
        });
    }
}

/// A backtrace taken on a goroutine ends at its entry.
#[gort::test(procs = [1, 2, 4])]
fn backtraces_end_at_the_goroutines_entry() {
    all(4, |_| {
        gort::yield_now();
        let text = std::backtrace::Backtrace::force_capture().to_string();
        assert!(text.contains("goroutine_main") && text.contains("identity"), "{text}");
        gort::yield_now();
    });
}

/// Without perturbation goroutines still wander, and two Ps are two threads.
#[gort::test(procs = [2, 4])]
fn goroutines_run_on_more_than_one_thread() {
    let seen = Arc::new(Mutex::new(std::collections::HashSet::new()));
    all(8, move |_| {
        while {
            let mut threads = seen.lock().unwrap();
            threads.insert(os_thread());
            threads.len() == 1
        } {
            gort::yield_now();
        }
    });
}

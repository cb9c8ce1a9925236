//! `gort::host`: a closure runs as the thread beneath its goroutine.

use crate::support::{needs_migration, os_thread, rounds, wait_until};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;

/// Lower end and upper end of the calling thread's stack, as the C library knows it.
fn stack_bounds() -> (usize, usize) {
    let mut attributes = std::mem::MaybeUninit::uninit();
    let (mut low, mut bytes) = (std::ptr::null_mut(), 0);
    // SAFETY: the attributes are initialised by the first call and given back by the last.
    unsafe {
        assert_eq!(libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()), 0);
        assert_eq!(libc::pthread_attr_getstack(attributes.as_ptr(), &mut low, &mut bytes), 0);
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
    }
    (low as usize, low as usize + bytes)
}

/// A word in the caller's own frame.
#[inline(never)]
fn here() -> usize {
    let local = std::hint::black_box(0_u8);
    &raw const local as usize
}

#[gort::test(procs = [1, 2, 4], timeout = 120)]
fn host_has_the_identity_and_the_stack_of_the_thread_and_the_goroutine_keeps_its_own() {
    if needs_migration("thread-locals are shared by the goroutines of a thread") {
        return;
    }
    thread_local!(static OWN: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) });
    let handles: Vec<_> = (0..8_usize)
        .map(|n| {
            gort::go(move || {
                let (me, id) = (std::thread::current().id(), gort::current().id());
                for round in 0..rounds(1000) {
                    OWN.with_borrow_mut(|own| own.push(round));
                    let outside = here();
                    let (thread, name, inside, bounds) = gort::host(|| {
                        OWN.with_borrow_mut(|own| own.push(n));
                        let thread = std::thread::current();
                        (thread.id(), thread.name().map(str::to_owned), here(), stack_bounds())
                    });
                    assert_ne!(thread, me);
                    assert!(name.is_some_and(|name| name.starts_with("gort-m")));
                    assert!((bounds.0..bounds.1).contains(&inside), "on the thread's own stack");
                    assert!(!(bounds.0..bounds.1).contains(&outside), "the goroutine has another");
                    assert_eq!((std::thread::current().id(), gort::current().id()), (me, id));
                    gort::yield_now();
                }
                assert!(OWN.with_borrow(|own| own.iter().copied().eq(0..rounds(1000))));
            })
        })
        .collect();
    handles.into_iter().for_each(|handle| handle.join().unwrap());
}

/// What a library keeps for each thread is kept for the few threads, however many goroutines use it.
#[gort::test(procs = [1, 2, 4], timeout = 120)]
fn host_shows_a_library_few_threads_however_many_goroutines_there_are() {
    let seen = Arc::new(Mutex::new(std::collections::HashSet::<ThreadId>::new()));
    let handles: Vec<_> = (0..rounds(5000))
        .map(|_| {
            let seen = seen.clone();
            gort::go(move || gort::host(|| seen.lock().unwrap().insert(std::thread::current().id())))
        })
        .collect();
    handles.into_iter().for_each(|handle| assert!(handle.join().is_ok()));
    assert!(seen.lock().unwrap().len() as u64 <= gort::runtime::metrics().threads_peak);
}

#[gort::test(procs = [1, 2, 4])]
fn a_panic_in_host_goes_on_in_the_goroutine() {
    let caught = gort::go(|| {
        let (dropped, me) = (Arc::new(AtomicUsize::new(0)), std::thread::current().id());
        struct Counts(Arc<AtomicUsize>);
        impl Drop for Counts {
            fn drop(&mut self) {
                self.0.fetch_add(usize::from(std::thread::panicking()), SeqCst);
            }
        }
        for round in 1..=100 {
            let counts = Counts(dropped.clone());
            let caught = catch_unwind(AssertUnwindSafe(|| {
                let _outside = Counts(dropped.clone());
                gort::host(move || {
                    let _inside = counts;
                    std::panic::resume_unwind(Box::new(round));
                })
            }));
            assert_eq!(*caught.unwrap_err().downcast::<usize>().unwrap(), round);
            assert_eq!(dropped.load(SeqCst), 2 * round, "both were dropped while unwinding, each on its side");
            assert!(!std::thread::panicking() && gort::host(|| !std::thread::panicking()));
            assert_eq!(std::thread::current().id(), me);
            gort::yield_now();
        }
        gort::host(|| -> u32 { std::panic::resume_unwind(Box::new("the last")) })
    });
    assert_eq!(*caught.join().unwrap_err().downcast::<&str>().unwrap(), "the last");
}

/// A destructor that runs while the goroutine unwinds may use `host`, too.
#[gort::test(procs = [1, 2])]
fn host_works_while_the_goroutine_unwinds() {
    if needs_migration("std counts panics by thread") {
        return;
    }
    struct Visits(Arc<AtomicUsize>);
    impl Drop for Visits {
        fn drop(&mut self) {
            assert!(std::thread::panicking());
            gort::host(|| {
                let caught = catch_unwind(|| std::panic::resume_unwind(Box::new(1)));
                self.0.fetch_add(usize::from(caught.is_err() && !std::thread::panicking()), SeqCst);
            });
        }
    }
    let visited = Arc::new(AtomicUsize::new(0));
    let visits = Visits(visited.clone());
    let handle = gort::go(move || {
        let _visits = visits;
        std::panic::resume_unwind(Box::new(2));
    });
    assert!(handle.join().is_err());
    assert_eq!(visited.load(SeqCst), 1);
}

#[gort::test(procs = [1, 2])]
fn host_inside_host_runs_in_place_and_a_plain_thread_is_its_own_host() {
    gort::go(|| {
        gort::host(|| {
            let (outer, stack) = (std::thread::current().id(), stack_bounds());
            gort::host(|| {
                assert_eq!(std::thread::current().id(), outer);
                assert!((stack.0..stack.1).contains(&here()));
            });
        });
    })
    .join()
    .unwrap();
    let plain = std::thread::spawn(|| {
        let me = std::thread::current().id();
        let rc = Cell::new(1);
        gort::host(move || rc.set(2));
        gort::host(move || std::thread::current().id() == me)
    });
    assert!(gort::blocking_send(|| plain.join().unwrap()));
}

/// Inside, gort waits as on a plain thread, and other goroutines go on: with one P, it has to be taken from the thread.
#[gort::test(procs = [1, 2, 4])]
fn calls_of_gort_inside_host_block_the_thread_and_others_go_on() {
    let woken = gort::go(|| {
        gort::host(|| {
            let thread = os_thread();
            let waiter = gort::current();
            // Only another goroutine can end this park, and it needs the P that this thread came with.
            let waker = gort::go(move || {
                (0..10).for_each(|_| gort::yield_now());
                waiter.unpark();
                7
            });
            gort::park();
            let _locked = gort::lock_os_thread();
            let spawned: usize = (0..10).map(|n| gort::go(move || n)).map(|handle| handle.join().unwrap()).sum();
            gort::sleep(std::time::Duration::from_millis(1));
            gort::yield_now();
            assert_eq!((waker.join().unwrap(), spawned, os_thread()), (7, 45, thread));
        });
        gort::yield_now();
    });
    woken.join().unwrap();
}

/// A goroutine that holds its thread meets the same one in every `host`.
#[gort::test(procs = [2, 4], timeout = 120)]
fn a_locked_goroutine_has_one_host() {
    gort::go(|| {
        let _locked = gort::lock_os_thread();
        thread_local!(static VISITS: Cell<usize> = const { Cell::new(0) });
        let first = gort::host(|| VISITS.get());
        for round in 0..rounds(200) {
            assert_eq!(gort::host(|| VISITS.replace(VISITS.get() + 1)), first + round);
            assert_eq!(gort::host(os_thread), os_thread(), "the thread beneath is the one the goroutine is on");
            gort::yield_now();
        }
    })
    .join()
    .unwrap();
}

/// What is allocated on one side is freed on the other, large and small.
#[gort::test(procs = [1, 2, 4], timeout = 120)]
fn memory_goes_both_ways_through_host() {
    let handles: Vec<_> = (0..16_usize)
        .map(|n| {
            gort::go(move || {
                let mut kept = Vec::new();
                for round in 0..rounds(1000) {
                    let bytes = 1 + (n * 131 + round * 17) % 3000;
                    let inside = gort::host(|| vec![n as u8; bytes]);
                    let outside = vec![n as u8; bytes];
                    gort::yield_now();
                    assert!(inside == outside);
                    gort::host(move || drop(outside));
                    kept.push(inside);
                    if kept.len() > 20 {
                        kept.clear();
                    }
                }
            })
        })
        .collect();
    handles.into_iter().for_each(|handle| handle.join().unwrap());
}

/// A panic's backtrace begins inside and goes on with the goroutine that called.
#[gort::test(procs = [1, 2])]
fn a_backtrace_taken_in_host_goes_on_with_the_goroutine() {
    let text = gort::go(|| gort::host(|| std::backtrace::Backtrace::force_capture().to_string())).join().unwrap();
    assert!(text.contains("goroutine_main") && text.contains("host"), "{text}");
}

/// There is room for what a small goroutine has no room for.
#[gort::test(procs = [1, 2])]
fn host_has_room_for_deep_calls() {
    #[inline(never)]
    fn deep(levels: usize) -> usize {
        let frame = std::hint::black_box([levels; 128]);
        if levels == 0 { 0 } else { deep(levels - 1) + frame[levels % 128] / levels }
    }
    // 200 KiB and more on a stack of 64.
    let small = gort::Builder::new().stack_size(64 << 10).spawn(|| gort::host(|| deep(200)));
    assert_eq!(small.unwrap().join().unwrap(), 200);
}

/// Threads that block in `host` at the same time are as many as there are goroutines that do.
#[gort::test(procs = [1, 2])]
fn several_goroutines_may_be_in_host_at_once() {
    if needs_migration("one that has begun and gives way may find its thread blocked by another") {
        return;
    }
    let inside = Arc::new(AtomicUsize::new(0));
    let handles: Vec<_> = (0..4)
        .map(|_| {
            let inside = inside.clone();
            gort::go(move || {
                gort::blocking(|| {
                    gort::host(|| {
                        inside.fetch_add(1, SeqCst);
                        wait_until(|| inside.load(SeqCst) == 4);
                    })
                })
            })
        })
        .collect();
    handles.into_iter().for_each(|handle| handle.join().unwrap());
}

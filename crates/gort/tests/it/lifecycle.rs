//! Starts, ends, panics, deep stacks. What ends the process is in `tests/process`.

use crate::support::{needs_migration, rounds};
use std::cell::RefCell;
use std::ffi::c_void;
use std::panic::catch_unwind;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::{Arc, Mutex};

/// LF-01, the part inside a process. join gives the payload, the others go on.
#[gort::test(procs = [1, 2, 4])]
fn a_panic_is_the_joiners_and_nobody_elses() {
    let others: Vec<_> = (0..10)
        .map(|n| {
            gort::go(move || {
                for _ in 0..100 {
                    gort::yield_now();
                }
                n
            })
        })
        .collect();
    let fails = gort::go(|| std::panic::panic_any(String::from("payload")));
    assert_eq!(*fails.join().unwrap_err().downcast::<String>().unwrap(), "payload");
    for (n, other) in others.into_iter().enumerate() {
        assert_eq!(other.join().unwrap(), n);
    }
}

/// Results of every size arrive, and are dropped exactly once if nobody asks for them.
#[gort::test(procs = [1, 2, 4])]
fn results_are_taken_or_dropped_exactly_once() {
    static ALIVE: AtomicUsize = AtomicUsize::new(0);
    struct Counted<const N: usize>([u8; N]);
    impl<const N: usize> Counted<N> {
        fn new() -> Self {
            ALIVE.fetch_add(1, SeqCst);
            Self([7; N])
        }
    }
    impl<const N: usize> Drop for Counted<N> {
        fn drop(&mut self) {
            assert!(self.0.iter().all(|byte| *byte == 7));
            ALIVE.fetch_sub(1, SeqCst);
        }
    }
    for round in 0..rounds(2000) {
        let (small, large) = (Counted::<3>::new(), Counted::<900>::new());
        let one = gort::go(move || small);
        let two = gort::go(move || large);
        match round % 4 {
            0 => drop((one, two)),
            1 => {
                gort::yield_now();
                drop(one);
                drop(two.join().unwrap());
            }
            2 => {
                while !one.is_finished() {
                    gort::yield_now();
                }
                drop((two, one));
            }
            _ => drop((one.join().unwrap(), two.join().unwrap())),
        }
    }
    crate::support::wait_until(|| ALIVE.load(SeqCst) == 0);
}

/// Joining waits for thread-local destructors, which may park.
#[gort::test(procs = [1, 2, 4])]
fn a_join_comes_after_the_thread_local_destructors() {
    if needs_migration("thread-locals are shared by the goroutines of a thread") {
        return;
    }
    static ENDED: AtomicUsize = AtomicUsize::new(0);
    struct Slow;
    impl Drop for Slow {
        fn drop(&mut self) {
            for _ in 0..20 {
                gort::yield_now();
            }
            gort::sleep(std::time::Duration::from_micros(50));
            ENDED.fetch_add(1, SeqCst);
        }
    }
    thread_local!(static SLOW: RefCell<Option<Slow>> = const { RefCell::new(None) });
    for round in 0..rounds(500) {
        ENDED.store(0, SeqCst);
        let handles: Vec<_> = (0..4).map(|_| gort::go(|| SLOW.set(Some(Slow)))).collect();
        handles.into_iter().for_each(|handle| handle.join().unwrap());
        assert_eq!(ENDED.load(SeqCst), 4, "round {round}");
    }
}

/// What runs at a goroutine's end, in this order: the destructors of its thread-locals, which may start others and wait for them, those of its pthread
/// keys, which may park, and then the join returns.
#[gort::test(procs = [1, 2, 4])]
fn an_end_has_an_order() {
    if needs_migration("thread-locals and keys are the thread's, and end with it") {
        return;
    }
    type Seen = Arc<Mutex<Vec<&'static str>>>;
    fn note(seen: &Seen, what: &'static str) {
        seen.lock().unwrap().push(what);
    }
    struct Starts(Seen);
    impl Drop for Starts {
        fn drop(&mut self) {
            let seen = self.0.clone();
            gort::go(move || note(&seen, "one that a destructor has started")).join().unwrap();
            note(&self.0, "a thread-local");
        }
    }
    extern "C" fn drop_key(value: *mut c_void) {
        gort::yield_now();
        // SAFETY: the box that was set below.
        note(&*unsafe { Box::from_raw(value.cast::<Seen>()) }, "a pthread key");
    }
    thread_local!(static STARTS: RefCell<Option<Starts>> = const { RefCell::new(None) });
    let mut key = 0;
    // SAFETY: a new key, whose values are boxes that its destructor drops.
    assert_eq!(unsafe { libc::pthread_key_create(&raw mut key, Some(drop_key)) }, 0);
    for _ in 0..rounds(100) {
        let seen = Seen::default();
        let theirs = seen.clone();
        let ends = gort::go(move || {
            let value = Box::into_raw(Box::new(theirs.clone())).cast::<c_void>();
            // SAFETY: the key from above, and what its destructor takes.
            assert_eq!(unsafe { libc::pthread_setspecific(key, value) }, 0);
            STARTS.set(Some(Starts(theirs.clone())));
            note(&theirs, "the goroutine");
        });
        ends.join().unwrap();
        let order = ["the goroutine", "one that a destructor has started", "a thread-local", "a pthread key"];
        assert_eq!(*seen.lock().unwrap(), order);
    }
    // SAFETY: the key from above; no goroutine with a value lives.
    assert_eq!(unsafe { libc::pthread_key_delete(key) }, 0);
}

/// LF-06. Recursion to half of the stack works, also locked to a thread; a panic from there unwinds and the locals are intact.
#[gort::test(procs = [1, 2, 4])]
fn half_of_the_stack_can_be_used_and_unwound() {
    fn deep(left: usize, fail: bool) -> usize {
        let marks = [left; 32];
        std::hint::black_box(&marks);
        let below = if left == 0 {
            if fail {
                std::panic::resume_unwind(Box::new("deep"));
            }
            0
        } else {
            deep(left - 1, fail)
        };
        assert!(marks.iter().all(|mark| *mark == left));
        below + 1
    }
    struct Intact<'a>(&'a [u64], &'a AtomicUsize);
    impl Drop for Intact<'_> {
        fn drop(&mut self) {
            assert!(self.0.iter().all(|word| *word == 42));
            self.1.fetch_add(1, Relaxed);
        }
    }
    for stack_bytes in [256 << 10, 1 << 20, 8 << 20] {
        for locked in [false, true] {
            let unwound = Arc::new(AtomicUsize::new(0));
            let seen = unwound.clone();
            let run = move || {
                let _thread = locked.then(gort::lock_os_thread);
                // A frame of `deep` takes at most 1 KiB, whatever the build.
                let depth = stack_bytes / 2 / 1024;
                assert_eq!(deep(depth, false), depth + 1);
                gort::yield_now();
                let words = [42; 64];
                let caught = catch_unwind(|| {
                    let _intact = Intact(&words, &seen);
                    deep(depth, true)
                });
                assert_eq!(*caught.unwrap_err().downcast::<&str>().unwrap(), "deep");
            };
            gort::Builder::new().stack_size(stack_bytes).spawn(run).unwrap().join().unwrap();
            assert_eq!(unwound.load(Relaxed), 1);
        }
    }
}

/// Names, ids and sites are where people look for them.
#[gort::test(procs = [1, 2, 4])]
fn a_goroutine_knows_its_name_and_id_and_a_dump_shows_both() {
    let named = gort::Builder::new()
        .name("reader of things".into())
        .spawn(|| {
            gort::park();
            (gort::current().id(), gort::current().name().map(str::to_owned))
        })
        .unwrap();
    let goroutine = named.goroutine();
    assert_eq!(goroutine.name(), Some("reader of things"));
    let header = format!("goroutine {} \"reader of things\" [park", goroutine.id());
    crate::support::wait_until(|| gort::runtime::dump().contains(&header));
    let dump = gort::runtime::dump();
    let entry = dump.split("\n\n").find(|entry| entry.contains(&header)).unwrap();
    assert!(entry.contains("waits at") && entry.contains("created at") && entry.contains("lifecycle.rs"), "{entry}");
    goroutine.unpark();
    let (id, name) = named.join().unwrap();
    assert_eq!((id, name.as_deref()), (goroutine.id(), Some("reader of things")));
}

/// A stack that cannot be had is refused before anything is started.
#[gort::test]
fn an_impossible_stack_size_is_an_error_that_names_it() {
    let error = gort::Builder::new().stack_size(usize::MAX).spawn(|| ()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    assert!(error.to_string().contains(&usize::MAX.to_string()), "{error}");
}

/// Results of tests stay on their goroutine: `?` with the usual boxed error works.
#[gort::test(procs = [1, 2])]
fn a_test_may_return_what_is_not_send() -> Result<(), Box<dyn std::error::Error>> {
    let answer: u8 = "42".parse()?;
    assert_eq!(answer, 42);
    Ok(())
}

/// A result that nobody asks for is dropped while its goroutine is still whole, a handle's that goes later by whoever drops it: as with std's threads.
#[gort::test(procs = [1, 2, 4])]
fn a_result_that_nobody_wants_finds_the_thread_locals() {
    struct Speaks(gort::chan::Sender<bool>);
    impl Drop for Speaks {
        fn drop(&mut self) {
            let is_there = std::thread::current().name().is_none_or(|name| !name.is_empty());
            self.0.send(is_there && LIST.with_borrow(|list| list.len() == 1)).unwrap();
        }
    }
    thread_local!(static LIST: std::cell::RefCell<Vec<u8>> = std::cell::RefCell::new(vec![7]));
    // With room: if the goroutine has ended before its handle goes, we are the ones who say it.
    let (said, told) = gort::chan::bounded(1);
    for _ in 0..100 {
        let said = said.clone();
        drop(gort::go(move || {
            LIST.with_borrow_mut(|list| list.reserve(100));
            // Then the handle has gone, most of the time.
            gort::yield_now();
            Speaks(said)
        }));
        assert!(told.recv().unwrap());
    }
}

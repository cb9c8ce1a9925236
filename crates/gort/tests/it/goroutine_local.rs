//! Variables that follow a goroutine in either mode.

use crate::support::rounds;
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

gort::goroutine_local! {
    static COUNT: Cell<usize> = Cell::new(0);
    static TEXT: RefCell<String> = RefCell::new(String::from("new"));
    static HELD: RefCell<Option<Held>> = RefCell::new(None);
}

/// Parks when it is dropped, uses other variables, and counts.
struct Held(Arc<AtomicUsize>, usize);

impl Drop for Held {
    fn drop(&mut self) {
        for _ in 0..3 {
            gort::yield_now();
        }
        assert_eq!(COUNT.with(Cell::get), self.1, "another's, or gone");
        self.0.fetch_add(1, SeqCst);
    }
}

/// LF-09. Each goroutine of many has its own, over parks and moves, and a thread has its own, too; they are dropped before the join returns.
#[gort::test(procs = [1, 2, 4], timeout = 120)]
fn each_goroutine_has_its_own() {
    COUNT.with(|count| count.set(1_000_000));
    let drops = Arc::new(AtomicUsize::new(0));
    let handles: Vec<_> = (0..40)
        .map(|n| {
            let drops = drops.clone();
            gort::go(move || {
                assert_eq!(COUNT.with(Cell::get), 0);
                COUNT.with(|count| count.set(n));
                HELD.with(|held| *held.borrow_mut() = Some(Held(drops, n)));
                for round in 0..rounds(100) {
                    COUNT.with(|count| {
                        assert_eq!(count.get(), n);
                        // While it is looked at.
                        gort::yield_now();
                        assert_eq!(count.get(), n);
                    });
                    TEXT.with(|text| {
                        assert_eq!(text.borrow().as_str(), if round == 0 { "new".into() } else { n.to_string() });
                        *text.borrow_mut() = n.to_string();
                    });
                    if round % 8 == 0 {
                        gort::sleep(std::time::Duration::from_micros(20));
                    }
                }
            })
        })
        .collect();
    for (n, handle) in handles.into_iter().enumerate() {
        handle.join().unwrap();
        assert!(drops.load(SeqCst) > n, "goroutine {n} has ended, and its value lives");
    }
    assert_eq!(drops.load(SeqCst), 40);
    assert_eq!(COUNT.with(Cell::get), 1_000_000);
    let on_thread = std::thread::spawn(|| {
        TEXT.with(|text| text.borrow_mut().push('!'));
        (COUNT.with(Cell::get), TEXT.with(|text| text.borrow().clone()))
    });
    assert_eq!(gort::blocking_send(|| on_thread.join().unwrap()), (0, "new!".to_owned()));
    // A guest of its thread does not see its goroutine's.
    assert_ne!(gort::host(|| COUNT.with(Cell::get)), 1_000_000);
    assert_eq!(COUNT.with(Cell::get), 1_000_000);
}

/// An initialiser may park, whereupon others make theirs, and may use its own variable: the value that was there first stays.
#[gort::test(procs = [1, 2, 4])]
fn an_initialiser_may_park_and_may_use_its_own_variable() {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    struct Value(usize);
    impl Drop for Value {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, SeqCst);
        }
    }
    fn make() -> Value {
        let number = MADE.fetch_add(1, SeqCst);
        gort::yield_now();
        if number < 20 && number.is_multiple_of(2) {
            let inner = SLOW.with(|value| value.0);
            assert!(inner >= number);
        }
        Value(number)
    }
    gort::goroutine_local!(static SLOW: Value = make());

    MADE.store(0, SeqCst);
    DROPPED.store(0, SeqCst);
    let handles: Vec<_> = (0..20)
        .map(|_| {
            gort::go(|| {
                let first = SLOW.with(|value| {
                    gort::yield_now();
                    value.0
                });
                for _ in 0..10 {
                    gort::yield_now();
                    assert_eq!(SLOW.with(|value| value.0), first);
                }
                first
            })
        })
        .collect();
    let mut seen: Vec<_> = handles.into_iter().map(|handle| handle.join().unwrap()).collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 20, "two goroutines share a value");
    assert_eq!(MADE.load(SeqCst), DROPPED.load(SeqCst), "each value is dropped once");
}

static DROPS: AtomicUsize = AtomicUsize::new(0);

struct UsesOther(fn());

impl Drop for UsesOther {
    fn drop(&mut self) {
        DROPS.fetch_add(1, SeqCst);
        (self.0)();
    }
}

gort::goroutine_local! {
    static ONE: UsesOther = UsesOther(|| OTHER.with(|_| ()));
    static OTHER: UsesOther = UsesOther(|| ONE.with(|_| ()));
}

/// Two values whose destructors use each other's variables make each other anew for some rounds, not for ever.
#[gort::test]
fn destructors_that_use_each_other_end() {
    DROPS.store(0, SeqCst);
    gort::go(|| ONE.with(|_| ())).join().unwrap();
    assert!((2..=8).contains(&DROPS.load(SeqCst)), "{}", DROPS.load(SeqCst));
    std::thread::spawn(|| ONE.with(|_| ())).join().unwrap();
}

//! What waits allocates nothing, and an unbounded channel gives its room back. A test binary of its own, since it counts what its allocator does.
//!
//! Each party counts for itself: thread-locals follow a goroutine, so its own count is exact, wherever it has been parked. What the scheduler does
//! for it on a thread's own stack is in the count of all, which may once see something that is allocated once for good (a thread that the monitor
//! wants); so of several rounds the best counts.

use gort::chan::{Receiver, Sender, bounded, never, unbounded};
use gort::select;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::Duration;

struct Counting;

static ALL: AtomicUsize = AtomicUsize::new(0);
static LIVE_BYTES: AtomicUsize = AtomicUsize::new(0);

thread_local!(static OWN: Cell<usize> = const { Cell::new(0) });

fn count(more_bytes: usize) {
    ALL.fetch_add(1, Relaxed);
    LIVE_BYTES.fetch_add(more_bytes, Relaxed);
    OWN.set(OWN.get() + 1);
}

// SAFETY: passes everything on to the system's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        LIVE_BYTES.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(block, layout) };
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LIVE_BYTES.fetch_sub(layout.size(), Relaxed);
        count(size);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// How many allocations of its own `f` makes.
fn own<T>(f: impl FnOnce() -> T) -> usize {
    let before = OWN.get();
    let kept = f();
    let after = OWN.get();
    drop(kept);
    after - before
}

/// How many allocations all make together while `f` runs: in the best of ten rounds after two that warm up.
fn least_of_all(mut f: impl FnMut()) -> usize {
    (0..2).for_each(|_| f());
    let round = |_| {
        let before = ALL.load(Relaxed);
        f();
        ALL.load(Relaxed) - before
    };
    (0..10).map(round).min().expect("there are some")
}

const ROUNDS: usize = 5;

/// Runs `waits` as a goroutine and on a plain thread, once and then for some rounds; each time `serve` is called once the party is parked for
/// `reason`. In the best of the rounds it must not have allocated: what a wait needs it needs each time.
fn allocates_nothing<W, S>(what: &str, reason: &str, waits: W, serve: S)
where
    W: Fn() + Clone + Send + 'static,
    S: Fn(),
{
    let begun = Arc::new(AtomicUsize::new(0));
    let theirs = begun.clone();
    let twice = move || {
        theirs.fetch_add(1, Release);
        waits();
        let round = |_| {
            theirs.fetch_add(1, Release);
            own(&waits)
        };
        (0..ROUNDS).map(round).min().expect("there are some")
    };
    let serve = |first: usize| {
        for wait in first..=first + ROUNDS {
            while begun.load(Acquire) < wait || !is_parked(reason) {
                gort::sleep(Duration::from_micros(100));
            }
            serve();
        }
    };
    let goroutine = gort::go(twice.clone());
    serve(1);
    assert_eq!(goroutine.join().unwrap(), 0, "{what}: by a goroutine");
    let thread = std::thread::spawn(twice);
    serve(2 + ROUNDS);
    assert_eq!(thread.join().unwrap(), 0, "{what}: by a thread");
}

/// True if a goroutine or thread is parked for `reason`.
fn is_parked(reason: &str) -> bool {
    gort::runtime::dump().to_string().contains(reason)
}

fn parked_waiters_allocate_nothing() {
    for capacity in [0, 1, usize::MAX] {
        let (s, r) = bounded(capacity);
        let receives = move || assert_eq!(r.recv(), Ok(7));
        allocates_nothing(&format!("recv, capacity {capacity}"), "[chan receive", receives, || s.send(7).unwrap());
    }
    for capacity in [0, 1] {
        let (s, r) = bounded(capacity);
        (0..capacity).for_each(|_| s.send(7).unwrap());
        let sends = move || s.send(7).unwrap();
        allocates_nothing(&format!("send, capacity {capacity}"), "[chan send", sends, || assert_eq!(r.recv(), Ok(7)));
    }
}

/// The channels of a `select!` with eight arms, of which one comes.
#[derive(Clone)]
struct Eight {
    comes: Receiver<u8>,
    full: Sender<u8>,
    others: [Receiver<u8>; 4],
    clock: Receiver<std::time::Instant>,
    done: Receiver<std::convert::Infallible>,
}

impl Eight {
    fn select(&self) {
        select! {
            recv(self.others[0]) -> _ => unreachable!("nothing comes there"),
            recv(self.comes) -> value => assert_eq!(value, Ok(7)),
            send(self.full, 1) -> _ => unreachable!("there is no room"),
            recv(self.others[1]) -> _ => unreachable!("nothing comes there"),
            recv(self.clock) -> _ => unreachable!("in an hour"),
            recv(self.others[2]) -> _ => unreachable!("nothing comes there"),
            recv(self.done) -> _ => unreachable!("it does not end"),
            recv(self.others[3]) -> _ => unreachable!("nothing comes there"),
        }
    }

    fn look(&self) {
        select! {
            recv(self.others[0]) -> _ => unreachable!("nothing comes there"),
            send(self.full, 1) -> _ => unreachable!("there is no room"),
            recv(self.clock) -> _ => unreachable!("in an hour"),
            recv(self.done) -> _ => unreachable!("it does not end"),
            recv(self.others[1]) -> _ => unreachable!("nothing comes there"),
            recv(self.others[2]) -> _ => unreachable!("nothing comes there"),
            recv(self.others[3]) -> _ => unreachable!("nothing comes there"),
            default(Duration::from_micros(50)) => (),
        }
    }
}

fn a_select_of_eight_allocates_nothing() {
    let (s, comes) = bounded(0);
    let (full, _room) = bounded(1);
    full.send(0).unwrap();
    let (_senders, receivers): (Vec<_>, Vec<_>) = (0..3).map(|_| bounded(0)).unzip();
    let [a, b, c] = <[_; 3]>::try_from(receivers).unwrap();
    let (ctx, _cancel) = gort::context::background().with_cancel();
    let clock = gort::chan::after(Duration::from_secs(3600));
    let eight = Eight { comes, full, others: [a, b, c, never()], clock, done: ctx.done() };
    let theirs = eight.clone();
    allocates_nothing("select! of eight", "[select", move || theirs.select(), || s.send(7).unwrap());
    eight.look();
    assert_eq!(own(|| eight.look()), 0, "select! with a limit");

    // A goroutine's end among them.
    let (end, ends) = bounded::<()>(0);
    let mut handle = gort::go(move || assert!(ends.recv().is_err()));
    let waits = gort::go(move || {
        let count = own(|| {
            select! {
                recv(eight.others[0]) -> _ => unreachable!("nothing comes there"),
                join(handle) -> result => result.unwrap(),
            }
        });
        (count, eight)
    });
    while !is_parked("[select") {
        gort::sleep(Duration::from_micros(100));
    }
    drop(end);
    assert_eq!(waits.join().unwrap().0, 0, "select! with a join");
}

fn what_others_do_for_those_who_wait_allocates_nothing() {
    let (ping, pinged) = bounded(0);
    let (pong, ponged) = bounded(0);
    let (other, never) = bounded::<u8>(0);
    let answers = move || {
        for value in pinged {
            pong.send(value).unwrap();
        }
    };
    let partner = gort::go(answers.clone());
    let round = || {
        for value in 0..1000 {
            ping.send(value).unwrap();
            select! {
                recv(ponged) -> back => assert_eq!(back, Ok(value)),
                recv(never) -> _ => unreachable!("nobody sends"),
            }
        }
    };
    // This is a plain thread, its partner a goroutine; then both are goroutines.
    assert_eq!(least_of_all(round), 0, "a thread and a goroutine");
    gort::scope(|s| {
        s.spawn(|| assert_eq!(least_of_all(round), 0, "two goroutines"));
    });
    drop((ping, other));
    partner.join().unwrap();
}

/// Once it has been that long, a queue that swings between nothing and a hundred allocates nothing. What a long backlog has taken goes as it is
/// received.
fn an_unbounded_channel_gives_its_room_back() {
    let (s, r) = unbounded::<u64>();
    let swing = || {
        for _ in 0..10 {
            (0..100).for_each(|i| s.send(i).unwrap());
            (0..100).for_each(|i| assert_eq!(r.recv(), Ok(i)));
        }
    };
    assert_eq!(least_of_all(swing), 0, "a queue that swings");
    let before = LIVE_BYTES.load(Relaxed);
    let room = || LIVE_BYTES.load(Relaxed).saturating_sub(before);
    const BACKLOG: u64 = 1 << 20;
    (0..BACKLOG).for_each(|i| s.send(i).unwrap());
    let most = room();
    assert!(most > 8 << 19, "{most} bytes for a backlog of 8 MiB");
    let mut left = BACKLOG;
    for i in 0..BACKLOG {
        assert_eq!(r.recv(), Ok(i));
        left -= 1;
        if left.is_power_of_two() {
            // Four times what is in it, beside what stays.
            assert!(room() <= left as usize * 32 + 4096, "{} bytes for {left} values", room());
        }
    }
    assert_eq!(least_of_all(swing), 0, "a queue that swings after a backlog");
}

#[test]
fn waiting_allocates_nothing_and_a_backlogs_room_is_given_back() {
    gort::runtime::Builder::new().max_procs(2).start().unwrap();
    parked_waiters_allocate_nothing();
    a_select_of_eight_allocates_nothing();
    what_others_do_for_those_who_wait_allocates_nothing();
    an_unbounded_channel_gives_its_room_back();
}

//! Models of a socket's side: no edge lost, readied once, close and deadlines against everything.

use core::num::NonZeroU64;
use core::sync::atomic::Ordering::Relaxed;

use super::{SideWord, Try};
use crate::atomics::AtomicU32;
use crate::model::{Arc, check, thread};

const WAITER: u64 = 0x40;

/// A socket: its side and what the kernel holds for the reader.
struct Socket {
    side: SideWord,
    /// Bytes in the buffer. Relaxed: whoever is told of them is told through the side.
    bytes: AtomicU32,
    fin: AtomicU32,
    /// 1: the reader's deadline is over.
    over: AtomicU32,
}

/// How a reader's wait ended.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Read,
    Closed,
    TimedOut,
    Parked,
}

impl Socket {
    fn new() -> Arc<Self> {
        let [bytes, fin, over] = [0; 3].map(AtomicU32::new);
        Arc::new(Self { side: SideWord::new(), bytes, fin, over })
    }

    /// The rounds of a reader that wants to see `want` bytes in all (or the end, if there are none to come).
    fn read(&self, want: u32) -> Outcome {
        loop {
            let next = self.side.begin_try();
            if self.over.load(Relaxed) == 1 {
                return Outcome::TimedOut;
            }
            match next {
                Try::Closed => return Outcome::Closed,
                Try::Go if self.bytes.load(Relaxed) >= want => return Outcome::Read,
                Try::Go | Try::Drained if self.side.commit(WAITER) => return Outcome::Parked,
                Try::Go | Try::Drained => {}
            }
        }
    }
}

type Woken = Option<NonZeroU64>;

fn in_thread(socket: &Arc<Socket>, act: fn(&Socket) -> Woken) -> thread::JoinHandle<Woken> {
    let socket = socket.clone();
    thread::spawn(move || act(&socket))
}

/// Parked means woken by exactly one, not parked by none.
fn assert_woken(outcome: &Outcome, woken: &[Woken]) {
    let count = woken.iter().flatten().count();
    assert_eq!(count, usize::from(*outcome == Outcome::Parked), "{outcome:?} and woken {count} times");
}

fn data_comes(socket: &Socket) -> Woken {
    socket.bytes.fetch_add(1, Relaxed);
    socket.side.event(false)
}

#[test]
fn an_event_between_try_and_park_is_not_lost() {
    check(4, || {
        let socket = Socket::new();
        let poller = in_thread(&socket, data_comes);
        let outcome = socket.read(1);
        assert_woken(&outcome, &[poller.join().unwrap()]);
    });
}

#[test]
fn a_second_event_that_finds_the_first_unread_is_not_lost() {
    check(4, || {
        let socket = Socket::new();
        let poller = in_thread(&socket, |socket| data_comes(socket).or_else(|| data_comes(socket)));
        let outcome = socket.read(2);
        let woken = poller.join().unwrap();
        // Woken by the first event it would go round again and find the second like any other.
        assert_woken(&outcome, &[woken]);
    });
}

#[test]
fn data_and_end_in_one_edge_do_not_leave_the_reader_waiting() {
    check(4, || {
        let socket = Socket::new();
        let poller = in_thread(&socket, |socket| {
            socket.fin.store(1, Relaxed);
            socket.bytes.store(1, Relaxed);
            socket.side.event(true)
        });
        // A reader of a stream: reads what is there, parks without a second call after a short read.
        let mut read = 0;
        let parked = loop {
            if socket.side.begin_try() == Try::Go {
                if read == 0 {
                    read = socket.bytes.load(Relaxed);
                    if read != 0 {
                        socket.side.set_drained();
                        continue;
                    }
                } else if socket.fin.load(Relaxed) == 1 {
                    break false;
                }
            }
            if socket.side.commit(WAITER) {
                break true;
            }
        };
        assert_eq!(poller.join().unwrap().is_some(), parked, "the end was not seen and no edge will come");
    });
}

#[test]
fn a_close_ends_a_wait_that_begins_at_the_same_time() {
    check(4, || {
        let socket = Socket::new();
        let closer = in_thread(&socket, |socket| socket.side.close());
        let outcome = socket.read(1);
        assert_woken(&outcome, &[closer.join().unwrap()]);
        assert!(socket.side.is_closed() && !socket.side.has_waiter());
        assert_eq!(socket.read(1), Outcome::Closed);
    });
}

#[test]
fn close_and_event_together_wake_once() {
    check(4, || {
        let socket = Socket::new();
        let closer = in_thread(&socket, |socket| socket.side.close());
        let poller = in_thread(&socket, data_comes);
        let outcome = socket.read(1);
        assert_woken(&outcome, &[closer.join().unwrap(), poller.join().unwrap()]);
    });
}

#[test]
fn a_deadline_moved_while_the_reader_parks_is_seen_or_wakes_it() {
    check(4, || {
        let socket = Socket::new();
        let mover = in_thread(&socket, |socket| {
            socket.over.store(1, Relaxed);
            socket.side.kick()
        });
        let outcome = socket.read(1);
        assert_woken(&outcome, &[mover.join().unwrap()]);
    });
}

#[test]
fn a_deadline_and_data_together_wake_once() {
    check(4, || {
        let socket = Socket::new();
        let mover = in_thread(&socket, |socket| {
            socket.over.store(1, Relaxed);
            socket.side.kick()
        });
        let poller = in_thread(&socket, data_comes);
        let outcome = socket.read(1);
        let woken = [mover.join().unwrap(), poller.join().unwrap()];
        assert_woken(&outcome, &woken);
        if outcome != Outcome::Parked {
            assert_ne!(socket.read(1), Outcome::Parked, "what came after the wait is there for the next");
        }
    });
}

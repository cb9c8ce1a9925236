//! Models of a gate: exclusion, visibility, and that nobody is left waiting (loom reports a deadlock).

use core::sync::atomic::Ordering::Relaxed;
// Not loom's: dropping one while a deadlock that loom found unwinds would abort the process.
use std::sync::Arc;

use super::{Gate, STARVED_NS};
use crate::atomics::AtomicU32;
use crate::model::{Id, Mutex, ReadyList, Sleeper, check, thread};
use crate::permits::Want;
use crate::wait_list::WaitList;

/// A gate with three parties, and what the permits guard: readers count on one, a writer on zero.
struct Lock {
    gate: Gate<Mutex<WaitList<Id>>>,
    total: u32,
    /// The time, for who gives: later than those who wait think by so much.
    now_ns: u64,
    parties: [Sleeper; 3],
    value: AtomicU32,
    holders: AtomicU32,
}

impl Lock {
    /// With `hands_over` everybody who waits is starved.
    fn new(total: u32, hands_over: bool) -> Arc<Self> {
        Self::with_parties(total, hands_over, [Sleeper::new(), Sleeper::new(), Sleeper::new()])
    }

    fn with_parties(total: u32, hands_over: bool, parties: [Sleeper; 3]) -> Arc<Self> {
        Arc::new(Self {
            gate: Gate::new(total, Mutex::new(WaitList::new())),
            total,
            now_ns: if hands_over { STARVED_NS } else { 0 },
            parties,
            value: AtomicU32::new(0),
            holders: AtomicU32::new(0),
        })
    }

    /// Waits as party `me`, as `gort::sync` does. False: the party was late.
    fn acquire(&self, me: usize, want: Want) -> bool {
        if self.gate.word().take(want) {
            return true;
        }
        let mut ready = ReadyList::new();
        let is_taken = self.gate.wait(want, &self.parties[me], &mut ready, || 0);
        ready.ready_all();
        is_taken
    }

    fn release(&self, count: u32) {
        if !self.gate.word().give(count) {
            let mut ready = ReadyList::new();
            self.gate.give(count, &mut ready, || self.now_ns);
            ready.ready_all();
        }
    }

    /// Uses what all the permits guard.
    fn write(&self) {
        assert_eq!(self.holders.swap(self.total, Relaxed), 0, "not alone");
        // Relaxed, and two steps: the permits must have ordered them.
        self.value.store(self.value.load(Relaxed) + 1, Relaxed);
        assert_eq!(self.holders.swap(0, Relaxed), self.total);
    }

    /// Holds one permit for a moment.
    fn read(&self) {
        assert!(self.holders.fetch_add(1, Relaxed) < self.total, "more holders than permits");
        self.holders.fetch_sub(1, Relaxed);
    }

    /// Takes all for a moment, unless party `me` is late before.
    fn write_as(&self, me: usize) {
        if self.acquire(me, Want::All(self.total)) {
            self.write();
            self.release(self.total);
        }
    }

    fn free(&self) -> u32 {
        assert!(self.gate.queue.lock().unwrap().is_empty(), "somebody still stands in the queue");
        self.gate.word().free()
    }
}

fn writer(lock: &Arc<Lock>, me: usize) -> thread::JoinHandle<()> {
    let lock = lock.clone();
    thread::spawn(move || lock.write_as(me))
}

fn reader(lock: &Arc<Lock>, me: usize) -> thread::JoinHandle<()> {
    let lock = lock.clone();
    thread::spawn(move || {
        assert!(lock.acquire(me, Want::Some(1)));
        lock.read();
        lock.release(1);
    })
}

/// Three want all, one after the other.
fn three_writers(hands_over: bool) {
    check(2, move || {
        let lock = Lock::new(1, hands_over);
        let others = [writer(&lock, 1), writer(&lock, 2)];
        lock.write_as(0);
        for one in others {
            one.join().unwrap();
        }
        assert_eq!((lock.value.load(Relaxed), lock.free()), (3, 1));
    });
}

#[test]
fn of_three_that_want_all_each_gets_it_alone_and_sees_what_the_last_did() {
    three_writers(false);
}

#[test]
fn what_is_handed_over_is_handed_over_once_with_all_that_was_written() {
    three_writers(true);
}

/// Two readers write, too, each a word of its own: the writer that the second one lets in sees both.
#[test]
fn a_writer_let_in_by_the_last_reader_sees_what_all_of_them_did() {
    check(3, || {
        let lock = Lock::new(2, true);
        let seen = Arc::new([AtomicU32::new(0), AtomicU32::new(0)]);
        assert!(lock.gate.word().take(Want::Some(2)));
        let readers = [0, 1].map(|me| {
            let (lock, seen) = (lock.clone(), seen.clone());
            thread::spawn(move || {
                // Relaxed: the permits must have ordered it.
                seen[me].store(1, Relaxed);
                lock.release(1);
            })
        });
        assert!(lock.acquire(2, Want::All(2)));
        assert_eq!(seen.each_ref().map(|word| word.load(Relaxed)), [1, 1], "let in before a reader was done");
        lock.release(2);
        for one in readers {
            one.join().unwrap();
        }
        assert_eq!(lock.free(), 2);
    });
}

#[test]
fn readers_and_a_writer_exclude_each_other_and_none_is_left_waiting() {
    for hands_over in [false, true] {
        check(2, move || {
            let lock = Lock::new(2, hands_over);
            let others = [reader(&lock, 1), reader(&lock, 2)];
            lock.write_as(0);
            for one in others {
                one.join().unwrap();
            }
            assert_eq!(lock.free(), 2);
        });
    }
}

/// A party that wants all stands before a reader for whom there is room, and leaves; the holder stays, or goes at the same time.
#[test]
fn who_leaves_the_queue_lets_the_next_pass_and_takes_no_permit_along() {
    for (hands_over, holder_stays) in [(false, true), (false, false), (true, false)] {
        check(2, move || {
            let lock = Lock::with_parties(2, hands_over, [Sleeper::late(), Sleeper::new(), Sleeper::new()]);
            assert!(lock.gate.word().take(Want::Some(1)));
            let waits = reader(&lock, 1);
            let holder = (!holder_stays).then(|| {
                let lock = lock.clone();
                thread::spawn(move || lock.release(1))
            });
            lock.write_as(0);
            waits.join().unwrap();
            match holder {
                Some(holder) => holder.join().unwrap(),
                None => lock.release(1),
            }
            assert_eq!(lock.free(), 2);
        });
    }
}

#[test]
fn a_woken_party_that_leaves_leaves_the_next_to_the_holder() {
    check(2, || {
        let lock = Lock::new(1, false);
        let others = [writer(&lock, 0), writer(&lock, 1)];
        // Whenever it comes: while the party is about to wait, asleep, woken, or done.
        lock.parties[0].make_late();
        lock.write_as(2);
        for one in others {
            one.join().unwrap();
        }
        assert_eq!(lock.free(), 1);
    });
}

//! Models of the word together with a queue: exclusion, visibility, and that nobody is left waiting (loom reports a deadlock).

use core::sync::atomic::Ordering::Relaxed;
use std::collections::VecDeque;
// Not loom's: dropping one while a deadlock that loom found unwinds would abort the process.
use std::sync::Arc;

use super::{Permits, Want};
use crate::atomics::AtomicU32;
use crate::model::{Condvar, Mutex, check, thread};

/// What the queue tells a party.
#[derive(Clone, Copy, PartialEq)]
enum Told {
    Nothing,
    Woken,
    HandedOver,
}

struct Queue {
    waiting: VecDeque<(usize, Want)>,
    told: [Told; 3],
}

/// The word, its queue, and what the permits guard: readers count on one, a writer on zero.
struct Lock {
    word: Permits,
    total: u32,
    hands_over: bool,
    queue: Mutex<Queue>,
    change: Condvar,
    value: AtomicU32,
    holders: AtomicU32,
}

impl Lock {
    fn new(total: u32, hands_over: bool) -> Arc<Self> {
        Arc::new(Self {
            word: Permits::new(total),
            total,
            hands_over,
            queue: Mutex::new(Queue { waiting: VecDeque::new(), told: [Told::Nothing; 3] }),
            change: Condvar::new(),
            value: AtomicU32::new(0),
            holders: AtomicU32::new(0),
        })
    }

    /// Waits as `gort::sync` does, as party `me`.
    fn acquire(&self, me: usize, want: Want) {
        if self.word.take(want) {
            return;
        }
        let mut is_woken = false;
        let mut queue = self.queue.lock().unwrap();
        loop {
            if self.word.queue(want, is_woken) {
                return;
            }
            if is_woken {
                queue.waiting.push_front((me, want));
            } else {
                queue.waiting.push_back((me, want));
            }
            while queue.told[me] == Told::Nothing {
                queue = self.change.wait(queue).unwrap();
            }
            if std::mem::replace(&mut queue.told[me], Told::Nothing) == Told::HandedOver {
                return;
            }
            is_woken = true;
            drop(queue);
            if self.word.take_woken(self.total) {
                return;
            }
            queue = self.queue.lock().unwrap();
        }
    }

    fn release(&self, count: u32) {
        if !self.word.give(count) {
            self.serve(&mut self.queue.lock().unwrap(), count);
        }
    }

    fn serve(&self, queue: &mut Queue, count: u32) {
        let Some(mut free) = self.word.settle(count) else { return };
        let mut has_woken = false;
        while let Some(&(party, want)) = queue.waiting.front() {
            if want.count() > free || has_woken {
                break;
            }
            queue.waiting.pop_front();
            if matches!(want, Want::All(_)) && !self.hands_over {
                has_woken = true;
                queue.told[party] = Told::Woken;
            } else {
                free -= want.count();
                queue.told[party] = Told::HandedOver;
            }
        }
        self.word.settled(free, !queue.waiting.is_empty(), has_woken);
        self.change.notify_all();
    }

    /// Party `me` stops waiting for `want`, unless it has been served.
    fn try_and_leave(&self, me: usize, want: Want) -> bool {
        if self.word.take(want) {
            return true;
        }
        let mut queue = self.queue.lock().unwrap();
        if self.word.queue(want, false) {
            return true;
        }
        queue.waiting.push_back((me, want));
        drop(queue);
        thread::yield_now();
        let mut queue = self.queue.lock().unwrap();
        match queue.told[me] {
            Told::HandedOver => true,
            Told::Woken => self.word.leave_woken(self.total),
            Told::Nothing => {
                queue.waiting.retain(|&(party, _)| party != me);
                self.serve(&mut queue, 0);
                false
            }
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
}

fn writer(lock: &Arc<Lock>, me: usize) -> thread::JoinHandle<()> {
    let lock = lock.clone();
    thread::spawn(move || {
        let total = lock.total;
        lock.acquire(me, Want::All(total));
        lock.write();
        lock.release(total);
    })
}

fn reader(lock: &Arc<Lock>, me: usize) -> thread::JoinHandle<()> {
    let lock = lock.clone();
    thread::spawn(move || {
        lock.acquire(me, Want::Some(1));
        lock.read();
        lock.release(1);
    })
}

/// Three want all, one after the other.
fn three_writers(hands_over: bool) {
    check(2, move || {
        let lock = Lock::new(1, hands_over);
        let others = [writer(&lock, 1), writer(&lock, 2)];
        lock.acquire(0, Want::All(1));
        lock.write();
        lock.release(1);
        for one in others {
            one.join().unwrap();
        }
        assert_eq!((lock.value.load(Relaxed), lock.word.free()), (3, 1));
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
        assert!(lock.word.take(Want::Some(2)));
        let readers = [0, 1].map(|me| {
            let (lock, seen) = (lock.clone(), seen.clone());
            thread::spawn(move || {
                // Relaxed: the permits must have ordered it.
                seen[me].store(1, Relaxed);
                lock.release(1);
            })
        });
        lock.acquire(2, Want::All(2));
        assert_eq!(seen.each_ref().map(|word| word.load(Relaxed)), [1, 1], "let in before a reader was done");
        lock.release(2);
        for one in readers {
            one.join().unwrap();
        }
        assert_eq!(lock.word.free(), 2);
    });
}

#[test]
fn readers_and_a_writer_exclude_each_other_and_none_is_left_waiting() {
    for hands_over in [false, true] {
        check(2, move || {
            let lock = Lock::new(2, hands_over);
            let others = [reader(&lock, 1), reader(&lock, 2)];
            lock.acquire(0, Want::All(2));
            lock.write();
            lock.release(2);
            for one in others {
                one.join().unwrap();
            }
            assert_eq!(lock.word.free(), 2);
        });
    }
}

#[test]
fn who_leaves_the_queue_lets_the_next_pass_and_takes_no_permit_along() {
    for hands_over in [false, true] {
        check(2, move || {
            let lock = Lock::new(2, hands_over);
            assert!(lock.word.take(Want::Some(1)));
            let waits = reader(&lock, 1);
            let holder = {
                let lock = lock.clone();
                thread::spawn(move || lock.release(1))
            };
            if lock.try_and_leave(0, Want::All(2)) {
                lock.write();
                lock.release(2);
            }
            waits.join().unwrap();
            holder.join().unwrap();
            assert_eq!(lock.word.free(), 2);
        });
    }
}

#[test]
fn a_woken_party_that_leaves_leaves_the_next_to_the_holder() {
    check(2, || {
        let lock = Lock::new(1, false);
        let others = [writer(&lock, 1), writer(&lock, 2)];
        if lock.try_and_leave(0, Want::All(1)) {
            lock.write();
            lock.release(1);
        }
        for one in others {
            one.join().unwrap();
        }
        assert_eq!(lock.word.free(), 1);
    });
}

//! Models of a condition variable: its queue, the mark that says whether anybody is there, the user's lock. Loom reports a deadlock.

// Not loom's: dropping one while a deadlock that loom found unwinds would abort the process.
use std::sync::Arc;

use super::Attendance;
use crate::crowd;
use crate::model::{Id, Mutex, ReadyList, Sleeper, check, thread};
use crate::wait_list::WaitList;

struct Shared {
    /// Things for those who wait, under the user's lock.
    items: Mutex<u32>,
    attendance: Attendance,
    queue: Mutex<WaitList<Id>>,
    parties: [Sleeper; 2],
}

impl Shared {
    fn new(parties: [Sleeper; 2]) -> Arc<Self> {
        let (items, queue) = (Mutex::new(0), Mutex::new(WaitList::new()));
        Arc::new(Self { items, attendance: Attendance::new(), queue, parties })
    }

    /// Takes an item as one does with a condition variable. False: the party was late, and there was none.
    fn take(&self, me: usize) -> bool {
        loop {
            let mut items = self.items.lock().unwrap();
            if *items > 0 {
                *items -= 1;
                return true;
            }
            let queue = self.queue.lock().unwrap();
            self.attendance.note();
            let told = crowd::wait(&self.queue, queue, |queue| queue, &self.parties[me], || drop(items));
            if let Err(queue) = told {
                self.attendance.left(queue.is_empty());
                drop(queue);
                let mut items = self.items.lock().unwrap();
                let is_there = *items > 0;
                *items -= u32::from(is_there);
                return is_there;
            }
        }
    }

    fn put(&self) {
        *self.items.lock().unwrap() += 1;
        if self.attendance.is_noted() {
            let mut ready = ReadyList::new();
            let mut queue = self.queue.lock().unwrap();
            crowd::tell_one(&mut queue, &mut ready);
            self.attendance.left(queue.is_empty());
            drop(queue);
            ready.ready_all();
        }
    }
}

#[test]
fn two_notifications_reach_two_parties() {
    check(2, || {
        let shared = Shared::new([Sleeper::new(), Sleeper::new()]);
        let takers = [0, 1].map(|me| {
            let shared = shared.clone();
            thread::spawn(move || assert!(shared.take(me)))
        });
        shared.put();
        shared.put();
        for taker in takers {
            taker.join().unwrap();
        }
        assert!(shared.queue.lock().unwrap().is_empty() && *shared.items.lock().unwrap() == 0);
    });
}

#[test]
fn a_notification_is_not_lost_with_a_party_that_leaves() {
    check(3, || {
        let shared = Shared::new([Sleeper::late(), Sleeper::new()]);
        let taker = shared.clone();
        let taker = thread::spawn(move || assert!(taker.take(1)));
        let putter = shared.clone();
        let putter = thread::spawn(move || putter.put());
        // It may have got what is the other's.
        if shared.take(0) {
            shared.put();
        }
        taker.join().unwrap();
        putter.join().unwrap();
        assert!(shared.queue.lock().unwrap().is_empty() && *shared.items.lock().unwrap() == 0);
    });
}

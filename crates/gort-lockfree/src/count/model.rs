//! Models of a count with those who wait until it is zero. Loom reports a deadlock.

use core::sync::atomic::Ordering::Relaxed;
// Not loom's: dropping one while a deadlock that loom found unwinds would abort the process.
use std::sync::Arc;

use super::Count;
use crate::atomics::AtomicU32;
use crate::crowd;
use crate::model::{Id, Mutex, ReadyList, Sleeper, check, thread};
use crate::wait_list::WaitList;

/// A group as `gort::sync` has it, two things to be done, and what each does.
struct Group {
    count: Count,
    queue: Mutex<WaitList<Id>>,
    effects: [AtomicU32; 2],
    party: Sleeper,
}

impl Group {
    fn done(&self) {
        if self.count.done() {
            return;
        }
        let mut ready = ReadyList::new();
        let mut queue = self.queue.lock().unwrap();
        assert!(self.count.done_last(&mut queue, &mut ready));
        drop(queue);
        ready.ready_all();
    }

    fn wait(&self) -> bool {
        if self.count.is_zero() {
            return true;
        }
        let queue = self.queue.lock().unwrap();
        self.count.is_zero() || crowd::wait(&self.queue, queue, |queue| queue, &self.party, || ()).is_ok()
    }
}

#[test]
fn who_waits_hears_of_the_last_and_sees_what_all_have_done() {
    check(3, || {
        let group = Arc::new(Group {
            count: Count::new(),
            queue: Mutex::new(WaitList::new()),
            effects: [AtomicU32::new(0), AtomicU32::new(0)],
            party: Sleeper::new(),
        });
        assert!(group.count.add(2));
        let done = [0, 1].map(|at| {
            let group = group.clone();
            thread::spawn(move || {
                // Relaxed: the count must have ordered it.
                group.effects[at].store(1, Relaxed);
                group.done();
            })
        });
        assert!(group.wait());
        assert_eq!(group.effects.each_ref().map(|effect| effect.load(Relaxed)), [1, 1], "woken before all was done");
        for one in done {
            one.join().unwrap();
        }
        assert!(group.queue.lock().unwrap().is_empty());
    });
}

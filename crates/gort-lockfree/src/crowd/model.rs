//! Models of a crowd: a notification as `sync::Notify` makes it, and a meeting as at `sync::Barrier`. Loom reports a deadlock.

// Not loom's: dropping one while a deadlock that loom found unwinds would abort the process.
use std::sync::Arc;

use super::{tell_all, tell_one, wait};
use crate::model::{Id, Mutex, ReadyList, Sleeper, check, thread};
use crate::wait_list::WaitList;

/// What lies under the lock: whether one is remembered, or how many have arrived.
struct Inner {
    is_remembered: bool,
    arrived: u32,
    round: u32,
    queue: WaitList<Id>,
}

struct Place {
    inner: Mutex<Inner>,
    parties: [Sleeper; 3],
}

impl Place {
    fn new(parties: [Sleeper; 3]) -> Arc<Self> {
        let inner = Inner { is_remembered: false, arrived: 0, round: 0, queue: WaitList::new() };
        Arc::new(Self { inner: Mutex::new(inner), parties })
    }

    fn notify_one(&self) {
        let mut ready = ReadyList::new();
        let mut inner = self.inner.lock().unwrap();
        if !tell_one(&mut inner.queue, &mut ready) {
            inner.is_remembered = true;
        }
        drop(inner);
        ready.ready_all();
    }

    fn wait_for_one(&self, me: usize) -> bool {
        let mut inner = self.inner.lock().unwrap();
        if std::mem::take(&mut inner.is_remembered) {
            return true;
        }
        wait(&self.inner, inner, |inner| &mut inner.queue, &self.parties[me], || ()).is_ok()
    }

    /// Meets one other party; false: it was late, and it is as if it had not come.
    fn meet(&self, me: usize) -> bool {
        let mut inner = self.inner.lock().unwrap();
        inner.arrived += 1;
        let round = inner.round;
        if inner.arrived < 2 {
            let told = wait(&self.inner, inner, |inner| &mut inner.queue, &self.parties[me], || ());
            let Err(mut inner) = told else { return true };
            let has_met = inner.round != round;
            inner.arrived -= u32::from(!has_met);
            return has_met;
        }
        inner.arrived = 0;
        inner.round += 1;
        let mut ready = ReadyList::new();
        tell_all(&mut inner.queue, &mut ready);
        drop(inner);
        ready.ready_all();
        true
    }

    fn assert_empty(&self) {
        let inner = self.inner.lock().unwrap();
        assert!(inner.queue.is_empty() && inner.arrived == 0 && !inner.is_remembered, "something is left");
    }
}

/// One notification: it reaches the party that stays, also by way of the one that leaves.
#[test]
fn a_notification_goes_to_the_next_if_its_party_leaves() {
    check(3, || {
        let place = Place::new([Sleeper::new(), Sleeper::new(), Sleeper::new()]);
        let impatient = place.clone();
        let impatient = thread::spawn(move || {
            if impatient.wait_for_one(0) {
                impatient.notify_one();
            }
        });
        let patient = place.clone();
        let patient = thread::spawn(move || assert!(patient.wait_for_one(1), "nobody made it late"));
        place.notify_one();
        place.parties[0].make_late();
        impatient.join().unwrap();
        patient.join().unwrap();
        place.assert_empty();
    });
}

/// Two meet, whatever a third one does that does not wait.
#[test]
fn who_leaves_a_meeting_has_not_come() {
    check(3, || {
        let place = Place::new([Sleeper::late(), Sleeper::new(), Sleeper::new()]);
        let others = [1, 2].map(|me| {
            let place = place.clone();
            thread::spawn(move || assert!(place.meet(me)))
        });
        if place.meet(0) {
            // It has met one of the two; the other one needs somebody, too. It is late, so it may take some attempts.
            while !place.meet(0) {
                thread::yield_now();
            }
        }
        for one in others {
            one.join().unwrap();
        }
        place.assert_empty();
    });
}

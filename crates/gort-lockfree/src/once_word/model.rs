//! Models of something done once, with those who wait for it. Loom reports a deadlock.

use core::sync::atomic::Ordering::Relaxed;
// Not loom's: dropping one while a deadlock that loom found unwinds would abort the process.
use std::sync::Arc;

use super::{OnceWord, Stage};
use crate::atomics::AtomicU32;
use crate::crowd;
use crate::model::{Id, Mutex, ReadyList, Sleeper, check, thread};
use crate::wait_list::WaitList;

/// A `Once` as `gort::sync` has it, and what is done.
struct Once {
    word: OnceWord,
    queue: Mutex<WaitList<Id>>,
    parties: [Sleeper; 2],
    effect: AtomicU32,
    /// So many attempts fail.
    failures: u32,
    attempts: AtomicU32,
}

impl Once {
    fn new(failures: u32) -> Arc<Self> {
        Arc::new(Self {
            word: OnceWord::new(),
            queue: Mutex::new(WaitList::new()),
            parties: [Sleeper::new(), Sleeper::new()],
            effect: AtomicU32::new(0),
            failures,
            attempts: AtomicU32::new(0),
        })
    }

    /// Sees to it that it is done, also after somebody has failed. False: the caller itself has.
    fn call(&self, me: usize) -> bool {
        while !self.word.is_complete() {
            let queue = self.queue.lock().unwrap();
            match self.word.stage() {
                Stage::Complete => break,
                Stage::Running => {
                    assert!(crowd::wait(&self.queue, queue, |queue| queue, &self.parties[me], || ()).is_ok());
                }
                Stage::Incomplete | Stage::Poisoned => {
                    self.word.begin();
                    drop(queue);
                    // Relaxed, and two steps: one at a time runs, and sees what the last one did.
                    let attempt = self.attempts.load(Relaxed);
                    self.attempts.store(attempt + 1, Relaxed);
                    let is_complete = attempt >= self.failures;
                    if is_complete {
                        self.effect.store(self.effect.load(Relaxed) + 1, Relaxed);
                    }
                    let mut ready = ReadyList::new();
                    let mut queue = self.queue.lock().unwrap();
                    self.word.end(is_complete, &mut queue, &mut ready);
                    drop(queue);
                    ready.ready_all();
                    if !is_complete {
                        return false;
                    }
                }
            }
        }
        // Relaxed: whoever comes back must see it.
        assert_eq!(self.effect.load(Relaxed), 1, "not done, or not seen");
        true
    }
}

#[test]
fn it_is_done_once_and_whoever_comes_back_sees_it() {
    check(3, || {
        let once = Once::new(0);
        let other = once.clone();
        let other = thread::spawn(move || assert!(other.call(1)));
        let looker = once.clone();
        let looker = thread::spawn(move || assert!(!looker.word.is_complete() || looker.effect.load(Relaxed) == 1));
        assert!(once.call(0));
        other.join().unwrap();
        looker.join().unwrap();
        assert_eq!(once.attempts.load(Relaxed), 1);
    });
}

#[test]
fn who_waits_hears_of_a_failure_and_tries_again() {
    check(3, || {
        let once = Once::new(1);
        let other = once.clone();
        let other = thread::spawn(move || other.call(1));
        let mine = once.call(0);
        assert_ne!(mine, other.join().unwrap(), "one of the two has failed");
        assert_eq!(once.attempts.load(Relaxed), 2);
        assert!(once.queue.lock().unwrap().is_empty());
    });
}

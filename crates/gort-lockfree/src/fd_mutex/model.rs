//! Models of the users of an fd: released once and after everybody, one holder per side, no waiter left.

use core::sync::atomic::Ordering::Relaxed;

use super::{CLOSED, FdMutex, Lock, Side, Unlock};
use crate::atomics::AtomicU32;
use crate::model::{Arc, Condvar, Mutex, check, thread};

/// A descriptor and its read side's semaphore.
struct Desc {
    mutex: FdMutex,
    released: AtomicU32,
    /// How many hold the read side.
    holders: AtomicU32,
    /// 1 while a system call of that kind uses the fd.
    reading: AtomicU32,
    shutting_down: AtomicU32,
    /// Below zero: wakes to come that nobody needs.
    sema: Mutex<i32>,
    freed: Condvar,
}

impl Desc {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            mutex: FdMutex::new(),
            released: AtomicU32::new(0),
            holders: AtomicU32::new(0),
            reading: AtomicU32::new(0),
            shutting_down: AtomicU32::new(0),
            sema: Mutex::new(0),
            freed: Condvar::new(),
        })
    }

    fn wake(&self, count: u32) {
        *self.sema.lock().unwrap() += count as i32;
        self.freed.notify_all();
    }

    fn wait(&self) {
        let mut sema = self.sema.lock().unwrap();
        while *sema <= 0 {
            sema = self.freed.wait(sema).unwrap();
        }
        *sema -= 1;
    }

    fn release_if(&self, last: bool) {
        if last {
            assert_eq!(self.released.fetch_add(1, Relaxed), 0, "the fd was released twice");
            // Relaxed: the counts of the mutex must have ordered it.
            let in_use = self.reading.load(Relaxed) + self.shutting_down.load(Relaxed);
            assert_eq!(in_use, 0, "the fd was released while a system call used it");
        }
    }

    fn use_fd(&self, by: &AtomicU32) {
        by.store(1, Relaxed);
        assert_eq!(self.released.load(Relaxed), 0, "the fd was used after its release");
        by.store(0, Relaxed);
    }

    /// One read.
    fn read(&self) {
        loop {
            match self.mutex.lock(Side::Read) {
                Lock::Closed => return,
                Lock::Wait => self.wait(),
                Lock::Acquired => break,
            }
        }
        self.read_and_unlock();
    }

    /// One read that does not wait longer than for a look at the semaphore.
    fn read_or_give_up(&self) {
        loop {
            match self.mutex.lock(Side::Read) {
                Lock::Closed => return,
                Lock::Acquired => break,
                Lock::Wait => {
                    let mut sema = self.sema.lock().unwrap();
                    if *sema > 0 {
                        *sema -= 1;
                        // Woken: the wake is to be passed on, by an unlock.
                        continue;
                    }
                    if !self.mutex.withdraw(Side::Read) {
                        *sema -= 1;
                    }
                    return;
                }
            }
        }
        self.read_and_unlock();
    }

    fn read_and_unlock(&self) {
        assert_eq!(self.holders.fetch_add(1, Relaxed), 0, "two hold the read side");
        self.use_fd(&self.reading);
        self.holders.fetch_sub(1, Relaxed);
        let Unlock { wake, last } = self.mutex.unlock(Side::Read);
        if wake {
            self.wake(1);
        }
        self.release_if(last);
    }

    fn close(&self) {
        if let Some(closing) = self.mutex.incref_and_close() {
            self.wake(closing.wake_readers);
            assert_eq!(closing.wake_writers, 0, "nobody writes here");
            self.release_if(self.mutex.decref());
        }
    }

    fn shut_down(&self) {
        if self.mutex.incref().is_ok() {
            self.use_fd(&self.shutting_down);
            self.release_if(self.mutex.decref());
        }
    }

    fn assert_closed(&self) {
        assert_eq!(self.mutex.0.load(Relaxed), CLOSED, "{:?}", self.mutex);
        assert_eq!(self.released.load(Relaxed), 1, "the fd was released once");
        assert_eq!(*self.sema.lock().unwrap(), 0, "a wake was left over");
    }
}

fn in_thread(desc: &Arc<Desc>, act: fn(&Desc)) -> thread::JoinHandle<()> {
    let desc = desc.clone();
    thread::spawn(move || act(&desc))
}

#[test]
fn the_last_user_of_a_closed_fd_releases_it_once() {
    check(4, || {
        let desc = Desc::new();
        let others = [in_thread(&desc, Desc::close), in_thread(&desc, Desc::shut_down)];
        desc.read();
        others.into_iter().for_each(|other| other.join().unwrap());
        desc.assert_closed();
    });
}

#[test]
fn two_closers_and_a_reader_release_once() {
    check(4, || {
        let desc = Desc::new();
        let others = [in_thread(&desc, Desc::close), in_thread(&desc, Desc::read)];
        desc.close();
        others.into_iter().for_each(|other| other.join().unwrap());
        desc.assert_closed();
    });
}

#[test]
fn readers_hold_the_side_one_by_one_and_none_is_left_waiting() {
    check(3, || {
        let desc = Desc::new();
        let others = [in_thread(&desc, Desc::read), in_thread(&desc, Desc::read)];
        desc.read();
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(desc.mutex.0.load(Relaxed), 0, "{:?}", desc.mutex);
        assert_eq!(*desc.sema.lock().unwrap(), 0, "a wake was left over");
    });
}

#[test]
fn a_close_wakes_who_waits_for_the_side() {
    check(3, || {
        let desc = Desc::new();
        let others = [in_thread(&desc, Desc::read), in_thread(&desc, Desc::close)];
        desc.read();
        others.into_iter().for_each(|other| other.join().unwrap());
        desc.assert_closed();
    });
}

#[test]
fn a_reader_that_gives_up_takes_no_wake_along() {
    check(3, || {
        let desc = Desc::new();
        let others = [in_thread(&desc, Desc::read), in_thread(&desc, Desc::read_or_give_up)];
        desc.read();
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(desc.mutex.0.load(Relaxed), 0, "{:?}", desc.mutex);
        assert_eq!(*desc.sema.lock().unwrap(), 0, "a wake was left over");
    });
}

#[test]
fn a_reader_gives_up_while_another_closes() {
    check(3, || {
        let desc = Desc::new();
        let others = [in_thread(&desc, Desc::read_or_give_up), in_thread(&desc, Desc::close)];
        desc.read();
        others.into_iter().for_each(|other| other.join().unwrap());
        desc.assert_closed();
    });
}

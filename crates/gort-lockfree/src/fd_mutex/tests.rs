//! The users of an fd, step by step.

use super::{COUNT_MAX, Closed, Closing, FdMutex, Lock, REF, Side, Unlock};
use crate::atomics::AtomicU64;

#[test]
fn sides_are_locked_apart_and_waiters_are_woken_one_by_one() {
    let fd = FdMutex::new();
    assert_eq!(fd.lock(Side::Read), Lock::Acquired);
    assert_eq!(fd.lock(Side::Write), Lock::Acquired);
    assert_eq!((fd.lock(Side::Read), fd.lock(Side::Read)), (Lock::Wait, Lock::Wait));
    assert_eq!(fd.unlock(Side::Write), Unlock { wake: false, last: false });
    for wake in [true, true, false] {
        assert_eq!(fd.unlock(Side::Read), Unlock { wake, last: false });
        assert_eq!(fd.lock(Side::Read), Lock::Acquired);
    }
}

#[test]
fn a_close_names_the_waiters_and_the_last_user_releases() {
    let fd = FdMutex::new();
    assert_eq!(fd.incref(), Ok(()));
    assert_eq!((fd.lock(Side::Read), fd.lock(Side::Write)), (Lock::Acquired, Lock::Acquired));
    assert_eq!([fd.lock(Side::Read), fd.lock(Side::Write), fd.lock(Side::Write)], [Lock::Wait; 3]);
    assert_eq!(fd.incref_and_close(), Some(Closing { wake_readers: 1, wake_writers: 2 }));
    assert_eq!(fd.incref_and_close(), None);
    assert_eq!((fd.incref(), fd.lock(Side::Read)), (Err(Closed), Lock::Closed));
    assert!(!fd.decref());
    assert_eq!(fd.unlock(Side::Write), Unlock { wake: false, last: false });
    assert!(!fd.decref());
    assert_eq!(fd.unlock(Side::Read), Unlock { wake: false, last: true });
    fd.reset();
    assert_eq!(fd.lock(Side::Read), Lock::Acquired);
}

#[test]
fn a_close_without_users_is_the_last_itself() {
    let fd = FdMutex::new();
    assert_eq!(fd.incref_and_close(), Some(Closing { wake_readers: 0, wake_writers: 0 }));
    assert!(fd.decref());
}

#[test]
fn sides_have_numbers() {
    assert_eq!((Side::Read.index(), Side::Write.index()), (0, 1));
}

#[test]
#[should_panic(expected = "FdMutex: more than 2^20 - 1 operations use one descriptor")]
fn too_many_references_are_refused() {
    let fd = FdMutex(AtomicU64::new(COUNT_MAX * REF));
    let _ = fd.incref();
}

#[test]
#[should_panic(expected = "FdMutex::lock: more than 2^20 - 1 operations wait for one side")]
fn too_many_waiters_are_refused() {
    let full = COUNT_MAX * Side::Write.waiter();
    let fd = FdMutex(AtomicU64::new(full + REF + Side::Write.lock_bit()));
    assert_eq!(fd.lock(Side::Read), Lock::Acquired, "the other side is free");
    let _ = fd.lock(Side::Write);
}

#[test]
#[should_panic(expected = "FdMutex::decref: there is no reference to drop")]
fn a_reference_too_many_dropped_is_a_bug() {
    let _ = FdMutex::new().decref();
}

#[test]
#[should_panic(expected = "FdMutex::unlock: the side is not locked")]
fn unlocking_a_free_side_is_a_bug() {
    let fd = FdMutex::new();
    assert_eq!(fd.lock(Side::Read), Lock::Acquired);
    let _ = fd.unlock(Side::Write);
}

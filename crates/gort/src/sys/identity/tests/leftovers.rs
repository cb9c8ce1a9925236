//! What a goroutine leaves in its block's record is not the next one's.

use super::{Block, Key, identity};
use crate::sys::identity::glibc_x86_64::{Frame, leave_changed};
use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread;

unsafe extern "C" {
    fn pthread_setcancelstate(state: c_int, before: *mut c_int) -> c_int;
    fn pthread_setcanceltype(kind: c_int, before: *mut c_int) -> c_int;
}

fn set_cancel(to: c_int) -> (c_int, c_int) {
    let (mut state, mut kind) = (-1, -1);
    // SAFETY: both have places for the values before; nobody cancels this thread while it could be.
    unsafe {
        pthread_setcancelstate(to, &mut state);
        pthread_setcanceltype(to, &mut kind);
    }
    (state, kind)
}

#[test]
fn the_cancellation_state_is_as_new_after_a_reset() {
    let block = Block::new();
    for _ in 0..3 {
        let mut found = (-1, -1);
        block.run(|| {
            found = set_cancel(1);
            // SAFETY: cancels itself, which it has just forbidden: it stays pending.
            assert_eq!(unsafe { libc::pthread_cancel(libc::pthread_self()) }, 0);
        });
        assert_eq!(found, (0, 0), "enabled and deferred");
        block.end();
        block.reset();
        // SAFETY: ended and reset; nobody uses it.
        unsafe { identity().record_is_as_new(block.tp) }.unwrap();
    }
}

#[test]
fn handlers_of_frames_that_are_gone_are_forgotten_by_a_reset() {
    let block = Block::new();
    for _ in 0..3 {
        let mut frame = Frame::default();
        // SAFETY: the block is reset below, while the frame is there.
        block.run(|| unsafe { leave_changed(&mut frame) });
        // SAFETY: nobody uses it between two runs.
        let found = unsafe { identity().record_is_as_new(block.tp) };
        assert!(found.is_err(), "nothing was left, so nothing is tried");
        block.end();
        block.reset();
        // SAFETY: ended and reset; nobody uses it.
        unsafe { identity().record_is_as_new(block.tp) }.unwrap();
    }
}

#[test]
fn a_key_set_by_the_last_thread_local_destructor_is_not_the_next_ones() {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    static FIRST: OnceLock<Key> = OnceLock::new();
    static SECOND: OnceLock<Key> = OnceLock::new();
    struct Sets;
    impl Drop for Sets {
        fn drop(&mut self) {
            SECOND.get().unwrap().set(ptr::from_ref(&RUNS).cast());
        }
    }
    thread_local!(static SETS: Sets = const { Sets });
    unsafe extern "C" fn uses_a_thread_local(_: *mut c_void) {
        SETS.with(|_| ());
    }
    unsafe extern "C" fn counts(_: *mut c_void) {
        RUNS.fetch_add(1, Relaxed);
    }
    let first = FIRST.get_or_init(|| Key::new(uses_a_thread_local));
    let second = SECOND.get_or_init(|| Key::new(counts));
    let block = Block::new();
    for round in 1..=3 {
        block.run(|| {
            assert!(second.get().is_null(), "another goroutine's value");
            first.set(ptr::from_ref(&RUNS).cast());
        });
        block.end();
        assert_eq!(RUNS.load(Relaxed), round, "its destructor runs with the goroutine whose value it is");
        block.reset();
    }
}

/// A robust mutex that is never destroyed.
fn robust() -> usize {
    let mutex = Box::into_raw(Box::new(libc::PTHREAD_MUTEX_INITIALIZER)) as usize;
    make_robust(mutex);
    mutex
}

fn make_robust(mutex: usize) {
    let mut attributes = MaybeUninit::uninit();
    // SAFETY: attributes that are initialised first; a mutex that nobody uses yet.
    unsafe {
        libc::pthread_mutexattr_init(attributes.as_mut_ptr());
        libc::pthread_mutexattr_setrobust(attributes.as_mut_ptr(), libc::PTHREAD_MUTEX_ROBUST);
        assert_eq!(libc::pthread_mutex_init(mutex as *mut libc::pthread_mutex_t, attributes.as_ptr()), 0);
    }
}

/// Locks it, but waits no longer than a test may take.
fn lock(mutex: usize) -> c_int {
    // SAFETY: a place for the time; the mutex is never freed.
    unsafe {
        let mut limit = MaybeUninit::<libc::timespec>::uninit();
        libc::clock_gettime(libc::CLOCK_REALTIME, limit.as_mut_ptr());
        let mut limit = limit.assume_init();
        limit.tv_sec += 60;
        libc::pthread_mutex_timedlock(mutex as *mut libc::pthread_mutex_t, &limit)
    }
}

fn unlock(mutex: usize) {
    // SAFETY: locked by the caller, with what it protects made good.
    unsafe {
        libc::pthread_mutex_consistent(mutex as *mut libc::pthread_mutex_t);
        assert_eq!(libc::pthread_mutex_unlock(mutex as *mut libc::pthread_mutex_t), 0);
    }
}

#[test]
fn a_robust_mutex_in_a_thread_local_hides_no_other() {
    thread_local!(static INSIDE: std::cell::UnsafeCell<libc::pthread_mutex_t> = const { std::cell::UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER) });
    let block = Block::new();
    for _ in 0..3 {
        let first = robust();
        block.run(|| {
            let inside = INSIDE.with(|mutex| mutex.get() as usize);
            make_robust(inside);
            assert_eq!([first, inside].map(lock), [0; 2]);
        });
        block.end();
        block.reset();
        assert_eq!(lock(first), libc::EOWNERDEAD);
        unlock(first);
    }
}

#[test]
fn robust_mutexes_that_are_held_at_the_end_pass_on_with_a_mark() {
    let block = Block::new();
    for _ in 0..20 {
        let mutexes = [robust(), robust(), robust()];
        block.run(|| assert_eq!(mutexes.map(lock), [0; 3]));
        // Some wait already, some do not yet.
        let waits: Vec<_> = mutexes
            .into_iter()
            .map(|mutex| {
                thread::spawn(move || {
                    let outcome = lock(mutex);
                    unlock(mutex);
                    outcome
                })
            })
            .collect();
        block.end();
        block.reset();
        // SAFETY: ended and reset; nobody uses it.
        unsafe { identity().record_is_as_new(block.tp) }.unwrap();
        for wait in waits {
            assert_eq!(wait.join().unwrap(), libc::EOWNERDEAD);
        }
        block.run(|| {
            assert_eq!(mutexes.map(lock), [0; 3]);
            mutexes.into_iter().for_each(unlock);
        });
    }
}

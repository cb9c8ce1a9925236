//! `pthread_exit` and `pthread_cancel`, which end threads, in goroutines: a message, not a crash.

use crate::child;
use crate::support::needs_migration;
use std::ffi::c_void;

unsafe extern "C" {
    fn pthread_exit(value: *mut c_void) -> !;
    fn pthread_cancel(thread: libc::pthread_t) -> libc::c_int;
    fn pthread_testcancel();
}

#[inline(never)]
fn exit_below(frames: usize) -> usize {
    if frames == 0 {
        // SAFETY: what this test is about; frames below have nothing to drop.
        unsafe { pthread_exit(std::ptr::null_mut()) }
    }
    std::hint::black_box(exit_below(frames - 1)) + 1
}

#[test]
fn a_goroutine_that_calls_pthread_exit_or_is_cancelled_is_named_and_the_process_ends() {
    let this = child::of(|case| {
        let case = case.to_owned();
        println!("line {}", line!() + 1);
        let ends = gort::Builder::new().name("leaver".into()).spawn(move || {
            println!("id {}", gort::current().id());
            (0..10).for_each(|_| gort::yield_now());
            match case.as_str() {
                "exit" => drop(exit_below(10)),
                // SAFETY: as above.
                _ => unsafe {
                    // Fails, since there is no such thread to be told; and yet it is noted.
                    pthread_cancel(libc::pthread_self());
                    gort::yield_now();
                    pthread_testcancel();
                },
            }
        });
        ends.unwrap().join().unwrap();
        println!("it went on");
    });
    if needs_migration("libc ends the process, and does not know the goroutine's name") {
        return;
    }
    for case in ["exit", "cancel"] {
        let ended = this.run(case);
        let (id, line) = (ended.value("id"), ended.value("line"));
        ended
            .killed_by(libc::SIGABRT)
            .says_once(&format!("gort: goroutine {id} \"leaver\" (started at {}:{line}", file!()))
            .says_once("was ended by pthread_exit or pthread_cancel");
        assert!(!ended.out.contains("it went on"), "{ended}");
    }
}

/// Several at once: one report, and the process ends.
#[test]
fn several_goroutines_that_call_pthread_exit_at_once_end_the_process_with_one_report() {
    let this = child::of(|_| {
        let all: Vec<_> = (0..8).map(|_| gort::go(|| exit_below(3))).collect();
        all.into_iter().for_each(|one| drop(one.join()));
    });
    if needs_migration("libc ends the process, with a report of its own") {
        return;
    }
    for _ in 0..3 {
        this.run("").killed_by(libc::SIGABRT).says_once("was ended by pthread_exit");
    }
}

/// Inside `host` it would end the thread under the goroutine, and with it others.
#[test]
fn pthread_exit_in_host_ends_the_process() {
    let this = child::of(|_| {
        drop(gort::go(|| gort::host(|| exit_below(3))).join());
        println!("it went on");
    });
    if needs_migration("libc ends the process, with a report of its own") {
        return;
    }
    let ended = this.run("");
    ended
        .killed_by(libc::SIGABRT)
        .says_once("gort: the thread beneath a goroutine (gort::host) was ended by pthread_exit");
    assert!(!ended.out.contains("it went on"), "{ended}");
}

/// Plain threads end by it as ever.
#[test]
fn a_plain_thread_may_call_pthread_exit_while_goroutines_run() {
    extern "C" fn leaves(value: *mut c_void) -> *mut c_void {
        // SAFETY: a thread that no Rust frame but this one is on.
        unsafe { pthread_exit(value) }
    }
    let this = child::of(|_| {
        gort::go(|| ()).join().unwrap();
        let (mut thread, mut value) = (std::mem::MaybeUninit::uninit(), std::ptr::null_mut());
        // SAFETY: a thread that is there once `pthread_create` has succeeded, and that is joined.
        unsafe {
            assert_eq!(libc::pthread_create(thread.as_mut_ptr(), std::ptr::null(), leaves, 7 as *mut c_void), 0);
            assert_eq!(libc::pthread_join(thread.assume_init(), &mut value), 0);
        }
        assert_eq!(value as usize, 7);
    });
    this.run("").exited(0).never_says("gort: ");
}

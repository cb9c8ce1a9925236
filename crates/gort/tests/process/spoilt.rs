//! What a goroutine does to the thread that it has locked is nobody else's.

use crate::child;
use crate::support::{needs_migration, own_thread_id, pipe, read_byte, threads, wait_until, write_byte};
use std::collections::BTreeSet;

/// Threads that run goroutines and block SIGUSR2.
fn who_blocks_usr2() -> BTreeSet<u32> {
    let ours = threads().into_iter().filter(|(_, thread)| thread.name.starts_with("gort-m")).map(|(id, _)| id);
    let blocks = |id: &u32| {
        let status = std::fs::read_to_string(format!("/proc/self/task/{id}/status")).unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap_or("0").trim();
        u64::from_str_radix(mask, 16).unwrap() & 1 << (libc::SIGUSR2 - 1) != 0
    };
    ours.filter(blocks).collect()
}

fn block_usr2() {
    // SAFETY: the set is initialised by `sigemptyset`.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGUSR2);
        assert_eq!(libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()), 0);
    }
}

/// As many new threads as calls: all block at once.
fn need_threads(count: usize) {
    let (reader, writer) = pipe();
    let calls: Vec<_> = (0..count).map(|_| gort::go(move || gort::blocking(|| read_byte(reader)))).collect();
    wait_until(|| gort::runtime::metrics().threads as usize > count);
    (0..count).for_each(|_| write_byte(writer));
    calls.into_iter().for_each(|call| call.join().unwrap());
}

/// LF-07, the end of it. A goroutine blocks a signal in the thread that it has locked. Threads that are started meanwhile do not inherit that, and when
/// the goroutine ends without unlocking the thread ends with it; one that unlocks gives it back as it is.
#[test]
fn a_thread_that_was_locked_to_the_end_ends_and_no_other_is_made_of_it() {
    let this = child::of(|_| {
        let (tell, told) = gort::chan::bounded(0);
        let (end, may_end) = gort::chan::bounded::<()>(0);
        for round in 0..5 {
            let (tell, may_end) = (tell.clone(), may_end.clone());
            let locked = gort::go(move || {
                std::mem::forget(gort::lock_os_thread());
                block_usr2();
                tell.send(own_thread_id()).unwrap();
                if round % 2 == 0 {
                    may_end.recv().unwrap();
                } else {
                    // With a P or without one.
                    gort::blocking(|| std::thread::sleep(std::time::Duration::from_millis(5)));
                    may_end.recv().unwrap();
                    let start = std::time::Instant::now();
                    while start.elapsed().as_millis() < 15 {}
                }
            });
            let id = told.recv().unwrap();
            need_threads(4 + round * 4);
            assert_eq!(who_blocks_usr2(), BTreeSet::from([id]));
            end.send(()).unwrap();
            locked.join().unwrap();
            wait_until(|| !threads().contains_key(&id));
            assert_eq!(who_blocks_usr2(), BTreeSet::new());
        }
        // What is unlocked is as good as any.
        let id = gort::go(|| {
            let _thread = gort::lock_os_thread();
            own_thread_id()
        });
        let id = id.join().unwrap();
        assert_eq!(gort::go(|| 7).join().unwrap(), 7);
        assert!(threads().contains_key(&id));
    });
    if needs_migration("the thread stays for others that have begun there") {
        return;
    }
    for procs in ["1", "2", "4"] {
        this.case("").env("GORT_MAXPROCS", procs).run().exited(0).never_says("gort: ");
    }
}

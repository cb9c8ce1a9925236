//! `GORT_PERTURB=move` as a tool for others: the tests of a crate, run as goroutines, show whether it cares on which of the kernel's threads it runs.
//! docs/GUIDE.md has the same crate.

use crate::child;
use crate::support::needs_migration;
use gort::__private::{TestOptions, test};
use std::process::ExitCode;
use std::sync::Mutex;

/// The crate: a lock as C libraries have them, that must be released by the thread that took it.
#[derive(Default)]
struct Owned(Mutex<Option<u32>>);

impl Owned {
    fn lock(&self) {
        *self.0.lock().unwrap() = Some(crate::support::own_thread_id());
    }

    fn unlock(&self) {
        let owner = self.0.lock().unwrap().take();
        assert_eq!(owner, Some(crate::support::own_thread_id()), "released by another thread than took it");
    }
}

/// Its test, as people write them.
fn is_released() {
    let lock = Owned::default();
    lock.lock();
    gort::yield_now();
    lock.unlock();
}

/// What `#[gort::test]` makes of a test.
fn run(body: fn()) -> ! {
    let code = test(TestOptions { name: "certify", procs: &[1, 2], timeout_s: None }, body);
    println!("moves {}", gort::runtime::metrics().forced_moves);
    std::process::exit(i32::from(code != ExitCode::SUCCESS))
}

/// The first wait shows it; with its thread locked, or as the thread, the crate may be used; one that keeps its owner in a thread-local never cares.
#[test]
fn a_crate_that_cares_for_its_thread_is_found_out() {
    thread_local!(static OWNER: std::cell::Cell<u32> = const { std::cell::Cell::new(0) });
    let this = child::of(|case| {
        run(match case {
            "bare" => is_released,
            "locked" => || {
                let _thread = gort::lock_os_thread();
                is_released();
            },
            "hosted" => || {
                gort::host(is_released);
                (0..10).for_each(|_| gort::yield_now());
            },
            _ => || {
                OWNER.set(7);
                gort::yield_now();
                assert_eq!(OWNER.get(), 7);
            },
        })
    });
    if needs_migration("nobody can be moved") {
        return;
    }
    let moved = |case: &str| this.case(case).env("GORT_PERTURB", "move").env("GORT_MODE", "migrating").run();
    moved("bare").exited(101).says("released by another thread than took it").says("certify.rs");
    for case in ["locked", "hosted", "thread-local"] {
        let ended = moved(case);
        ended.exited(0);
        assert!(case == "locked" || ended.value("moves").parse::<u64>().unwrap() > 0, "{ended}");
    }
}

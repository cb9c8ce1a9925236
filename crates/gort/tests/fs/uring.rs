//! What waits for disks is io_uring, or threads where it cannot be had: the same tests on both, and what is io_uring's own.

use crate::child;
use crate::support::{Draws, Scratch, rounds};
use gort::context::{Ended, background};
use gort::fs::File;
use gort::runtime::{FileBackend, metrics};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

#[repr(align(4096))]
pub(crate) struct Page(pub(crate) [u8; 4096]);

/// A file past the page cache; with it where the file system cannot.
fn direct(path: &Path) -> File {
    let options = || {
        let mut options = File::options();
        options.read(true).write(true).create(true);
        options
    };
    options().custom_flags(libc::O_DIRECT).open(path).unwrap_or_else(|_| options().open(path).unwrap())
}

/// Whether files get io_uring in this process; if so, they have it from here on.
pub(crate) fn has_uring(file: &File) -> bool {
    loop {
        file.sync_data().unwrap();
        match metrics().file_backend {
            FileBackend::Uring => return true,
            FileBackend::Threads => return false,
            _ => gort::yield_now(),
        }
    }
}

/// FS-01, FS-05, FS-06 and HF-05 on threads, which the other tests try on io_uring.
#[gort::test(timeout = 120)]
fn everything_on_threads_too() {
    if !child::is_child() {
        let quick = [
            "oracle::",
            "std_surface::",
            "contexts::",
            "direct_reads",
            "cached_in_part",
            "past_cache",
            "uring::given_up",
        ];
        child::run_all(&quick, &[("GORT_FS", "threads")]);
    }
}

/// In bound mode a goroutine that waits for a disk leaves its thread to the others that began there.
#[gort::test(timeout = 120)]
fn everything_in_bound_mode_too() {
    if !child::is_child() {
        let quick =
            ["random_operations", "direct_reads", "past_cache", "cached_in_part", "uring::given_up", "uring::a_hog"];
        child::run_all(&quick, &[("GORT_MODE", "bound")]);
    }
}

/// Reads and writes that are given up at any moment. What returns is what has happened: data that was read is right, data that was written is there, and
/// the kernel does not touch a buffer any more, nor write what it had, once the call has returned.
#[gort::test(procs = [1, 2])]
fn given_up_operations_are_awaited() {
    let scratch = Scratch::new();
    let file = direct(&scratch.path().join("file"));
    gort::scope(|s| {
        for n in 0..8_u64 {
            let file = &file;
            s.spawn(move || {
                let (mut draws, mut page, at) = (Draws::new(n + 1), Box::new(Page([0; 4096])), n * 4096);
                let mut stored = 0;
                file.write_all_at(&page.0, at).unwrap();
                for round in 0..rounds(60) {
                    let text = round as u8;
                    page.0.fill(text);
                    let (ctx, cancel) = background().with_cancel();
                    // Before it begins, or at some moment later, or by a deadline.
                    let (ctx, _timed) = match draws.below(3) {
                        0 => ctx.with_timeout(Duration::from_micros(draws.below(300) as u64)),
                        _ => (ctx, cancel.clone()),
                    };
                    let delay = draws.below(200) as u64;
                    let canceller = gort::go(move || {
                        gort::sleep(Duration::from_micros(delay));
                        cancel.cancel();
                    });
                    let outcome = match round % 2 {
                        0 => ctx.run(|| file.write_at(&page.0, at)).inspect(|_| stored = text),
                        _ => ctx.run(|| file.read_at(&mut page.0, at)).inspect(|_| {
                            assert!(page.0.iter().all(|byte| *byte == stored), "read {} for {stored}", page.0[0]);
                        }),
                    };
                    match outcome {
                        Ok(count) => assert_eq!(count, 4096),
                        Err(error) => assert!(Ended::find(&error).is_some(), "{error}"),
                    }
                    page.0.fill(0xee);
                    canceller.join().unwrap();
                    assert!(page.0.iter().all(|byte| *byte == 0xee), "the kernel has used the buffer after the call");
                    file.read_exact_at(&mut page.0, at).unwrap();
                    assert!(page.0.iter().all(|byte| *byte == stored), "a write that was given up came late");
                }
            });
        }
    });
}

/// An operation ends while the goroutine that began it on the same thread computes, sleeps in the kernel, or has ended: it is bound to neither.
#[gort::test(procs = [1, 2])]
fn a_hog_holds_up_no_operation() {
    let scratch = Scratch::new();
    let file = direct(&scratch.path().join("file"));
    file.write_all_at(&Page([7; 4096]).0, 0).unwrap();
    if !has_uring(&file) {
        return;
    }
    for kind in 0..3 {
        let is_read = AtomicBool::new(false);
        gort::scope(|s| {
            s.spawn(|| {
                let mut page = Box::new(Page([0; 4096]));
                file.read_exact_at(&mut page.0, 0).unwrap();
                assert_eq!(page.0, [7; 4096]);
                is_read.store(true, Relaxed);
            });
            s.spawn(|| {
                while kind < 2 && !is_read.load(Relaxed) {
                    match kind {
                        0 => std::hint::spin_loop(),
                        _ => std::thread::sleep(Duration::from_micros(200)),
                    }
                }
            });
        });
        assert!(is_read.load(Relaxed));
    }
}

/// More operations at a time than the queues have room for.
#[gort::test(procs = [2])]
fn more_than_the_queues_hold() {
    let scratch = Scratch::new();
    let file = direct(&scratch.path().join("file"));
    for n in 0..16 {
        file.write_all_at(&Page([n as u8; 4096]).0, n * 4096).unwrap();
    }
    has_uring(&file);
    gort::scope(|s| {
        for n in 0..rounds(3000) as u64 {
            let file = &file;
            s.spawn(move || {
                let mut page = Box::new(Page([0xff; 4096]));
                file.read_exact_at(&mut page.0, n % 16 * 4096).unwrap();
                assert_eq!(page.0, [(n % 16) as u8; 4096]);
            });
        }
    });
}

//! Many goroutines, few threads.

use crate::child;
use crate::support::{Scratch, forget, rounds};
use gort::fs::{self, File};
use std::collections::HashSet;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

/// HF-05, its first half: with `max_threads(64)` 20,000 goroutines read 4 KiB each from one of 100 files. All succeed, and there are never more
/// than 64 threads. Half of the files are read past the page cache, so that each read waits for the disk.
#[gort::test(procs = [1, 2], timeout = 120)]
fn a_crowd_reads_with_few_threads() {
    if !child::is_child() {
        return child::run("crowd::a_crowd_reads_with_few_threads", &[("GORT_MAX_THREADS", "64")]);
    }
    assert_eq!(gort::runtime::max_threads(), 64);
    let scratch = Scratch::new();
    for n in 0..100_u8 {
        let path = scratch.path().join(format!("{n}"));
        fs::write(&path, vec![n; 64 << 10]).unwrap();
        forget(&std::fs::File::open(&path).unwrap());
    }
    // Some file systems cannot.
    let direct = |path: &std::path::Path| File::options().read(true).custom_flags(libc::O_DIRECT).open(path);
    let flags = if direct(&scratch.path().join("0")).is_ok() { libc::O_DIRECT } else { 0 };
    let most = AtomicUsize::new(0);
    gort::scope(|s| {
        for n in 0..rounds(20_000) {
            let (path, most) = (scratch.path().join(format!("{}", n % 100)), &most);
            s.spawn(move || {
                #[repr(align(4096))]
                struct Page([u8; 4096]);
                let mut page = Page([0xff; 4096]);
                let flags = if n % 2 == 0 { flags } else { 0 };
                let file = File::options().read(true).custom_flags(flags).open(&path).unwrap();
                file.read_exact_at(&mut page.0, (n % 16) as u64 * 4096).unwrap();
                assert!(page.0.iter().all(|byte| usize::from(*byte) == n % 100));
                if n % 50 == 0 {
                    most.fetch_max(threads(), Relaxed);
                }
            });
        }
    });
    // The limit is the runtime's; this program has its own main thread and the harness's besides.
    let metrics = gort::runtime::metrics();
    assert!(metrics.threads_peak <= 64, "{metrics:?}");
    assert!(most.load(Relaxed) <= 64 + 3, "{} threads", most.load(Relaxed));
    let class = gort::runtime::blocking_classes().into_iter().find(|class| class.name == "gort::fs").unwrap();
    assert_eq!((class.limit, class.running, class.waiting), (32, 0, 0));
    assert!(class.entered > 0);
}

/// The threads of this process.
fn threads() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("Threads:"));
    line.unwrap().trim().parse().unwrap()
}

/// A directory of 100,000 entries: each is there once, and reading them is a hundred turns and not 100,000.
#[gort::test(procs = [2], timeout = 120)]
fn a_large_directory_is_read_in_few_turns() {
    if !child::is_child() {
        return child::run("crowd::a_large_directory_is_read_in_few_turns", &[]);
    }
    let scratch = Scratch::new();
    let count = rounds(100_000);
    let dir = scratch.path().join("dir");
    std::fs::create_dir(&dir).unwrap();
    (0..count).for_each(|n| std::fs::write(dir.join(format!("{n}")), b"").unwrap());
    let entered = || {
        let classes = gort::runtime::blocking_classes();
        classes.iter().find(|class| class.name == "gort::fs").map_or(0, |class| class.entered)
    };
    let before = entered();
    let names: HashSet<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), count);
    assert!(entered() - before <= count as u64 / 1024 + 2);
    fs::remove_dir_all(&dir).unwrap();
    assert!(!fs::exists(&dir).unwrap());
}

//! Full disks, files that change under a read, signals, and the limits of the process.

use crate::child;
use crate::support::{Draws, Scratch, assert_error, forget, is_in_call, rounds, wait_until};
use gort::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// A full disk: the error is std's, and what is in the file is what was said to be written.
#[gort::test(procs = [1, 2])]
fn a_full_disk_says_how_much_was_written() {
    let mut full = File::options().write(true).open("/dev/full").unwrap();
    assert_error(full.write(b"anything"), ErrorKind::StorageFull);
    if !child::is_child() {
        return child::run("bad_days::a_full_disk_says_how_much_was_written", &[]);
    }
    const LIMIT: usize = 100_000;
    // SAFETY: takes numbers.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    child::set_limit(libc::RLIMIT_FSIZE, LIMIT as u64);
    let scratch = Scratch::new();
    let path = scratch.path().join("file");
    let mut file = File::create(&path).unwrap();
    let (mut written, piece) = (0, [7; 3000]);
    let error = loop {
        match file.write(&piece) {
            Ok(count) => written += count,
            Err(error) => break error,
        }
    };
    assert_eq!((error.kind(), error.raw_os_error()), (ErrorKind::FileTooLarge, Some(libc::EFBIG)));
    assert_eq!(written, LIMIT);
    assert_eq!(fs::read(&path).unwrap(), vec![7; LIMIT]);
    assert_error(fs::write(&path, vec![8; LIMIT + 1]), ErrorKind::FileTooLarge);
    assert_eq!(fs::read(&path).unwrap(), vec![8; LIMIT]);
}

/// A file is truncated and written again while it is read: reads are short or empty, and see what was written.
#[gort::test(procs = [1, 2, 4])]
fn a_file_is_truncated_under_its_readers() {
    let scratch = Scratch::new();
    let path = scratch.path().join("file");
    let text = Draws::new(3).bytes(50_000);
    fs::write(&path, &text).unwrap();
    let over = AtomicBool::new(false);
    gort::scope(|s| {
        let readers: Vec<_> = (0..4)
            .map(|seed| {
                let (path, text, over) = (&path, &text, &over);
                s.spawn(move || {
                    let (file, mut draws) = (File::open(path).unwrap(), Draws::new(seed));
                    let mut buf = vec![0; 20_000];
                    while !over.load(Relaxed) {
                        let at = draws.below(text.len());
                        let count = file.read_at(&mut buf, at as u64).unwrap();
                        assert!(count <= text.len() - at);
                        // Bytes that have been cut off and came back may be seen as zeros for a moment.
                        let is_right = |(got, expected): (&u8, &u8)| got == expected || *got == 0;
                        assert!(buf[..count].iter().zip(&text[at..]).all(is_right));
                    }
                })
            })
            .collect();
        let file = File::options().write(true).open(&path).unwrap();
        for round in 0..rounds(500) {
            file.set_len((round as u64 * 997) % text.len() as u64).unwrap();
            file.write_all_at(&text, 0).unwrap();
        }
        over.store(true, Relaxed);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
}

/// A read of which the cache has a part only is whole all the same.
#[gort::test(procs = [1, 2])]
fn a_read_that_is_cached_in_part_is_whole() {
    let scratch = Scratch::new();
    let path = scratch.path().join("file");
    let text = Draws::new(5).bytes(1 << 20);
    fs::write(&path, &text).unwrap();
    let mut file = File::open(&path).unwrap();
    let mut buf = vec![0; text.len()];
    for round in 0..8 {
        forget(&std::fs::File::open(&path).unwrap());
        // Brings the first pages back.
        assert_eq!(file.read_at(&mut buf[..4096], 0).unwrap(), 4096);
        if round % 2 == 0 {
            assert_eq!(file.read_at(&mut buf, 0).unwrap(), text.len());
        } else {
            file.rewind().unwrap();
            assert_eq!(file.read(&mut buf).unwrap(), text.len());
            assert_eq!(file.stream_position().unwrap(), text.len() as u64);
        }
        assert!(buf == text);
        buf.fill(0);
    }
}

/// Past the page cache, where the file system can.
#[gort::test(procs = [1, 2])]
fn direct_reads_and_writes() {
    #[repr(align(4096))]
    struct Page([u8; 4096]);
    let scratch = Scratch::new();
    let path = scratch.path().join("file");
    let opened = File::options().read(true).write(true).create(true).custom_flags(libc::O_DIRECT).open(&path);
    let file = match opened {
        Err(error) if error.kind() == ErrorKind::InvalidInput => return, // this file system cannot
        opened => opened.unwrap(),
    };
    gort::scope(|s| {
        for n in 0..32_u8 {
            let file = &file;
            s.spawn(move || {
                let mut page = Box::new(Page([n; 4096]));
                let at = u64::from(n) * 4096;
                file.write_all_at(&page.0, at).unwrap();
                page.0.fill(0xff);
                file.read_exact_at(&mut page.0, at).unwrap();
                assert!(page.0.iter().all(|byte| *byte == n));
            });
        }
    });
    file.sync_data().unwrap();
    assert_eq!(file.metadata().unwrap().len(), 32 * 4096);
}

/// With no descriptor left opening fails as std's does, and works again when there is one.
#[gort::test(procs = [2])]
fn descriptors_at_the_limit() {
    if !child::is_child() {
        return child::run("bad_days::descriptors_at_the_limit", &[]);
    }
    child::set_limit(libc::RLIMIT_NOFILE, 128);
    // Each until it fails: another thread may have had a descriptor for a moment.
    fn until_none_is_left<T: std::fmt::Debug>(mut open: impl FnMut() -> std::io::Result<T>) -> Vec<T> {
        let mut kept = Vec::new();
        loop {
            match open() {
                Ok(one) => kept.push(one),
                Err(error) => break assert_eq!(error.raw_os_error(), Some(libc::EMFILE)),
            }
        }
        kept
    }
    let mut files = until_none_is_left(|| File::open("/dev/null"));
    let clones = until_none_is_left(|| files[0].try_clone());
    let dirs = until_none_is_left(|| fs::read_dir("/"));
    assert!(fs::metadata("/dev/null").is_ok(), "needs none");
    files.truncate(files.len() - 16);
    File::open("/dev/null").unwrap();
    drop((clones, dirs));
}

/// HF-06 for files: signals every millisecond, and no call returns `Interrupted`.
#[gort::test(procs = [1, 2], timeout = 120)]
fn signals_all_the_time_interrupt_nothing() {
    if !child::is_child() {
        return child::run("bad_days::signals_all_the_time_interrupt_nothing", &[]);
    }
    extern "C" fn nothing(_: libc::c_int) {}
    // SAFETY: all zero is a valid `sigaction`: no SA_RESTART, so that calls can be interrupted. The handler does nothing.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as usize;
        for signal in [libc::SIGURG, libc::SIGCHLD] {
            assert_eq!(libc::sigaction(signal, &raw const action, std::ptr::null_mut()), 0);
        }
    }
    let over = std::sync::Arc::new(AtomicBool::new(false));
    let until = over.clone();
    let storm = std::thread::spawn(move || {
        while !until.load(Relaxed) {
            for signal in [libc::SIGURG, libc::SIGCHLD] {
                // SAFETY: signals to ourselves, both handled.
                unsafe { libc::kill(libc::getpid(), signal) };
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    let scratch = Scratch::new();
    gort::scope(|s| {
        for seed in 1..=8 {
            let path = scratch.path().join(format!("{seed}"));
            s.spawn(move || {
                let mut draws = Draws::new(seed);
                for round in 0..rounds(200) {
                    let text = draws.bytes(100_000);
                    let mut file = File::create(&path).unwrap();
                    assert_eq!(file.write(&text).unwrap(), text.len());
                    // Seldom: a busy disk takes its time.
                    if round % 10 == 0 {
                        forget(&std::fs::File::open(&path).unwrap());
                    }
                    assert!(fs::read(&path).unwrap() == text);
                }
            });
        }
        // A lock that lasts: its wait is one that signals do end.
        let path = scratch.path().join("lock");
        let held = File::create(&path).unwrap();
        held.lock().unwrap();
        let waiting = s.spawn(move || File::open(&path).unwrap().lock());
        let id = waiting.goroutine().id();
        wait_until(|| is_in_call(id));
        held.unlock().unwrap();
        waiting.join().unwrap().unwrap();
    });
    over.store(true, Relaxed);
    gort::blocking_send(|| storm.join().unwrap());
}

//! What std's types have, and how values look.

use crate::support::{Scratch, assert_error, in_calls, make_fifo, wait_until};
use gort::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, DirEntryExt, FileExt, MetadataExt, PermissionsExt};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::{Duration, Instant, SystemTime};

/// FS-01: deadlines on a regular file are refused.
#[gort::test]
fn a_regular_file_has_no_deadlines() {
    let file = File::open("Cargo.toml").unwrap();
    let (now, long) = (Some(Instant::now()), Some(Duration::from_secs(1)));
    assert_error(file.set_deadline(now), ErrorKind::Unsupported);
    assert_error(file.set_read_deadline(now), ErrorKind::Unsupported);
    assert_error(file.set_write_deadline(None), ErrorKind::Unsupported);
    assert_error(file.set_read_timeout(long), ErrorKind::Unsupported);
    assert_error(file.set_write_timeout(long), ErrorKind::Unsupported);
}

/// The types can be sent, shared and unwound through as std's.
#[test]
fn types_have_the_auto_traits_of_stds() {
    fn check<T: Send + Sync + Unpin + UnwindSafe + RefUnwindSafe>() {}
    check::<File>();
    check::<fs::OpenOptions>();
    check::<fs::DirBuilder>();
    check::<fs::DirEntry>();
    fn send<T: Send + Sync + Unpin>() {}
    send::<fs::ReadDir>();
}

#[gort::test]
fn a_file_converts_and_looks_as_stds() {
    let scratch = Scratch::new();
    let path = scratch.path().join("file");
    let mut file = File::create_new(&path).unwrap();
    assert_error(File::create_new(&path), ErrorKind::AlreadyExists);
    file.write_all(b"text").unwrap();
    let raw = file.as_raw_fd();
    let looks = format!("{file:?}");
    let std = std::fs::File::from(file);
    assert_eq!((std.as_raw_fd(), format!("{std:?}")), (raw, looks));
    let file = File::from(std);
    let fd = OwnedFd::from(file);
    let number = File::from(fd).into_raw_fd();
    assert_eq!(number, raw);
    // SAFETY: it is ours, as of the line above.
    let mut file = unsafe { File::from_raw_fd(number) };
    file.write_all(b" and more").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "text and more");
    drop(file);
    // The number may be somebody else's by now.
    assert_ne!(std::fs::read_link(format!("/proc/self/fd/{raw}")).ok(), path.canonicalize().ok(), "it has been closed");
    let child = std::process::Command::new("cat").stdin(File::open(&path).unwrap()).output();
    assert_eq!(gort::blocking(|| child.unwrap().stdout), b"text and more");
}

#[gort::test]
fn times_owners_permissions_and_inodes() {
    let scratch = Scratch::new();
    let path = scratch.path().join("file");
    let file = File::create(&path).unwrap();
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    file.set_modified(then).unwrap();
    assert_eq!(file.metadata().unwrap().modified().unwrap(), then);
    file.set_times(fs::FileTimes::new().set_accessed(then)).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().accessed().unwrap(), then);
    file.set_permissions(fs::Permissions::from_mode(0o604)).unwrap();
    let metadata = file.metadata().unwrap();
    assert_eq!(metadata.mode() & 0o777, 0o604);
    let (uid, gid) = (Some(metadata.uid()), Some(metadata.gid()));
    fs::fchown(&file, uid, gid).unwrap();
    fs::chown(&path, uid, None).unwrap();
    fs::symlink("file", scratch.path().join("link")).unwrap();
    fs::lchown(scratch.path().join("link"), uid, gid).unwrap();
    fs::DirBuilder::new().mode(0o710).create(scratch.path().join("dir")).unwrap();
    assert_eq!(fs::metadata(scratch.path().join("dir")).unwrap().mode() & 0o777, 0o710);
    for entry in fs::read_dir(scratch.path()).unwrap().map(Result::unwrap) {
        assert_eq!(entry.ino(), entry.metadata().unwrap().ino());
    }
}

/// `lock` waits for another open file's lock, in its own thread, and no permit of the class's is taken by those who wait.
#[gort::test(procs = [1, 2])]
fn a_lock_is_waited_for_without_a_turn() {
    let scratch = Scratch::new();
    let path = scratch.path().join("lock");
    let file = File::create(&path).unwrap();
    file.lock().unwrap();
    assert!(matches!(File::open(&path).unwrap().try_lock_shared(), Err(fs::TryLockError::WouldBlock)));
    gort::scope(|s| {
        let waiting: Vec<_> = (0..70)
            .map(|_| {
                s.spawn(|| {
                    let other = File::open(&path).unwrap();
                    other.lock_shared().unwrap();
                })
            })
            .collect();
        // More of them than the class has permits, and others read on.
        wait_until(|| in_calls() >= 65);
        assert!(fs::metadata(&path).unwrap().is_file());
        file.unlock().unwrap();
        waiting.into_iter().for_each(|waiting| waiting.join().unwrap());
    });
}

/// More readers of named pipes than the class has permits, and then the writers: nobody holds a permit while it waits for the other end.
#[gort::test(procs = [1, 2], timeout = 60)]
fn named_pipes_are_opened_and_read_without_a_turn() {
    let scratch = Scratch::new();
    let paths: Vec<_> = (0..70).map(|n| scratch.path().join(format!("{n}"))).collect();
    paths.iter().for_each(|path| make_fifo(path));
    gort::scope(|s| {
        let readers: Vec<_> = paths.iter().map(|path| s.spawn(move || fs::read(path).unwrap())).collect();
        wait_until(|| in_calls() >= 70);
        for path in &paths {
            fs::write(path, b"through a pipe").unwrap();
        }
        for reader in readers {
            assert_eq!(reader.join().unwrap(), b"through a pipe");
        }
    });
}

/// On a plain thread everything is std's, and no runtime is needed.
#[test]
fn a_plain_thread_reads_and_writes() {
    let scratch = Scratch::new();
    let path = scratch.path().join("file");
    fs::write(&path, b"text").unwrap();
    let file = File::options().read(true).write(true).open(&path).unwrap();
    file.write_all_at(b"T", 0).unwrap();
    let mut text = String::new();
    (&file).read_to_string(&mut text).unwrap();
    assert_eq!(text, "Text");
}

/// FS-05: one directory for all, also for those that are locked to a thread.
#[gort::test(procs = [2])]
fn all_goroutines_are_in_one_working_directory() {
    if !crate::child::is_child() {
        return crate::child::run("std_surface::all_goroutines_are_in_one_working_directory", &[]);
    }
    let scratch = Scratch::new();
    let expected = fs::canonicalize(scratch.path()).unwrap();
    let gate = gort::sync::Barrier::new(11);
    gort::scope(|s| {
        let looking: Vec<_> = (0..10)
            .map(|n| {
                let gate = &gate;
                s.spawn(move || {
                    let _guard = (n % 2 == 0).then(gort::lock_os_thread);
                    gate.wait();
                    gate.wait();
                    (std::env::current_dir().unwrap(), fs::canonicalize(".").unwrap())
                })
            })
            .collect();
        gate.wait();
        std::env::set_current_dir(scratch.path()).unwrap();
        gate.wait();
        for looking in looking {
            assert_eq!(looking.join().unwrap(), (expected.clone(), expected.clone()));
        }
    });
    std::env::set_current_dir("/").unwrap();
}

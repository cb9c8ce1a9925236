//! What a context ends.

use crate::support::{Scratch, assert_error, wait_until};
use gort::context::{Ended, background};
use gort::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// In a context that has ended every call fails, and nothing has been done.
#[gort::test(procs = [1, 2])]
fn in_a_context_that_has_ended_nothing_is_done() {
    let scratch = Scratch::new();
    let path = scratch.path().join("file");
    let mut file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    file.write_all(b"before").unwrap();
    let (ctx, cancel) = background().with_cancel();
    cancel.cancel();
    ctx.run(|| {
        let ended = |result: std::io::Result<()>| {
            assert!(Ended::find(&result.unwrap_err()).is_some_and(|why| why.is_cancelled()));
        };
        ended(file.write_all(b"after"));
        ended(file.write_all_at(b"after", 0));
        ended(file.read(&mut [0; 8]).map(drop));
        ended(file.rewind());
        ended(file.sync_all());
        ended(file.set_len(0));
        ended(fs::remove_file(&path));
        ended(fs::write(&path, b"after"));
        ended(fs::read_dir(scratch.path()).map(drop));
    });
    assert_eq!(fs::read(&path).unwrap(), b"before");
    assert_eq!(file.stream_position().unwrap(), 6);
    let (ctx, _cancel) = background().with_timeout(Duration::ZERO);
    assert_error(ctx.run(|| fs::read(&path)), ErrorKind::TimedOut);
}

/// With every turn taken, what is in the page cache is read all the same; what needs a turn waits, and a context ends that wait.
#[gort::test(procs = [1, 2])]
fn with_every_turn_taken_cached_data_is_read_and_a_context_ends_the_wait() {
    let scratch = Scratch::new();
    let path = scratch.path().join("file");
    fs::write(&path, b"cached").unwrap();
    let mut file = File::open(&path).unwrap();
    let metrics = || gort::runtime::blocking_classes().into_iter().find(|class| class.name == "gort::fs").unwrap();
    // Its limit is of the runtime's making, its name is not.
    let class = gort::blocking_class("gort::fs", metrics().limit);
    let (over, ends) = gort::chan::bounded::<()>(0);
    gort::scope(|s| {
        for _ in 0..class.limit() {
            s.spawn(|| class.run(|| ends.recv().unwrap_err()));
        }
        wait_until(|| metrics().running == class.limit());

        let mut buf = [0; 6];
        // A file system that cannot tell what is cached (an old tmpfs) has no part in this.
        let (ctx, _cancel) = background().with_timeout(Duration::from_secs(20));
        match ctx.run(|| file.read_exact(&mut buf)) {
            Ok(()) => assert_eq!(&buf, b"cached"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::TimedOut),
        }

        let (ctx, _cancel) = background().with_timeout(Duration::from_millis(5));
        assert_error(ctx.run(|| fs::remove_file(&path)), ErrorKind::TimedOut);
        let (ctx, cancel) = background().with_cancel();
        let waiting = s.spawn({
            let path = &path;
            move || ctx.run(|| fs::remove_file(path))
        });
        wait_until(|| metrics().waiting == 1);
        cancel.cancel();
        assert!(Ended::find(&waiting.join().unwrap().unwrap_err()).is_some_and(|why| why.is_cancelled()));

        let patient = s.spawn(|| fs::metadata(&path).map(|metadata| metadata.len()));
        wait_until(|| metrics().waiting == 1);
        drop(over);
        assert_eq!(patient.join().unwrap().unwrap(), 6, "and nothing has been removed");
    });
}

/// A folder that is read while its context ends says so once, and then no more: a loop that passes over errors ends.
#[gort::test]
fn a_folder_that_is_read_ends_after_an_error() {
    let scratch = Scratch::new();
    for n in 0..1100 {
        fs::write(scratch.path().join(n.to_string()), b"").unwrap();
    }
    let (ctx, cancel) = background().with_cancel();
    let mut entries = ctx.run(|| fs::read_dir(scratch.path())).unwrap();
    assert!(entries.next().unwrap().is_ok());
    cancel.cancel();
    let errors = ctx.run(|| entries.by_ref().filter(Result::is_err).take(10).count());
    assert_eq!(errors, 1);
}

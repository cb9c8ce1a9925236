//! What a context ends.

use crate::support::{Scratch, assert_error};
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

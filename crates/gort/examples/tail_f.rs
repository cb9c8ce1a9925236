//! `tail -f`: prints what is appended to a file, told by the kernel (inotify) when there is something, so waiting costs neither a thread nor a look.
//!
//! `cargo run --release --example tail_f -- /var/log/syslog`; without arguments it shows itself at work.

use gort::fs::File;
use gort::io::{Pollable, stdout};
use std::ffi::CString;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

/// Becomes readable when the file at `path` is written to.
fn watch(path: &Path) -> io::Result<Pollable<std::fs::File>> {
    let path = CString::new(path.as_os_str().as_encoded_bytes())?;
    // SAFETY: a new descriptor, which nobody else has; the kernel reads a live string.
    let (inotify, watched) = unsafe {
        let inotify = libc::inotify_init1(libc::IN_CLOEXEC | libc::IN_NONBLOCK);
        if inotify < 0 {
            return Err(io::Error::last_os_error());
        }
        let inotify = OwnedFd::from_raw_fd(inotify);
        let watched = libc::inotify_add_watch(inotify.as_raw_fd(), path.as_ptr(), libc::IN_MODIFY);
        (inotify, watched)
    };
    if watched < 0 {
        return Err(io::Error::last_os_error());
    }
    Pollable::new(inotify.into())
}

/// Prints what comes after `from`, until the context ends.
fn follow(path: &Path, from: SeekFrom, mut to: impl Write) -> io::Result<()> {
    let changes = watch(path)?;
    let mut file = File::open(path)?;
    file.seek(from)?;
    let mut piece = vec![0; 64 << 10];
    loop {
        loop {
            match file.read(&mut piece)? {
                0 => break,
                count => to.write_all(&piece[..count])?,
            }
        }
        if file.metadata()?.len() < file.stream_position()? {
            eprintln!("the file has become shorter");
            file.rewind()?;
        }
        // Parks. What was written since the last read has left an event.
        changes.read_with(|mut events| events.read(&mut piece))?;
    }
}

#[gort::main]
fn main() -> io::Result<()> {
    if let Some(path) = std::env::args().nth(1) {
        return follow(path.as_ref(), SeekFrom::End(0), stdout());
    }
    let path = std::env::temp_dir().join(format!("gort-tail-{}", std::process::id()));
    let mut log = std::fs::File::create(&path)?;
    let (mut lines, to) = gort::io::pipe()?;
    let (ctx, end) = gort::context::background().with_cancel();
    let following = ctx.run(|| {
        let path = path.clone();
        gort::go(move || follow(&path, SeekFrom::Start(0), to))
    });
    for line in ["one\n", "two\n", "three\n"] {
        log.write_all(line.as_bytes())?;
        let mut followed = vec![0; line.len()];
        lines.read_exact(&mut followed)?;
        stdout().write_all(&followed)?;
        assert_eq!(followed, line.as_bytes());
    }
    end.cancel();
    assert!(following.join().unwrap().is_err_and(|error| gort::context::Ended::find(&error).is_some()));
    std::fs::remove_file(path)
}

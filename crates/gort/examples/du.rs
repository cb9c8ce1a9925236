//! `du`: the space that a tree of directories takes, counted by as many goroutines as there are permits.
//!
//! `cargo run --release --example du -- /usr`; without arguments it counts this package.

use gort::fs;
use gort::sync::Semaphore;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// So many directories are read at a time. The kernel may make more of that than of one; thousands would only use memory.
static PERMITS: Semaphore = Semaphore::new(64);
static BYTES: AtomicU64 = AtomicU64::new(0);
static FILES: AtomicU64 = AtomicU64::new(0);

fn count(directory: &Path) -> io::Result<()> {
    gort::scope(|s| {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            BYTES.fetch_add(metadata.blocks() * 512, Relaxed);
            FILES.fetch_add(1, Relaxed);
            if !metadata.is_dir() {
                continue;
            }
            // A goroutine for this directory if there is a permit, else this one goes there itself: nobody ever waits for a permit.
            match PERMITS.try_acquire(1) {
                Some(permit) => {
                    s.spawn(move || {
                        count_or_say(&entry.path());
                        drop(permit);
                    });
                }
                None => count_or_say(&entry.path()),
            }
        }
        Ok(())
    })
}

fn count_or_say(directory: &Path) {
    if let Err(error) = count(directory) {
        eprintln!("{}: {error}", directory.display());
    }
}

#[gort::main]
fn main() {
    let root = std::env::args().nth(1).unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").to_owned());
    count_or_say(Path::new(&root));
    let (bytes, files) = (BYTES.load(Relaxed), FILES.load(Relaxed));
    println!("{} KiB in {files} files and directories of {root}", bytes >> 10);
    println!("{} threads at most", gort::runtime::metrics().threads_peak);
}

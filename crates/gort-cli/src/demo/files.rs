//! The situation `files`: many files that are read beside many sockets that talk.
//!
//! A reader takes 64 KiB of its file from the page cache and 4 KiB past it, five times a second. A socket asks once a second. So what is measured is not a full
//! processor, which makes everybody late, but what waiting for a disk does to others.

use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{FileExt, OpenOptionsExt as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};
use std::{fs, io};

use anyhow::{Context as _, Result};

use super::actors::{Actors, Connection, FarEnd};
use super::scenes::Counts;
use crate::args::Cast;
use crate::limits::{self, no_thread};
use crate::out;

/// As many as the limit on descriptors allows, two for each; and sockets, both ends counted.
const MOST_FILES: u64 = if cfg!(debug_assertions) { 100 } else { 1_000 };
const MOST_SOCKETS: u64 = if cfg!(debug_assertions) { 1_000 } else { 10_000 };
const FILE_BYTES: usize = 64 << 10;
const PAGE_BYTES: usize = 4096;
/// From one turn of a reader to the next, and between two questions of a socket.
const READER_PAUSE: Duration = Duration::from_millis(200);
const SOCKET_PAUSE: Duration = Duration::from_secs(1);

/// What is there before the time begins.
#[derive(Debug)]
pub struct Files {
    readers: Cast,
    files: Vec<Twice>,
    clients: Vec<Connection>,
    far_end: FarEnd,
}

/// A file without a name, opened twice.
#[derive(Debug)]
struct Twice {
    cached: fs::File,
    /// Past the page cache; or as the other one, where that cannot be.
    direct: fs::File,
}

#[repr(align(4096))]
struct Page([u8; PAGE_BYTES]);

impl Files {
    /// Makes files and connections.
    pub fn prepare(readers: Cast) -> Result<Files> {
        let descriptors = limits::raise()?;
        let room = descriptors.limit.saturating_sub(descriptors.kept);
        let files = MOST_FILES.min(room / 4);
        let sockets = MOST_SOCKETS.min(room - 2 * files);
        let count = if readers == Cast::Nobody { 0 } else { files };
        let files = (0..count).map(Twice::new).collect::<Result<Vec<_>>>()?;
        let far_end = Actors::Goroutines.far_end(|_| {}).context("cannot use the loopback")?;
        let clients = (0..sockets / 2).map(|_| far_end.connect()).collect::<io::Result<_>>();
        Ok(Files { readers, files, clients: clients.context("cannot connect to ourselves")?, far_end })
    }

    /// Begins to read and to talk, until the process ends, and returns when all have done so once: what is new to everybody then counts for nothing.
    pub fn begin(self) -> Result<Counts> {
        let counts = Counts::default();
        counts.of("files").store(self.files.len() as u64, Relaxed);
        counts.of("sockets").store(self.clients.len() as u64 * 2, Relaxed);
        let answers = counts.of("answers_to_sockets");
        let (began, total) = (Instant::now(), self.clients.len() as u32);
        for (n, client) in self.clients.into_iter().enumerate() {
            let answers = answers.clone();
            // Spread over the pause.
            let first = began + SOCKET_PAUSE * n as u32 / total;
            gort::go(move || told("a socket", talk(client, first, &answers)));
        }
        let reads = [counts.of("reads_cached"), counts.of("reads_past_the_cache")];
        let total = self.files.len() as u32;
        for (n, file) in self.files.into_iter().enumerate() {
            let reads = reads.clone();
            let first = began + READER_PAUSE * n as u32 / total;
            match self.readers {
                Cast::Threads => {
                    let read = move || told("a file", read(&file.cached, &file.direct, first, &reads, thread::sleep));
                    thread::Builder::new().spawn(read).map_err(|e| no_thread("a thread for each file", &e))?;
                }
                Cast::Goroutines | Cast::Nobody => {
                    let [cached, direct] = [file.cached, file.direct].map(gort::fs::File::from);
                    gort::go(move || told("a file", read(&cached, &direct, first, &reads, gort::sleep)));
                }
            }
        }
        // It serves until the process ends.
        std::mem::forget(self.far_end);
        thread::sleep(SOCKET_PAUSE);
        for count in reads.iter().chain([&answers]) {
            count.store(0, Relaxed);
        }
        Ok(counts)
    }
}

/// How many reads there were in a second, if there were to be some.
pub fn reads_per_s(counts: &Counts, time: Duration) -> Option<f64> {
    let counts = counts.all();
    let reads = counts.get("reads_cached")? + counts.get("reads_past_the_cache")?;
    Some(reads as f64 / time.as_secs_f64())
}

impl Twice {
    fn new(number: u64) -> Result<Twice> {
        let path = std::env::temp_dir().join(format!("gort-demo-{}-{number}", std::process::id()));
        let cannot = || format!("cannot make the file {} to be read (TMPDIR chooses another place)", path.display());
        let made = || -> io::Result<Twice> {
            let mut cached = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
            cached.write_all(&[number as u8; FILE_BYTES])?;
            // On its way to the disk: what is not there yet has to be written before it can be read past the page cache.
            rustix::fs::fadvise(&cached, 0, None, rustix::fs::Advice::DontNeed)?;
            let direct =
                OpenOptions::new().read(true).custom_flags(rustix::fs::OFlags::DIRECT.bits() as i32).open(&path);
            let direct = direct.or_else(|_| {
                if number == 0 {
                    out::stderr(format_args!(
                        "gort: what is in {} cannot be read past the page cache, so no read waits for a disk (TMPDIR chooses another place)",
                        std::env::temp_dir().display()
                    ));
                }
                fs::File::open(&path)
            })?;
            Ok(Twice { cached, direct })
        };
        let made = made();
        // Also after an error. Nothing is left behind however the process ends.
        let _ = fs::remove_file(&path);
        made.with_context(cannot)
    }
}

fn talk(mut client: Connection, mut next: Instant, answers: &AtomicU64) -> io::Result<()> {
    loop {
        gort::sleep(next.saturating_duration_since(Instant::now()));
        next += SOCKET_PAUSE;
        client.write_all(&[1])?;
        client.read_exact(&mut [0])?;
        answers.fetch_add(1, Relaxed);
    }
}

fn read<F: FileExt>(
    cached: &F,
    direct: &F,
    mut next: Instant,
    [from_cache, past_cache]: &[Arc<AtomicU64>; 2],
    sleep: impl Fn(Duration),
) -> io::Result<()> {
    let (mut bytes, mut page) = (vec![0; FILE_BYTES], Box::new(Page([0; PAGE_BYTES])));
    for number in 0_u64.. {
        // By the clock: a pause after each turn would keep those together whom the disk has once held up together.
        sleep(next.saturating_duration_since(Instant::now()));
        next += READER_PAUSE;
        cached.read_exact_at(&mut bytes, 0)?;
        from_cache.fetch_add(1, Relaxed);
        direct.read_exact_at(&mut page.0, number * PAGE_BYTES as u64 % FILE_BYTES as u64)?;
        past_cache.fetch_add(1, Relaxed);
    }
    Ok(())
}

fn told(what: &str, outcome: io::Result<()>) {
    if let Err(error) = outcome {
        out::stderr(format_args!("gort: {what} of the situation has failed: {error}"));
    }
}

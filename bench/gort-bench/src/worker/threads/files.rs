//! Files: a thread for each reader, and a pool that reads past the page cache.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use gort_bench_wire::check::expect;
use gort_bench_wire::files::{Files, Offsets, Page, open_direct};
use gort_bench_wire::lateness::Lateness;
use gort_bench_wire::timing::{Cost, each};
use gort_bench_wire::{Call, Outcome, process};

use crate::worker::number;

/// `goroutines` threads at once open, read and close cached files of `bytes` bytes, `reads` each.
pub fn file_read(call: &Call) -> Result<Outcome> {
    process::stay_on(number(call, "procs")?)?;
    let (count, reads) = (number(call, "goroutines")?, number(call, "reads")?);
    let (files, bytes) = (number(call, "files")?, number(call, "bytes")?);
    let dir = Files::new(files as u64, bytes)?;
    let work = |n| {
        let mut buf = vec![0; bytes];
        for round in 0..reads {
            let which = ((n + round) % files) as u64;
            File::open(dir.path(which))?.read_exact_at(&mut buf, 0)?;
            expect("the last byte", buf[bytes - 1].into(), which & 0xff)?;
        }
        Ok(())
    };
    let costs = (0..number(call, "repeats")?).map(|_| Cost::of(|| threads(count, work))).collect::<Result<Vec<_>>>()?;
    Ok(each(&costs, (count * reads) as u64).with("threads", count as f64))
}

/// Random reads of a page past the page cache, by `in_flight` threads.
pub fn file_read_cold(call: &Call) -> Result<Outcome> {
    process::stay_on(number(call, "procs")?)?;
    let (in_flight, count, bytes) = (number(call, "in_flight")?, number(call, "count")?, number(call, "bytes")?);
    let dir = Files::new(1, bytes)?;
    let file = open_direct(&dir.path(0))?;
    let round = |_| {
        let offsets = Offsets::new(count as u64, bytes);
        Cost::of(|| {
            threads(in_flight, |_| {
                let mut page = Page::new();
                while let Some(at) = offsets.next() {
                    file.read_exact_at(&mut page.0, at)?;
                    expect("the first byte", page.0[0].into(), 0)?;
                }
                Ok(())
            })
        })
    };
    let costs = (0..number(call, "repeats")?).map(round).collect::<Result<Vec<_>>>()?;
    Ok(each(&costs, count as u64).with("threads", in_flight as f64))
}

fn threads(count: usize, work: impl Fn(usize) -> Result<()> + Sync) -> Result<()> {
    thread::scope(|s| {
        let mut handles = Vec::with_capacity(count);
        for n in 0..count {
            let work = &work;
            handles.push(thread::Builder::new().spawn_scoped(s, move || work(n)).context("cannot start a thread")?);
        }
        handles.into_iter().try_for_each(|handle| handle.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?)
    })
}

/// `writers` threads write `bytes` bytes each, in pieces, and wait for the disk now and then; meanwhile one thread asks another one every millisecond.
pub fn write_dirty(call: &Call) -> Result<Outcome> {
    process::stay_on(number(call, "procs")?)?;
    let (writers, bytes) = (number(call, "writers")?, number(call, "bytes")?);
    let (piece, synced) = (number(call, "piece")?, number(call, "synced")?);
    let dir = Files::new(writers as u64, 0)?;
    let left = AtomicUsize::new(writers);
    let (mut near, mut far) = UnixStream::pair()?;
    thread::scope(|s| {
        s.spawn(move || {
            let mut byte = [0];
            while far.read_exact(&mut byte).and_then(|()| far.write_all(&byte)).is_ok() {}
        });
        let began = Instant::now();
        let mut handles = Vec::new();
        for n in 0..writers {
            let (dir, left) = (&dir, &left);
            let write = move || -> Result<()> {
                let _left = Lowers(left);
                let mut file = File::create(dir.path(n as u64))?;
                let data = vec![n as u8; piece];
                for done in (piece..=bytes).step_by(piece) {
                    file.write_all(&data)?;
                    if done % synced == 0 {
                        file.sync_data()?;
                    }
                }
                Ok(())
            };
            handles.push(thread::Builder::new().spawn_scoped(s, write).context("cannot start a thread")?);
        }
        let (mut late, mut most) = (Lateness::new(), 0);
        while left.load(Relaxed) > 0 {
            let due = Instant::now() + TICK;
            thread::sleep(TICK);
            near.write_all(&[1])?;
            near.read_exact(&mut [0])?;
            late.note(due);
            if late.count() % 64 == 1 {
                most = most.max(process::threads()?);
            }
        }
        let time = began.elapsed();
        drop(near);
        handles
            .into_iter()
            .try_for_each(|handle| handle.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?)?;
        let mb_per_s = (writers * bytes) as f64 / time.as_secs_f64() / 1e6;
        Ok(late.add_to(Outcome::new())?.with("threads", most as f64).with("mb_per_s", mb_per_s))
    })
}

const TICK: Duration = Duration::from_millis(1);

/// Counts down at its end, also after an error.
struct Lowers<'a>(&'a AtomicUsize);

impl Drop for Lowers<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

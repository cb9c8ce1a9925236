//! Files: a thread for each reader, and a pool that reads past the page cache.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::thread;

use anyhow::{Context as _, Result};
use gort_bench_wire::check::expect;
use gort_bench_wire::files::{Files, Offsets, Page, open_direct};
use gort_bench_wire::timing::{Cost, median};
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
    Ok(told(&costs, count * reads, count))
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
    Ok(told(&costs, count, in_flight))
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

/// What the rounds took, for each of so many reads.
pub fn told(costs: &[Cost], reads: usize, threads: usize) -> Outcome {
    let each = |time: fn(&Cost) -> std::time::Duration| {
        let all: Vec<_> = costs.iter().map(|cost| time(cost).as_nanos() as f64 / 1e3 / reads as f64).collect();
        median(&all)
    };
    Outcome::new()
        .with("us", each(|cost| cost.wall))
        .with("cpu_us", each(|cost| cost.cpu))
        .with("threads", threads as f64)
}

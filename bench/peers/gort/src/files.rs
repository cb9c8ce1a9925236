//! Files: many small ones that are cached, and random reads past the page cache.

use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use gort::fs::File;
use gort_bench_wire::check::expect;
use gort_bench_wire::files::{Files, Offsets, Page, open_direct};
use gort_bench_wire::process::threads;
use gort_bench_wire::timing::{Cost, median};
use gort_bench_wire::{Call, Outcome};

use crate::{Result, join};

/// `goroutines` at once open, read and close cached files of `bytes` bytes, `reads` each.
pub fn file_read(call: &Call) -> Result<Outcome> {
    let (count, reads) = (call.number::<u64>("goroutines")?, call.number::<u64>("reads")?);
    let (files, bytes) = (call.number::<u64>("files")?, call.number::<usize>("bytes")?);
    let dir = Arc::new(Files::new(files, bytes)?);
    let (mut wall, mut cpu, mut most) = (Vec::new(), Vec::new(), 0);
    for _ in 0..call.number::<u64>("repeats")? {
        let cost = Cost::of(|| -> Result<()> {
            let mut handles = Vec::with_capacity(count as usize);
            for n in 0..count {
                let dir = dir.clone();
                handles.push(gort::Builder::new().spawn(move || -> Result<()> {
                    let mut buf = vec![0; bytes];
                    for round in 0..reads {
                        let which = (n + round) % files;
                        File::open(dir.path(which))?.read_exact_at(&mut buf, 0)?;
                        expect("the last byte", u64::from(buf[bytes - 1]), which & 0xff)?;
                    }
                    Ok(())
                })?);
            }
            most = most.max(threads()?);
            for handle in handles {
                join(handle)??;
            }
            most = most.max(threads()?);
            Ok(())
        })?;
        wall.push(cost.wall.as_nanos() as f64 / 1e3 / (count * reads) as f64);
        cpu.push(cost.cpu.as_nanos() as f64 / 1e3 / (count * reads) as f64);
    }
    Ok(Outcome::new().with("us", median(&wall)).with("cpu_us", median(&cpu)).with("threads", most as f64))
}

/// Random reads of a page past the page cache, `in_flight` at a time.
pub fn file_read_cold(call: &Call) -> Result<Outcome> {
    let (in_flight, count) = (call.number::<u64>("in_flight")?, call.number::<u64>("count")?);
    let bytes = call.number::<usize>("bytes")?;
    let dir = Files::new(1, bytes)?;
    let file = Arc::new(File::from(open_direct(&dir.path(0))?));
    let (mut wall, mut cpu, mut most) = (Vec::new(), Vec::new(), 0);
    for _ in 0..call.number::<u64>("repeats")? {
        let offsets = Arc::new(Offsets::new(count, bytes));
        let cost = Cost::of(|| -> Result<()> {
            let mut handles = Vec::with_capacity(in_flight as usize);
            for _ in 0..in_flight {
                let (file, offsets) = (file.clone(), offsets.clone());
                handles.push(gort::Builder::new().spawn(move || -> Result<()> {
                    let mut page = Page::new();
                    while let Some(at) = offsets.next() {
                        file.read_exact_at(&mut page.0, at)?;
                        expect("the first byte", page.0[0].into(), 0)?;
                    }
                    Ok(())
                })?);
            }
            most = most.max(threads()?);
            for handle in handles {
                join(handle)??;
            }
            most = most.max(threads()?);
            Ok(())
        })?;
        wall.push(cost.wall.as_nanos() as f64 / 1e3 / count as f64);
        cpu.push(cost.cpu.as_nanos() as f64 / 1e3 / count as f64);
    }
    Ok(Outcome::new().with("us", median(&wall)).with("cpu_us", median(&cpu)).with("threads", most as f64))
}

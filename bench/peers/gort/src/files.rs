//! Files: many small ones that are cached, random reads past the page cache, and many that are written.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gort::fs::File;
use gort::net::UnixStream;
use gort_bench_wire::check::expect;
use gort_bench_wire::files::{Files, Offsets, Page, open_direct};
use gort_bench_wire::lateness::Lateness;
use gort_bench_wire::process::threads;
use gort_bench_wire::timing::{Cost, each};
use gort_bench_wire::{Call, Outcome};

use crate::{Result, join};

/// `goroutines` at once open, read and close cached files of `bytes` bytes, `reads` each.
pub fn file_read(call: &Call) -> Result<Outcome> {
    let (count, reads) = (call.number::<u64>("goroutines")?, call.number::<u64>("reads")?);
    let (files, bytes) = (call.number::<u64>("files")?, call.number::<usize>("bytes")?);
    let dir = Arc::new(Files::new(files, bytes)?);
    measured(call, count, count * reads, || {
        let dir = dir.clone();
        move |n| {
            let mut buf = vec![0; bytes];
            for round in 0..reads {
                let which = (n + round) % files;
                File::open(dir.path(which))?.read_exact_at(&mut buf, 0)?;
                expect("the last byte", u64::from(buf[bytes - 1]), which & 0xff)?;
            }
            Ok(())
        }
    })
}

/// Random reads of a page past the page cache, `in_flight` at a time.
pub fn file_read_cold(call: &Call) -> Result<Outcome> {
    let (in_flight, count) = (call.number::<u64>("in_flight")?, call.number::<u64>("count")?);
    let bytes = call.number::<usize>("bytes")?;
    let dir = Files::new(1, bytes)?;
    let file = Arc::new(File::from(open_direct(&dir.path(0))?));
    measured(call, in_flight, count, || {
        let (file, offsets) = (file.clone(), Arc::new(Offsets::new(count, bytes)));
        move |_| {
            let mut page = Page::new();
            while let Some(at) = offsets.next() {
                file.read_exact_at(&mut page.0, at)?;
                expect("the first byte", page.0[0].into(), 0)?;
            }
            Ok(())
        }
    })
}

/// What each of `reads` costs when `count` goroutines do a round's work, which `round` makes.
fn measured<W>(call: &Call, count: u64, reads: u64, round: impl Fn() -> W) -> Result<Outcome>
where
    W: Fn(u64) -> Result<()> + Clone + Send + 'static,
{
    let (mut costs, mut most) = (Vec::new(), 0);
    for _ in 0..call.number::<u64>("repeats")? {
        let work = round();
        costs.push(Cost::of(|| -> Result<()> {
            let handles = crowd(count, work)?;
            most = most.max(threads()?);
            handles.into_iter().try_for_each(|handle| join(handle)?)?;
            most = most.max(threads()?);
            Ok(())
        })?);
    }
    Ok(each(&costs, reads).with("threads", most as f64))
}

fn crowd<W>(count: u64, work: W) -> Result<Vec<gort::JoinHandle<Result<()>>>>
where
    W: Fn(u64) -> Result<()> + Clone + Send + 'static,
{
    (0..count)
        .map(|n| {
            let work = work.clone();
            Ok(gort::Builder::new().spawn(move || work(n))?)
        })
        .collect()
}

/// `writers` write `bytes` bytes each, in pieces, and wait for the disk now and then; meanwhile a goroutine asks another one every millisecond.
pub fn write_dirty(call: &Call) -> Result<Outcome> {
    const TICK: Duration = Duration::from_millis(1);
    let (writers, bytes) = (call.number::<u64>("writers")?, call.number::<usize>("bytes")?);
    let (piece, synced) = (call.number::<usize>("piece")?, call.number::<usize>("synced")?);
    let dir = Arc::new(Files::new(writers, 0)?);
    let (mut near, mut far) = UnixStream::pair()?;
    gort::go(move || {
        let mut byte = [0];
        while far.read_exact(&mut byte).and_then(|()| far.write_all(&byte)).is_ok() {}
    });
    let began = Instant::now();
    let handles = crowd(writers, move |n| {
        let mut file = File::create(dir.path(n))?;
        let data = vec![n as u8; piece];
        for done in (piece..=bytes).step_by(piece) {
            file.write_all(&data)?;
            if done % synced == 0 {
                file.sync_data()?;
            }
        }
        Ok(())
    })?;
    let (mut late, mut most) = (Lateness::new(), 0);
    while !handles.iter().all(gort::JoinHandle::is_finished) {
        let due = Instant::now() + TICK;
        gort::sleep(TICK);
        near.write_all(&[1])?;
        near.read_exact(&mut [0])?;
        late.note(due);
        if late.count() % 64 == 1 {
            most = most.max(threads()?);
        }
    }
    let time = began.elapsed();
    handles.into_iter().try_for_each(|handle| join(handle)?)?;
    let mb_per_s = writers as f64 * bytes as f64 / time.as_secs_f64() / 1e6;
    Ok(late.add_to(Outcome::new())?.with("threads", most as f64).with("mb_per_s", mb_per_s))
}

//! Raw io_uring, by hand: one thread that keeps so many reads in flight, the limit for everybody else.

use std::os::fd::AsRawFd as _;

use anyhow::{Context as _, Result, ensure};
use gort_bench_wire::check::expect;
use gort_bench_wire::files::{Files, Offsets, PAGE, Page, open_direct};
use gort_bench_wire::timing::{Cost, each};
use gort_bench_wire::{Call, Outcome, process};
use io_uring::{IoUring, opcode, types};

use super::number;

/// Random reads of a page past the page cache, `in_flight` at a time.
pub fn file_read_cold(call: &Call) -> Result<Outcome> {
    process::stay_on(number(call, "procs")?)?;
    let (in_flight, count, bytes) = (number(call, "in_flight")?, number(call, "count")?, number(call, "bytes")?);
    let dir = Files::new(1, bytes)?;
    let file = open_direct(&dir.path(0))?;
    let fd = types::Fd(file.as_raw_fd());
    let mut pages: Vec<_> = (0..in_flight).map(|_| Page::new()).collect();
    let mut costs = Vec::new();
    for _ in 0..number(call, "repeats")? {
        let offsets = Offsets::new(count as u64, bytes);
        costs.push(Cost::of(|| -> Result<()> {
            let mut ring: IoUring = IoUring::builder()
                .setup_single_issuer()
                .setup_defer_taskrun()
                .build(in_flight.next_power_of_two() as u32)
                .context("io_uring cannot be had")?;
            let (mut free, mut flying) = ((0..in_flight).collect::<Vec<_>>(), 0);
            loop {
                while let Some(slot) = free.last().copied()
                    && let Some(at) = offsets.next()
                {
                    free.pop();
                    let read = opcode::Read::new(fd, pages[slot].0.as_mut_ptr(), PAGE as u32).offset(at).build();
                    // SAFETY: page and file outlive the ring, and nobody looks at a page while its slot is not free.
                    unsafe { ring.submission().push(&read.user_data(slot as u64)) }.context("the queue is full")?;
                    flying += 1;
                }
                if flying == 0 {
                    return Ok(());
                }
                ring.submit_and_wait(1)?;
                for result in ring.completion() {
                    let slot = result.user_data() as usize;
                    ensure!(result.result() == PAGE as i32, "a read gave {}", result.result());
                    expect("the first byte", pages[slot].0[0].into(), 0)?;
                    free.push(slot);
                    flying -= 1;
                }
            }
        })?);
    }
    Ok(each(&costs, count as u64).with("threads", 1.0))
}

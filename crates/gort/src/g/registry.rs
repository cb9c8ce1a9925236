//! All goroutine records of the process: where they come from, and how a dump finds them.
//!
//! Records live in chunks that are allocated once and never freed, so walking the chunks finds every goroutine without any bookkeeping at spawn
//! or end. Free records wait in arrays: in one of each P (`sched::p`), and here. Arrays and not lists through the records, because a hundred
//! thousand records do not fit into a cache, and a list would fetch each one only to learn where the next one is.
//!
//! Every array that may have to hold all records (this one, the global queue) is given room for them when a chunk is made, on a path that may
//! allocate; so giving a record back, or queueing a goroutine, never allocates.

use super::{Extra, G, Status};
use crate::prim::lock::Lock;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

const CHUNK: usize = 128;

struct Records {
    chunks: Vec<&'static [G]>,
    /// Has room for every record.
    free: Vec<&'static G>,
}

static RECORDS: Lock<Records> = Lock::new(Records { chunks: Vec::new(), free: Vec::new() });
/// Guards the lifetime of every `Extra`: freed under it, read by other threads under it.
static EXTRAS: Lock<()> = Lock::new(());
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// Moves up to `count` free records into `into`, at least one, making new ones when there are none. Allocates, so it runs with an M's own
/// thread pointer or on a goroutine. `make_room` is told how many records there may be before there are: whoever must be able to hold them all
/// without allocating makes room then.
pub(crate) fn take_free(into: &mut Vec<&'static G>, count: usize, make_room: fn(usize)) {
    loop {
        {
            let mut records = RECORDS.lock();
            if !records.free.is_empty() {
                let keep = records.free.len().saturating_sub(count);
                into.extend(records.free.drain(keep..));
                return;
            }
        }
        add_chunk(make_room);
    }
}

/// Makes a chunk. The allocations are made outside the lock: an allocator may run arbitrary code of the user's.
#[cold]
fn add_chunk(make_room: fn(usize)) {
    let chunk: &'static [G] = Box::leak((0..CHUNK).map(|_| G::new()).collect::<Vec<_>>().into_boxed_slice());
    loop {
        let wanted = {
            let mut records = RECORDS.lock();
            let total = (records.chunks.len() + 1) * CHUNK;
            if records.free.capacity() >= total && records.chunks.capacity() > records.chunks.len() {
                records.chunks.push(chunk);
                // The last is taken first: so the first of the chunk.
                records.free.extend(chunk.iter().rev());
                return;
            }
            total * 2
        };
        make_room(wanted);
        let mut free = Vec::with_capacity(wanted);
        let mut chunks = Vec::with_capacity(wanted / CHUNK);
        let mut records = RECORDS.lock();
        if records.free.capacity() < wanted {
            free.extend_from_slice(&records.free);
            chunks.extend_from_slice(&records.chunks);
            std::mem::swap(&mut records.free, &mut free);
            std::mem::swap(&mut records.chunks, &mut chunks);
        }
        drop(records);
        // The old arrays are freed here, outside the lock.
    }
}

/// Takes free records back.
pub(crate) fn give_free(list: &[&'static G]) {
    let mut records = RECORDS.lock();
    debug_assert!(records.free.len() + list.len() <= records.free.capacity());
    records.free.extend_from_slice(list);
}

/// A block of `count` ids for a P to hand out. Ids are never reused.
pub(crate) fn take_ids(count: u64) -> u64 {
    // Relaxed: ids only have to differ.
    NEXT_ID.fetch_add(count, Relaxed)
}

/// Calls `f` for every record that is in use.
pub(crate) fn for_each(mut f: impl FnMut(&'static G)) {
    for_every_record(|g| {
        if !matches!(g.status(), Status::Free | Status::Dormant) {
            f(g);
        }
    });
}

/// Calls `f` for every record that there is.
pub(crate) fn for_every_record(f: impl FnMut(&'static G)) {
    let chunks = RECORDS.lock().chunks.clone();
    chunks.iter().flat_map(|chunk| chunk.iter()).for_each(f);
}

/// Where records are: first and last address of each chunk.
pub(crate) fn chunks() -> Vec<(usize, usize)> {
    let chunks = RECORDS.lock().chunks.clone();
    chunks.iter().map(|chunk| chunk.as_ptr_range()).map(|range| (range.start as usize, range.end as usize)).collect()
}

/// Lets `f` look at the extra data of a goroutine that may end at any moment.
pub(crate) fn with_extra<R>(g: &G, f: impl FnOnce(Option<&Extra>) -> R) -> R {
    let _alive = EXTRAS.lock();
    f(g.extra())
}

/// Frees the extra data of a goroutine that has ended.
pub(crate) fn drop_extra(g: &G) {
    let extra = {
        let _alive = EXTRAS.lock();
        g.take_extra()
    };
    drop(extra);
}

//! Who refers to a channel: a search of the memory of this process for its address.
//!
//! Whoever has an end of a channel has a word somewhere that points to it, at its reference counts or at its beginning. If all such words lie on the stacks of goroutines that are asleep, then
//! nobody else can send, receive or drop an end, and they sleep for ever. A word that looks so may be a leftover of an end that has moved on: Rust does
//! not wipe what it moves. So the search finds too much, never too little, and what it says of a channel is "only those" or "I do not know".
//!
//! | place | whose |
//! |---|---|
//! | the stack of a goroutine that is parked, from its last frame up, thread-locals included | its own |
//! | the whole stack of one whose thread is in the kernel | nobody's |
//! | the closure of one that has not begun, a result that waits, a timer's function | nobody's |
//! | all other memory that can be written: heap, globals, stacks of threads | nobody's |
//!
//! An end may move while the search goes on, and a goroutine that computes may have it in a register only. So the search counts only if from before its
//! beginning to after its end no goroutine has run and no thread that runs goroutines has used a processor. A busy process may never be that quiet.
//!
//! **Not to find oneself.** What is sought is kept hidden, as the complement of the address; the searching thread's stack and buffer are left out, what it leaves on that stack is wiped, and
//! the records are left out, which say what their goroutine waits for.

use super::super::deadlock::epoch;
use super::super::snapshot;
use crate::g::{G, Status, registry};
use crate::prim::lock::Lock;
use crate::stack::layout;
use crate::stack::slab;
use crate::sys::peek::{self, Pages};
use crate::sys::{stackmem, thread};
use gort_lockfree::owner::Stay;
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::Ordering::Relaxed;

/// An end keeps the address of the channel's reference counts, which lie so far before the channel itself (`chan::core` makes sure).
pub(crate) const COUNTS_BYTES: usize = 16;
const BUFFER_BYTES: usize = 64 << 10;
const WORD: usize = size_of::<usize>();

/// An address that is none as long as it is kept.
pub(super) fn hidden(address: usize) -> usize {
    !address
}

/// Calls a function that is not inlined, one at a time, and wipes what it leaves on the stack: those of threads that have ended are used again, and
/// kept until then.
pub(super) fn wiped<R>(f: fn(u64) -> R, argument: u64) -> R {
    static ONE: Lock<()> = Lock::new(());
    let _one = ONE.lock();
    let result = f(argument);
    wipe();
    result
}

#[inline(never)]
fn wipe() {
    std::hint::black_box(&mut [0_u8; 128 << 10]);
}

/// Whose words point at a channel: places of a picture, `None` for somebody's who is not asleep.
pub(super) type Owners = BTreeSet<Option<usize>>;

/// For each of the hidden addresses, which are sorted by what they hide, its owners; `parties` are those who are asleep, by id. `None`: it cannot be known.
pub(super) fn owners(channels: &[usize], parties: &HashMap<u64, usize>) -> Option<Vec<Owners>> {
    let epoch_before = epoch();
    // Frames on somebody else's stack are not looked for.
    let at_rest = threads_at_rest().filter(|_| !layout::are_any_lent())?;
    let mut search = Search::new(channels)?;
    let mut left_out = vec![search.buffer_range()];
    left_out.extend(slab::reservations());
    left_out.extend(registry::chunks());
    // Not the mapping that it is in: that may go on with somebody else's memory.
    left_out.push(thread::own_stack()?);
    for (start, end, is_searched) in mappings()? {
        if is_searched {
            search.all_but(start, end, &left_out, None);
        }
    }
    registry::for_every_record(|g| search.goroutine(g, parties.get(&g.id()).copied()));
    let is_quiet = epoch() == epoch_before && threads_at_rest()? == at_rest && !layout::are_any_lent();
    (is_quiet && !search.has_failed).then(|| std::mem::take(&mut search.owners))
}

/// The visits of those threads that are in user code, all of them in the kernel, and the CPU time that they have used; `None` if one computes.
fn threads_at_rest() -> Option<Vec<(u32, u64, u64)>> {
    let mut running = 0;
    registry::for_each(|g| {
        let is_on_thread = matches!(g.status(), Status::Running | Status::Blocking | Status::Ending);
        running += usize::from(is_on_thread && !g.is_thread());
    });
    let mut at_rest = Vec::new();
    for m in snapshot::ms() {
        let seq = m.stay.sample();
        // Relaxed: set before the M took its first P.
        let tid = m.tid.load(Relaxed);
        if Stay::in_user_code(seq) && thread::is_runnable(tid) == Some(false) {
            at_rest.push((m.id, seq, thread::cpu_ns(tid)?));
        }
    }
    (at_rest.len() >= running).then_some(at_rest)
}

struct Search<'a> {
    channels: &'a [usize],
    owners: Vec<Owners>,
    /// The first and the last address that count.
    least: usize,
    most: usize,
    buffer: usize,
    /// Without, all there is is read.
    pages: Option<Pages>,
    has_failed: bool,
}

impl<'a> Search<'a> {
    fn new(channels: &'a [usize]) -> Option<Self> {
        let buffer = stackmem::reserve(BUFFER_BYTES, stackmem::PAGE).ok()?;
        Some(Self {
            channels,
            owners: vec![Owners::new(); channels.len()],
            least: !channels.iter().copied().max()? - COUNTS_BYTES,
            most: !channels.iter().copied().min()?,
            buffer,
            pages: Pages::open(),
            has_failed: false,
        })
    }

    fn buffer_range(&self) -> (usize, usize) {
        (self.buffer, self.buffer + BUFFER_BYTES)
    }

    /// Searches from `start` to `end`, but not what is left out.
    fn all_but(&mut self, mut start: usize, end: usize, left_out: &[(usize, usize)], owner: Option<usize>) {
        while start < end {
            // What is left out next, or now.
            let next = left_out.iter().filter(|(_, upper)| *upper > start).min_by_key(|(lower, _)| *lower);
            let (lower, upper) = next.map_or((end, end), |&(lower, upper)| (lower.clamp(start, end), upper));
            self.range(start, lower, owner);
            start = upper;
        }
    }

    /// What belongs to a goroutine, or to a record without one.
    fn goroutine(&mut self, g: &'static G, place: Option<usize>) {
        let status = g.status();
        let is_begun = g.tp.get() != 0;
        // Of one that has begun the body holds nothing yet, or only what was moved out; while it ends, its result.
        if !g.is_thread()
            && (matches!(status, Status::Dormant | Status::Ending | Status::Done)
                || status == Status::Runnable && !is_begun)
        {
            self.range(g.body() as usize, g.body() as usize + crate::g::record::BODY_BYTES, None);
        }
        let Some(slot) = slab::find(g.tp.get()).filter(|_| is_begun) else { return };
        let base = g.tp.get() & !(slot.size - 1);
        if matches!(status, Status::Waiting | Status::Runnable)
            && !(base + layout::guard_bytes(slot.size)..base + slot.size).contains(&g.rsp.get())
        {
            // It waits on a stack of somebody else's making, a coroutine's, say: nobody knows where that ends, nor how much of its own is in use.
            self.has_failed = true;
            return;
        }
        match status {
            Status::Waiting => self.range(g.rsp.get(), base + slot.size, place),
            Status::Runnable => self.range(g.rsp.get(), base + slot.size, None),
            Status::Running | Status::Blocking | Status::Ending => {
                self.range(base + layout::guard_bytes(slot.size), base + slot.size, None);
            }
            Status::Free | Status::Dormant | Status::Done => {}
        }
    }

    fn range(&mut self, start: usize, end: usize, owner: Option<usize>) {
        let mut start = start & !(WORD - 1);
        while start < end {
            let bytes = (end - start).min(BUFFER_BYTES - start % BUFFER_BYTES);
            self.piece(start, bytes / WORD, owner);
            start += bytes.max(WORD);
        }
    }

    fn piece(&mut self, start: usize, count: usize, owner: Option<usize>) {
        if self.pages.as_ref().is_some_and(|pages| !pages.are_touched(start, count * WORD)) {
            return;
        }
        // SAFETY: the buffer is ours, has room for so many words, and is only used here.
        let words = unsafe { std::slice::from_raw_parts_mut(self.buffer as *mut usize, count) };
        if peek::read(start, words).is_none() {
            let (end, page_end) = (start + count * WORD, (start / stackmem::PAGE + 1) * stackmem::PAGE);
            if end > page_end {
                // What can be read of it.
                self.piece(start, (page_end - start) / WORD, owner);
                return self.piece(page_end, (end - page_end) / WORD, owner);
            }
            // A guard, or unmapped meanwhile, which could only be if somebody ran. But perhaps the kernel does not do it at all.
            let mut word = [0];
            self.has_failed |= peek::read(self.buffer, &mut word).is_none();
            return;
        }
        for &word in &*words {
            if word >= self.least && word <= self.most {
                self.look_up(word, owner);
            }
        }
    }

    #[cold]
    fn look_up(&mut self, word: usize, owner: Option<usize>) {
        // By their addresses they rise.
        for address in [word, word + COUNTS_BYTES] {
            if let Ok(place) = self.channels.binary_search_by_key(&address, |&channel| !channel) {
                self.owners[place].insert(owner);
            }
        }
    }
}

impl Drop for Search<'_> {
    fn drop(&mut self) {
        stackmem::release(self.buffer, BUFFER_BYTES);
    }
}

/// Where memory is, and whether ends of channels may be there: what is private and can be written.
fn mappings() -> Option<Vec<(usize, usize, bool)>> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let mapping = |line: &str| {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let number = |text| usize::from_str_radix(text, 16).ok();
        Some((number(start)?, number(end)?, rest.starts_with("rw") && rest.as_bytes().get(3) == Some(&b'p')))
    };
    maps.lines().map(mapping).collect()
}

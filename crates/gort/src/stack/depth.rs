//! How much of their stacks goroutines use, by the place that starts them.
//!
//! The pages of a stack that are resident at its goroutine's end tell, if nobody has used the stack before. That costs two system calls, so only
//! some are measured: the first of each place, and one in [`ONE_IN`] of all. A goroutine to be measured begins on a stack whose memory has been
//! given back.
//!
//! Only the page tables are asked. That counts whole pages, and pages that a deep call has skipped.

use super::layout::{frames_top, guard_bytes, slot_bytes};
use super::scavenge::discard_frames;
use super::slab::Stack;
use crate::sys::stackmem::{self, PAGE};
use std::panic::Location;
use std::ptr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize};

const ONE_IN: u64 = 1024;
/// Room for places, and how far one may lie from where it belongs. One that finds no room is measured by chance alone, and not told.
const PLACES: usize = 1024;
const STEPS: usize = 16;

/// What is known of one place. Filled from the front of the probing sequence, never emptied.
struct Place {
    site: AtomicPtr<Location<'static>>,
    measured: AtomicU64,
    most: AtomicUsize,
    /// Size of the largest stack.
    size: AtomicUsize,
}

static PLACE: [Place; PLACES] = [const {
    Place {
        site: AtomicPtr::new(ptr::null_mut()),
        measured: AtomicU64::new(0),
        most: AtomicUsize::new(0),
        size: AtomicUsize::new(0),
    }
}; PLACES];

fn hash(site: &'static Location<'static>) -> usize {
    (ptr::from_ref(site) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) as usize >> 40
}

/// True if the goroutine with this number, started there, is to be measured.
#[inline(always)]
pub(crate) fn is_wanted(site: Option<&'static Location<'static>>, id: u64) -> bool {
    let Some(site) = site else { return false };
    // Relaxed: as in `place_of`. Mostly the first look says that the place is known.
    let is_known = ptr::eq(PLACE[hash(site) % PLACES].site.load(Relaxed), site);
    !is_known && is_new(site) || id.is_multiple_of(ONE_IN)
}

#[cold]
fn is_new(site: &'static Location<'static>) -> bool {
    place_of(site).is_some_and(|(_, is_new)| is_new)
}

/// Empties a stack before its goroutine's first run. Any thread pointer will do.
#[cold]
pub(crate) fn begin(stack: Stack) {
    // SAFETY: the caller's own stack, on which nothing runs yet.
    unsafe { discard_frames(stack.base(), stack.class(), stack.frames_top()) };
}

/// Bytes of the stack that have been touched, a number of pages and what the block leaves of its own. The goroutine may run meanwhile.
pub(crate) fn touched(stack: Stack) -> usize {
    let top = frames_top(stack.tp());
    let limit = stack.base() + guard_bytes(slot_bytes(stack.class()));
    let mut end = top / PAGE * PAGE;
    let mut lowest = end;
    let mut pages = [0_u8; 256];
    // From above: a stack is touched in order but for frames larger than a page; so a hole of a megabyte is its end.
    while end > limit {
        let from = limit.max(end.saturating_sub(pages.len() * PAGE));
        let pages = &mut pages[..(end - from) / PAGE];
        if stackmem::resident(from, pages).is_err() {
            break;
        }
        let Some(first) = pages.iter().position(|page| page & 1 != 0) else { break };
        lowest = from + first * PAGE;
        end = from;
    }
    top - lowest
}

/// Notes what a goroutine has used that has just ended. Any thread pointer will do.
#[cold]
pub(crate) fn end(site: Option<&'static Location<'static>>, stack: Stack) {
    if let Some((place, _)) = site.and_then(place_of) {
        let used = touched(stack);
        // Relaxed: statistics, read one by one.
        place.most.fetch_max(used, Relaxed);
        place.size.fetch_max(stack.size(), Relaxed);
        place.measured.fetch_add(1, Relaxed);
    }
}

/// The site's place, and whether it has got that just now; `None` if there is no room.
fn place_of(site: &'static Location<'static>) -> Option<(&'static Place, bool)> {
    let (wanted, start) = (ptr::from_ref(site).cast_mut(), hash(site));
    (0..STEPS).map(|step| &PLACE[(start + step) % PLACES]).find_map(|place| {
        // Relaxed: the pointer's target is static, and the numbers beside it begin as zeros.
        let mut there = place.site.load(Relaxed);
        if there.is_null() {
            match place.site.compare_exchange(ptr::null_mut(), wanted, Relaxed, Relaxed) {
                Ok(_) => return Some((place, true)),
                Err(other) => there = other,
            }
        }
        (there == wanted).then_some((place, false))
    })
}

/// What has been seen of one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Use {
    pub(crate) site: &'static Location<'static>,
    pub(crate) measured: u64,
    pub(crate) most: usize,
    pub(crate) size: usize,
}

/// All places of which something is known.
pub(crate) fn uses() -> impl Iterator<Item = Use> {
    PLACE.iter().filter_map(|place| {
        // SAFETY: null, or from a `&'static Location`.
        let site = unsafe { place.site.load(Relaxed).as_ref() }?;
        let measured = place.measured.load(Relaxed);
        (measured > 0).then(|| Use { site, measured, most: place.most.load(Relaxed), size: place.size.load(Relaxed) })
    })
}
